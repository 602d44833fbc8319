from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from starlette.datastructures import Headers

from guard.contract import DetectorError
from guard.policy import PolicyError, load_policy
from guard.policy.source import builtin_policies
from guard.proxy.admin import create_admin
from guard.proxy.app import create_gateway
from guard.proxy.gateway import Gateway
from guard.proxy.reload import Reloader, candidate_of, read_candidate, watch
from guard.settings import Settings
from tests.support.dialects import DONE, VLLM
from tests.support.guarded import guarded
from tests.support.metrics import total
from tests.support.proxy import scripted
from tests.support.upstream import FakeUpstream, Until, reply

pytestmark = pytest.mark.anyio

LAX = "policy_version: 1\nname: lax\ndetectors: {loop: {}}\n"
STRICT = """\
policy_version: 1
name: oaths
detectors: {pattern: {words: {oath: {words: [zounds]}}}}
rules:
  - {id: no_oaths, when: {detector: pattern}, do: {cut: {notice: Mind your words.}}}
"""
BROKEN = LAX.replace("loop", "lopo") + "rules:\n  - {id: x, when: {detector: loop, scor: 1}, do: flag}\n"
NEEDY = LAX.replace("loop: {}", "length: {tokenizer: ./absent.json, content_tokens: {hard: 9}}")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    path = tmp_path / "house.yaml"
    path.write_text(LAX)
    return path


def opened(house: Path) -> tuple[Gateway, Reloader]:
    settings = Settings.load(env={}, overrides={"policy": str(house)})
    candidate = read_candidate(settings.policy)
    gateway = create_gateway(settings, policy=candidate.policy, backend=scripted())
    return gateway, Reloader(gateway, settings.policy, candidate.files)


def write(file: Path, text: str | None) -> None:
    """Write `file`, or remove it."""
    if text is None:
        file.unlink()
    else:
        file.write_text(text)


def text_of(file: Path) -> str:
    return file.read_text() if file.exists() else "gone"


def count(gateway: Gateway, name: str, /, **labels: str) -> float:
    return total(gateway.metrics.registry, name, **labels)


# --- one policy for several processes


@pytest.mark.parametrize("name", sorted(builtin_policies()))
def test_what_one_process_has_read_makes_the_same_policy_in_another(name: str) -> None:
    read = read_candidate(name)
    again = candidate_of(read.data, read.files)
    assert again.policy.version == read.policy.version == load_policy(name).version
    assert again.policy.rule_ids == read.policy.rule_ids
    assert again.files == read.files
    assert read.files[0] == str(builtin_policies()[name])


def test_a_policy_that_overrides_another_is_carried_over_whole(house: Path) -> None:
    house.write_text(
        "policy_version: 1\nname: house\nextends: ./base.yaml\ndetectors: {loop: {override: true, patience: 0.5}}\n"
        "rules: [{id: circles, override: true, when: {detector: loop, score: 0.9}, do: mask}]\n"
    )
    base = house.parent / "base.yaml"
    base.write_text(
        LAX.replace("{}", "{patience: 0.9}") + 'description: "\\U0001F600 \\x85 \\e"\n'
        "rules: [{id: circles, when: {detector: loop, score: 0.9}, do: flag}]\n"
    )
    read = read_candidate(str(house))
    assert read.files == (str(house), str(base))
    assert candidate_of(read.data, read.files).policy.version == read.policy.version
    assert candidate_of(read.data, read.files).policy.description == "\U0001f600 \x85 \x1b"


@pytest.mark.parametrize(("text", "error"), [(BROKEN, PolicyError), (NEEDY, DetectorError)])
def test_a_policy_that_cannot_be_used_is_no_candidate(house: Path, text: str, error: type[Exception]) -> None:
    house.write_text(text)
    with pytest.raises(error):
        read_candidate(str(house))


# --- one process


async def test_another_policy_comes_into_force_with_its_names_in_metrics(house: Path) -> None:
    gateway, reloader = opened(house)
    write(house, STRICT)
    done = await reloader.reload()
    assert (done.ok, done.name, done.version) == (True, "oaths", load_policy(str(house)).version)
    assert gateway.policy.version == done.version
    assert gateway.headers(gateway.identify(Headers()))["x-guard-policy"] == f"oaths@{done.version}"
    assert count(gateway, "guard_policy_info", name="oaths", version=done.version) == 1
    assert count(gateway, "guard_policy_info", name="lax") == 0
    assert count(gateway, "guard_policy_reloads_total", result="ok") == 1
    assert count(gateway, "guard_policy_reload_successful") == 1
    assert 'guard_detector_errors_total{detector="pattern"} 0.0' in gateway.metrics.render()[1].decode()


@pytest.mark.parametrize("text", [BROKEN, NEEDY, "{", None])
async def test_a_bad_file_leaves_the_last_good_policy_in_force(house: Path, text: str | None) -> None:
    gateway, reloader = opened(house)
    before = gateway.policy
    write(house, text)
    done = await reloader.reload()
    assert (done.ok, done.name, done.version) == (False, before.name, before.version)
    assert done.says
    assert len(done.problems) == (3 if text == BROKEN else 1)
    assert gateway.policy is before
    assert count(gateway, "guard_policy_reloads_total", result="failed") == 1
    assert count(gateway, "guard_policy_reload_successful") == 0
    assert count(gateway, "guard_policy_info", name="lax") == 1
    write(house, LAX)
    assert (await reloader.reload()).ok
    assert count(gateway, "guard_policy_reload_successful") == 1


