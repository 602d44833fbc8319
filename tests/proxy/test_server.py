from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from guard.proxy.server import PortError, listen, reserve
from tests.support.dialects import DONE, VLLM
from tests.support.guard_process import GuardProcess, guard_serving
from tests.support.metrics import total
from tests.support.proxy import CHAT, ask, exchange, read_stream
from tests.support.upstream import HANG, FakeUpstream, Until, json_reply, reply

pytestmark = pytest.mark.anyio

HALF = (VLLM.opening(), VLLM.content("Half of an answer, and then "), HANG)
MODELS = json_reply({"data": [{"id": "house-model"}]})
POLICY = "policy_version: 1\nname: house\ndetectors: {loop: {}}\n"


@pytest.fixture
def policy(tmp_path: Path) -> str:
    path = tmp_path / "house.yaml"
    path.write_text(POLICY)
    return str(path)


def test_a_port_in_use_is_told_with_the_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortError) as caught:
            listen("127.0.0.1", port, "--admin-port")
    assert str(caught.value) == f"127.0.0.1:{port} is in use by another program; choose another with --admin-port"


@pytest.mark.parametrize("host", ["192.0.2.1", "a" * 300])
def test_an_address_that_is_none_of_this_machine_is_told(host: str) -> None:
    with pytest.raises(PortError) as caught:
        listen(host, 0, "--port")
    assert str(caught.value).startswith(f"{host}:0 cannot be listened on: ")
    assert str(caught.value).endswith("; give an address of this machine")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_free_port_is_taken(host: str) -> None:
    with listen(host, 0, "--port") as sock:
        assert sock.getsockname()[1] > 0
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
        assert not sock.getblocking()


def test_a_reserved_port_is_for_those_that_share_it() -> None:
    with reserve("127.0.0.1", 0, "--port") as kept:
        port = kept.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):  # nothing waits in a queue that nobody will ever read
            socket.create_connection(("127.0.0.1", port), timeout=5)
        with (
            listen("127.0.0.1", port, "--port", shared=True),
            listen("127.0.0.1", port, "--port", shared=True),
            socket.create_connection(("127.0.0.1", port), timeout=5),
        ):
            for taking in (listen, reserve):
                with pytest.raises(PortError, match="in use"):
                    taking("127.0.0.1", port, "--port")


async def test_a_hangup_reloads_and_a_bad_file_does_no_harm(policy: str) -> None:
    """The file is written by the test; what the process says of it comes by its admin port and its log."""
    async with (
        FakeUpstream(reply(*VLLM.answer("Hello.")), gets=MODELS) as upstream,
        guard_serving("--upstream", upstream.url, "--no-fallback", "--policy", policy) as guard,
    ):
        await asyncio.to_thread(Path(policy).write_text, POLICY.replace("loop", "lopo"))
        guard.signal(signal.SIGHUP)
        async with asyncio.timeout(20):
            while not any("policy not reloaded" in line for line in guard.logged):  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.01)
        assert guard.get("/readyz").json()["policy"] == "house"
        await asyncio.to_thread(Path(policy).write_text, POLICY.replace("house", "home"))
        guard.signal(signal.SIGHUP)
        async with asyncio.timeout(20):
            while guard.get("/readyz").json()["policy"] != "home":  # noqa: ASYNC110 - a process
                await asyncio.sleep(0.01)
        assert guard.sample("guard_policy_reload_successful") == 1
        assert await asyncio.to_thread(guard.stop) == 0


async def read_half(response: httpx.Response) -> tuple[bytes, AsyncIterator[bytes]]:
    """The stream's beginning, up to model text."""
    rest = response.aiter_raw()
    begun = b""
    while b"Half" not in begun:
        begun += await anext(rest)
    return begun, rest


async def draining(guard: GuardProcess, client: httpx.AsyncClient) -> httpx.Response:
    """What `/readyz` answers once it is no longer ready."""
    async with asyncio.timeout(10):
        while (ready := await client.get(guard.admin + "/readyz")).status_code == 200:  # noqa: ASYNC110 - a process
            await asyncio.sleep(0.01)
    return ready


async def one_stream(
    guard: GuardProcess, client: httpx.AsyncClient, begun: asyncio.Semaphore
) -> list[dict[str, object]]:
    async with client.stream("POST", guard.url + CHAT, json=ask(stream=True)) as response:
        assert response.status_code == 200
        body, rest = await read_half(response)
        begun.release()
        async for data in rest:
            body += data
    return read_stream(body)


