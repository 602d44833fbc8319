from __future__ import annotations

import asyncio

import pytest
from starlette.requests import Request
from starlette.types import Message

from guard.proxy import body
from guard.proxy.body import read_body
from guard.wire.errors import RequestError

pytestmark = pytest.mark.anyio


class Sender:
    """A client that sends `pieces`, then nothing more; knows how many were taken."""

    def __init__(self, *pieces: bytes, whole: bool = True, headers: dict[str, str] | None = None) -> None:
        self.pieces = list(pieces)
        self.whole = whole
        self.taken = 0
        raw = [(name.encode(), value.encode()) for name, value in (headers or {}).items()]
        self.request = Request({"type": "http", "method": "POST", "path": "/", "headers": raw}, self.receive)

    async def receive(self) -> Message:
        if self.taken == len(self.pieces):
            await asyncio.Event().wait()
        piece = self.pieces[self.taken]
        self.taken += 1
        return {
            "type": "http.request",
            "body": piece,
            "more_body": not (self.whole and self.taken == len(self.pieces)),
        }


async def refused(sender: Sender, limit: int = 10) -> tuple[int, str]:
    with pytest.raises(RequestError) as caught:
        await asyncio.wait_for(read_body(sender.request, limit), 10)
    return caught.value.status, caught.value.code


@pytest.mark.parametrize("pieces", [(b"",), (b"{}",), (b"0123", b"456", b"789")])
async def test_a_body_of_at_most_the_limit_is_read(pieces: tuple[bytes, ...]) -> None:
    assert await read_body(Sender(*pieces).request, 10) == b"".join(pieces)


async def test_a_body_that_says_it_is_too_large_is_not_read() -> None:
    sender = Sender(b"x" * 11, headers={"content-length": "11"})
    assert await refused(sender) == (413, "body_too_large")
    assert sender.taken == 0


async def test_a_body_that_grows_too_large_is_read_no_further() -> None:
    sender = Sender(b"x" * 6, b"x" * 6, b"x" * 6)
    assert await refused(sender) == (413, "body_too_large")
    assert sender.taken == 2


@pytest.mark.parametrize(("encoding", "plain"), [("identity", True), ("gzip", False), ("ZSTD", False)])
async def test_only_plain_bodies_are_read(encoding: str, plain: bool) -> None:
    sender = Sender(b"{}", headers={"content-encoding": encoding})
    if plain:
        assert await read_body(sender.request, 10) == b"{}"
    else:
        assert await refused(sender) == (415, "encoded_body")


async def test_a_body_that_stops_arriving_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "BODY_SECONDS", 0.02)
    assert await refused(Sender(b"{", whole=False)) == (408, "body_too_slow")
