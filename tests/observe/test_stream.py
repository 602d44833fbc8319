"""What one stream counts, and that it counts it once."""

from __future__ import annotations

import pytest

from guard.contract import ERROR_LABEL, STOP, WARN, Channel, Finding, Lane, Span
from guard.events import Cut, Decision, Flag
from guard.observe.metrics import Known, Metrics
from tests.support.metrics import total

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"
KNOWN = Known(
    detectors={"loop": ["exact"], "language": ["leak"], "length": ["hard_budget"], "harm": ["hate"]},
    rules=["r"],
    models=["qwq"],
)
THOUGHT, ANSWER = Lane(0, Channel.REASONING), Lane(0, Channel.CONTENT)
TRACE = "0af7651916cd43dd8448eb211c80319c"


def finding(detector: str, label: str, score: float = STOP) -> Finding:
    return Finding(detector, label, score, Span(0, 1))


@pytest.mark.parametrize(
    ("detector", "label", "name"),
    [
        ("loop", "exact", "guard_loops_total"),
        ("language", "leak", "guard_language_switches_total"),
        ("length", "hard_budget", "guard_runaways_total"),
        ("harm", "hate", "guard_harmful_total"),
    ],
)
def test_a_symptom_counts_once_per_channel_and_under_whose_it_is(detector: str, label: str, name: str) -> None:
    metrics = Metrics(KNOWN, policy="house", mode="observe")
    stream = metrics.stream_opened("chat", "qwq")
    for lane in (THOUGHT, THOUGHT, Lane(1, Channel.REASONING), ANSWER):
        stream.decided(lane, finding(detector, label), Decision("", Flag()))
    who = {"model": "qwq", "policy": "house", "mode": "observe"}
    assert total(metrics.registry, name, channel="reasoning", **who) == 1
    assert total(metrics.registry, name, channel="content", **who) == 1
    others = {"guard_loops_total", "guard_language_switches_total", "guard_runaways_total", "guard_harmful_total"} - {
        name
    }
    assert sum(total(metrics.registry, other) for other in others) == 0


@pytest.mark.parametrize(("score", "rule", "counted"), [(0.7, "r", 1), (0.7, "", 0), (0.95, "", 1)])
def test_harm_counts_where_a_rule_speaks_of_it_or_its_detector_is_sure(score: float, rule: str, counted: int) -> None:
    metrics = Metrics(KNOWN)
    metrics.stream_opened("chat").decided(ANSWER, finding("harm", "hate", score), Decision(rule, Cut()))
    assert total(metrics.registry, "guard_harmful_total", channel="content") == counted


@pytest.mark.parametrize(
    ("found", "is_loop"),
    [
        (finding("loop", "exact"), True),
        (finding("loop", "exact", WARN), False),
        (finding("loop", ERROR_LABEL, 1.0), False),
        (finding("length", "hard_budget"), False),
    ],
)
def test_which_findings_are_sure_loops(found: Finding, is_loop: bool) -> None:
    assert Metrics(KNOWN).stream_opened("chat").is_loop(found) is is_loop


@pytest.mark.parametrize(
    ("outcome", "state", "ended"),
    [
        ("passed", "", "complete"),
        ("masked", "", "complete"),
        ("cut", "", "cut"),
        ("repaired", "", "repaired"),
        ("error", "", "upstream_died"),
        ("error", "deadline", "deadline"),
        ("error", "guard_failed", "guard_failed"),
        ("client_left", "", "client_left"),
    ],
)
def test_a_stream_ends_in_one_state(outcome: str, state: str, ended: str) -> None:
    metrics = Metrics(KNOWN)
    stream = metrics.stream_opened("chat")
    stream.closed(outcome, state=state)
    stream.closed("passed")
    assert total(metrics.registry, "guard_streams_ended_total") == 1
    assert total(metrics.registry, "guard_streams_ended_total", state=ended) == 1


def test_tokens_and_thinking() -> None:
    metrics = Metrics(KNOWN)
    stream = metrics.stream_opened("chat", "qwq")
    stream.thought(120)
    stream.thought_unfinished()
    stream.thought_unfinished()
    stream.closed("cut", tokens={"reasoning": 5}, tokens_spent=30, tokens_saved=70, tokens_wasted=-1)
    registry = metrics.registry
    assert total(registry, "guard_thinking_tokens_sum", model="qwq") == 120
    assert total(registry, "guard_unfinished_thoughts_total", model="qwq") == 1
    assert total(registry, "guard_tokens_total", channel="reasoning") == 5
    assert total(registry, "guard_tokens_spent_total", model="qwq") == 30
    assert total(registry, "guard_tokens_saved_total", model="qwq") == 70
    assert total(registry, "guard_tokens_wasted_total") == 0


def test_what_waited() -> None:
    metrics = Metrics(KNOWN)
    stream = metrics.stream_opened("chat")
    stream.held(Channel.CONTENT, 200)
    stream.held_for(Channel.CONTENT, 0.2)
    assert total(metrics.registry, "guard_held_characters_bucket", channel="content", le="256.0") == 1
    assert total(metrics.registry, "guard_held_characters_bucket", channel="content", le="128.0") == 0
    assert total(metrics.registry, "guard_held_seconds_sum", channel="content") == 0.2


def test_the_trace_id_is_an_exemplar_of_open_metrics() -> None:
    metrics = Metrics(KNOWN)
    stream = metrics.stream_opened("chat", trace_id=TRACE)
    stream.first_token(0.2)
    stream.decided(THOUGHT, finding("loop", "exact"), Decision("r", Cut()))
    stream.closed("cut")
    lines = metrics.render(OPEN_METRICS)[1].decode().splitlines()
    for name in ("guard_loops_total{", "guard_requests_total{", "guard_actions_total{", "guard_time_to_first_token"):
        assert any(line.startswith(name) and f'# {{trace_id="{TRACE}"}}' in line for line in lines), name
    assert TRACE not in metrics.render()[1].decode()


@pytest.mark.parametrize("trace_id", ["", "somebody's words", TRACE.upper(), TRACE * 8])
def test_nothing_but_a_trace_id_becomes_an_exemplar(trace_id: str) -> None:
    metrics = Metrics(KNOWN)
    metrics.stream_opened("chat", trace_id=trace_id).closed("passed")
    assert "trace_id" not in metrics.render(OPEN_METRICS)[1].decode()
