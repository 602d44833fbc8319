"""A growing text seen through a bounded tail, in steps at absolute offsets.

    fed      |------------------------------------------|..|
                      start                          end  fed
    text              |===============================|        the last `keep` code points, at least
    waiting                                           |..|     shorter than a step

Whoever decides only while iterating over `grow` decides at multiples of `step`, whatever the chunks were.
"""

from __future__ import annotations

from collections.abc import Iterator


class GridTail:
    """The last `keep` code points of a text, advanced `step` code points at a time.

    Holds at most `keep + keep // 4 + step` code points, so that old text is let go in few large pieces.
    """

    __slots__ = ("_limit", "_waiting", "_waiting_length", "end", "keep", "start", "step", "text")

    def __init__(self, *, step: int, keep: int) -> None:
        self.step = step
        self.keep = keep
        self.text = ""
        self.start = 0
        """Absolute offset of `text[0]`."""
        self.end = 0
        """Absolute offset of the end of `text`: always a multiple of `step`."""
        self._waiting: list[str] = []
        self._waiting_length = 0
        self._limit = keep + keep // 4 + step

    @property
    def fed(self) -> int:
        """Code points fed so far, the waiting ones included."""
        return self.end + self._waiting_length

    def grow(self, delta: str) -> Iterator[int]:
        """Take `delta`; stop at each multiple of `step` it reaches, with `text` ending there, and yield that offset."""
        self._waiting.append(delta)
        self._waiting_length += len(delta)
        return iter(()) if self._waiting_length < self.step else self._advance()

    def _advance(self) -> Iterator[int]:
        arrived = "".join(self._waiting)
        self._waiting.clear()
        whole = len(arrived) - len(arrived) % self.step
        self._waiting.append(arrived[whole:])
        self._waiting_length = len(arrived) - whole
        fed = self.end + len(arrived)
        for at in range(0, whole, self.step):
            self.text += arrived[at : at + self.step]
            self.end += self.step
            if len(self.text) > self._limit:
                self.text = self.text[-self.keep :]
                self.start = self.end - self.keep
            # What has not been reached yet counts as waiting.
            self._waiting_length = fed - self.end
            yield self.end
