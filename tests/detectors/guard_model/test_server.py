from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from detectors.guard_model.adapter import Reason, Unavailable
from detectors.guard_model.answers import Unreadable
from detectors.guard_model.breaker import Breaker
from detectors.guard_model.server import Server
from detectors.guard_model.settings import Limits
from tests.support.guard_models import Reply, guard_server
from tests.support.upstream import unused_port

SHORT = 0.3
"""Seconds of a deadline that is meant to pass."""


def first(answers: Sequence[Any]) -> Any:
    return answers[0]


def ask(server: Server, *bodies: Any) -> Any:
    return server.ask("/chat/completions", bodies or [{"q": 1}], list if len(bodies) > 1 else first)


def refusal(server: Server) -> Reason:
    with pytest.raises(Unavailable) as told:
        ask(server)
    return told.value.reason


def one_after_the_other(*replies: Any) -> Callable[[Any], Any]:
    left = list(replies)
    return lambda _body: left.pop(0) if len(left) > 1 else left[0]


def test_an_answer_is_what_it_says_and_the_key_goes_along() -> None:
    with guard_server(lambda body: {"got": body}) as there:
        assert ask(Server(there.url, "s3cret", Limits())) == {"got": {"q": 1}}
        assert ask(Server(f"{there.url}/", "", Limits())) == {"got": {"q": 1}}
        assert there.keys == ["Bearer s3cret", None]
        assert there.paths == ["/v1/chat/completions"] * 2


def test_several_are_asked_at_once_and_answered_in_order() -> None:
    with guard_server(lambda body: Reply(body["n"], after=0.05)) as there:
        assert ask(Server(there.url, "", Limits()), *({"n": n} for n in range(6))) == [*range(6)]
        assert there.most > 1


def test_no_more_are_asked_at_a_time_than_there_are_slots() -> None:
    with guard_server(lambda body: Reply(body["n"], after=0.05)) as there:
        server = Server(there.url, "", Limits(concurrency=2))
        with ThreadPoolExecutor(6) as pool:
            assert [*pool.map(lambda n: ask(server, {"n": n}), range(6))] == [*range(6)]
        assert there.most == 2


@pytest.mark.parametrize("passing", [Reply(status=429), Reply(status=500), Reply(status=503), Reply(status=0)])
def test_what_may_pass_is_asked_again(passing: Reply) -> None:
    with guard_server(one_after_the_other(passing, "well")) as there:
        assert ask(Server(there.url, "", Limits(retries=1))) == "well"
        assert len(there.requests) == 2


@pytest.mark.parametrize(
    ("reply", "reason", "asked"),
    [
        (Reply(status=500), Reason.SERVER_ERROR, 3),
        (Reply(status=429), Reason.OVERLOADED, 3),
        (Reply(status=0), Reason.CONNECTION, 3),
        (Reply(status=400), Reason.REFUSED, 1),
        (Reply(status=401), Reason.REFUSED, 1),
        (Reply(status=404), Reason.REFUSED, 1),
        (Reply(status=302), Reason.REFUSED, 1),
        (Reply(b"<html>oops</html>"), Reason.UNREADABLE, 1),
        (Reply(b""), Reason.UNREADABLE, 1),
        (Reply(b"\xff\xfe"), Reason.UNREADABLE, 1),
        (Reply(b'{"risk": NaN}'), Reason.UNREADABLE, 1),
        (Reply(b"[" * 100_000), Reason.UNREADABLE, 1),
        (Reply(b" " * (1 << 20) + b"{}"), Reason.UNREADABLE, 1),
    ],
)
def test_what_does_not_pass_has_a_reason(reply: Reply, reason: Reason, asked: int) -> None:
    with guard_server(lambda _body: reply) as there:
        assert refusal(Server(there.url, "", Limits(retries=2))) is reason
        assert len(there.requests) == asked


def test_nobody_there() -> None:
    assert refusal(Server(f"http://127.0.0.1:{unused_port()}/v1", "", Limits(retries=0))) is Reason.CONNECTION


