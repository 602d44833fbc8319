from __future__ import annotations

import math
from typing import Any

import pytest

from detectors.guard_model.adapter import GuardAdapter, Judgement, Level, Reason, Unavailable
from detectors.guard_model.answers import Unreadable, read_answer, word_probabilities
from detectors.guard_model.endpoint import EndpointAdapter, ModerationsAdapter, read_moderation
from detectors.guard_model.formats import Opinion
from detectors.guard_model.server import Server
from detectors.guard_model.settings import EndpointGuard, Limits, ModerationsGuard
from guard.contract import Channel, DetectorError
from tests.support.guard_models import Reply, by_word, chat, guard_server, moderation
from tests.support.llamacpp import llamacpp  # noqa: F401 - a fixture

near: Any = pytest.approx


def endpoint(url: str, **settings: Any) -> EndpointAdapter:
    adapter = EndpointAdapter(EndpointGuard(url=url, **{"model": "guard", **settings}), 0.5)
    adapter.load()
    return adapter


def moderations(url: str, **settings: Any) -> ModerationsAdapter:
    adapter = ModerationsAdapter(ModerationsGuard(url=url, **settings))
    adapter.load()
    return adapter


def test_a_chat_is_judged_with_its_context() -> None:
    with guard_server(by_word("bomb")) as there:
        judge = endpoint(there.url, format="llama_guard").open(Channel.CONTENT)
        assert judge.score("How?", "Take a ", "spoon.") == Judgement(near(0.03), Level.SAFE, ("other_harm",), 6)
        assert judge.score("How?", "Take a bo", "mb.") == Judgement(
            near(0.98), Level.UNSAFE, ("indiscriminate_weapons",), 3
        )
        assert [message["content"] for message in there.requests[1]["messages"]] == ["How?", "Take a bomb."]
        assert there.paths == ["/v1/chat/completions"] * 2


def test_every_question_is_asked_and_all_must_be_answered() -> None:
    def play(body: Any) -> Any:
        hate = "Hate" in body["chat_template_kwargs"]["guideline"]
        return chat("Yes" if hate else "No")

    with guard_server(play) as there:
        judge = endpoint(there.url, format="shieldgemma").open(Channel.PROMPT)
        assert judge.score("", "", "text") == Judgement(0.9, Level.UNSAFE, ("hate",), 4)
        assert len(there.requests) == 4
    with (
        guard_server(lambda body: chat("No" if "Hate" in str(body) else "Perhaps")) as there,
        pytest.raises(Unavailable),
    ):
        endpoint(there.url, format="shieldgemma").open(Channel.PROMPT).score("", "", "text")


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (chat("I cannot say."), Reason.UNREADABLE),
        ({"choices": []}, Reason.UNREADABLE),
        (Reply(b"{"), Reason.UNREADABLE),
        (Reply({"error": "no such model"}, status=404), Reason.REFUSED),
        (Reply(status=503), Reason.SERVER_ERROR),
    ],
)
def test_what_is_no_judgement_is_unavailable(answer: Any, reason: Reason) -> None:
    with guard_server(lambda _body: answer) as there:
        limits = Limits(retries=0)
        adapters: list[GuardAdapter] = [endpoint(there.url, limits=limits), moderations(there.url, limits=limits)]
        for adapter in adapters:
            with pytest.raises(Unavailable) as told:
                adapter.open(Channel.CONTENT).score("", "", "text")
            assert told.value.reason is reason


def test_the_moderations_api_is_shown_the_text_alone() -> None:
    with guard_server(lambda _body: moderation(True, violence=0.75, hate=0.1)) as there:
        judge = moderations(there.url, model="omni").open(Channel.CONTENT)
        assert judge.score("How?", "a", "bc") == Judgement(0.75, Level.UNSAFE, ("violent_crimes",), 2)
        assert there.requests == [{"model": "omni", "input": "abc"}]
        assert there.paths == ["/v1/moderations"]


