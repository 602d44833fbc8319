from __future__ import annotations

import os
import subprocess
import sys

from guard.proxy.stream_counts import StreamCounts


def test_everybody_reads_what_each_has_written() -> None:
    parent, descriptor = StreamCounts.create(3)
    workers = [StreamCounts(descriptor, 3, own) for own in range(3)]
    os.close(descriptor)
    assert parent.total() == 0
    for count, worker in enumerate(workers, 5):
        worker.set(count)
    assert [each.total() for each in (parent, *workers)] == [5 + 6 + 7] * 4
    workers[1].set(0)
    assert workers[0].total() == 12
    assert [parent.of(worker) for worker in range(3)] == [5, 0, 7]


def test_a_worker_that_is_gone_has_no_streams() -> None:
    parent, descriptor = StreamCounts.create(2)
    StreamCounts(descriptor, 2, 0).set(4)
    StreamCounts(descriptor, 2, 1).set(3)
    os.close(descriptor)
    parent.clear(1)
    assert parent.total() == 4


def test_the_memory_is_shared_between_processes() -> None:
    parent, descriptor = StreamCounts.create(2)
    code = f"from guard.proxy.stream_counts import StreamCounts; StreamCounts({descriptor}, 2, 1).set(9)"
    subprocess.run([sys.executable, "-c", code], pass_fds=[descriptor], check=True, timeout=60)
    os.close(descriptor)
    assert parent.total() == 9
