"""A cheap client: opens many streams, reads them to the end, and only then looks at what they said.

Run as `python -m bench.client PORT STREAMS SECONDS`; prints one JSON object. Exits 1 if a stream did not end within
SECONDS. That a stream is whole is judged from its text, which must be what the upstream sent.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any, cast

import uvloop

BODY = json.dumps(
    {
        "model": "Qwen/QwQ-32B",
        "messages": [{"role": "user", "content": "Tell me about the keepers of lighthouses and their horns."}],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": 4096,
    }
).encode()
REQUEST = (
    b"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    b"accept: text/event-stream\r\ncontent-length: %d\r\n\r\n" % len(BODY)
) + BODY
LAST = b"0\r\n\r\n"


class Client(asyncio.Protocol):
    """One request on one connection."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(REQUEST)

    def data_received(self, data: bytes) -> None:
        self.received += data
        if self.received.endswith(LAST):
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_result(None)


def read(received: bytes) -> dict[str, Any]:
    """What one stream held: its events, its text, and whether it ended as it should."""
    head, _, body = received.partition(b"\r\n\r\n")
    plain, at = bytearray(), 0
    while match := re.compile(rb"([0-9a-fA-F]+)\r\n").match(body, at):
        size = int(match[1], 16)
        plain += body[match.end() : match.end() + size]
        at = match.end() + size + 2
    events = [line[6:] for line in plain.split(b"\n") if line.startswith(b"data: ")]
    text = []
    for event in events[:-1]:
        for choice in json.loads(event)["choices"]:
            delta = choice["delta"]
            text.append(delta.get("reasoning_content") or delta.get("reasoning") or delta.get("content") or "")
    ended = head.startswith(b"HTTP/1.1 200") and events[-1:] == [b"[DONE]"] and plain.count(b"[DONE]") == 1
    return {"events": len(events), "text": "".join(text), "ended": ended}


async def main(port: int, streams: int, seconds: float) -> int:
    loop = asyncio.get_running_loop()
    clients = [(await loop.create_connection(Client, "127.0.0.1", port))[1] for _ in range(streams)]
    _, late = await asyncio.wait([client.done for client in clients], timeout=seconds)
    json.dump({"late": len(late), "streams": [read(bytes(client.received)) for client in clients]}, sys.stdout)
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(uvloop.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))))
