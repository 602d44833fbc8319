"""The audit and the log of a guard as it runs: real processes, hostile clients, a kill."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import pytest

from guard.observe.audit_read import verify
from tests.support.audits import records
from tests.support.dialects import VLLM
from tests.support.guard_process import guard_command, guard_serving
from tests.support.proxy import CHAT, ask
from tests.support.upstream import FakeUpstream, json_reply, reply

pytestmark = pytest.mark.anyio

POLICY = """
policy_version: 1
name: house
detectors: {length: {content_tokens: {hard: 5}}}
rules:
  - {id: long, when: {detector: length, score: 0.9}, do: {cut: {notice: Too long., finish: length}}}
"""
EVIL = 'm\n{"event":"forged"}\r\n\x1b[2J\u2028\u202e'
COUNT = 12


async def test_what_clients_send_forges_nothing_and_a_kill_loses_nothing(tmp_path: Path) -> None:
    (tmp_path / "house.yaml").write_text(POLICY)
    folder = tmp_path / "audit"
    env = {"GUARD_AUDIT__FOLDER": str(folder), "GUARD_AUDIT__HMAC_KEY": "0123456789abcdef", "GUARD_LOG__FORMAT": "json"}
    answers = [reply(*VLLM.answer("Some secretive words that go on and on and on and on.")) for _ in range(COUNT)]
    policy = str(tmp_path / "house.yaml")
    async with (
        FakeUpstream(*answers, gets=json_reply({"data": [{"id": "m"}]})) as upstream,
        guard_serving(
            "--upstream", upstream.url, "--no-fallback", "--policy", policy, "--workers", "2", env=env
        ) as guard,
        httpx.AsyncClient(trust_env=False, timeout=30, limits=httpx.Limits(max_keepalive_connections=0)) as client,
    ):
        headers = {"authorization": "Bearer sk-hush", "x-request-id": 'r"1'}
        asked = [client.post(guard.url + CHAT, json=ask(model=EVIL), headers=headers) for _ in range(COUNT)]
        told = {answer.headers["x-guard-request-id"] for answer in await asyncio.gather(*asked)}
        refused = await client.post(guard.url + CHAT, content=b"{", headers=headers)
        guard.process.kill()  # its workers see that it is gone
        await asyncio.to_thread(guard.process.wait, 30)
    key = env["GUARD_AUDIT__HMAC_KEY"].encode()
    assert verify(folder, key=key).whole
    found = records(folder, key=key)
    assert {record["stream_id"] for record in found} == told
    assert {(record["rule"], record["model"]) for record in found} == {("long", EVIL)}
    logged = [json.loads(line) for line in guard.logged]
    assert {line["stream_id"] for line in logged if line["event"] == "stream"} == told
    assert [line["stream_id"] for line in logged if line["event"] == "refused"] == [
        refused.headers["x-guard-request-id"]
    ]
    assert not [line for line in logged if line["event"] == "forged"]
    text = "".join(guard.logged)
    assert all(word not in text for word in ("secretive", "Hello", "sk-hush", "0123456789abcdef", "\x1b", 'r"1'))


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_served(tmp_path: Path) -> None:
    (tmp_path / "house.yaml").write_text(POLICY)
    (tmp_path / "file").touch()
    arguments = ["--upstream", "http://127.0.0.1:9", "--no-fallback", "--policy", "house.yaml", "--port", "0"]
    env = {"GUARD_AUDIT__FOLDER": "file/audit"}
    done = guard_command("serve", *arguments, "--admin-port", "0", env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stdout == ""
    says = (
        "guard: audit.folder file/audit: cannot be written (ENOTDIR: Not a directory); give a folder that this process"
    )
    assert done.stderr.startswith(says)
