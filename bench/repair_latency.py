"""How much time a repair adds of its own: `python -m bench.repair_latency`.

    upstream writes the word that is repaired ── asked ──► the continued request has arrived there
    upstream answers it, at once              ── told ───► the client reads the first of what goes on

The sum is what the guard adds to upstream's own prefill. The guard runs as a process of its own, over loopback, with
the detectors `loop` and `language` beside the one that finds the word; upstream and client share another process, so
the figures hold their work as well. The upstream speaks like SGLang, which renders prompts itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from bench.cancel import HEAD, WORD, percentile
from bench.servers import CannotStart, cores, free_port, guard_with, running
from bench.text import PROSE

MARK: Final = "Forty-two"
GOES_ON: Final = f"{MARK} is the answer, and this is why: it was asked for, worked out at length, and found. The end."
"""Long enough to leave before the answer ends, whatever waits for more."""
TRIGGER: Final = f" {WORD}. And so the evening went on as quietly as it had begun."
CASES: Final = (("conclude", 1_000), ("conclude", 30_000), ("resample", 1_000), ("resample", 30_000))
"""What is done, and how many characters were written before."""
PAUSE: Final = 0.3
"""Seconds that the guard has to review those."""


def policy(how: str) -> str:
    """The policy file of a case."""
    channel = "reasoning" if how == "conclude" else "content"
    repair = {"how": how, "keep": "span_start", "otherwise": {"notice": "[stopped]"}}
    looping = {"detector": "loop", "score": 0.9}
    detectors = {
        "loop": {},
        "language": {"expect": ["prompt"]},
        "house": {"use": "pattern", "words": {"bench": [WORD]}},
    }
    rules = [
        {"id": "repaired", "when": {"detector": "house", "channel": channel}, "do": {"repair": repair}},
        {"id": "loops", "when": looping, "do": {"cut": {"notice": "[stopped]"}}},
        {"id": "switches", "when": {"detector": "language", "score": 0.9}, "do": {"cut": {"notice": "[stopped]"}}},
    ]
    return json.dumps({"policy_version": 1, "name": "bench_repair", "detectors": detectors, "rules": rules})


def written(characters: int, seed: int) -> str:
    """The words of the prose in an order that never repeats itself."""
    draw, words = random.Random(seed), PROSE.split()
    return " ".join(draw.choice(words) for _ in range(characters // 3))[:characters]


def chunk(text: str, field: str = "content", finish: str | None = None) -> bytes:
    """One event of SGLang's, as an HTTP chunk."""
    choice = {"index": 0, "delta": {field: text}, "finish_reason": finish}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    return _framed(b"data: " + json.dumps(body).encode() + b"\n\n")


