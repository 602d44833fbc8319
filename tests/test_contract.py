"""The contract's own code: token estimates, defaults, and what is immutable."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import (
    ERROR_LABEL,
    STOP,
    WARN,
    Channel,
    Context,
    DetectorError,
    Finding,
    Lane,
    Report,
    Scanner,
    Span,
    Stability,
    estimate_tokens,
)
from tests.support.engine import Custom, Words


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0.0),
        ("a" * 40, 10.0),
        ("é" * 25, 10.0),
        ("中" * 10, 6.0),
        ("かな한글", 2.8),
        ("中文abc1", 1.2 + 0.75 + 1),
        ("\u2e7f", 0.4),
        ("\u2e80", 0.6),
    ],
)
def test_tokens_are_estimated_by_script(text: str, tokens: float) -> None:
    assert estimate_tokens(text) == pytest.approx(tokens)


@given(st.text(max_size=200), st.integers(0, 200))
def test_the_estimate_may_be_summed_over_any_cut(text: str, cut: int) -> None:
    parts = estimate_tokens(text[:cut]) + estimate_tokens(text[cut:])
    assert math.isclose(parts, estimate_tokens(text), abs_tol=1e-9)


def test_the_words_that_files_and_metrics_use_are_fixed() -> None:
    assert list(Channel) == ["prompt", "reasoning", "content", "tool"]
    assert list(Stability) == ["sandbox", "incubating", "stable"]
    assert (WARN, STOP, ERROR_LABEL) == (0.5, 0.9, "error")


def test_defaults_say_nothing() -> None:
    finding = Finding("loop", "exact", 0.5, Span(0, 4))
    assert (finding.evidence, dict(finding.detail)) == (None, {})
    assert Report(3) == (3, (), {})
    assert Lane(0, Channel.CONTENT).tool == -1
    context = Context()
    assert (context.prompt, context.model, context.max_tokens, context.spent(0)) == ("", "", None, 0)


@pytest.mark.parametrize("value", [Finding("loop", "exact", 0.5, Span(0, 4)), Context()])
def test_what_is_shared_cannot_be_changed(value: Any) -> None:
    field = dataclasses.fields(value)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(value, field, "other")
    with pytest.raises(TypeError):
        Finding("loop", "exact", 0.5, Span(0, 4)).detail["period"] = 3  # type: ignore[index]
    with pytest.raises(TypeError):
        Report(0).counters["judged"] = 1  # type: ignore[index]


def test_a_scanner_is_known_by_its_methods() -> None:
    lane, context = Lane(0, Channel.CONTENT), Context()
    assert isinstance(Words("w", ["x"]).open(lane, context), Scanner)
    assert isinstance(Custom(peaks=dict).open(lane, context), Scanner)
    assert not isinstance(object(), Scanner)


def test_a_detector_error_is_an_error_like_others() -> None:
    assert issubclass(DetectorError, Exception)
