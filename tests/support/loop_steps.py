"""Text as the statistics of the loop detector see it: in steps of 64 code points."""

from __future__ import annotations

from collections.abc import Iterator

from detectors._grid import Grid
from detectors.loop.exact import STEP
from detectors.loop.told import Told
from detectors.loop.words import Step, Words


def read(words: Words, text: str, *, protected: bool = False) -> Iterator[Step]:
    """The steps of `text`, one by one: `words` is as far as the step that was taken last. A rest is left out."""
    grid = Grid(STEP)
    end = 0
    for piece in grid.cut(text):
        end += len(piece)
        yield words.read(piece, end, protected=protected)


def words_for(prompt: str = "") -> Words:
    return Words(Told(prompt))
