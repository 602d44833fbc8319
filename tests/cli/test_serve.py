from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.dialects import VLLM
from tests.support.guard_process import GuardProcess, guard_command, guard_serving
from tests.support.proxy import CHAT, ask, read_stream
from tests.support.upstream import FakeUpstream, Reply, json_reply, reply, unused_port

POLICY = "policy_version: 1\nname: house\ndetectors: {loop: {}}\n"
NOWHERE = "http://127.0.0.1:9"
"""A port on which nobody may listen without root's rights."""
PAGE = "<!doctype html><html><body><h1>It works!</h1></body></html>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "house.yaml").write_text(POLICY)
    return tmp_path


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        yield sock.getsockname()[1]


# --- what cannot be served

FILES = {
    "broken.yaml": "policy_version: 1\nname: [house\n",
    "unknown.yaml": "policy_version: 1\nname: house\ndetectors: {lopo: {}}\n",
    "guard.yaml": "upstream: {url: 127.0.0.1:8000}\nprot: 8080\nlimits: {max_streams: none}\n",
    "list.yaml": "- port\n",
    "twice.yaml": "port: 1\nport: 2\n",
    "needy.yaml": "policy_version: 1\nname: needy\n"
    "detectors: {length: {tokenizer: ./absent.json, content_tokens: {hard: 9}}}\n",
    "good.yaml": "port: 0\nadmin_port: 0\n",
}


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--policy", "no_such_policy"], 2, ["no_such_policy", "default"]),
        (["--policy", "absent.yaml"], 2, ["absent.yaml"]),
        (["--policy", "broken.yaml"], 2, ["broken.yaml:2"]),
        (["--policy", "unknown.yaml"], 2, ["unknown.yaml:3", "lopo", "did you mean"]),
        (["--policy", "needy.yaml"], 1, ["guard: `length` cannot load", "absent.json"]),
        (["--config", "absent.yaml"], 2, ["guard: absent.yaml: cannot be read"]),
        (["--config", "."], 2, ["guard: .: cannot be read"]),
        (["--config", "broken.yaml"], 2, ["guard: broken.yaml:3: is not YAML"]),
        (["--config", "list.yaml"], 2, ["guard: list.yaml: holds no settings"]),
        (["--config", "twice.yaml"], 2, ["guard: twice.yaml:2: port: is set twice"]),
        (
            ["--config", "guard.yaml"],
            2,
            [
                "guard.yaml:1: upstream.url: give a URL",
                "guard.yaml:2: prot: no such setting; did you mean `port`?",
                "3:",
            ],
        ),
        (["--upstream", "nonsense"], 2, ["guard: command line: upstream.url: give a URL that begins with http://"]),
        (["--upstream", "ftp://host"], 2, ["give a URL"]),
        (["--upstream", "http://"], 2, ["give a URL"]),
        (["--upstream", "http://host:port"], 2, ["upstream.url"]),
        (["--upstream", "http://host:99999"], 2, ["upstream.url"]),
        (["--upstream", "http://me:secret@host"], 2, ["no credentials in the URL"]),
        (["--upstream", "http://h/v1/chat/completions"], 2, ["give the base URL only"]),
        (["--port", "99999"], 2, ["command line: port: 99999"]),
        (["--port", "http"], 2, ["--port"]),
        (["--upstream", NOWHERE, "--port", "8099", "--admin-port", "8099"], 2, ["are both 8099"]),
        (["--upstream", NOWHERE, "--host", "192.0.2.1"], 1, ["192.0.2.1:0 cannot be listened on"]),
        (["--prot", "1"], 2, ["--prot"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0].startswith("--") else None,
)
def test_what_cannot_be_served_is_told_at_once(folder: Path, arguments: list[str], code: int, says: list[str]) -> None:
    for name, text in FILES.items():
        (folder / name).write_text(text)
    defaults = {"--port": "0", "--admin-port": "0", "--policy": "house.yaml", "--upstream": NOWHERE}
    if arguments[0] == "--config":
        del defaults["--port"], defaults["--upstream"]
    for name, value in defaults.items():
        if name not in arguments:
            arguments = [*arguments, name, value]
    done = guard_command("serve", "--no-fallback", *arguments, cwd=folder)
    assert done.returncode == code, done
    assert done.stdout == ""
    for each in says:
        assert each in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr
    assert "should not have happened" not in done.stderr


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_in_use_is_told_with_the_flag_that_changes_it(folder: Path, taken: int, option: str) -> None:
    other = "--admin-port" if option == "--port" else "--port"
    ports = [option, str(taken), other, "0"]
    done = guard_command("serve", "--upstream", NOWHERE, "--no-fallback", "--policy", "house.yaml", *ports, cwd=folder)
    assert done.returncode == 1
    expected = f"guard: 127.0.0.1:{taken} is in use by another program; choose another with {option}\n"
    assert done.stderr == expected


