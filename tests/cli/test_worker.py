from __future__ import annotations

import socket
import sys

import pytest

from guard.cli import worker
from guard.proxy.stream_counts import StreamCounts
from tests.support.guard_process import guard_command


def test_its_arguments_are_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    _, counts = StreamCounts.create(1)
    ours.close()
    monkeypatch.setattr(sys, "argv", ["-c", str(theirs.detach()), str(counts)])
    monkeypatch.setattr("signal.signal", lambda *_: None)
    with pytest.raises(SystemExit) as left:
        worker.main()
    assert left.value.code == 0


def test_it_is_no_command() -> None:
    done = guard_command("worker")
    assert done.returncode == 2
    assert "No such command" in done.stderr
