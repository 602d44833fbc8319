from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.errors import UpstreamError
from guard.wire.jsontext import DEEPEST, dump, parse_object


def nested(levels: int) -> bytes:
    return b'{"x":' + b"[" * (levels - 1) + b"]" * (levels - 1) + b"}"


def test_depth_is_limited() -> None:
    assert parse_object(nested(DEEPEST - 1))
    with pytest.raises(UpstreamError, match="nested more than 64 levels deep"):
        parse_object(nested(DEEPEST))


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "is not JSON"),
        (b"{} {}", "is not JSON"),
        (b'{"a": NaN}', "is not JSON"),
        (b"\xff", "is not JSON"),
        (rb'{"a": "\ud80"}', "is not JSON"),
        (b"[{}]", "but not an object"),
        (nested(100_000), "is not JSON"),
    ],
)
def test_what_is_no_object(data: bytes, sentence: str) -> None:
    with pytest.raises(UpstreamError, match=sentence):
        parse_object(data)


@given(st.dictionaries(st.text(), st.text()))
def test_text_survives(value: dict[str, str]) -> None:
    assert parse_object(json.dumps(value).encode()) == value
    assert parse_object(dump(value)) == value


ANY_TEXT = st.text(st.characters(codec=None))


@given(
    st.recursive(
        ANY_TEXT | st.integers(-(2**53), 2**53) | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner),
    )
)
def test_whatever_is_dumped_is_one_line_of_json(value: Any) -> None:
    data = dump(value)
    assert len(data.decode().splitlines()) == 1
    json.loads(data)


@pytest.mark.parametrize(
    ("value", "data"),
    [
        ("a\u2028b\u2029c\x85d", rb'"a\u2028b\u2029c\u0085d"'),
        ("é😀", '"é😀"'.encode()),
        ("\ud800x", '"\ufffdx"'.encode()),
        ("\ud83d\ude00", '"😀"'.encode()),
        ({"\ud800": ("\udc00", 1)}, '{"\ufffd":["\ufffd",1]}'.encode()),
        ("\r\n\x00", rb'"\r\n\u0000"'),
    ],
)
def test_dumped_text(value: Any, data: bytes) -> None:
    assert dump(value) == data