async def test_a_drain_gives_every_live_stream_its_terminal_event(policy: str) -> None:
    streams = 20
    async with FakeUpstream(MODELS, reply(*HALF)) as upstream:
        arguments = ("--upstream", upstream.url, "--no-fallback", "--policy", policy)
        async with guard_serving(*arguments, env={"GUARD_DRAIN": "1.5"}) as guard:
            assert guard.get("/readyz").status_code == 200
            begun = asyncio.Semaphore(0)
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                tasks = [asyncio.create_task(one_stream(guard, client, begun)) for _ in range(streams)]
                whole = asyncio.create_task(client.post(guard.url + CHAT, json=ask()))
                for _ in tasks:
                    await begun.acquire()
                await upstream.arrived(1 + streams + 1)
                guard.signal()
                assert (await draining(guard, client)).json()["reason"] == "draining"
                assert (await client.get(guard.admin + "/healthz")).status_code == 200
                refused = await client.post(guard.url + CHAT, json=ask(stream=True))
                assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
                for task in tasks:
                    events = await task
                    assert list(events[-1]) == ["error"]
                    assert json.dumps(events).count("deadline_shutdown") == 1
                assert ((await whole).status_code, (await whole).json()["error"]["code"]) == (503, "shutting_down")
            assert await asyncio.to_thread(guard.wait) == 0
            assert "Traceback" not in "".join(guard.logged)
        await upstream.gone()


async def test_a_drain_lets_streams_finish_that_can(policy: str) -> None:
    go_on = asyncio.Event()
    answer = reply(*HALF[:2], Until(go_on), VLLM.content("the other half."), VLLM.finish(), DONE)
    async with (
        FakeUpstream(MODELS, answer) as upstream,
        guard_serving("--upstream", upstream.url, "--no-fallback", "--policy", policy) as guard,
    ):
        begun = asyncio.Semaphore(0)
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            task = asyncio.create_task(one_stream(guard, client, begun))
            await begun.acquire()
            guard.signal()
            await draining(guard, client)
            go_on.set()
            events = await task
        assert events[-1]["choices"] == [{"index": 0, "delta": {}, "finish_reason": "stop"}]
        assert await asyncio.to_thread(guard.wait) == 0


async def test_a_second_signal_does_not_wait(policy: str) -> None:
    async with FakeUpstream(MODELS, reply(*HALF)) as upstream:
        arguments = ("--upstream", upstream.url, "--no-fallback", "--policy", policy)
        async with guard_serving(*arguments, env={"GUARD_DRAIN": "600"}) as guard:
            begun = asyncio.Semaphore(0)
            async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
                task = asyncio.create_task(one_stream(guard, client, begun))
                await begun.acquire()
                guard.signal()
                await draining(guard, client)
                guard.signal()
                assert await asyncio.wait_for(asyncio.to_thread(guard.wait), 30) == 0
                events = await task
                assert json.dumps(events).count("deadline_shutdown") == 1


async def test_answers_do_not_say_what_serves_them(policy: str) -> None:
    async with (
        FakeUpstream(MODELS, reply(*VLLM.answer("Hello."))) as upstream,
        guard_serving("--upstream", upstream.url, "--no-fallback", "--policy", policy) as guard,
    ):
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            assert any('model="house-model"' in line for line in guard.said)
            answer = await client.post(guard.url + CHAT, json=ask())
            assert answer.status_code == 200
            assert "server" not in answer.headers
            told = (await client.get(guard.admin + "/metrics")).text
            assert total(told, "guard_requests_total", outcome="passed", route="chat") == 1
        assert await asyncio.to_thread(guard.stop) == 0
        assert "Traceback" not in "".join(guard.logged)


HANGING = """
import asyncio, sys, threading
from guard.contract import Report
from guard.events import Cut
from guard.proxy.clocks import Clocks
from guard.proxy.server import listen, serve
from tests.support.engine import Custom, plan_of
from tests.support.proxy import FixedPolicy, answer_of, content, gateway_of, scripted

class Hanging(Custom):
    slow = True

plan = plan_of(Hanging(feed=lambda text: threading.Event().wait()), actions={"custom": Cut()})
public, admin = (listen("127.0.0.1", 0, "--port") for _ in range(2))

async def main():
    backend = scripted(*answer_of(content("a text that is longer than one step of the grid")))
    gateway = gateway_of(backend, FixedPolicy(plan), clocks=Clocks(detector=0.05))
    started = lambda: print(public.getsockname()[1], flush=True)
    await serve(gateway, public, admin, drain=1, started=started)

asyncio.run(main())
"""


def test_a_detector_that_hangs_does_not_keep_the_process_alive() -> None:
    root = Path(__file__).parents[2]
    with subprocess.Popen([sys.executable, "-c", HANGING], stdout=subprocess.PIPE, text=True, cwd=root) as process:
        assert process.stdout is not None
        url = f"http://127.0.0.1:{int(process.stdout.readline())}"
        for _ in range(8):
            answer = exchange(url, CHAT, ask())
            assert (answer.status, answer.error["code"]) == (504, "deadline_detector")
        process.terminate()
        try:
            assert process.wait(15) == 0
        finally:
            process.kill()
