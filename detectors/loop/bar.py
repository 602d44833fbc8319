"""How much repetition is a loop: the bar a run has to pass, by the length and the nature of what repeats.

A short period needs many copies (an ellipsis, a rule under a title), a long one few: a page may be written out twice,
but nobody who has done so begins it a third time. What legitimately repeats has a higher bar: digits (1/3, matrices),
rules and table frames, tables, code, and structure that the prompt itself repeats. The figures were chosen on real
transcripts of reasoning models.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from detectors.loop.exact import Run


class Bar(NamedTuple):
    """A run passes with at least `copies` copies (the first included) and `covered` code points after the first."""

    copies: float
    covered: float

    def progress(self, run: Run) -> float:
        """How far `run` has come: 1.0 and more is a loop."""
        return min(run.length / self.covered, (run.copies - 1) / (self.copies - 1))

    def raised(self, copies: float, covered: float) -> Bar:
        """The same bar with more copies after the first, and more covered, by these factors."""
        return Bar(1 + (self.copies - 1) * copies, self.covered * covered)

    def at_least(self, copies: float, covered: float) -> Bar:
        return Bar(max(self.copies, copies), max(self.covered, covered))


_TIERS: Final = (
    # period up to, copies, covered
    (2, Bar(60, 120)),
    (8, Bar(20, 120)),
    (32, Bar(8, 160)),
    (128, Bar(5, 256)),
    (512, Bar(3, 512)),
    (2_048, Bar(2.25, 1_100)),
)
_LONGEST: Final = Bar(2.06, 2_300)
_BLANK: Final = Bar(2, 400)
_IN_CODE: Final = Bar(8, 2_000)
_WRAP: Final = 24
"""How much of the next copy must stand in the prompt too, for the prompt to be what is being repeated."""
MARGIN: Final = 1.25
"""Copies that are allowed for each that the prompt may ask for."""
_ASKED_FOR: Final = 128
"""Longest passage of which the prompt may ask for a number of copies, in code points."""
_FEWEST: Final = 4
_SAMPLE: Final = 2_000


def base_bar(period: int) -> Bar:
    """The bar for ordinary prose."""
    for longest, bar in _TIERS:
        if period <= longest:
            return bar
    return _LONGEST


def bar_for(tail: str, period: int, *, in_code: bool, prompt: str, asked: int = 0) -> Bar:
    """The bar for a text that ends in `tail`, whose last `period` code points repeat.

    `prompt` is the prompt without its white space; `asked` is how many copies it may ask for of what stands in it.
    """
    bar = base_bar(period)
    block = tail[-min(period, _SAMPLE) :]
    if not block.strip():
        return _BLANK
    words = sum(char.isalnum() or char >= "\u2e80" for char in block)
    if any(char.isdigit() for char in block) and not any(char.isalpha() for char in block):
        bar = bar.raised(4, 4)
    elif words < 0.3 * len(block):
        bar = bar.raised(2, 4)
    elif block.count("|") * 12 >= len(block):
        bar = bar.raised(2, 2)
    if in_code:
        bar = bar.at_least(*_IN_CODE)
    if prompt and (told := _copies_in(prompt, tail, period)):
        bar = bar.raised(1 + 4 * told, 1)
    if asked > bar.copies and period <= _ASKED_FOR and _stands_in(prompt, block):
        bar = bar.at_least(MARGIN * asked, 0)
    return bar


def _stands_in(prompt: str, block: str) -> bool:
    """Whether the prompt holds what is repeated, wherever a copy is said to begin."""
    spelled = "".join(block.split())
    return len(spelled) >= _FEWEST and any(spelled[at:] + spelled[:at] in prompt for at in range(len(spelled)))


def _copies_in(prompt: str, tail: str, period: int) -> int:
    """How often the prompt holds the repeated block, if the prompt repeats it too."""
    if "".join(tail[-period - _WRAP :].split()) not in prompt:
        return 0
    return prompt.count("".join(tail[-period:].split()))
