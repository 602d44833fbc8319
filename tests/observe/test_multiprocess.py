"""Several workers' numbers are told as one. Workers are real processes: what is tested is what they share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.metrics import total

ROOT = Path(__file__).parents[2]
WORKER = """
import sys
from guard.observe.metrics import Known, Metrics
metrics = Metrics(Known(models=["m"], backends=["b"]), policy="house", policy_version="one")
for _ in range(int(sys.argv[1])):
    metrics.stream_opened("chat", "m", trace_id="0" * 32).first_token(0.3)
metrics.stream_opened("chat", "m").closed("cut")
metrics.backend_state("b", sys.argv[2] == "up")
metrics.breaker("b", sys.argv[2] != "up")
if len(sys.argv) > 3:
    metrics.policy_reloaded(True, "house", sys.argv[3])
"""
PARENT = """
import os, subprocess, sys
from pathlib import Path
from guard.observe import multiprocess
folder = Path(sys.argv[1])
folder.mkdir()
(folder / "counter_1.db").write_bytes(b"left over")
multiprocess.prepare(folder)
assert list(folder.iterdir()) == []
workers = []
for arguments in (["2", "up"], ["3", "down", "two"]):
    worker = subprocess.Popen([sys.executable, "-c", sys.argv[2], *arguments])
    assert worker.wait() == 0
    workers.append(worker.pid)
print(multiprocess.render(folder)[1].decode())
print("# ----")
multiprocess.mark_dead(workers[0])
multiprocess.mark_dead(workers[1], folder)
content_type, body = multiprocess.render(folder, "application/openmetrics-text; version=1.0.0")
assert content_type.startswith("application/openmetrics-text")
print(body.decode().replace("# EOF", ""))
sums = multiprocess.totals(folder)
assert (sums["streams"], sums["cuts"], sums["loops"]) == (7, 2, 0), sums
"""


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """The exposition over two workers, and that after both have gone."""
    folder = tmp_path_factory.mktemp("parent") / "numbers"
    command = [sys.executable, "-c", PARENT, str(folder), WORKER]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    before, _, after = done.stdout.partition("# ----")
    return before, after


def test_counters_and_histograms_are_summed(told: tuple[str, str]) -> None:
    assert total(told[0], "guard_streams_total", route="chat", model="m") == 7
    assert total(told[0], "guard_requests_total", outcome="cut", policy="house") == 2
    assert total(told[0], "guard_time_to_first_token_seconds_count") == 5


def test_gauges_are_put_together_as_they_mean(told: tuple[str, str]) -> None:
    assert total(told[0], "guard_streams_active") == 5
    assert total(told[0], "guard_backend_up", backend="b") == 0, "one worker sees it down"
    assert total(told[0], "guard_breaker_open", backend="b") == 1, "one worker does not ask it"
    assert total(told[0], "guard_policy_info", name="house", version="one") == 1, "one worker still has it"
    assert total(told[0], "guard_policy_info", name="house", version="two") == 1
    assert total(told[0], "guard_build_info") == 1


def test_no_worker_shows_as_a_label(told: tuple[str, str]) -> None:
    labels = {
        label
        for family in text_string_to_metric_families(told[0])
        for sample in family.samples
        for label in sample.labels
    }
    assert "pid" not in labels


def test_of_those_that_have_gone_only_counts_remain(told: tuple[str, str]) -> None:
    assert total(told[1], "guard_streams_total", model="m") == 7
    assert "guard_streams_active" not in told[1]
    assert "guard_backend_up" not in told[1]
