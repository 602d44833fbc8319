"""A growing text cut at absolute offsets, and seen through a bounded tail.

    fed      |------------------------------------------|..|
                      start                          end  fed
    text              |===============================|        the last `keep` code points, at least
    waiting                                           |..|     shorter than a step

Whoever decides only at the cuts decides at multiples of `step`, whatever the chunks were.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Grid:
    """Cuts a growing text at absolute multiples of `step` code points."""

    __slots__ = ("_waiting", "_waiting_length", "end", "step")

    def __init__(self, step: int, start: int = 0) -> None:
        self.step = step
        self.end = start
        """Absolute offset of the last cut."""
        self._waiting: list[str] = []
        self._waiting_length = 0

    @property
    def fed(self) -> int:
        """Code points fed so far, the waiting ones included."""
        return self.end + self._waiting_length

    def cut(self, delta: str) -> Sequence[str]:
        """The pieces that `delta` completes; each ends at a multiple of `step`."""
        step = self.step
        if not self._waiting_length and len(delta) == step and not self.end % step:
            self.end += step
            return (delta,)
        self._waiting.append(delta)
        self._waiting_length += len(delta)
        first = step - self.end % step
        if self._waiting_length < first:
            return ()
        text = "".join(self._waiting)
        whole = first + (len(text) - first) // step * step
        self._waiting = [text[whole:]]
        self._waiting_length = len(text) - whole
        self.end += whole
        return [text[:first], *(text[at : at + step] for at in range(first, whole, step))]

    def rest(self) -> str:
        """The piece that waits, shorter than a step. The next cut is still at a multiple of `step`."""
        rest = "".join(self._waiting)
        self._waiting.clear()
        self._waiting_length = 0
        self.end += len(rest)
        return rest


class GridTail:
    """The last `keep` code points of a text, advanced `step` code points at a time.

    Holds at most `keep + keep // 32 + step` code points, so that old text is let go in few large pieces.
    """

    __slots__ = ("_grid", "_limit", "end", "keep", "start", "text")

    def __init__(self, *, step: int, keep: int) -> None:
        self.keep = keep
        self.text = ""
        self.start = 0
        """Absolute offset of `text[0]`."""
        self.end = 0
        """Absolute offset of the end of `text`: always a multiple of `step`."""
        self._grid = Grid(step)
        self._limit = keep + keep // 32 + step

    @property
    def fed(self) -> int:
        """Code points fed so far, those past `end` included."""
        return self._grid.fed

    def grow(self, delta: str) -> Iterator[int]:
        """Take `delta`; stop at each multiple of `step` it reaches, with `text` ending there, and yield that offset.

        To be iterated to its end.
        """
        pieces = self._grid.cut(delta)
        return self._advance(pieces) if pieces else iter(())

    def _advance(self, pieces: Sequence[str]) -> Iterator[int]:
        for piece in pieces:
            self.text += piece
            self.end += len(piece)
            if len(self.text) > self._limit:
                self.text = self.text[-self.keep :]
                self.start = self.end - self.keep
            yield self.end