@pytest.mark.parametrize(
    ("answer", "opinion"),
    [
        (moderation(False, hate=0.01, violence=0.2), Opinion(0.2, Level.SAFE, ("violent_crimes",))),
        (
            moderation(True, sexual__minors=0.8, sexual=0.9),
            Opinion(0.9, Level.UNSAFE, ("child_sexual_exploitation", "sexual_content")),
        ),
        # its bars differ from kind to kind: what it flags is harmful, however low the score
        (moderation(True, self_harm__intent=0.3), Opinion(0.5, Level.UNSAFE, ("suicide_self_harm",))),
        (moderation(False), Opinion(0.0, Level.SAFE, ("other_harm",))),
        (moderation(True, dangerous_and_new=0.99), Opinion(0.99, Level.UNSAFE, ("other_harm",))),
    ],
)
def test_moderations(answer: Any, opinion: Opinion) -> None:
    read = read_moderation(answer)
    assert (read.risk, read.level) == (near(opinion.risk), opinion.level)
    assert set(read.categories) == set(opinion.categories)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {},
        {"results": []},
        {"results": [{}]},
        {"results": [{"flagged": "no", "categories": {}, "category_scores": {}}]},
        {"results": [{"flagged": False, "categories": {}, "category_scores": {"hate": "low"}}]},
        {"results": [{"flagged": False, "categories": {}, "category_scores": {"hate": 1e999}}]},
        {"results": [{"flagged": False, "category_scores": {}}]},
        {"results": [moderation(False)["results"][0], moderation(True)["results"][0]]},
    ],
)
def test_what_is_no_moderation_is_unreadable(answer: Any) -> None:
    with pytest.raises(Unreadable):
        read_moderation(answer)


@pytest.mark.parametrize(
    "url", ["localhost:8001", "ftp://host/v1", "http://", "http://me:word@host/v1", "http://[oops/v1", "/v1"]
)
def test_a_url_that_cannot_be_meant_is_said_at_load(url: str) -> None:
    for make in (endpoint, moderations):
        with pytest.raises(DetectorError, match="url"):
            make(url)


def test_the_key_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_TEST_KEY", "s3cret")
    with guard_server(by_word("x")) as there:
        endpoint(there.url, format="llama_guard", api_key_env="GUARD_TEST_KEY").open(Channel.PROMPT).score("", "", "t")
        assert there.keys == ["Bearer s3cret"]
    monkeypatch.delenv("GUARD_TEST_KEY")
    with pytest.raises(DetectorError, match="GUARD_TEST_KEY is not set"):
        endpoint("http://127.0.0.1:1/v1", api_key_env="GUARD_TEST_KEY")


def test_a_model_must_be_named() -> None:
    with pytest.raises(DetectorError, match="model must be given"):
        endpoint("http://127.0.0.1:1/v1", model="")


@pytest.mark.real
def test_a_real_server_speaks_the_protocol(llamacpp: str) -> None:  # noqa: F811
    """llama.cpp with a model that is no guard: its answers are read with their probabilities, and are no verdicts."""
    adapter = endpoint(f"{llamacpp}/v1", format="granite_guardian", limits=Limits(deadline=60))
    with pytest.raises(Unavailable) as told:
        adapter.open(Channel.CONTENT).score("Say hello.", "", "Hello there. How are you today?")
    assert told.value.reason is Reason.UNREADABLE
    server = Server(f"{llamacpp}/v1", "", Limits(deadline=60))
    body = {"messages": [{"role": "user", "content": "Name a colour."}], "max_tokens": 4, "temperature": 0}
    answer = server.ask(
        "/chat/completions", [{**body, "logprobs": True, "top_logprobs": 5}], lambda answers: read_answer(answers[0])
    )
    assert "".join(token.text for token in answer.tokens).startswith(answer.text)
    assert all(len(token.probabilities) >= 5 for token in answer.tokens)
    assert all(sum(token.probabilities.values()) < 1.001 for token in answer.tokens)
    word = answer.tokens[0].text.strip().lower()
    likely = word_probabilities(answer, (word, "\N{SNOWMAN}"))
    assert likely is not None
    assert math.isclose(likely[word], 1.0)
