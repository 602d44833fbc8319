"""The alert rules parse, fire and stay quiet as their own tests say, and speak of metrics that exist."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from guard.observe.metrics import Metrics

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = (FOLDER / "rules.yml").read_text(encoding="utf-8")


def promtool(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("promtool")
    if program is None:
        pytest.skip("promtool is not installed, so the alert rules go unchecked (Debian: apt-get install prometheus)")
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("command", [("check", "rules", "rules.yml"), ("check", "config", "prometheus.yml")])
def test_promtool_accepts(command: tuple[str, str, str]) -> None:
    done = promtool(*command[:2], FOLDER / command[2])
    assert done.returncode == 0, done.stdout + done.stderr


def test_alerts_fire_and_stay_quiet() -> None:
    done = promtool("test", "rules", FOLDER / "rules_test.yml")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    ("intact", "broken"),
    [
        ("job:guard_streams:increase15m >= 20", "job:guard_streams:increase15m >= 0"),
        ("job_channel:guard_loops:increase15m >= 3", "job_channel:guard_loops:increase15m >= 0"),
        (
            "job_channel:guard_language_switches:increase15m >= 3",
            "job_channel:guard_language_switches:increase15m >= 0",
        ),
        ('guard_loops:share15m{channel="reasoning"} > 0.10', 'guard_loops:share15m{channel="reasoning"} > 0.03'),
        ('guard_loops:share15m{channel="reasoning"} > 0.10', 'guard_loops:share15m{channel="reasoning"} > 0.90'),
        ("for: 5m", "for: 0m"),
        ("increase15m > 0)", "increase15m >= 0)"),
        ("by (job, channel) (round(increase(guard_loops_total", "by (channel) (round(increase(guard_loops_total"),
    ],
)
def test_their_tests_notice_a_broken_rule(tmp_path: Path, intact: str, broken: str) -> None:
    assert intact in RULES
    (tmp_path / "rules.yml").write_text(RULES.replace(intact, broken), encoding="utf-8")
    shutil.copy(FOLDER / "rules_test.yml", tmp_path)
    assert promtool("test", "rules", tmp_path / "rules_test.yml").returncode != 0


def test_every_metric_in_the_rules_exists() -> None:
    families = text_string_to_metric_families(Metrics().render()[1].decode())
    exported = {family.name + ("_total" if family.type == "counter" else "") for family in families}
    recorded = set()
    used = set()
    for group in yaml.safe_load(RULES)["groups"]:
        for rule in group["rules"]:
            recorded.add(rule.get("record", ""))
            used |= set(re.findall(r"[a-z_]+:[a-z0-9_:]+|guard_[a-z0-9_]+", rule["expr"]))
            used |= set(re.findall(r"guard_[a-z0-9_]+", str(rule.get("annotations", {}))))
    assert used
    assert used - recorded <= exported


def test_every_alert_says_what_it_means_and_what_to_do_first() -> None:
    alerts = [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"] if "alert" in rule]
    assert {rule["alert"] for rule in alerts} == {"GuardLoopRateHigh", "GuardLanguageSwitchRateHigh"}
    for rule in alerts:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["for"]
        assert "First step:" in rule["annotations"]["description"]
        assert "$labels.channel" in rule["annotations"]["summary"]
