"""A genuine `transformers serve` on loopback, with the embedded SmolLM2."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.upstream import unused_port

START_DEADLINE = 120.0
"""Seconds; a start takes ten on an idle machine."""


@contextmanager
def transformers_serve() -> Iterator[tuple[str, Path]]:
    """The base URL of a server of its own, and the folder of its model, which is also its name."""
    pytest.importorskip("transformers.cli.serve")
    smollm2 = pytest.importorskip("guard.backends.smollm2")
    try:
        folder = smollm2.embedded_model()
    except smollm2.UpstreamError as error:
        pytest.skip(error.message)
    port = unused_port()
    url = f"http://127.0.0.1:{port}"
    program = Path(sys.executable).with_name("transformers")
    command = [str(program), "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    # More threads than one only wait for each other with a model of this size.
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=env)
        try:
            _wait_until_healthy(url, process)
            yield url, Path(folder)
        finally:
            process.kill()
            process.wait()


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_DEADLINE
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < give_up:
            if process.poll() is not None:
                raise RuntimeError(f"transformers serve ended with code {process.returncode}")
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.2)
    raise TimeoutError(f"transformers serve at {url} was not healthy in {START_DEADLINE:g} s")
