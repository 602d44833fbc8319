"""A cheap upstream that streams like vLLM: one `chat.completion.chunk` of about 235 bytes per write, on the clock.

Run as `python -m bench.upstream PORT TOKENS RATE`. Every request gets TOKENS tokens at RATE a second, two thirds of
them as reasoning; streams are out of step with each other, as real ones are.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import cast

import uvloop

from bench.text import tokens

HEAD = (
    b"HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
    b"transfer-encoding: chunked\r\n\r\n"
)
LAST = b"0\r\n\r\n"
GOLDEN = 0.618_033_988_75
"""Multiples of the golden ratio, less their whole part, spread evenly however many there are."""


def chunked(payload: str) -> bytes:
    data = f"data: {payload}\n\n".encode()
    return b"%x\r\n%b\r\n" % (len(data), data)


def event(delta: dict[str, str], finish: str | None = None) -> bytes:
    return chunk(choices=[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}])


def usage(count: int) -> bytes:
    totals = {"prompt_tokens": 20, "completion_tokens": count, "total_tokens": 20 + count}
    return chunk(choices=[], usage=totals)


def chunk(**fields: object) -> bytes:
    common = {
        "id": "chatcmpl-4f2b1c9de8a74c0f9a35d6e7b8c1f204",
        "object": "chat.completion.chunk",
        "created": 1_764_000_000,
        "model": "Qwen/QwQ-32B",
    }
    return chunked(json.dumps(common | fields, separators=(",", ":"), ensure_ascii=False))


def answer(count: int, start: int) -> list[bytes]:
    """The events of one answer, ready to send: the role, `count` tokens, the finish, the usage and the end mark."""
    words = tokens(count, start)
    thinking = count * 2 // 3
    events = [event({"role": "assistant", "content": ""})]
    events += [event({"reasoning_content": word}) for word in words[:thinking]]
    events += [event({"content": word}) for word in words[thinking:]]
    return [*events, event({}, "stop"), usage(count), chunked("[DONE]") + LAST]


class Upstream(asyncio.Protocol):
    """One connection, kept alive: whatever is asked, the answer is the next stream."""

    streams = 0
    count = 0
    period = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._read = bytearray()
        self._loop = asyncio.get_running_loop()

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, end, body = self._read.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if end and len(body) >= int(length[1] if length else 0):
            self._read.clear()
            number = Upstream.streams
            Upstream.streams += 1
            self._events = answer(self.count, number)
            self._sent = 0
            # a grid of its own for every stream, so that events of different streams do not come together
            phase = number * GOLDEN % 1 * self.period
            slot = int(self._loop.time() / self.period) + 2
            self._due = slot * self.period + phase
            self._transport.write(HEAD)
            self._loop.call_at(self._due, self._send)

    def _send(self) -> None:
        if self._transport.is_closing():
            return
        self._transport.write(self._events[self._sent])
        self._sent += 1
        if self._sent < len(self._events):
            self._due += self.period
            self._loop.call_at(self._due, self._send)


async def serve(port: int, count: int, rate: float) -> None:
    Upstream.count = count
    Upstream.period = 1 / rate
    server = await asyncio.get_running_loop().create_server(Upstream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
