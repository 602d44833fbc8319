"""How soon an upstream is let go: from the moment it writes what a policy cuts, or its client leaves, until its
connection ends. `python -m bench.cancel`.

    client ──> guard serve ──> upstream: writes the word ─ ─ ─ milliseconds ─ ─ ─ reads the end of the connection (FIN)

The guard runs as a process of its own, over loopback. Upstream and client share another, so the figures hold their work
as well. A real upstream stops generating once it sees the connection end, at its next token.
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer

from bench.servers import CannotStart, cores, free_port, guard_with, running

WORD: Final = "forbiddance"
LEAD: Final = 20
"""Tokens before the word, and before a client leaves."""
HEAD: Final = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
POLICY: Final = json.dumps(
    {
        "policy_version": 1,
        "name": "bench_cancel",
        "detectors": {"house": {"use": "pattern", "words": {"bench": [WORD]}}},
        "rules": [{"id": "stop", "when": {"detector": "house"}, "do": {"cut": {"notice": "[stopped]"}}}],
    }
)


def chunk(text: str) -> bytes:
    """One token, as vLLM streams it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]}
    data = b"data: " + json.dumps(body).encode() + b"\n\n"
    return b"%x\r\n%b\r\n" % (len(data), data)


class Upstream:
    """Streams for ever; `waited` holds the seconds from a cause to the end of the connection, one for each stream."""

    def __init__(self, cause: str, period: float) -> None:
        self.waited: list[float] = []
        self.left: dict[int, float] = {}
        """When the client of a stream left, by its number."""
        self._cause = cause
        self._period = period

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        number = json.loads(await reader.readexactly(length))["seed"]
        since = 0.0
        gone = asyncio.create_task(reader.read(1))
        try:
            writer.write(HEAD)
            for token in range(100_000):
                if self._cause == "cut" and token == LEAD:
                    since = time.perf_counter()
                    # The rest of the line fills the detector's window, which real text does a few tokens later.
                    writer.write(chunk(f" {WORD}. And so the evening went on as quietly as it had begun."))
                else:
                    writer.write(chunk(" quiet"))
                await writer.drain()
                done, _ = await asyncio.wait([gone], timeout=self._period)
                if done:
                    break
        except ConnectionError:
            pass
        ended = time.perf_counter()
        gone.cancel()
        writer.close()
        since = self.left.get(number, since)
        if since:
            self.waited.append(ended - since)


async def ask(port: int, upstream: Upstream, number: int, *, leaves: bool) -> None:
    """One client: reads to the end, or leaves after `LEAD` tokens."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = {"model": "m", "messages": [{"role": "user", "content": "Tell me."}], "stream": True, "seed": number}
    data = json.dumps(body).encode()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n")
    writer.write(b"content-length: %d\r\n\r\n%b" % (len(data), data))
    seen = b""
    while b"[DONE]" not in seen[-400:] and not (leaves and seen.count(b"quiet") >= LEAD):
        read = await reader.read(1 << 16)
        if not read:
            break
        seen += read
    if leaves:
        upstream.left[number] = time.perf_counter()
    writer.close()


async def measure(port: int, upstream_port: int, cause: str, streams: int, together: int, rate: float) -> list[float]:
    """Seconds for each of `streams`, less the first `together`, which warm the guard up."""
    upstream = Upstream(cause, 1 / rate)
    turn = asyncio.Semaphore(together)

    async def one(number: int) -> None:
        async with turn:
            await ask(port, upstream, number, leaves=cause == "leave")

    async with await asyncio.start_server(upstream.converse, "127.0.0.1", upstream_port):
        async with asyncio.timeout(60 + streams * LEAD / rate):
            await asyncio.gather(*(one(number) for number in range(1, streams + 1)))
            while len(upstream.waited) < streams:  # noqa: ASYNC110 - the last connections end after their clients
                await asyncio.sleep(0.01)
    return upstream.waited[together:]


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that `share` of them do not exceed."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def main(
    streams: Annotated[int, typer.Option(help="How many of each kind.", min=1)] = 300,
    together: Annotated[int, typer.Option(help="At a time.", min=1)] = 16,
    rate: Annotated[float, typer.Option(help="Tokens a second of each.", min=0.1)] = 40.0,
) -> None:
    """Milliseconds from a cut, or a client's leaving, to the end of upstream's connection."""
    proxy_core, _ = cores()
    print(f"{streams} streams of each kind, {together} at a time, {rate:g} tokens/s each; milliseconds\n")
    print(f"{'':16}{'p50':>8}{'p99':>8}{'most':>8}")
    for cause, name in (("cut", "a policy cuts"), ("leave", "a client leaves")):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            port, admin_port, upstream_port = free_port(), free_port(), free_port()
            (folder / "policy.yaml").write_text(POLICY, encoding="utf-8")
            upstream = {"url": f"http://127.0.0.1:{upstream_port}", "dialect": "openai"}
            settings = {"upstream": upstream, "fallback": {"enabled": False}, "policy": str(folder / "policy.yaml")}
            (folder / "guard.yaml").write_text(json.dumps(settings), encoding="utf-8")
            command = guard_with(folder / "guard.yaml", port, admin_port)
            ready = f"http://127.0.0.1:{admin_port}/readyz"
            try:
                stack.enter_context(running(command, folder, port, proxy_core, ready))
            except CannotStart as error:
                print(f"bench: {error}", file=sys.stderr)
                raise typer.Exit(1) from error
            waited = asyncio.run(measure(port, upstream_port, cause, streams + together, together, rate))
        figures = [1_000 * each for each in (percentile(waited, 0.5), percentile(waited, 0.99), max(waited))]
        print(f"{name:16}" + "".join(f"{figure:8.1f}" for figure in figures))


if __name__ == "__main__":
    typer.run(main)