def _framed(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream:
    """Answers at once, `prefill` seconds after its headers.

    `asked` and `answered` are when a continued request arrived and was answered, `wrote` when the word was written,
    each by the number of the answer.
    """

    def __init__(self, how: str, kept: int, prefill: float) -> None:
        self.wrote: dict[int, float] = {}
        self.asked: dict[int, float] = {}
        self.answered: dict[int, float] = {}
        self._field = "reasoning_content" if how == "conclude" else "content"
        self._kept = kept
        self._prefill = prefill

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
                body = json.loads(await reader.readexactly(length))
                await self._answer(body, writer)
                if body["seed"] not in self.asked:
                    await reader.read()  # until the guard lets go
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # nobody asks any more, or the run is over
        finally:
            writer.close()

    async def _answer(self, body: dict[str, Any], writer: asyncio.StreamWriter) -> None:
        number = body["seed"]
        if body.get("continue_final_message"):
            self.asked[number] = time.perf_counter()
            writer.write(HEAD)
            await asyncio.sleep(self._prefill)
            writer.write(chunk(GOES_ON))
            self.answered[number] = time.perf_counter()
            writer.write(chunk("", finish="stop") + _framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
            await writer.drain()
            return
        writer.write(HEAD)
        text = written(self._kept, number)
        for start in range(0, len(text), 200):
            writer.write(chunk(text[start : start + 200], self._field))
            await writer.drain()
        await asyncio.sleep(PAUSE)
        self.wrote[number] = time.perf_counter()
        writer.write(chunk(TRIGGER, self._field))
        await writer.drain()


async def ask(port: int, number: int) -> float:
    """When the client read the first of what goes on. Raises `CannotStart` if the answer was not repaired."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 22)
    body = {"model": "m", "messages": [{"role": "user", "content": "Tell me."}], "stream": True, "seed": number}
    data = json.dumps(body).encode()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
    writer.write(b"content-length: %d\r\n\r\n%b" % (len(data), data))
    seen, came = b"", 0.0
    while b"[DONE]" not in seen[-400:]:
        read = await reader.read(1 << 20)
        if not read:
            break
        seen = seen[-1_000:] + read
        if not came and MARK.encode() in seen:
            came = time.perf_counter()
    writer.close()
    if not came:
        raise CannotStart(f"an answer was not repaired; it ended with {seen[-500:]!r}")
    return came


async def measure(
    port: int, upstream_port: int, case: tuple[str, int], prefill: float, answers: int
) -> list[tuple[float, float]]:
    """Seconds until upstream was asked, and until the client was told, one after the other, the first left out."""
    upstream = Upstream(*case, prefill)
    times: list[tuple[float, float]] = []
    async with await asyncio.start_server(upstream.converse, "127.0.0.1", upstream_port, limit=1 << 22):
        for number in range(answers + 1):
            async with asyncio.timeout(20):
                came = await ask(port, number)
            asked = upstream.asked[number] - upstream.wrote[number]
            times.append((asked, came - upstream.answered[number]))
    return times[1:]


def line(name: str, values: Sequence[float]) -> str:
    """One row of the table, in milliseconds."""
    return f"{name:40}{1_000 * percentile(values, 0.5):8.1f}{1_000 * percentile(values, 0.95):8.1f}"


def main(
    answers: Annotated[int, typer.Option(help="Of each kind.", min=1)] = 40,
    prefill: Annotated[float, typer.Option(help="Milliseconds from upstream's headers to its first token.", min=0)] = 0,
) -> None:
    """Milliseconds that a repair adds beyond upstream's own."""
    proxy_core, _ = cores()
    print(f"{answers} answers of each kind, one at a time; prefill {prefill:g}; milliseconds")
    print(f"load {os.getloadavg()[0]:.1f}\n")
    print(f"{'':40}{'p50':>8}{'p95':>8}")
    for how, kept in CASES:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port, admin_port, upstream_port = free_port(), free_port(), free_port()
            (folder / "policy.yaml").write_text(policy(how), encoding="utf-8")
            upstream = {
                "url": f"http://127.0.0.1:{upstream_port}",
                "dialect": "sglang",
                "start_state": {"*": "native"},
            }
            settings = {"upstream": upstream, "fallback": {"enabled": False}, "policy": str(folder / "policy.yaml")}
            (folder / "guard.yaml").write_text(json.dumps(settings), encoding="utf-8")
            command = guard_with(folder / "guard.yaml", port, admin_port)
            ready = f"http://127.0.0.1:{admin_port}/readyz"
            try:
                stack.enter_context(running(command, folder, port, proxy_core, ready))
                times = asyncio.run(measure(port, upstream_port, (how, kept), prefill / 1_000, answers))
            except CannotStart as error:
                print(f"bench: {error}", file=sys.stderr)
                raise typer.Exit(1) from error
        name = f"{how}, {kept:,} characters"
        print(line(f"{name}: until asked", [asked for asked, _ in times]))
        print(line(f"{name}: until told", [told for _, told in times]))
        print(line(f"{name}: together", [sum(both) for both in times]))


if __name__ == "__main__":
    typer.run(main)
