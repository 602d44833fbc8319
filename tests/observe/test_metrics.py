"""Metrics count what happened, once, under names that the configuration knows."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from prometheus_client.parser import text_string_to_metric_families

from guard.contract import ERROR_LABEL, STOP, WARN, Channel, Finding, Lane, Span
from guard.events import Action, Cut, Decision, Flag, Mask, Repair
from guard.observe.metrics import Known, Metrics
from tests.support.metrics import total

KNOWN = Known(
    detectors={"loop": ["exact"], "language": ["script", "drift"], "length": ["soft", "hard"]},
    rules=["loop_in_thinking", "wrong_language"],
    backends=["upstream", "embedded"],
    models=["qwq-32b"],
    fields=["logprobs", "audio"],
    reasons=["invalid_request", "too_many_streams"],
    upstream_codes=["connect", "timeout"],
)
THOUGHT = Lane(0, Channel.REASONING)
ANSWER = Lane(0, Channel.CONTENT)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(KNOWN, policy="default", policy_version="abc123")


def count(metrics: Metrics, name: str, /, **labels: str) -> float:
    return total(metrics.registry, name, **labels)


def series(metrics: Metrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    families = text_string_to_metric_families(metrics.render()[1].decode())
    return {(sample.name, tuple(sorted(sample.labels.items()))) for family in families for sample in family.samples}


def finding(detector: str = "loop", label: str = "exact", score: float = STOP) -> Finding:
    return Finding(detector, label, score, Span(0, 10))


CUT = Decision("loop_in_thinking", Cut())


def test_a_stream_is_active_until_closed_and_closed_once(metrics: Metrics) -> None:
    stream = metrics.stream_opened("chat", "qwq-32b")
    assert count(metrics, "guard_streams_active") == 1
    stream.closed("cut", backend="upstream", tokens={"reasoning": 12.5, "content": 3}, tokens_saved=400)
    stream.closed("passed", backend="upstream", tokens={"reasoning": 99})
    assert count(metrics, "guard_streams_active") == 0
    assert count(metrics, "guard_requests_total", route="chat", model="qwq-32b", outcome="cut") == 1
    assert count(metrics, "guard_requests_total", route="chat", model="qwq-32b", outcome="passed") == 0
    assert count(metrics, "guard_backend_answers_total", backend="upstream") == 1
    assert count(metrics, "guard_tokens_total", channel="reasoning") == 12.5
    assert count(metrics, "guard_tokens_total", channel="content") == 3
    assert count(metrics, "guard_tokens_saved_total") == 400


def test_a_stream_that_asked_nobody_counts_no_answer(metrics: Metrics) -> None:
    metrics.stream_opened("chat").closed("cut")
    assert sum(count(metrics, "guard_backend_answers_total", backend=name) for name in ("upstream", "other")) == 0


@pytest.mark.parametrize(
    ("action", "name"),
    [(Flag(), "flag"), (Mask(), "mask"), (Cut(), "cut"), (Repair("conclude"), "repair")],
)
def test_findings_and_actions(metrics: Metrics, action: Action, name: str) -> None:
    metrics.stream_opened("chat").decided(THOUGHT, finding(), Decision("loop_in_thinking", action))
    assert count(metrics, "guard_findings_total", detector="loop", label="exact", channel="reasoning") == 1
    assert count(metrics, "guard_actions_total", rule="loop_in_thinking", action=name, channel="reasoning") == 1


def test_a_finding_that_no_rule_speaks_of(metrics: Metrics) -> None:
    metrics.stream_opened("chat").decided(THOUGHT, finding(), Decision("", Flag()))
    assert count(metrics, "guard_actions_total", rule="none", action="flag", channel="reasoning") == 1


def test_a_loop_counts_once_per_stream_and_channel(metrics: Metrics) -> None:
    for _ in range(2):
        stream = metrics.stream_opened("chat")
        for lane in (THOUGHT, THOUGHT, Lane(1, Channel.REASONING), ANSWER):
            stream.decided(lane, finding(), CUT)
    assert count(metrics, "guard_loops_total", channel="reasoning") == 2
    assert count(metrics, "guard_loops_total", channel="content") == 2
    assert count(metrics, "guard_findings_total", detector="loop", label="exact", channel="reasoning") == 6


def test_suspicion_is_a_finding_but_not_a_loop(metrics: Metrics) -> None:
    stream = metrics.stream_opened("chat")
    stream.decided(THOUGHT, finding(score=WARN), Decision("", Flag()))
    assert count(metrics, "guard_loops_total", channel="reasoning") == 0
    stream.decided(THOUGHT, finding(score=STOP), CUT)
    assert count(metrics, "guard_loops_total", channel="reasoning") == 1


def test_language_switches_count_by_channel(metrics: Metrics) -> None:
    metrics.stream_opened("chat").decided(ANSWER, finding("language", "script"), Decision("wrong_language", Cut()))
    assert count(metrics, "guard_language_switches_total", channel="content") == 1
    assert count(metrics, "guard_language_switches_total", channel="reasoning") == 0
    assert count(metrics, "guard_loops_total", channel="content") == 0


def test_detectors_named_otherwise_still_count_as_loops() -> None:
    metrics = Metrics(Known(detectors={"tight_loop": ["exact"]}, loops=["tight_loop"]))
    metrics.stream_opened("chat").decided(THOUGHT, finding("tight_loop"), CUT)
    assert count(metrics, "guard_loops_total", channel="reasoning") == 1


def test_a_failing_detector_is_an_error_and_no_loop(metrics: Metrics) -> None:
    metrics.stream_opened("chat").decided(THOUGHT, finding(label=ERROR_LABEL, score=1.0), CUT)
    metrics.detector_failed("loop")
    assert count(metrics, "guard_detector_errors_total", detector="loop") == 2
    assert count(metrics, "guard_findings_total", detector="loop", label="error", channel="reasoning") == 1
    assert count(metrics, "guard_loops_total", channel="reasoning") == 0


def test_times(metrics: Metrics) -> None:
    stream = metrics.stream_opened("chat")
    stream.first_token(0.3)
    stream.event_handled(0.000_03)
    stream.event_handled(0.000_4)
    assert count(metrics, "guard_time_to_first_token_seconds_sum") == 0.3
    assert count(metrics, "guard_added_latency_seconds_count") == 2
    assert count(metrics, "guard_added_latency_seconds_bucket", le="5e-05") == 1


def test_what_happens_beside_streams(metrics: Metrics) -> None:
    metrics.request_refused("too_many_streams", "chat", "qwq-32b")
    metrics.upstream_failed("timeout", "upstream")
    metrics.failed_over("upstream", "embedded")
    metrics.fields_dropped({"logprobs": 3, "audio": 1})
    metrics.fields_dropped({"logprobs": 2}, "request")
    metrics.stream_opened("chat").kept_alive()
    assert count(metrics, "guard_requests_refused_total", reason="too_many_streams") == 1
    assert count(metrics, "guard_requests_total", route="chat", model="qwq-32b", outcome="refused") == 1
    assert count(metrics, "guard_upstream_errors_total", backend="upstream", code="timeout") == 1
    assert count(metrics, "guard_failovers_total", from_backend="upstream", to_backend="embedded") == 1
    assert count(metrics, "guard_dropped_fields_total", side="response", field="logprobs") == 3
    assert count(metrics, "guard_dropped_fields_total", side="request", field="logprobs") == 2
    assert count(metrics, "guard_keep_alives_total") == 1


def test_a_backend_is_down_until_it_answers_again(metrics: Metrics) -> None:
    metrics.stream_opened("chat").closed("error", backend="upstream")
    metrics.upstream_failed("timeout", "upstream")
    assert metrics.registry.get_sample_value("guard_backend_up", {"backend": "upstream"}) == 0
    metrics.stream_opened("chat").closed("cut", backend="upstream")
    metrics.upstream_failed("invalid_request", "upstream")  # it said no, so it is there
    assert count(metrics, "guard_backend_up", backend="upstream") == 1
    metrics.backend_state("upstream", False)
    assert count(metrics, "guard_backend_up", backend="upstream") == 0


def test_the_breaker_opens_and_closes(metrics: Metrics) -> None:
    metrics.breaker("upstream", True)
    assert count(metrics, "guard_breaker_open", backend="upstream") == 1
    metrics.breaker("upstream", False)
    assert count(metrics, "guard_breaker_open", backend="upstream") == 0


def test_repairs_are_timed_where_they_were_answered(metrics: Metrics) -> None:
    metrics.repair_done("conclude", "answered", 0.4)
    metrics.repair_done("conclude", "otherwise", 30.0)
    metrics.repair_done("resample", "failed", 30.0)
    assert count(metrics, "guard_repairs_total", how="conclude") == 2
    assert count(metrics, "guard_repairs_total", how="resample", outcome="failed") == 1
    assert count(metrics, "guard_repair_seconds_sum") == 0.4


def test_the_audit_tells_what_became_of_its_records(metrics: Metrics) -> None:
    metrics.audit_written(True)
    metrics.audit_written(False)
    metrics.audit_dropped()
    assert [count(metrics, "guard_audit_records_total", result=r) for r in ("written", "failed", "dropped")] == [
        1,
        1,
        1,
    ]


def test_detectors_count_under_names_they_list() -> None:
    metrics = Metrics(Known(detectors={"harm": []}, counters={"harm": ["judged"]}))
    assert count(metrics, "guard_detector_counts_total", detector="harm", counter="judged") == 0
    for value in (3, 0.5, 0, -1, float("nan")):
        metrics.detector_counters("harm", "judged", value)
    assert count(metrics, "guard_detector_counts_total", detector="harm", counter="judged") == 3.5


def test_a_policy_that_does_not_load_changes_nothing_but_is_told() -> None:
    metrics = Metrics(KNOWN, policy="default", policy_version="abc123", clock=iter([100.0, 200.0]).__next__)
    metrics.policy_reloaded(False, "broken", "xyz")
    assert count(metrics, "guard_policy_reload_successful") == 0
    assert count(metrics, "guard_policy_loaded_timestamp_seconds") == 100
    assert count(metrics, "guard_policy_info", name="default", version="abc123") == 1
    assert count(metrics, "guard_policy_info", name="broken") == 0
    known = Known(detectors={"words": ["oath"]}, rules=["oaths"], models=["qwq-32b"])
    metrics.policy_reloaded(True, "strict", "def456", mode="observe", known=known)
    assert count(metrics, "guard_policy_reload_successful") == 1
    assert count(metrics, "guard_policy_loaded_timestamp_seconds") == 200
    assert count(metrics, "guard_policy_reloads_total", result="failed") == 1
    assert count(metrics, "guard_policy_reloads_total", result="ok") == 1
    metrics.stream_opened("chat").decided(ANSWER, finding("words", "oath"), Decision("oaths", Flag()))
    assert count(metrics, "guard_actions_total", rule="oaths", label="oath", policy="strict", mode="observe") == 1


def test_a_running_stream_keeps_the_policy_it_began_with(metrics: Metrics) -> None:
    stream = metrics.stream_opened("chat")
    metrics.policy_reloaded(True, "strict", "def456", mode="observe")
    stream.closed("passed")
    metrics.stream_opened("chat").closed("passed")
    for policy, mode in (("default", "enforce"), ("strict", "observe")):
        assert count(metrics, "guard_requests_total", outcome="passed", policy=policy, mode=mode) == 1


def test_a_reloaded_policy_replaces_the_old_one(metrics: Metrics) -> None:
    assert count(metrics, "guard_policy_info", name="default", version="abc123") == 1
    metrics.policy_reloaded(True, "strict", "def456")
    assert count(metrics, "guard_policy_info", name="strict", version="def456") == 1
    assert count(metrics, "guard_policy_info", name="default", version="abc123") == 0


def hostile_traffic(metrics: Metrics, word: str) -> None:
    """Everything that could reach a label, as `word`."""
    stream = metrics.stream_opened(word, word)
    stream.decided(THOUGHT, finding(word, word), Decision(word, Cut()))
    stream.decided(THOUGHT, finding("loop", word), Decision(word, Cut()))
    stream.closed(word, backend=word, tokens={word: 1})
    metrics.request_refused(word, word, word)
    metrics.upstream_failed(word, word)
    metrics.failed_over(word, word)
    metrics.fields_dropped({word: 1}, word)
    metrics.detector_failed(word)
    metrics.detector_counters(word, word, 1)
    metrics.detector_counters("loop", word, 1)
    metrics.backend_state(word, True)
    metrics.breaker(word, True)
    metrics.repair_done(word, word, 1)
    metrics.stream_ended(word)
    metrics.policy_reloaded(False, word, word, mode=word)


def test_fifty_thousand_hostile_names_add_nothing(metrics: Metrics) -> None:
    hostile_traffic(metrics, "first")
    metrics.stream_opened("chat").closed("passed", backend="upstream")
    before = series(metrics)
    for number in range(50_000):
        metrics.stream_opened("chat", f"model-{number}").closed("passed", backend="upstream")
    for number in range(500):
        hostile_traffic(metrics, f"word-{number}")
    assert series(metrics) == before
    assert len(before) < 2_000
    assert not [labels for _, labels in before for _, value in labels if value in ("first", "word-1", "model-1")]
    assert count(metrics, "guard_requests_total", route="chat", model="other", outcome="passed") == 50_001


def test_rates_see_the_first_increment(metrics: Metrics) -> None:
    who = {"model": "qwq-32b", "policy": "default", "mode": "enforce"}
    there = series(metrics)
    assert ("guard_loops_total", tuple(sorted({"channel": "reasoning", **who}.items()))) in there
    assert ("guard_language_switches_total", tuple(sorted({"channel": "content", **who}.items()))) in there
    assert ("guard_detector_errors_total", (("detector", "language"),)) in there
    assert ("guard_detector_errors_total", (("detector", "other"),)) in there
    assert ("guard_failovers_total", (("from_backend", "upstream"), ("to_backend", "embedded"))) in there
    assert ("guard_streams_ended_total", (("state", "upstream_died"),)) in there
    assert ("guard_harmful_total", tuple(sorted({"channel": "prompt", **who}.items()))) in there


def test_two_processes_worth_of_metrics_do_not_meet() -> None:
    one, other = Metrics(KNOWN), Metrics(KNOWN)
    one.stream_opened("chat").kept_alive()
    assert count(other, "guard_keep_alives_total") == 0


def test_scrapers_get_the_format_they_ask_for(metrics: Metrics) -> None:
    plain_type, plain = metrics.render()
    assert plain_type.startswith("text/plain")
    assert b"guard_build_info{" in plain
    assert b"_created" not in plain
    open_type, text = metrics.render("application/openmetrics-text; version=1.0.0")
    assert open_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")


def test_prometheus_finds_nothing_to_lint(metrics: Metrics) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package `prometheus` has it)")
    hostile_traffic(metrics, "first")
    body = metrics.render()[1]
    done = subprocess.run([promtool, "check", "metrics"], input=body, capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
