"""The guard behind nginx and HAProxy, configured as `deploy/` says: token by token, cuts and departures included."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from guard.proxy.gateway import FLUSH_SECONDS
from guard.settings import Settings
from tests.support.dialects import DONE, VLLM
from tests.support.guard_process import guard_serving
from tests.support.guarded import Guarded, Talk, request
from tests.support.upstream import PATIENCE, FakeUpstream, Until, json_reply, reply, unused_port

DEPLOY = Path(__file__).parents[2] / "deploy"
NGINX = (DEPLOY / "nginx" / "qwq-guard.conf").read_text(encoding="utf-8")
HAPROXY = (DEPLOY / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
ENVOY: dict[str, Any] = yaml.safe_load((DEPLOY / "envoy" / "envoy.yaml").read_text(encoding="utf-8"))
POLICY = """\
policy_version: 1
name: oaths
detectors: {pattern: {words: {oath: {words: [zounds]}}}}
rules:
  - {id: no_oaths, when: {detector: pattern, channel: content}, do: {cut: {notice: Mind your words.}}}
"""
AROUND_NGINX = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/qwq-guard.conf;
}}
"""


def replaced(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def program(name: str) -> str:
    found = shutil.which(name) or shutil.which(name, path="/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed, so the guard behind it goes untested (Debian: apt-get install {name})")
    return found


def nginx(folder: Path, port: int, guard: int, _admin: int) -> list[str]:
    command = [program("nginx"), "-p", str(folder), "-e", "stderr", "-c", str(folder / "nginx.conf")]
    text = replaced(replaced(NGINX, "listen 80;", f"listen 127.0.0.1:{port};"), "127.0.0.1:8080", f"127.0.0.1:{guard}")
    (folder / "qwq-guard.conf").write_text(text)
    user = "user root;" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(AROUND_NGINX.format(folder=folder, user=user))
    return command


def haproxy(folder: Path, port: int, guard: int, admin: int) -> list[str]:
    command = [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")]
    text = replaced(replaced(HAPROXY, "bind :80", f"bind 127.0.0.1:{port}"), "127.0.0.1:8080", f"127.0.0.1:{guard}")
    (folder / "haproxy.cfg").write_text(replaced(text, "port 8081", f"port {admin}"))
    return command


FRONTS = {"nginx": nginx, "haproxy": haproxy}


@contextlib.contextmanager
def running(command: list[str], port: int) -> Iterator[None]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            end = time.monotonic() + PATIENCE
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                assert time.monotonic() < end
                assert process.poll() is None, process.communicate()[0]
                time.sleep(0.02)
            yield
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE)


@contextlib.asynccontextmanager
async def connected(port: int, **fields: Any) -> AsyncIterator[Talk]:
    async with Guarded(port, gateway=None).begin(stream=True, **fields) as talk:  # type: ignore[arg-type]
        yield talk


@pytest.mark.anyio
@pytest.mark.parametrize("front", FRONTS)
async def test_the_guard_behind(front: str, tmp_path: Path) -> None:
    """Upstream says a word only once the client has seen the one before: a proxy that keeps any back never ends."""
    words = ["One ", "small ", "word ", "after ", "another."]
    seen = [asyncio.Event() for _ in words]
    # thinking, of which no rule speaks here: the guard holds nothing back
    steps = [step for word, event in zip(words, seen, strict=True) for step in (VLLM.thought(word), Until(event))]
    never = asyncio.Event()
    cut = reply(VLLM.opening(), VLLM.content("Now then, zounds! " * 3), Until(never))
    left = reply(VLLM.opening(), VLLM.thought("Half of it, "), Until(never))
    policy = tmp_path / "oaths.yaml"
    policy.write_text(POLICY)
    port = unused_port()
    async with (
        FakeUpstream(
            reply(VLLM.opening(), *steps, VLLM.finish(), DONE), cut, left, gets=json_reply({"data": [{"id": "m"}]})
        ) as upstream,
        guard_serving("--upstream", upstream.url, "--no-fallback", "--policy", str(policy)) as guard,
    ):
        ports = [int(url.rpartition(":")[2]) for url in (guard.url, guard.admin)]
        with running(FRONTS[front](tmp_path, port, *ports), port):
            async with connected(port) as talk:
                for word, event in zip(words, seen, strict=True):
                    await talk.until(word.encode())
                    event.set()
                answer = await talk.answer()
            assert (answer.status, answer.complete) == (200, True)
            assert answer.headers["x-guard-policy"].startswith("oaths@")
            assert answer.body.endswith(DONE)

            async with connected(port) as talk:
                answer = await talk.answer()
            assert b"zounds" not in answer.body
            assert b"Mind your words." in answer.body, answer.body.decode()
            assert answer.body.endswith(DONE)
            await closed(upstream, 1)

            async with connected(port) as talk:
                await talk.until(b"Half")
                talk.leave()
            await closed(upstream, 2)
            assert guard.get("/readyz").status_code == 200

            async with Guarded(port, gateway=None).connect() as talk:  # type: ignore[arg-type]
                talk.writer.write(request(b"{}", "/readyz"))
                assert (await talk.answer()).status == 404
        assert await asyncio.to_thread(guard.stop) == 0


async def closed(upstream: FakeUpstream, index: int) -> None:
    """Wait until the guard has let go of the request that was answered as the `index`th."""
    posts = [received for received in upstream.received if received.method == "POST"]
    async with asyncio.timeout(PATIENCE):
        await posts[index].closed.wait()


def test_no_proxy_gives_up_before_the_guard_says_a_word() -> None:
    """Keep-alive comments come after `keep_alive` seconds of silence, and a connection lives longer than that."""
    silence = Settings.load(env={}).keep_alive + FLUSH_SECONDS
    manager = ENVOY["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    assert "proxy_read_timeout 90s;" in NGINX
    assert "timeout server 90s" in HAPROXY
    assert "timeout client 90s" in HAPROXY
    assert manager["stream_idle_timeout"] == "90s"
    assert silence < 90 / 2


def test_envoy_streams_without_a_limit_of_its_own_and_asks_for_readiness() -> None:
    manager = ENVOY["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    (route,) = manager["route_config"]["virtual_hosts"][0]["routes"]
    assert route == {"match": {"prefix": "/v1/"}, "route": {"cluster": "qwq_guard", "timeout": "0s"}}
    (cluster,) = ENVOY["static_resources"]["clusters"]
    assert cluster["name"] == route["route"]["cluster"]
    (endpoint,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
    defaults = Settings.load(env={})
    assert endpoint["endpoint"]["address"]["socket_address"]["port_value"] == defaults.port
    assert endpoint["endpoint"]["health_check_config"]["port_value"] == defaults.admin_port
    assert cluster["health_checks"][0]["http_health_check"]["path"] == "/readyz"
