"""`guard serve` as a process of its own.

with guard_serve("--upstream", url) as guard:
    guard.url, guard.admin        # base URLs
    guard.get("/readyz")          # of the admin server
    guard.stop()                  # SIGTERM; returns the exit code
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.support.metrics import total

GUARD = (sys.executable, "-c", "from guard.cli import main; main()")
START_DEADLINE = 120.0
"""Seconds; the first start with the embedded model may convert it."""


@dataclass(slots=True)
class GuardProcess:
    """A running guard. `said` is what it printed, `logged` what it wrote to standard error, line by line."""

    process: subprocess.Popen[str]
    url: str = ""
    admin: str = ""
    said: list[str] = field(default_factory=list)
    logged: list[str] = field(default_factory=list)

    def get(self, path: str) -> httpx.Response:
        with httpx.Client(trust_env=False, timeout=20) as client:
            return client.get(self.admin + path)

    def sample(self, name: str) -> float:
        """The sum of the samples of `/metrics` that are called `name`, which may end in labels to look for, spelled as
        there (`guard_loops_total{channel="content"}`); or 0."""
        return total(self.get("/metrics").text, name.partition("{")[0], **dict(re.findall(r'(\w+)="([^"]*)"', name)))

    def signal(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def workers(self) -> list[int]:
        """Process ids of its children."""
        return [
            int(pid) for pid in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def wait(self) -> int:
        return self.process.wait(60)

    def stop(self) -> int:
        self.signal()
        return self.wait()


def environment(**extra: str) -> dict[str, str]:
    """This process's environment without settings of a guard."""
    clean = {name: value for name, value in os.environ.items() if not name.upper().startswith("GUARD_")}
    return {**clean, "HF_HUB_OFFLINE": "1", **extra}


def guard_command(
    *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run `guard` to its end."""
    return subprocess.run(
        [*GUARD, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd=cwd,
        env=environment(**(env or {})),
    )


@contextmanager
def guard_serve(*arguments: str, env: Mapping[str, str] | None = None) -> Iterator[GuardProcess]:
    """A guard on free ports; it is killed at the end if it still runs."""
    process = subprocess.Popen(
        [*GUARD, "serve", "--port", "0", "--admin-port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**(env or {})),
    )
    guard = GuardProcess(process)
    ready = threading.Event()
    threads = [
        threading.Thread(target=_read_said, args=(guard, ready)),
        threading.Thread(target=_read_logged, args=(guard,)),
    ]
    for thread in threads:
        thread.start()
    try:
        assert ready.wait(START_DEADLINE), "the guard did not start in time"
        assert guard.url, "".join(guard.logged)
        yield guard
    finally:
        process.kill()
        process.wait()
        for thread in threads:
            thread.join()
        for stream in (process.stdout, process.stderr):
            assert stream is not None
            stream.close()


def _read_said(guard: GuardProcess, ready: threading.Event) -> None:
    assert guard.process.stdout is not None
    for line in guard.process.stdout:
        guard.said.append(line)
        if found := re.match(r"  API +(http://\S+)/v1$", line):
            guard.url = found[1]
        if found := re.match(r"  admin +(http://\S+)/healthz ", line):
            guard.admin = found[1]
        if "Stop with Ctrl-C" in line:
            ready.set()
    ready.set()


def _read_logged(guard: GuardProcess) -> None:
    assert guard.process.stderr is not None
    for line in guard.process.stderr:
        guard.logged.append(line)


@asynccontextmanager
async def guard_serving(*arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[GuardProcess]:
    """`guard_serve` for a test whose own event loop serves the upstream."""
    # Scripted upstreams are sent the requests under test and nothing else.
    known = {"GUARD_UPSTREAM__DIALECT": "openai"} if "--upstream" in arguments else {}
    context = guard_serve(*arguments, env={**known, **(env or {})})
    guard = await asyncio.to_thread(context.__enter__)
    try:
        yield guard
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)
