from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.text import PROSE
from detectors.harm.seen import seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ""),
        ("Kill “it”, he said — now… 100% ✓ 因此。", "Kill “it”, he said — now… 100% ✓ 因此。"),
        ("k\u200bi\u200bl\u200bl", "kill"),
        ("\x00ki\x08ll", "kill"),
        ("Ｋіll", "kill"),
        ("k\u0336i\u0336l\u0336l\u0336", "kill"),
        ("très âgé", "tres age"),
        ("k i l l   i t   n o w", "kill   it   now"),
        ("it's a C function of x y", "it's a C function of x y"),
        ("h0w 70 m4k3 4 b0mb f0r h1m", "how 70 make 4 bomb for him"),
        ("k.i.l.l", "kill"),
        ("k\u2800i\u2800l\u2800l", "kill"),
        ("a b c", "a b c"),
        ("x - y - z - w", "x - y - z - w"),
        ("k1ll y0urself", "kill yourself"),
        ("sha256 r2d2 h2o 3D 0x4f1 v1.2", "sha256 r2d2 h2o 3D 0x4f1 v1.2"),
    ],
)
def test_seen(text: str, expected: str) -> None:
    assert seen(text) == expected


def test_plain_text_is_left_alone() -> None:
    assert seen(PROSE) == PROSE


@given(st.text(max_size=60))
def test_what_is_bounded_stays_bounded(text: str) -> None:
    assert len(seen(text)) <= 18 * len(text)
