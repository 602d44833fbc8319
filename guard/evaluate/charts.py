"""Two charts as SVG, drawn with classes only, so that the page's style sheet colours them for light and dark."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from guard.evaluate.statistics import Point, quantile

WIDTH: Final = 420
HEIGHT: Final = 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 22, 14, 40
_ZERO: Final = 36
"""Width of the part of a logarithmic axis that stands for 0."""
_BINS: Final = 24


def curve_chart(points: Sequence[Point], clean: int, bars: Sequence[float]) -> str:
    """Recall against the share of `clean` records that are stopped, on a logarithmic axis, as the threshold falls.

    A dot marks each threshold of `bars`. Empty where there is nothing to draw.
    """
    if not points or not clean:
        return ""
    decades = max(1, math.ceil(math.log10(clean)))
    width = WIDTH - _LEFT - _RIGHT - _ZERO

    def across(far: float) -> float:
        return _LEFT if far <= 0 else _LEFT + _ZERO + width * max(0.0, 1 + math.log10(far) / decades)

    ticks = [(across(10.0**-power), _percent(10.0**-power)) for power in range(decades + 1)]
    drawn = [*_frame([(_LEFT, "0"), *ticks], "clean responses stopped")]
    corners = [f"{_LEFT},{_up(0):.1f}"]
    last = 0.0
    for point in points:  # a step: recall is not reached before its false alarms are paid
        corners += [f"{across(point.far):.1f},{_up(last):.1f}", f"{across(point.far):.1f},{_up(point.recall):.1f}"]
        last = point.recall
    drawn.append(f'<polyline class="line" points="{" ".join(corners)}"/>')
    for bar in bars:
        reached = [point for point in points if point.threshold >= bar]
        if reached:
            point = reached[-1]
            x, y = across(point.far), _up(point.recall)
            told = f"{bar:g} or more: recall {_percent(point.recall)}, {point.alarms} of {clean} clean stopped"
            drawn.append(f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="5"><title>{escape(told)}</title></circle>')
            side = "end" if x > WIDTH * 0.75 else "start"
            shift = -9 if side == "end" else 9
            drawn.append(_text(x + shift, y + 15, f"{bar:g}: {_percent(point.recall)}", "note", side))
    return _svg("Operating curve: recall against clean responses stopped", drawn)


def delay_chart(delays: Sequence[float]) -> str:
    """How many code points after the onset alarms come; those before it are one bar on the left, long ones the last."""
    late = [delay for delay in delays if delay >= 0]
    if not late:
        return ""
    early = len(delays) - len(late)
    top = _round_up(max(quantile(late, 0.95) or 0.0, 1.0))
    counts = [0] * _BINS
    for delay in late:
        counts[min(int(delay / top * _BINS), _BINS - 1)] += 1
    highest = max([*counts, early])
    width = WIDTH - _LEFT - _RIGHT - _ZERO
    ticks = [(_LEFT + _ZERO + width * part / 4, f"{top * part / 4:,.0f}") for part in range(5)]
    vertical = sorted({0, highest // 2, highest})
    drawn = [*_frame(ticks, "characters after the onset", [(each / highest, str(each)) for each in vertical])]
    bar = width / _BINS
    columns: list[tuple[float, float, int, str, str]] = []
    if early:
        columns.append((_LEFT + 3, _ZERO - 14, early, "early", f"{early} before the onset"))
    for index, count in enumerate(counts):
        low, high = top * index / _BINS, top * (index + 1) / _BINS
        told = f"{count} from {low:,.0f} to {high:,.0f}" if index < _BINS - 1 else f"{count} from {low:,.0f} on"
        columns.append((_LEFT + _ZERO + bar * index + 1, bar - 2, count, "bar", told))
    for x, wide, count, kind, told in columns:
        y = _up(count / highest)
        drawn.append(
            f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{wide:.1f}" height="{_up(0) - y:.1f}">'
            f"<title>{escape(told)}</title></rect>"
        )
    if early:
        drawn.append(_text(_LEFT + 3 + (_ZERO - 14) / 2, HEIGHT - _BOTTOM + 15, "early", "tick"))
    for line, share in enumerate((0.5, 0.9)):
        value = quantile(late, share) or 0.0
        x = _LEFT + _ZERO + width * min(value / top, 1)
        drawn.append(f'<line class="guide" x1="{x:.1f}" x2="{x:.1f}" y1="{_TOP}" y2="{_up(0):.1f}"/>')
        side = "end" if x > WIDTH * 0.75 else "start"
        drawn.append(
            _text(
                x + (-5 if side == "end" else 5), _TOP + 9 + 15 * line, f"p{share * 100:.0f} {value:,.0f}", "note", side
            )
        )
    return _svg("Delay: characters from the onset to the alarm", drawn)


def _frame(
    across: Iterable[tuple[float, str]],
    title: str,
    up: Iterable[tuple[float, str]] = ((0, "0 %"), (0.25, "25 %"), (0.5, "50 %"), (0.75, "75 %"), (1, "100 %")),
) -> Iterable[str]:
    for share, label in up:
        y = _up(share)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield _text(_LEFT - 6, y + 4, label, "tick", "end")
    for x, label in across:
        yield f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{_up(0):.1f}" y2="{_up(0) + 4:.1f}"/>'
        yield _text(x, HEIGHT - _BOTTOM + 15, label, "tick")
    yield _text((_LEFT + WIDTH - _RIGHT) / 2, HEIGHT - 6, title, "tick")


def _up(share: float) -> float:
    return HEIGHT - _BOTTOM - (HEIGHT - _BOTTOM - _TOP) * share


def _text(x: float, y: float, text: str, kind: str, side: str = "middle") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{side}">{escape(text)}</text>'


def _svg(title: str, drawn: Iterable[str]) -> str:
    inside = "".join(drawn)
    return f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}">{inside}</svg>'


def _percent(share: float) -> str:
    return f"{share * 100:.3g} %"


def _round_up(value: float) -> float:
    """The next 1, 2, 4, 6, 8 times a power of ten: axes in quarters stay whole."""
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 6, 8, 10) if step * power >= value)
