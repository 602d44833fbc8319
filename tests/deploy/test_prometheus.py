"""The rules parse, fire and stay quiet as their own tests say, and speak of metrics, labels and runbooks that exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from guard.observe.catalogue import CATALOGUE
from guard.observe.known import STATES
from tests.support.monitoring import FOLDER, RULES, needed, shortened

ROOT = Path(__file__).parents[2]
ALL: list[dict[str, Any]] = [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]]
ALERTS = [rule for rule in ALL if "alert" in rule]
TESTS = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*_test.yml"))}
CASES = [case for tests in TESTS.values() for group in tests["tests"] for case in group.get("alert_rule_test", [])]
FROM_PROMETHEUS = {"job", "instance", "le"}
"""Labels that Prometheus or its client library adds."""


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    needed("promtool")
    command = ["promtool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("command", [("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml")])
def test_promtool_accepts(command: tuple[str, str, str]) -> None:
    done = promtool(*command[:2], FOLDER / command[2])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(TESTS))
def test_alerts_fire_and_stay_quiet(name: str) -> None:
    done = promtool("test", "rules", FOLDER / name)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_every_alert_is_tested_both_ways(alert: str) -> None:
    cases = [bool(case["exp_alerts"]) for case in CASES if case["alertname"] == alert]
    assert any(cases), "it is never seen to fire"
    assert not all(cases), "it is never seen to stay quiet"


@pytest.mark.parametrize(
    ("alert", "intact", "broken"),
    [
        ("GuardLoopRateHigh", "job:guard_streams:increase15m >= 20", "job:guard_streams:increase15m >= 0"),
        ("GuardLoopRateHigh", "job_channel:guard_loops:increase15m >= 3", "job_channel:guard_loops:increase15m >= 0"),
        ("GuardLoopRateHigh", '{channel="reasoning"} > 0.10', '{channel="reasoning"} > 0.03'),
        ("GuardLoopRateHigh", '{channel="reasoning"} > 0.10', '{channel="reasoning"} > 0.90'),
        ("GuardLoopRateHigh", "for: 5m", "for: 0m"),
        ("GuardLoopRateHigh", "increase15m > 0)", "increase15m >= 0)"),
        ("GuardLoopRateHigh", "(job, channel) (round(increase(guard_loops", "(channel) (round(increase(guard_loops"),
        ("GuardLanguageSwitchRateHigh", "language_switches:increase15m >= 3", "language_switches:increase15m >= 0"),
        ("GuardLanguageSwitchRateHigh", 'channel=~"content|tool"} > 0.05', 'channel=~"content|tool"} > 0.01'),
        ("GuardRunawayRateHigh", "share15m > 0.05", "share15m > 0.01"),
        ("GuardRunawayRateHigh", "runaways:increase15m >= 3", "runaways:increase15m >= 0"),
        ("GuardUnfinishedThinkingRateHigh", "thoughts:share15m > 0.05", "thoughts:share15m > 0.01"),
        ("GuardUnfinishedThinkingRateHigh", "thoughts:increase15m >= 3", "thoughts:increase15m >= 0"),
        ("GuardHarmfulRateHigh", '{channel="prompt"} > 0.10', '{channel="prompt"} > 0.02'),
        ("GuardHarmfulRateHigh", "harmful:increase15m >= 3", "harmful:increase15m >= 0"),
        ("GuardDetectorErrors", "errors:increase15m >= 3", "errors:increase15m >= 1"),
        ("GuardFallbackActive", "> 0) > 0.10", "> 0) > 0.01"),
        ("GuardFallbackActive", "failovers:increase15m >= 3", "failovers:increase15m >= 1"),
        ("GuardPolicyReloadFailed", "min by (job, instance)", "max by (job)"),
        ("GuardAddedLatencyHigh", ">= 1000", ">= 1"),
        ("GuardAddedLatencyHigh", "p99_15m > 0.05", "p99_15m > 0.01"),
        ("GuardStreamsWithoutTerminal", "upstream_died|deadline", "client_left|deadline"),
        ("GuardStreamsWithoutTerminal", "share15m{state=", "increase15m{state="),
        ("GuardDown", "and on (job, instance) last_over_time(guard_build_info[1d])", ""),
        ("GuardDown", "last_over_time(guard_build_info[1d])", "guard_build_info"),
        ("GuardAbsent", "absent(guard_build_info)", "absent(up)"),
    ],
)
def test_their_tests_notice_a_broken_rule(tmp_path: Path, alert: str, intact: str, broken: str) -> None:
    assert intact in RULES
    assert run_alone(tmp_path, alert, RULES.replace(intact, broken)).returncode == 1


@pytest.mark.parametrize("broken", ["0.02 + job:guard_cuts", "2 * job:guard_cuts", "job:guard_cuts:increase1h >= 10"])
def test_the_comparison_with_last_week_needs_each_of_its_parts(tmp_path: Path, broken: str) -> None:
    assert broken in RULES
    milder = broken.replace("0.02 +", "0 +").replace("2 *", "0 *").replace(">= 10", ">= 0")
    rules = RULES.replace(broken, milder)
    assert run_alone(tmp_path, "GuardCutRateJumped", rules, "rules_week_test.yml").returncode == 1


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_alone_an_alert_passes_its_tests(tmp_path: Path, alert: str) -> None:
    """Else a broken rule would not be what is noticed."""
    tests = "rules_week_test.yml" if alert == "GuardCutRateJumped" else "rules_test.yml"
    done = run_alone(tmp_path, alert, RULES, tests)
    assert done.returncode == 0, done.stdout + done.stderr


def run_alone(folder: Path, alert: str, rules: str, tests: str = "rules_test.yml") -> subprocess.CompletedProcess[str]:
    """What promtool says of the tests of one alert, with no more rules than it needs: all of them take long."""
    all_rules = [rule for group in yaml.safe_load(rules)["groups"] for rule in group["rules"]]
    wanted = [rule for rule in all_rules if rule.get("alert") == alert]
    for rule in reversed(all_rules):  # what is recorded comes before what is made of it
        if "record" in rule and any(rule["record"] in other["expr"] for other in wanted):
            wanted.insert(0, rule)
    groups = []
    for group in TESTS[tests]["tests"]:
        cases = [case for case in group.get("alert_rule_test", []) if case["alertname"] == alert]
        asked = [
            case
            for case in group.get("promql_expr_test", [])
            if any(rule.get("record", "nothing") in case["expr"] for rule in wanted)
        ]
        if cases:
            groups.append({**group, "alert_rule_test": cases, "promql_expr_test": asked})
    assert groups
    (folder / tests).write_text(yaml.safe_dump({**TESTS[tests], "tests": groups}), encoding="utf-8")
    document = {"groups": [{"name": "alone", "rules": wanted}]}
    (folder / "rules.yml").write_text(yaml.safe_dump(document), encoding="utf-8")
    return promtool("test", "rules", folder / tests)


# --- what the rules speak of


def exported() -> dict[str, set[str]]:
    """Every series that a guard exports, with its labels."""
    series: dict[str, set[str]] = {"up": set()}
    for spec in CATALOGUE:
        endings = ("_bucket", "_sum", "_count") if spec.kind == "histogram" else ("",)
        series |= {spec.full_name + ending: set(spec.labels) for ending in endings}
    return series


def test_every_metric_and_label_in_the_rules_exists() -> None:
    series = exported()
    for rule in ALL:
        expression = rule["expr"]
        names = set(re.findall(r"[a-z_]+:[a-z0-9_:]+|guard_[a-z0-9_]+|\bup\b", re.sub('"[^"]*"', '""', expression)))
        assert names, expression
        assert names <= set(series), names - set(series)
        labels = set().union(*(series[name] for name in names)) | FROM_PROMETHEUS
        asked = {label for group in re.findall(r"\b(?:by|on) \(([^)]*)\)", expression) for label in group.split(", ")}
        for matchers in re.findall(r"\{([^}]*)\}", expression):
            asked |= set(re.findall(r"(\w+)\W?=", matchers))
        assert asked <= labels, f"{asked - labels} in {expression}"
        if "record" in rule:
            by = re.search(r"sum by \(([^)]*)\)", expression)
            series[rule["record"]] = set(by[1].split(", ")) if by else labels
        else:
            words = " ".join(rule["annotations"].values())
            assert set(re.findall(r"\$labels\.(\w+)", words)) <= labels


def test_recorded_names_say_by_what_they_are_summed() -> None:
    for rule in ALL:
        if "record" in rule and (by := re.match(r"sum by \(([^)]*)\)", rule["expr"])):
            level = rule["record"].partition(":")[0]
            assert level == "_".join(by[1].split(", ")).replace("from_backend_to_backend", "backends")


def test_the_states_that_alert_exist() -> None:
    (wanted,) = re.findall(r'state=~"([^"]+)"', RULES)
    assert set(wanted.split("|")) <= set(STATES)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_it_means_and_where_to_read_on(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in ("warning", "critical")
    assert rule["for"]
    annotations = rule["annotations"]
    assert annotations["description"].endswith(".")
    assert annotations["summary"]
    page, _, anchor = annotations["runbook_url"].partition("#")
    headings = re.findall(r"^## (\w+)$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE)
    assert anchor == rule["alert"].lower()
    assert rule["alert"] in headings


def test_every_runbook_is_of_an_alert_and_speaks_of_metrics_that_exist() -> None:
    page = (ROOT / "docs" / "runbooks.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\w+)$", page, re.MULTILINE) == [rule["alert"] for rule in ALERTS]
    there = {*exported(), *(spec.full_name for spec in CATALOGUE), "guard_failed", "guard_model"}
    assert set(re.findall(r"guard_[a-z0-9_]+[a-z]", page)) <= there
    for section in page.split("\n## ")[1:]:
        assert all(f"**{part}**" in section for part in ("Means", "Look at", "Do"))


# --- the step that makes them quick for the end-to-end test


def test_shortened_rules_are_the_same_rules_in_less_time() -> None:
    before = yaml.safe_load(RULES)["groups"]
    after = yaml.safe_load(shortened(RULES, 60))["groups"]
    assert [[r.get("alert", r.get("record")) for r in g["rules"]] for g in after] == [
        [r.get("alert", r.get("record")) for r in g["rules"]] for g in before
    ]
    for old_group, new_group in zip(before, after, strict=True):
        assert new_group["interval"] == "1s"
        for old, new in zip(old_group["rules"], new_group["rules"], strict=True):
            windows = re.compile(r"\[\w+\]|offset \w+")
            assert windows.sub("", new["expr"]) == windows.sub("", old["expr"])
            assert new.get("labels") == old.get("labels")
            assert ("for" in new) == ("for" in old)


@pytest.mark.parametrize(
    ("expression", "shorter"),
    [
        ("increase(a[15m])", "increase(a[15s])"),
        ("b offset 1w", "b offset 10080s"),
        ("increase(a[10s])", "increase(a[5s])"),
        ("sum by (job) (a:increase15m) > 0.15", "sum by (job) (a:increase15m) > 0.15"),
    ],
)
def test_windows_are_shortened_and_nothing_else(expression: str, shorter: str) -> None:
    rules = yaml.safe_dump({"groups": [{"name": "g", "rules": [{"record": "x", "expr": expression}]}]})
    assert yaml.safe_load(shortened(rules, 60))["groups"][0]["rules"][0]["expr"] == shorter


def test_promtool_accepts_shortened_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(shortened(RULES), encoding="utf-8")
    done = promtool("check", "rules", tmp_path / "rules.yml")
    assert done.returncode == 0, done.stdout + done.stderr