@pytest.mark.parametrize("late", [Reply({}, after=30), Reply({"a": "b" * 100}, drip=SHORT / 3)])
def test_an_answer_that_is_late_is_none(late: Reply) -> None:
    with guard_server(lambda _body: late) as there:
        assert refusal(Server(there.url, "", Limits(deadline=SHORT))) is Reason.TIMEOUT


def test_waiting_for_a_slot_counts_as_well() -> None:
    with guard_server(lambda _body: Reply({}, after=30)) as there:
        server = Server(there.url, "", Limits(deadline=SHORT, concurrency=1))
        reasons: list[Reason] = []
        threads = [threading.Thread(target=lambda: reasons.append(refusal(server))) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert set(reasons) <= {Reason.TIMEOUT, Reason.OVERLOADED}
        assert Reason.TIMEOUT in reasons


def test_there_is_no_time_for_a_retry_at_the_end() -> None:
    with guard_server(lambda _body: Reply(status=503)) as there:
        assert refusal(Server(there.url, "", Limits(deadline=SHORT, retries=9))) in {
            Reason.SERVER_ERROR,
            Reason.TIMEOUT,
        }
        assert len(there.requests) < 4


def test_a_server_that_keeps_failing_is_left_alone_and_tried_again() -> None:
    answers = iter([Reply(status=500), Reply(status=500), Reply(status=500), Reply("well"), Reply("well")])
    now = 0.0
    with guard_server(lambda _body: next(answers)) as there:
        server = Server(there.url, "", Limits(retries=0))
        server._breaker = Breaker(2, 30.0, lambda: now)
        assert [refusal(server) for _ in range(4)] == [Reason.SERVER_ERROR] * 2 + [Reason.BREAKER_OPEN] * 2
        assert len(there.requests) == 2
        now += 30
        assert refusal(server) is Reason.SERVER_ERROR
        assert refusal(server) is Reason.BREAKER_OPEN
        now += 30
        assert [ask(server), ask(server)] == ["well", "well"]


def test_answers_that_say_nothing_open_the_breaker_too() -> None:
    def read(_answers: Sequence[Any]) -> Any:
        raise Unreadable("nothing")

    with guard_server(lambda _body: {}) as there:
        server = Server(there.url, "", Limits(breaker_failures=2))
        for _ in range(2):
            with pytest.raises(Unavailable) as told:
                server.ask("/x", [{}], read)
            assert told.value.reason is Reason.UNREADABLE
        assert refusal(server) is Reason.BREAKER_OPEN


def test_one_question_without_an_answer_is_no_judgement() -> None:
    with guard_server(lambda body: Reply(status=400) if body["n"] == 2 else {}) as there:
        server = Server(there.url, "", Limits())
        with pytest.raises(Unavailable):
            ask(server, *({"n": n} for n in range(4)))


def test_a_rate_is_kept_by_waiting() -> None:
    with guard_server(lambda _body: {}) as there:
        server = Server(there.url, "", Limits(calls_per_second=20))
        began = time.monotonic()
        for _ in range(4):
            ask(server)
        assert time.monotonic() - began >= 3 / 20


def test_who_would_wait_too_long_for_the_rate_has_no_answer() -> None:
    with guard_server(lambda _body: {}) as there:
        server = Server(there.url, "", Limits(calls_per_second=0.1, deadline=1))
        ask(server)
        assert refusal(server) is Reason.OVERLOADED


def test_redirects_and_the_environments_proxies_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{unused_port()}")
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{unused_port()}")
    with guard_server(lambda _body: "direct") as there:
        assert ask(Server(there.url, "", Limits())) == "direct"


def test_its_connections_go_with_it() -> None:
    with guard_server(lambda _body: {}) as there:
        server = Server(there.url, "", Limits())
        ask(server)
        client = server._client
        gone = weakref.ref(server)
        del server
        gc.collect()
        assert gone() is None
        assert client.is_closed
