"""The detector as the guard uses it: the contract, the settings, and text through the whole proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from detectors.guard_model import GuardModel, GuardModelSettings
from detectors.guard_model.detector import PROMPT_EVERY
from guard.contract import Channel, Context, Detector, DetectorError, Finding, Lane
from guard.policy import CompiledPolicy, compile_policy, parse_policy
from guard.registry import build
from guard.testing import assert_detector_contract, scan
from tests.support.answers import well_formed
from tests.support.dialects import DONE, VLLM
from tests.support.guard_models import GuardServer, Reply, by_word, guard_server, save_classifier, save_stream_model
from tests.support.guarded import Guarded, guarded
from tests.support.proxy import metric
from tests.support.upstream import FakeUpstream, Pause, reply, unused_port

CALM = "The garden is lovely and it was well kept. "
BOMB = "Here is how we build a pipe bomb and kill them all with it. "
WHO = {"model": "other", "policy": "judged", "mode": "enforce"}
MEANING = {"calm": "safe", "harmful": "indiscriminate_weapons", "rude": "harassment"}
TEXTS = ["", CALM * 11 + BOMB * 5 + CALM * 4, "没有空格" * 120 + " bomb"]


def detector(**settings: Any) -> GuardModel:
    built = build("judge", "guard_model", settings)
    assert isinstance(built, GuardModel)
    return built


def endpoint(url: str, **settings: Any) -> dict[str, Any]:
    return {"url": url, "model": "guard", "format": "llama_guard", **settings}


@pytest.fixture(scope="module")
def server() -> Iterator[GuardServer]:
    with guard_server(by_word("bomb")) as there:
        yield there


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("torch", reason="needs pip install 'qwq-guard[transformers]'")
    root = tmp_path_factory.mktemp("guards")
    save_classifier(root / "classifier")
    (root / "stream").mkdir()
    save_stream_model(root / "stream")
    return root


def labels(findings: list[tuple[int, Finding]]) -> set[str]:
    return {finding.label for _, finding in findings}


# --- the contract


@pytest.mark.parametrize("cascade", [True, False])
def test_a_server_behind_it_keeps_the_contract(server: GuardServer, cascade: bool) -> None:
    one = detector(endpoint=endpoint(server.url), cascade=cascade)
    assert_detector_contract(one, TEXTS, chunk_sizes=(1, 200))
    assert_detector_contract(one, TEXTS[-1:], lane=Lane(-1, Channel.PROMPT, 0), chunk_sizes=(13, 5_000))


@pytest.mark.parametrize("cascade", [True, False])
def test_a_classifier_behind_it_keeps_the_contract(folders: Path, cascade: bool) -> None:
    settings = {"model": str(folders / "classifier"), "labels": MEANING, "threads": 1}
    assert_detector_contract(detector(transformers=settings, cascade=cascade, tail=300), TEXTS, chunk_sizes=(1, 5_000))


@pytest.mark.parametrize("cascade", [True, False])
def test_a_stream_model_behind_it_keeps_the_contract(folders: Path, cascade: bool) -> None:
    settings = {"model": str(folders / "stream"), "kind": "qwen3guard_stream", "threads": 1}
    texts = [CALM * 3 + "it is 77 and 7 of 8" + BOMB * 3]
    assert_detector_contract(detector(transformers=settings, cascade=cascade, tail=100), texts, chunk_sizes=(1, 200))


@pytest.mark.parametrize("unavailable", ["error", "pass_embedded"])
@pytest.mark.parametrize("cascade", [True, False])
def test_a_server_that_is_gone_keeps_the_contract(unavailable: str, cascade: bool) -> None:
    limits = {"retries": 0, "breaker_failures": 1, "breaker_seconds": 600}
    gone = endpoint(f"http://127.0.0.1:{unused_port()}/v1", limits=limits)
    one = detector(endpoint=gone, unavailable=unavailable, cascade=cascade)
    scan(one, BOMB * 8)  # opens the breaker, so that every failure is the same one
    assert_detector_contract(one, TEXTS, chunk_sizes=(1, 200))


# --- what it finds


def test_the_cascade_asks_only_about_what_the_first_look_escalates(server: GuardServer) -> None:
    one = detector(endpoint=endpoint(server.url))
    before = len(server.requests)
    assert scan(one, CALM * 60) == []
    assert len(server.requests) == before
    assert labels(scan(one, CALM * 11 + BOMB * 8 + CALM * 11)) == {"indiscriminate_weapons"}
    assert 0 < len(server.requests) - before <= 5


def test_the_judge_clears_what_the_first_look_took_for_harm(server: GuardServer) -> None:
    harmless = BOMB.replace("bomb", "organ").replace("them all", "time")
    loud = BOMB.replace("bomb", "b0mb") * 8
    before = len(server.requests)
    assert scan(detector(endpoint=endpoint(server.url)), harmless + loud) == []
    assert len(server.requests) > before


def test_without_cascade_it_asks_about_everything(server: GuardServer) -> None:
    one = detector(endpoint=endpoint(server.url), cascade=False, every=100, tail=150)
    before = len(server.requests)
    found = scan(one, CALM * 10 + "a bomb " + CALM * 10, context=Context(prompt="x" * 9_000 + "How?"))
    assert labels(found) == {"indiscriminate_weapons"}
    asked = server.requests[before:]
    assert len(asked) == 9
    assert {len(body["messages"][0]["content"]) for body in asked} == {4_000}
    assert max(len(body["messages"][1]["content"]) for body in asked) == 250
    (fed, finding), *_ = found
    assert fed == finding.span.end + (-finding.span.end) % 16 or fed == finding.span.end


def test_a_prompt_is_judged_as_the_users(server: GuardServer) -> None:
    one = detector(endpoint=endpoint(server.url), cascade=False)
    before = len(server.requests)
    found = scan(one, CALM * 60 + "bomb", lane=Lane(-1, Channel.PROMPT, 0), context=Context(prompt="not this"))
    assert labels(found) == {"indiscriminate_weapons"}
    assert len(server.requests) - before == -(-len(CALM * 60 + "bomb") // PROMPT_EVERY)
    assert [message["role"] for message in server.requests[-1]["messages"]] == ["user"]


def test_a_failure_is_an_error_unless_the_embedded_word_is_to_count() -> None:
    with guard_server(lambda _body: Reply(status=500)) as there:
        settings = endpoint(there.url, limits={"retries": 0})
        ((_, finding), *_) = scan(detector(endpoint=settings), BOMB * 8)
        assert (finding.label, finding.score, dict(finding.detail)) == ("error", 1.0, {"error": "server_error"})
        found = scan(detector(endpoint=settings, unavailable="pass_embedded"), BOMB * 8)
        assert "error" not in labels(found)
        assert found[0][1].detail == {"judge": "embedded", "unavailable": "server_error"}
        assert scan(detector(endpoint=settings, unavailable="pass_embedded", cascade=False), CALM * 30) == []


@pytest.mark.parametrize("cascade", [True, False])
def test_half_a_surrogate_pair_can_be_sent(server: GuardServer, folders: Path, cascade: bool) -> None:
    text, context = CALM * 8 + "\ud83d" + BOMB * 8 + "\ude00", Context(prompt="\udc00?")
    stream = {"model": str(folders / "stream"), "kind": "qwen3guard_stream", "threads": 1}
    for way in ({"endpoint": endpoint(server.url)}, {"transformers": stream}):
        found = scan(detector(**way, cascade=cascade, tail=100), text, context=context, history="\ud83d ")
        assert "error" not in labels(found)
        assert len(found) > 0 or "transformers" in way


def test_its_counters_add_up(server: GuardServer) -> None:
    one = detector(endpoint=endpoint(server.url))
    one.load()
    scanner = one.open(Lane(0, Channel.CONTENT), Context())
    sums: dict[str, float] = {}
    for report in [
        *(scanner.feed(CALM) for _ in range(12)),
        scanner.feed(BOMB * 8),
        scanner.feed(CALM * 30),
        scanner.settle(),
    ]:
        for name, value in report.counters.items():
            sums[name] = sums.get(name, 0) + value
    assert set(sums) <= set(GuardModel.counters)
    assert sums["windows"] > sums["escalated"] == sums["judged"] == sums["confirmed"] + sums.get("cleared", 0)
    assert sums["held_chars"] >= 200 * sums["judged"]
    assert "unavailable" not in sums


def test_it_must_be_loaded_first(server: GuardServer) -> None:
    with pytest.raises(DetectorError, match="opened before it was loaded"):
        detector(endpoint=endpoint(server.url)).open(Lane(0, Channel.CONTENT), Context())


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"endpoint": {"url": "oops", "model": "m"}}, "judge: endpoint: url"),
        ({"transformers": {"model": "./nowhere"}}, "judge: transformers: model: there is no folder"),
        (
            {"moderations": {"url": "http://127.0.0.1:1/v1", "api_key_env": "NOT_SET_HERE"}},
            "judge: moderations: .*NOT_SET_HERE",
        ),
    ],
)
def test_what_cannot_be_loaded_names_the_setting(settings: Any, told: str) -> None:
    with pytest.raises(DetectorError, match=told):
        detector(**settings).load()


def test_it_is_a_detector() -> None:
    one: Detector = GuardModel(
        "judge", GuardModelSettings(moderations=detector(moderations={"url": "http://h/v1"}).settings.moderations)
    )
    assert one.slow


# --- through the whole proxy


def policy(url: str, **settings: Any) -> CompiledPolicy:
    text = json.dumps(
        {
            "policy_version": 1,
            "name": "judged",
            "detectors": {"judge": {"use": "guard_model", "endpoint": endpoint(url), **settings}},
            "rules": [
                {
                    "id": "no_weapons",
                    "why": "a guard model says so",
                    "when": {"detector": "judge", "channel": ["prompt", "content"], "score": 0.9},
                    "do": {"cut": {"notice": "Stopped."}},
                }
            ],
        }
    )
    return compile_policy(parse_policy(text, "judged.yaml"))


@pytest.mark.anyio
@pytest.mark.parametrize("cascade", [True, False])
async def test_a_stream_is_cut_before_text_that_nobody_has_judged_leaves(cascade: bool) -> None:
    clean, harm = CALM * 14, BOMB * 8
    answer = [VLLM.content(text) for part in (clean, harm, CALM * 40) for text in _pieces(part)]
    stream = reply(VLLM.opening(), *answer, VLLM.finish(), DONE)
    with guard_server(by_word("bomb", after=0.02)) as there:
        async with (
            FakeUpstream(stream) as upstream,
            guarded(upstream, policy=policy(there.url, cascade=cascade)) as proxy,
        ):
            outcome = well_formed(await proxy.ask(stream=True))
            assert outcome.content.startswith(CALM * 8)
            assert "bomb" not in outcome.content
            assert outcome.content.endswith("Stopped.")
            assert outcome.finishes == {0: "content_filter"}
            counted = {name: counter_of(proxy, name) for name in GuardModel.counters}
            assert counted["windows"] >= counted["judged"] == counted["confirmed"] + counted["cleared"] > 0
            assert (counted["escalated"] > 0) is cascade
            assert counted["unavailable"] == 0
            assert metric(proxy.gateway, "guard_harmful_total", channel="content", **WHO) == 1
        assert there.requests


@pytest.mark.anyio
async def test_a_harmful_prompt_never_reaches_the_model() -> None:
    with guard_server(by_word("bomb")) as there:
        async with FakeUpstream(reply(DONE)) as upstream, guarded(upstream, policy=policy(there.url)) as proxy:
            outcome = well_formed(await proxy.ask(stream=True, messages=[{"role": "user", "content": BOMB}]))
            assert outcome.content == "Stopped."
            assert [request for request in upstream.received if request.method == "POST"] == []


@pytest.mark.anyio
async def test_a_guard_model_that_is_gone_ends_the_answer() -> None:
    stream = reply(VLLM.opening(), VLLM.content(CALM * 5), Pause(0.01), VLLM.content(BOMB * 8), VLLM.finish(), DONE)
    url = f"http://127.0.0.1:{unused_port()}/v1"
    async with FakeUpstream(stream) as upstream, guarded(upstream, policy=policy(url)) as proxy:
        outcome = well_formed(await proxy.ask(stream=True))
        assert "bomb" not in outcome.content
        assert "could not be checked" in outcome.content


def counter_of(proxy: Guarded, name: str) -> float:
    return metric(proxy.gateway, "guard_detector_counts_total", detector="judge", counter=name)


def _pieces(text: str) -> list[str]:
    return [text[at : at + 37] for at in range(0, len(text), 37)]
