"""Several workers are real processes here, behind real sockets; those that misbehave are fakes that speak the same
language. Both halves share what starts and watches them, so the file is long."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.policy import load_policy
from guard.proxy import workers
from guard.proxy.reload import Reloaded
from guard.proxy.server import reserve
from guard.proxy.workers import WorkerFailed, Workers, check_workers, worker_command
from guard.settings import Settings, SettingsError
from tests.support.dialects import DONE, VLLM
from tests.support.guard_process import GuardProcess, guard_command, guard_serving
from tests.support.metrics import total
from tests.support.proxy import CHAT, ask, read_stream
from tests.support.upstream import FakeUpstream, Reply, Until, json_reply, reply

pytestmark = pytest.mark.anyio

LAX = "policy_version: 1\nname: lax\ndetectors: {loop: {}}\n"
STRICT = """\
policy_version: 1
name: oaths
detectors: {pattern: {words: {oath: {words: [zounds]}}}}
rules:
  - {id: no_oaths, when: {detector: pattern}, do: {cut: {notice: Mind your words.}}}
"""
BROKEN = LAX.replace("loop", "lopo")
MODELS = json_reply({"data": [{"id": "house-model"}]})
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture
def house(tmp_path: Path) -> Path:
    path = tmp_path / "house.yaml"
    path.write_text(LAX)
    return path


def write(file: Path, text: str) -> None:
    file.write_text(text)


def half(go_on: asyncio.Event) -> Reply:
    """A stream that waits in the middle."""
    rest = (VLLM.content("and zounds, the other half."), VLLM.finish(), DONE)
    return reply(VLLM.opening(), VLLM.content("Half of an answer, "), Until(go_on), *rest)


@contextlib.asynccontextmanager
async def serving(
    house: Path, *replies: Reply, workers: int = 2, **env: str
) -> AsyncIterator[tuple[GuardProcess, httpx.AsyncClient, FakeUpstream]]:
    async with (
        FakeUpstream(*replies, gets=MODELS) as upstream,
        guard_serving(
            *("--upstream", upstream.url, "--no-fallback", "--policy", str(house), "--workers", str(workers)), env=env
        ) as guard,
        httpx.AsyncClient(trust_env=False, timeout=30, limits=httpx.Limits(max_connections=None)) as client,
    ):
        yield guard, client, upstream


class Streams:
    """Streams that are open through a guard, each over a connection of its own."""

    def __init__(self, guard: GuardProcess, client: httpx.AsyncClient, count: int) -> None:
        self.versions: list[str] = []
        self._begun = asyncio.Semaphore(0)
        self._count = count
        self.tasks = [asyncio.create_task(self._one(guard, client)) for _ in range(count)]

    async def _one(self, guard: GuardProcess, client: httpx.AsyncClient) -> bytes:
        async with client.stream("POST", guard.url + CHAT, json=ask(stream=True)) as response:
            assert response.status_code == 200, await response.aread()
            self.versions.append(response.headers["x-guard-policy"])
            body = b""
            async for data in response.aiter_raw():
                if b"Half" not in body and b"Half" in body + data:
                    self._begun.release()
                body += data
        return body

    async def begun(self) -> None:
        """Wait until all have been sent model text."""
        async with asyncio.timeout(20):
            for _ in range(self._count):
                await self._begun.acquire()

    async def bodies(self) -> list[bytes | BaseException]:
        async with asyncio.timeout(30):
            return await asyncio.gather(*self.tasks, return_exceptions=True)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not await asyncio.to_thread(condition):  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)


def alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def test_many_serve_as_one(house: Path) -> None:
    """Totals are exact, the limit is one for all, and a worker that dies takes its own streams with it only."""
    go_on = asyncio.Event()
    short = reply(*VLLM.answer("Hello."))
    answered, open_streams = 30, 16
    replies = (*(short for _ in range(answered)), half(go_on))
    limit = str(open_streams)
    async with serving(house, *replies, workers=3, GUARD_LIMITS__MAX_STREAMS=limit) as (guard, client, _):
        assert len(guard.workers()) == 3
        ready = guard.get("/readyz").json()
        version = load_policy(house).version
        assert ready == {
            "ready": True,
            "reason": None,
            "policy": "lax",
            "policy_version": version,
            "streams": 0,
            "workers": 3,
            "workers_ready": 3,
        }
        for _ in range(3):
            batch = [client.post(guard.url + CHAT, json=ask(), headers={"connection": "close"}) for _ in range(10)]
            assert {answer.status_code for answer in await asyncio.gather(*batch)} == {200}
        streams = Streams(guard, client, open_streams)
        await streams.begun()
        metrics = guard.get("/metrics").text
        assert total(metrics, "guard_requests_total", outcome="passed") == answered
        assert total(metrics, "guard_streams_total", route="chat") == answered + open_streams
        assert total(metrics, "guard_streams_active") == open_streams
        assert total(metrics, "guard_time_to_first_token_seconds_count") == answered + open_streams
        assert total(metrics, "guard_workers") == total(metrics, "guard_workers_ready") == 3
        assert guard.get("/readyz").json()["streams"] == open_streams
        refused = [client.post(guard.url + CHAT, json=ask(), headers={"connection": "close"}) for _ in range(6)]
        for answer in await asyncio.gather(*refused):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "overloaded")

        dead = guard.workers()[0]
        os.kill(dead, signal.SIGKILL)
        await until(lambda: guard.get("/readyz").json()["workers_ready"] == 3 and dead not in guard.workers())
        left = guard.get("/readyz").json()["streams"]
        assert 0 < left < open_streams
        assert any("a worker died" in line and "SIGKILL" in line for line in guard.logged)
        go_on.set()
        bodies = await streams.bodies()
        whole = [body for body in bodies if isinstance(body, bytes)]
        assert len(whole) == left
        assert all(b"the other half." in body for body in whole)
        metrics = guard.get("/metrics").text
        assert total(metrics, "guard_worker_restarts_total") == 1
        assert total(metrics, "guard_streams_active") == 0
        assert total(metrics, "guard_streams_total", route="chat") == answered + open_streams
        assert total(metrics, "guard_requests_total", outcome="passed") == answered + left
        pids = guard.workers()
        assert await asyncio.to_thread(guard.stop) == 0
        assert not any(alive(pid) for pid in pids)


async def test_a_reload_reaches_all_or_none(house: Path) -> None:
    """A running stream keeps its policy; a bad file changes nothing, not even for a worker that is started anew. In the
    end the parent is killed, and its workers follow."""
    go_on, go_on_later = asyncio.Event(), asyncio.Event()
    replies = (*[half(go_on)] * 8, *[half(go_on_later)] * 12, half(asyncio.Event()))
    async with serving(house, *replies, workers=2, GUARD_DRAIN="600") as (guard, client, _):
        before = Streams(guard, client, 8)
        await before.begun()
        write(house, STRICT)
        answer = await client.post(guard.admin + "/reload")
        version = load_policy(house).version
        assert (answer.status_code, answer.text) == (200, f"policy oaths ({version}) is in force\n")
        after = Streams(guard, client, 8)
        await after.begun()
        assert set(after.versions) == {f"oaths@{version}"}
        go_on.set()
        for body in await before.bodies():
            assert isinstance(body, bytes)
            assert b"and zounds, the other half." in body

        write(house, BROKEN)
        answer = await client.post(guard.admin + "/reload")
        assert answer.status_code == 422
        assert f"{house}:3:13: P110 unknown detector" in answer.text
        assert f"policy oaths ({version}) stays in force" in answer.text
        metrics = guard.get("/metrics").text
        assert total(metrics, "guard_policy_reloads_total", result="ok") == 1
        assert total(metrics, "guard_policy_reloads_total", result="failed") == 1
        assert total(metrics, "guard_policy_reload_successful") == 0
        assert total(metrics, "guard_policy_info", version=version) == 1
        assert total(metrics, "guard_policy_info") == 1
        for pid in guard.workers():
            os.kill(pid, signal.SIGTERM)  # streams finish; then others come in their place
        go_on_later.set()
        for body in await after.bodies():
            assert isinstance(body, bytes)
            assert b"zounds" not in body
            assert b"Mind your words." in body
        await until(lambda: sum("a worker died" in line for line in guard.logged) == 2)
        await until(lambda: guard.get("/readyz").json()["workers_ready"] == 2)
        anew = Streams(guard, client, 4)
        await anew.bodies()
        assert set(anew.versions) == {f"oaths@{version}"}

        write(house, LAX)
        guard.signal(signal.SIGHUP)
        await until(lambda: guard.get("/readyz").json()["policy"] == "lax")
        await until(lambda: total(guard.get("/metrics").text, "guard_policy_reload_successful") == 1)

        last = Streams(guard, client, 4)
        await last.begun()
        pids = guard.workers()
        assert len(pids) == 2
        guard.signal(signal.SIGKILL)
        for body in await last.bodies():
            assert isinstance(body, bytes)
            assert json.dumps(read_stream(body)).count("deadline_shutdown") == 1
        await until(lambda: not any(alive(pid) for pid in pids))


async def test_a_drain_lets_streams_finish(house: Path) -> None:
    go_on = asyncio.Event()
    async with serving(house, half(go_on)) as (guard, client, _):
        streams = Streams(guard, client, 6)
        await streams.begun()
        pids = guard.workers()
        guard.signal()
        await until(lambda: guard.get("/readyz").status_code == 503)
        assert guard.get("/readyz").json()["reason"] == "draining"
        assert guard.get("/healthz").status_code == 200
        assert (await client.post(guard.admin + "/reload")).status_code == 503
        for _ in range(4):
            refused = await client.post(guard.url + CHAT, json=ask(), headers={"connection": "close"})
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "shutting_down")
        go_on.set()
        for body in await streams.bodies():
            assert isinstance(body, bytes)
            assert read_stream(body)[-1]["choices"][0]["finish_reason"] == "stop"
        assert await asyncio.to_thread(guard.wait) == 0
        assert not any(alive(pid) for pid in pids)


async def test_a_change_of_a_watched_file_is_enough_and_a_second_signal_does_not_wait(house: Path) -> None:
    async with serving(house, half(asyncio.Event()), GUARD_DRAIN="600", GUARD_WATCH="true") as (guard, client, _):
        write(house, STRICT)
        await until(lambda: guard.get("/readyz").json()["policy"] == "oaths")
        streams = Streams(guard, client, 4)
        await streams.begun()
        guard.signal()
        await until(lambda: guard.get("/readyz").status_code == 503)
        guard.signal()
        assert await asyncio.to_thread(guard.wait) == 0
        for body in await streams.bodies():
            assert isinstance(body, bytes)
            assert json.dumps(read_stream(body)).count("deadline_shutdown") == 1


async def test_the_status_page_speaks_of_all_workers_and_of_what_one_that_died_had_done(house: Path) -> None:
    write(house, STRICT)
    answer = reply(*VLLM.answer("and zounds, an oath."))
    async with serving(house, answer) as (guard, client, _):

        def status() -> dict[str, Any]:
            told: dict[str, Any] = guard.get("/status.json").json()
            return told

        asked = 0
        while len({each["pid"] for each in status()["interventions"]}) < 2:
            asked += 1
            assert asked < 40
            await client.post(guard.url + CHAT, json=ask(), headers={"connection": "close"})
        before = status()
        assert [each["action"] for each in before["interventions"]] == ["cut"] * asked
        assert {each["rule"] for each in before["interventions"]} == {"no_oaths"}
        assert [window["streams"] for window in before["rates"]] == [asked] * 3
        assert [window["cuts"] for window in before["rates"]] == [asked] * 3
        assert [rule["rule"] for rule in before["policy"]["rules"]] == ["no_oaths"]
        assert [(each["worker"], each["answered"], each["streams"]) for each in before["workers"]] == [
            (0, True, 0),
            (1, True, 0),
        ]
        assert {each["pid"] for each in before["workers"]} == set(guard.workers())
        (backend,) = before["backends"]
        assert (backend["role"], backend["up"]) == ("upstream", True)

        dead = guard.workers()[0]
        os.kill(dead, signal.SIGKILL)
        await until(lambda: guard.get("/readyz").json()["workers_ready"] == 2 and dead not in guard.workers())
        after = status()
        assert after["interventions"] == before["interventions"]
        assert [window["cuts"] for window in after["rates"]] == [asked] * 3
        write(house, BROKEN)
        assert (await client.post(guard.admin + "/reload")).status_code == 422
        assert not status()["reload"]["ok"]
        assert "P110 unknown detector" in guard.get("/").text


async def test_a_worker_that_does_not_say_how_it_is_is_shown_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STATUS_SECONDS", 0.05)
    async with faked(tmp_path, "deaf", monkeypatch) as (parent, _):
        await parent.start()
        await parent.sample()
        status = await parent.status()
        assert [worker["answered"] for worker in status["workers"]] == [False, False]
        assert (status["ready"], status["interventions"], status["policy"]["rules"]) == (True, [], [])
        await parent.leave()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--policy", "broken.yaml"], 2, "broken.yaml:3:13: P110 unknown detector"),
        (["--port", "taken"], 1, "is in use by another program; choose another with --port"),
    ],
)
def test_what_cannot_be_served_is_told_once(house: Path, arguments: list[str], code: int, says: str) -> None:
    (house.parent / "broken.yaml").write_text(BROKEN)
    defaults = {"--port": "0", "--admin-port": "0", "--policy": "house.yaml", "--upstream": NOWHERE, "--workers": "3"}
    given = {**defaults, **dict(zip(arguments[::2], arguments[1::2], strict=True))}
    with contextlib.ExitStack() as stack:
        if given["--port"] == "taken":
            listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
            given["--port"] = str(listener.getsockname()[1])
        flat = [part for pair in given.items() for part in pair]
        done = guard_command("serve", "--no-fallback", *flat, cwd=house.parent)
    assert done.returncode == code, done
    assert done.stderr.count(says) == 1
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(("fallback", "warned"), [(True, True), (False, False)])
def test_several_fallbacks_are_allowed_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fallback: bool, warned: bool
) -> None:
    monkeypatch.setattr(workers, "has_transformers", lambda: True)
    overrides = {"upstream": {"url": NOWHERE}, "workers": 3, "fallback": {"enabled": fallback}}
    check_workers(Settings.load(env={}, overrides=overrides))
    assert ("each worker loads the fallback model" in capsys.readouterr().out) == warned
    with pytest.raises(SettingsError, match=r"`workers: 3` would load the in-process model 3 times"):
        check_workers(Settings.load(env={}, overrides={"workers": 3}))


def test_a_worker_finds_modules_where_its_parent_does() -> None:
    command = worker_command("package.module:function")
    assert "from package.module import function; function()" in command[-1]
    assert str(Path(__file__).parents[2]) in command[-1]


# --- workers that misbehave

FAKE = """
import json, pathlib, socket, sys, time
control = socket.socket(fileno=int(sys.argv[1]))
lines = control.makefile("rw")
told = json.loads(lines.readline())
mode = pathlib.Path(told["settings"]["policy"]).read_text()
def say(**message):
    print(json.dumps(message), file=lines, flush=True)
