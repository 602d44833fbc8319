"""Lines that show whether any of them was changed: each carries the hash of the one before.

    {..., "prev": GENESIS, ..., "hash": h1}      h1 = H(the line without its hash)
    {..., "prev": h1,      ..., "hash": h2}      h2 = H(...)

The linking is that of Haber and Stornetta, "How to time-stamp a digital document" (1991). H is SHA-256, or HMAC-SHA256
(RFC 2104) where there is a key. It is taken over canonical JSON: keys sorted, no spaces, everything outside ASCII
escaped, so that a line is also safe to show on a terminal.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

GENESIS: Final = "0" * 64
"""What the first line of a chain carries for the hash before it."""
_MARK: Final = b',"hash":"'
_TAIL: Final = len(_MARK) + 64 + len(b'"}')


class Sealed(NamedTuple):
    """A line, with its line break, and its hash."""

    line: bytes
    hash: str


class LineError(Exception):
    """A line that is none of a chain; the message says what is wrong with it."""


def seal(record: Mapping[str, Any], seq: int, prev: str, key: bytes | None = None) -> Sealed:
    """The line of `record`, number `seq` after a line whose hash is `prev`."""
    body = canonical({**record, "seq": seq, "prev": prev})
    digest = hash_of(body, key)
    return Sealed(body[:-1] + _MARK + digest.encode() + b'"}\n', digest)


def unseal(line: bytes, key: bytes | None = None) -> dict[str, Any]:
    """The record of a line, its `seq`, `prev` and `hash` among it. Raises `LineError` if its hash is not its own.

    Whether it belongs where it stands is for the caller to compare.
    """
    record = read_line(line)
    body = line.rstrip(b"\n")[:-_TAIL] + b"}"
    if canonical({name: value for name, value in record.items() if name != "hash"}) != body:
        raise LineError("is not written as the guard writes (keys sorted, no spaces, ASCII)")
    if not hmac.compare_digest(hash_of(body, key), record["hash"]):
        raise LineError("was changed: its hash is not that of its contents")
    return record


def read_line(line: bytes) -> dict[str, Any]:
    """The record of a line, not checked against its hash. Raises `LineError` if it is no line of a chain."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        raise LineError("is no JSON") from None
    if not isinstance(record, dict):
        raise LineError("is no JSON object")
    if not isinstance(record.get("seq"), int) or isinstance(record["seq"], bool) or record["seq"] < 1:
        raise LineError("has no number (`seq`)")
    for name in ("prev", "hash"):
        if not isinstance(record.get(name), str) or len(record[name]) != 64 or not record[name].isascii():
            raise LineError(f"has no `{name}`")
    if line.rstrip(b"\n")[-_TAIL : -_TAIL + len(_MARK)] != _MARK:
        raise LineError("does not end in its hash")
    return record


def canonical(record: Mapping[str, Any]) -> bytes:
    """The one way to write a record. Raises `ValueError` for numbers that JSON has no word for."""
    return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode()


def hash_of(body: bytes, key: bytes | None) -> str:
    return hashlib.sha256(body).hexdigest() if key is None else hmac.new(key, body, hashlib.sha256).hexdigest()