def test_a_variable_that_is_wrong_is_named(folder: Path) -> None:
    env = {"GUARD_KEEP_ALIVE": "soon", "GUARD_UPSTREAM__API_KEY": "sk-secret key"}
    done = guard_command("serve", "--upstream", NOWHERE, env=env, cwd=folder)
    assert done.returncode == 2
    assert "guard: GUARD_KEEP_ALIVE: keep_alive: 'soon'" in done.stderr
    assert "guard: GUARD_UPSTREAM__API_KEY: " in done.stderr
    assert "sk-secret" not in done.stderr


# --- configuration


def test_the_configuration_in_force_is_shown_without_secrets(folder: Path) -> None:
    (folder / "guard.yaml").write_text("port: 1\nkeep_alive: 3\nupstream: {url: 'http://127.0.0.1:8000/v1'}\n")
    arguments = ["--config", "guard.yaml", "--port", "2", "--fallback", "--model", "org/model", "--print-config"]
    env = {"GUARD_KEEP_ALIVE": "4", "GUARD_UPSTREAM__API_KEY": "sk-secret"}
    done = guard_command("serve", *arguments, env=env, cwd=folder)
    assert done.returncode == 0
    assert "sk-secret" not in done.stdout + done.stderr
    shown: dict[str, Any] = yaml.safe_load(done.stdout)
    assert (shown["port"], shown["keep_alive"]) == (2, 4)
    assert shown["in_process"]["model"] == "org/model"
    assert shown["upstream"]["url"] == "http://127.0.0.1:8000/v1"
    assert shown["upstream"]["api_key"] == "(hidden)"
    assert shown["upstream"]["auth"] == "replace"


# --- upstreams that are none

MODELS = json_reply({"data": [{"id": "house-model"}]})


@asynccontextmanager
async def guarding(folder: Path, *replies: Reply) -> AsyncIterator[tuple[GuardProcess, httpx.AsyncClient]]:
    async with (
        FakeUpstream(*replies) as upstream,
        guard_serving("--upstream", upstream.url, "--no-fallback", "--policy", str(folder / "house.yaml")) as guard,
        httpx.AsyncClient(trust_env=False, timeout=30, base_url=guard.url) as client,
    ):
        yield guard, client


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
async def test_an_upstream_that_is_down_is_told_in_one_sentence(folder: Path, stream: bool) -> None:
    url = f"http://127.0.0.1:{unused_port()}"
    policy = str(folder / "house.yaml")
    async with (
        guard_serving("--upstream", url, "--no-fallback", "--policy", policy) as guard,
        httpx.AsyncClient(trust_env=False, timeout=30, base_url=guard.url) as client,
    ):
        answer = await client.post(CHAT, json=ask(stream=stream))
        assert answer.status_code == 502
        error = answer.json()["error"]
        assert error["code"] == "upstream_unreachable"
        assert error["message"] == f"`upstream` cannot be reached at {url}/v1. Is it running?"
        assert (await client.get("/v1/models")).status_code == 502
        assert "Traceback" not in "".join(guard.logged)


@pytest.mark.anyio
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("status", [200, 404, 500])
async def test_an_upstream_that_speaks_html_is_told_in_one_sentence(folder: Path, stream: bool, status: int) -> None:
    page = reply(PAGE, status=status, headers={"content-type": "text/html"}, framing="length")
    async with guarding(folder, MODELS, page) as (guard, client):
        answer = await client.post(CHAT, json=ask(stream=stream))
        assert answer.status_code == (404 if status == 404 else 502)
        message = answer.json()["error"]["message"]
        assert message == f"The model server answered {status} with an HTML page; is the upstream URL right?"
        assert "It works" not in answer.text
        assert "Traceback" not in "".join(guard.logged)


@pytest.mark.anyio
async def test_the_examples_that_are_printed_work(folder: Path) -> None:
    async with guarding(folder, MODELS, reply(*VLLM.answer("Hello."))) as (guard, client):
        said = "".join(guard.said)
        (curl,) = [line for line in guard.said if line.startswith("  curl ")]
        assert curl.split()[2] == f"{guard.url}{CHAT}"
        body = curl.partition(" -d '")[2].rstrip("'\n")
        answer = await client.post(CHAT, content=body)
        assert json.loads(body)["model"] == "house-model"
        assert read_stream(answer.content)[1]["choices"][0]["delta"] == {"content": "Hello."}
        assert f'base_url="{guard.url}/v1"' in said
        assert "policy house" in said
        assert guard.admin in said
