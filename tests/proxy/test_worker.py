"""One worker without a parent around it; `test_workers.py` has those of a guard."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from guard.contract import DetectorError
from guard.observe.audit_file import AuditError
from guard.policy import PolicyError
from guard.policy.problems import Place, Problem
from guard.proxy.control import Control, settings_data
from guard.proxy.server import PortError, reserve
from guard.proxy.stream_counts import StreamCounts
from guard.proxy.worker import UNUSABLE, sentence
from guard.proxy.workers import worker_command
from guard.settings import Settings, SettingsError
from guard.wire.errors import UpstreamError
from tests.support.guard_process import environment
from tests.support.proxy import exchange

PROBLEM = Problem("P110", Place("house.yaml", 3, 4), "no detector")


@pytest.mark.parametrize(
    ("error", "says", "code"),
    [
        (SettingsError(["port: wrong", "host: wrong"]), "guard: port: wrong\nguard: host: wrong", 2),
        (PolicyError([PROBLEM]), str(PROBLEM), 2),
        (DetectorError("no model"), "guard: no model", 1),
        (PortError("in use"), "guard: in use", 1),
        (AuditError("disk full"), "guard: disk full", 1),
        (UpstreamError("no such model", code="model_unavailable"), "guard: no such model", 1),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else None,
)
def test_what_keeps_a_guard_from_starting_is_a_sentence(error: Exception, says: str, code: int) -> None:
    assert isinstance(error, UNUSABLE)
    assert sentence(error) == (says, code)


@contextmanager
def worker() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    ours, theirs = socket.socketpair()
    _, counts = StreamCounts.create(1)
    command = [*worker_command("guard.cli.worker:main"), str(theirs.fileno()), str(counts)]
    process = subprocess.Popen(
        command, pass_fds=[theirs.fileno(), counts], env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    theirs.close()
    os.close(counts)
    try:
        with ours:
            yield process, ours
    finally:
        process.kill()
        process.communicate()


def test_a_worker_whose_parent_says_nothing_ends() -> None:
    with worker() as (process, ours):
        ours.close()
        assert process.wait(60) == 0


@pytest.mark.anyio
async def test_a_worker_lives_as_long_as_its_parent(tmp_path: Path) -> None:
    overrides = {"upstream": {"url": "http://127.0.0.1:9", "models": ["m"]}, "fallback": {"enabled": False}}
    settings = Settings.load(env={}, overrides=overrides)
    with reserve("127.0.0.1", 0, "--port") as public, worker() as (process, ours):
        control = await Control.over(ours)
        port = public.getsockname()[1]
        control.say(settings=settings_data(settings), slot=0, port=port, policy=None)
        heard = await control.hear()
        assert heard is not None
        assert (heard["said"], heard["name"], heard["model"], heard["pid"]) == (
            "listening",
            "default",
            "m",
            process.pid,
        )
        for ignored in (signal.SIGINT, signal.SIGHUP):  # a terminal's; they are for the parent
            process.send_signal(ignored)
        control.say(do="prepare", number=7, policy={"data": {"policy_version": 2}, "files": ["house.yaml"]})
        refused = await control.hear()
        assert refused is not None
        assert (refused["number"], refused["ok"]) == (7, False)
        assert "house.yaml:1:1: P104" in refused["says"]
        assert exchange(f"http://127.0.0.1:{port}", "/v1/models").status == 200
        await control.close()
        assert process.wait(60) == 0