if mode == "mute":
    sys.exit(3)
if mode == "no" and told["policy"]:
    say(said="failed", says="guard: no", code=2)
    sys.exit(2)
one = {"name": "house", "version": "v1", "data": {}, "files": []}
say(said="listening", model="m", **one)
if mode == "full":
    say(unready="the disk is full")
for line in lines:
    order = json.loads(line)
    if order["do"] == "drain" and mode != "stays":
        sys.exit(0)
    if order["do"] == "prepare" and mode != "deaf":
        late = mode == "late" and order["policy"]
        answer = {"ok": False, "says": "changed"} if late else {"ok": True, **one, "version": "v2"}
        say(number=order["number"], **answer)
    if order["do"] == "adopt" and mode != "stubborn":
        say(number=order["number"], ok=True)
time.sleep(60 if mode == "stays" else 0)
"""


@contextlib.asynccontextmanager
async def faked(tmp_path: Path, mode: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Workers, Path]]:
    """Two workers that behave as the file says, and a parent that is in a hurry."""
    for name, seconds in (("FIRST_PAUSE", 0.01), ("LONGEST_PAUSE", 0.02), ("LATE_SECONDS", 1.0)):
        monkeypatch.setattr(workers, name, seconds)
    monkeypatch.setattr(workers, "FLUSH_SECONDS", 0.1)
    monkeypatch.setattr(workers, "ANSWER_SECONDS", 0.5)
    file = tmp_path / "mode"
    write(file, mode)
    overrides = {"upstream": {"url": NOWHERE}, "workers": 2, "policy": str(file), "drain": 0.1}
    with reserve("127.0.0.1", 0, "--port") as public:
        made = Workers(
            Settings.load(env={}, overrides=overrides), [sys.executable, "-S", "-c", FAKE], public, str(tmp_path)
        )
        try:
            yield made, file
        finally:
            await made.end()


async def test_a_worker_that_keeps_dying_is_started_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with faked(tmp_path, "fine", monkeypatch) as (parent, mode):
        assert await parent.start() == "m"
        assert parent.readiness()["workers_ready"] == 2
        write(mode, "no")
        pids = [worker.process.pid for worker in parent._running.values()]
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        said = ""

        def failed() -> int:
            nonlocal said
            said += capsys.readouterr().out
            return said.count("could not be started again")

        await until(lambda: failed() >= 6)
        assert parent.readiness()["reason"] == "only 0 of 2 workers are ready"
        assert (await parent.reload()) == Reloaded(False, "house", "v1", "no worker is running; try again")
        write(mode, "fine")
        await until(lambda: parent.readiness()["workers_ready"] == 2)
        assert parent.readiness()["ready"]
        assert said.count("a worker died") == 2
        await parent.leave()
        assert parent.readiness()["workers_ready"] == 0


async def test_workers_say_why_they_are_not_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with faked(tmp_path, "full", monkeypatch) as (parent, _):
        await parent.start()
        await until(lambda: parent.readiness()["workers_ready"] == 0)
        assert parent.readiness()["reason"] == "only 0 of 2 workers are ready; the disk is full"
        await parent.leave()


@pytest.mark.parametrize(
    ("mode", "says", "code"),
    [("mute", "guard: a worker ended while it started (exit status 3)", 1), ("no", "guard: no", 2)],
)
async def test_a_guard_whose_workers_do_not_start_does_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, says: str, code: int
) -> None:
    async with faked(tmp_path, mode, monkeypatch) as (parent, _):
        with pytest.raises(WorkerFailed, match=re.escape(says)) as caught:
            await parent.start()
        assert caught.value.code == code
    assert not parent._processes


async def test_a_worker_that_will_not_leave_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with faked(tmp_path, "stays", monkeypatch) as (parent, _):
        await parent.start()
        pids = [worker.process.pid for worker in parent._running.values()]
        await parent.leave()
        assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize(
    ("mode", "says"), [("deaf", "worker 0 did not answer; try again"), ("late", "changed"), ("stubborn", "")]
)
async def test_a_reload_that_not_all_take_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, says: str
) -> None:
    """But once all have it ready, one that does not take it is made anew: the others have it already."""
    async with faked(tmp_path, mode, monkeypatch) as (parent, file):
        await parent.start()
        pids = [worker.process.pid for worker in parent._running.values()]
        write(file, "fine")
        done = await parent.reload()
        assert done is not None
        assert (done.ok, done.version, done.says) == (not says, "v1" if says else "v2", says)
        assert parent.readiness()["policy_version"] == done.version
        if not says:
            await until(lambda: not any(alive(pid) for pid in pids))
            await until(lambda: parent.readiness()["workers_ready"] == 2)
        await parent.leave()
