"""What docs/deployment.md says of the guard is so."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import yaml

from guard.proxy import workers
from guard.settings import Settings
from tests.support.guard_process import guard_command
from tests.support.helm import manifests

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "deployment.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
COMMANDS = [
    shlex.split(line, comments=True)
    for language, text in BLOCKS
    if language == "sh"
    for line in text.replace("\\\n", " ").splitlines()
]


def test_every_command_of_the_guard_is_one() -> None:
    ours = [command for command in COMMANDS if command[0] == "guard"]
    assert ours
    for command in ours:
        done = guard_command(*command[1:], "--print-config")
        assert done.returncode == 0, done.stderr
        assert yaml.safe_load(done.stdout)["workers"] == 4


def test_every_file_of_a_command_is_there() -> None:
    named = [word for command in COMMANDS for word in command if word.startswith("deploy/")]
    assert len(named) >= 3
    for name in named:
        assert (ROOT / name).exists(), name


def test_the_values_that_are_shown_make_a_chart() -> None:
    (values,) = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
    kinds = [each["kind"] for each in manifests(ROOT / "deploy" / "helm" / "qwq-guard", values)]
    assert {"HorizontalPodAutoscaler", "ServiceMonitor", "PrometheusRule"} <= set(kinds)
    assert kinds.count("ConfigMap") == 2


@pytest.mark.parametrize(
    ("says", "value"),
    [
        ("| 8080 (`port`)", 8080),
        ("| 8081 (`admin_port`)", 8081),
        ("`drain`\nseconds (30)", 30),
        ("10 s of silence (`keep_alive`)", 10),
        ("`limits.max_streams` (512)", 512),
    ],
)
def test_the_defaults_that_are_named_are_those(says: str, value: float) -> None:
    assert says in PAGE
    settings = Settings.load(env={})
    name = re.findall(r"`(?:limits\.)?([a-z_]+)`", says)[0]
    assert getattr(settings, name, getattr(settings.limits, name, None)) == value


def test_pauses_are_as_told() -> None:
    assert workers.FIRST_PAUSE == 0.5
    assert "after half a second" in PAGE
    assert f"doubles up to {workers.LONGEST_PAUSE:.0f} s" in " ".join(PAGE.split())


def test_the_alert_that_is_named_exists() -> None:
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "rules.yml").read_text(encoding="utf-8"))
    alerts = {rule.get("alert"): rule for group in rules["groups"] for rule in group["rules"]}
    (name,) = re.findall(r"alert `(\w+)`", PAGE)
    assert "guard_policy_reload_successful" in alerts[name]["expr"]


def test_the_sizes_add_up() -> None:
    """Streams per core follow from the cost of an event, which is in the table."""
    (cost,) = re.findall(r"\| guard, `default` \| (\d+) µs", PAGE)
    assert f"{1e6 / (int(cost) * 40):.0f} at 40 tokens/s each" in PAGE
    assert f"which is {0.6 * 1e6 / (int(cost) * 40):.0f} at 40 tokens/s" in PAGE
