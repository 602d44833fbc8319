"""The example configuration is valid, and sends alerts where it says."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml

from tests.support.monitoring import RULES, needed

CONFIG = Path(__file__).parents[2] / "deploy" / "alertmanager" / "alertmanager.yml"
ALERTS = [rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"] if "alert" in rule]


def amtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    needed("amtool")
    return subprocess.run(["amtool", *arguments], capture_output=True, text=True, timeout=30, check=False)


def test_amtool_accepts_it() -> None:
    done = amtool("check-config", str(CONFIG))
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("severity", "receiver"), [("critical", "on_call"), ("warning", "team")])
def test_an_alert_goes_to_whom_its_severity_concerns(severity: str, receiver: str) -> None:
    done = amtool("config", "routes", "test", f"--config.file={CONFIG}", "alertname=GuardDown", f"severity={severity}")
    assert done.stdout.strip() == receiver


def test_only_alerts_that_exist_silence_others() -> None:
    names = {rule["alert"] for rule in ALERTS}
    for rule in yaml.safe_load(CONFIG.read_text(encoding="utf-8"))["inhibit_rules"]:
        (source,) = rule["source_matchers"]
        assert source.partition('"')[2].rstrip('"') in names