async def test_a_stream_keeps_the_policy_it_began_with(house: Path) -> None:
    write(house, STRICT)
    go_on = asyncio.Event()
    oath = (VLLM.content("Well, "), Until(go_on), VLLM.content("zounds, I say. "), VLLM.finish(), DONE)
    async with (
        FakeUpstream(reply(VLLM.opening(), VLLM.content("Ahem. " * 8), *oath)) as upstream,
        guarded(upstream, policy=load_policy(str(house))) as proxy,
        proxy.begin(stream=True) as old,
    ):
        await old.until(b"Ahem")
        write(house, LAX)
        reloader = Reloader(proxy.gateway, str(house))
        assert (await reloader.reload()).ok
        async with proxy.begin(stream=True) as new:
            await new.until(b"Ahem")
            go_on.set()
            began, begins = await old.answer(), await new.answer()
    assert began.headers["x-guard-policy"].startswith("oaths@")
    assert b"zounds" not in began.body
    assert b"Mind your words." in began.body
    assert b'"policy":"oaths"' in began.body
    assert begins.headers["x-guard-policy"].startswith("lax@")
    assert b"zounds, I say." in begins.body
    assert total(proxy.gateway.metrics.registry, "guard_actions_total", rule="no_oaths", action="cut") == 1


# --- the admin port


async def post(gateway: Gateway, reloader: Reloader | None, accept: str = "*/*") -> httpx.Response:
    transport = httpx.ASGITransport(create_admin(gateway, reloader))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        return await client.post("/reload", headers={"accept": accept})


async def test_a_reload_is_asked_for_on_the_admin_port(house: Path) -> None:
    gateway, reloader = opened(house)
    write(house, STRICT)
    answer = await post(gateway, reloader)
    version = load_policy(str(house)).version
    assert (answer.status_code, answer.text) == (200, f"policy oaths ({version}) is in force\n")
    answer = await post(gateway, reloader, "application/json")
    assert answer.json() == {"reloaded": True, "policy": "oaths", "policy_version": version, "problems": []}


async def test_everything_that_is_wrong_is_told_with_its_place(house: Path) -> None:
    gateway, reloader = opened(house)
    write(house, BROKEN)
    answer = await post(gateway, reloader)
    assert answer.status_code == 422
    assert f"{house}:3:13: P110 unknown detector\n    detectors: {{lopo: {{}}}}\n                ^\n" in answer.text
    assert "P102" in answer.text
    assert f"policy lax ({gateway.policy.version}) stays in force" in answer.text
    told = (await post(gateway, reloader, "application/json")).json()
    assert told["reloaded"] is False
    assert {problem["line"] for problem in told["problems"]} == {3, 5}


async def test_while_shutting_down_nothing_is_reloaded(house: Path) -> None:
    gateway, reloader = opened(house)
    gateway.draining = True
    assert (await post(gateway, reloader)).status_code == 503
    assert (await post(gateway, None)).status_code == 503


# --- watching


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for looks at files
            await asyncio.sleep(0.005)


async def test_a_file_that_changes_is_noticed_once_it_stays_as_it_is(house: Path) -> None:
    changes: list[str] = []

    async def changed() -> None:
        changes.append(text_of(house))

    watching = asyncio.create_task(watch(lambda: [str(house), str(house) + ".absent"], changed, 0.02))
    await asyncio.sleep(0)
    write(house, STRICT)
    await until(lambda: changes == [STRICT])
    replacement = house.with_suffix(".new")  # as editors and ConfigMaps do
    write(replacement, LAX)
    os.replace(replacement, house)
    await until(lambda: changes == [STRICT, LAX])
    write(house, None)
    await until(lambda: changes == [STRICT, LAX, "gone"])
    write(house, LAX)
    await until(lambda: len(changes) == 4)
    await asyncio.sleep(0.1)
    assert len(changes) == 4
    watching.cancel()
    await asyncio.wait((watching,))


def mounted(folder: Path) -> Path:
    for name, text in (("one", LAX), ("two", STRICT)):
        (folder / name).mkdir()
        (folder / name / "house.yaml").write_text(text)
    (folder / "data").symlink_to("one")
    (folder / "new").symlink_to("two")
    house = folder / "house.yaml"
    house.symlink_to("data/house.yaml")
    return house


async def test_a_link_that_leads_elsewhere_is_a_change(tmp_path: Path) -> None:
    """A mounted ConfigMap is a link to a link to a folder that is replaced."""
    house = mounted(tmp_path)
    changes: list[str] = []

    async def changed() -> None:
        changes.append(text_of(house))

    watching = asyncio.create_task(watch(lambda: [str(house)], changed, 0.02))
    await asyncio.sleep(0)
    os.replace(tmp_path / "new", tmp_path / "data")
    await until(lambda: changes == [STRICT])
    watching.cancel()
    await asyncio.wait((watching,))
