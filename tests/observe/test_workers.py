from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.metrics import total

ROOT = Path(__file__).parents[2]
PARENT = """
import subprocess, sys
from guard.observe import multiprocess
multiprocess.prepare(sys.argv[1])
from guard.observe.workers import WorkerMetrics
parent = WorkerMetrics(3)
worker = "from guard.observe.metrics import Metrics; m = Metrics(policy='house', policy_version='v'); input()"
workers = [subprocess.Popen([sys.executable, "-c", worker], stdin=subprocess.PIPE) for _ in range(2)]
parent.running(2)
parent.restarted()
parent.reload_tried(False)
parent.reload_tried(True)
parent.reload_tried(False)
for each in workers:
    each.communicate(b"go\\n")
print(multiprocess.render(sys.argv[1])[1].decode())
"""


def test_what_the_parent_counts_is_told_with_what_workers_count(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PARENT, str(tmp_path / "numbers")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, cwd=ROOT)
    assert total(done.stdout, "guard_workers") == 3
    assert total(done.stdout, "guard_workers_ready") == 2
    assert total(done.stdout, "guard_worker_restarts_total") == 1
    assert total(done.stdout, "guard_policy_reloads_total", result="ok") == 1
    assert total(done.stdout, "guard_policy_reloads_total", result="failed") == 2
    assert total(done.stdout, "guard_policy_reload_successful") == 0  # each worker says 1
    assert total(done.stdout, "guard_policy_info", name="house") == 1
