"""CPU time is taken of the whole process tree."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from bench.cpu import family, nanoseconds

CHILD = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"


def test_work_shows() -> None:
    before = nanoseconds(os.getpid())
    began = time.process_time()
    while time.process_time() - began < 0.05:
        pass
    assert nanoseconds(os.getpid()) - before >= 40_000_000


def test_descendants_belong_to_the_family() -> None:
    with subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE) as child:
        while len(family(child.pid)) < 2:
            assert child.poll() is None
        assert family(child.pid) < family(os.getpid())
        child.communicate(b"\n")
    assert family(child.pid) == {child.pid}
