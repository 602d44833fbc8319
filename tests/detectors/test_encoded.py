from __future__ import annotations

import base64
import random

import pytest

from detectors._encoded import LONGEST_STRETCH, Said, Stretches, decoded
from tests.support.engine import rechunk

BASE64 = base64.b64encode(b"a hidden word").decode()


def said(text: str, sizes: list[int]) -> list[Said]:
    stretches = Stretches()
    found: list[Said] = []
    for piece in rechunk(text, sizes):
        found += stretches.take(piece)
    return [*found, *stretches.settle()]


@pytest.mark.parametrize(
    ("stretch", "codec", "text"),
    [
        (BASE64, "base64", "a hidden word"),
        (BASE64.rstrip("="), "base64", "a hidden word"),
        (base64.urlsafe_b64encode("ÿþ?> déjà".encode()).decode(), "base64", "ÿþ?> déjà"),
        (b"a hidden word".hex(), "hex", "a hidden word"),
        ("0x" + b"a hidden word".hex().upper(), "hex", "a hidden word"),
        ("a%20hidden%20word", "url", "a hidden word"),
        ("".join(chr(0xE0000 + ord(char)) for char in "a hidden word"), "tags", "a hidden word"),
        ("\u202edrow neddih a", "bidi", "a hidden word"),
    ],
)
@pytest.mark.parametrize("sizes", [[1], [3, 5], [1_000]])
def test_is_read_where_it_stands(stretch: str, codec: str, text: str, sizes: list[int]) -> None:
    expected = Said(9, 9 + len(stretch), codec, text)
    assert expected in said(f"the key: {stretch}\nand more", sizes)
    assert expected in said(f"the key: {stretch}", sizes)


@pytest.mark.parametrize(
    "stretch", ["internationalization", "deadbeefdeadbeef", "0123456789abcdef", "--------", "AAAAAAAAAAAA"]
)
def test_bytes_are_no_text(stretch: str) -> None:
    assert list(decoded(stretch)) == []


def test_what_may_go_on_is_open() -> None:
    stretches = Stretches()
    assert list(stretches.take("key: " + BASE64[:9])) == []
    assert stretches.open == 5
    assert list(stretches.take(BASE64[9:])) == []
    assert stretches.open == 5
    assert [each.text for each in stretches.take(" then")] == ["a hidden word"]
    assert stretches.open == 5 + len(BASE64) + 1


def test_a_stretch_goes_on_after_settling() -> None:
    stretches = Stretches()
    assert list(stretches.take(BASE64[:8])) == []
    assert [each.text for each in stretches.settle()] == ["a hidd"]
    assert list(stretches.take(BASE64[8:])) == []
    assert [each.text for each in stretches.settle()] == ["a hidden word"]


def test_a_long_stretch_is_read_in_parts_whatever_the_chunks() -> None:
    words = random.Random(1).choices(["hidden ", "word ", "open "], k=10_000)
    text = base64.b64encode("".join(words).encode()).decode()
    assert len(text) > LONGEST_STRETCH
    found = said(text, [16])
    assert found == said(text, [len(text)]) == said(text, [1_000, 77])
    assert [each.end - each.start for each in found] == [LONGEST_STRETCH, len(text) - LONGEST_STRETCH]
