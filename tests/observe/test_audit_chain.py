"""A line shows whether it was changed, and only the key's owner can write one that does not."""

from __future__ import annotations

import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.observe.audit_chain import GENESIS, LineError, canonical, read_line, seal, unseal

RECORD = {"kind": "decision", "rule": "r", "score": 0.9, "span": [1, 2]}
values: Any = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def test_the_line_of_a_record() -> None:
    body = '{"a":"\\u4f60\\u001b[0m\\n","prev":"' + GENESIS + '","seq":1}'
    digest = hashlib.sha256(body.encode()).hexdigest()
    sealed = seal({"a": "你\x1b[0m\n"}, 1, GENESIS)
    assert sealed.line.decode() == f'{body[:-1]},"hash":"{digest}"}}\n'
    assert sealed.hash == digest


def test_with_a_key_it_is_an_hmac() -> None:
    sealed = seal(RECORD, 1, GENESIS, b"key")
    body = json.dumps({**RECORD, "seq": 1, "prev": GENESIS}, sort_keys=True, separators=(",", ":"))
    assert sealed.hash == hmac.new(b"key", body.encode(), "sha256").hexdigest()
    assert unseal(sealed.line, b"key")["rule"] == "r"
    for other in (None, b"kez"):
        with pytest.raises(LineError, match="was changed"):
            unseal(sealed.line, other)


@given(st.dictionaries(st.text(max_size=8).filter(lambda name: name not in ("hash", "seq", "prev")), values))
def test_what_is_sealed_can_be_unsealed_and_is_one_line_of_ascii(record: dict[str, Any]) -> None:
    sealed = seal(record, 7, GENESIS)
    assert sealed.line.count(b"\n") == 1
    assert all(0x20 <= byte < 0x7F for byte in sealed.line[:-1].replace(b"\x7f", b""))
    assert unseal(sealed.line) == {**record, "seq": 7, "prev": GENESIS, "hash": sealed.hash}


@given(st.data())
def test_no_byte_can_be_changed_unseen(data: st.DataObject) -> None:
    line = seal(RECORD, 1, GENESIS).line[:-1]
    at = data.draw(st.integers(0, len(line) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda byte: byte != line[at]))
    with pytest.raises(LineError):
        unseal(line[:at] + bytes([byte]) + line[at + 1 :])


@given(st.binary(max_size=300))
def test_any_bytes_are_a_line_or_a_sentence(data: bytes) -> None:
    with pytest.raises(LineError):
        read_line(data)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "no JSON"),
        (b"[]", "no JSON object"),
        (b"{}", "no number"),
        (b'{"seq": true}', "no number"),
        (b'{"seq": 1}', "no `prev`"),
        (b'{"seq": 1, "prev": "%s"}' % (b"0" * 64), "no `hash`"),
        (b'{"hash": "%s", "seq": 1, "prev": "%s"}' % (b"0" * 64, b"0" * 64), "does not end in its hash"),
        (b"[" * 100_000, "no JSON"),
    ],
)
def test_what_is_no_line(line: bytes, says: str) -> None:
    with pytest.raises(LineError, match=says):
        unseal(line)


def test_a_line_written_otherwise_is_none_even_if_it_says_the_same() -> None:
    line = seal(RECORD, 1, GENESIS).line
    with pytest.raises(LineError, match="not written as"):
        unseal(line.replace(b'"rule":"r"', b'"rule": "r"'))


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_numbers_that_json_does_not_know_are_refused(number: float) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical({"score": number})
