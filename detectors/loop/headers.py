"""Self-prompting: the model has answered, and goes on to write the next question itself, and its answer, and so on.

A prompt that is made of parts with headers at the start of a line (`[STATEMENT]`, `Question:`, `User:`) ends where the
answer belongs. A response that starts such a part again and again continues the prompt instead of answering it. The
header under which the answer is to stand (the prompt ends with it) is the model's to write.
"""

from __future__ import annotations

import re
from typing import Final

from detectors.loop.level import level

_HEADER: Final = re.compile(
    r"^[ \t]*(\[[A-Z][A-Z _]{2,30}\]|(?:Question|Problem|User|Human|Input|Q|Instruction|Statement)[ \t]*\d*[ \t]*:)",
    re.MULTILINE,
)
_DIGITS: Final = re.compile(r"\d+")
LONGEST: Final = 64
"""Code points of a header, with what stands before it on its line."""


def headers_of(prompt: str) -> re.Pattern[str] | None:
    """What finds the prompt's headers at the start of a line; `None` if it has none."""
    found = [_name(match.group(1)) for match in _HEADER.finditer(prompt)]
    names = set(found)
    if found and prompt.rstrip().endswith(found[-1]):
        names.discard(found[-1])
    if not names:
        return None
    # A number stands before the colon: `Question 3:`.
    spelled = (re.escape(name).replace(":", r"[ \t]*\d*[ \t]*:") for name in sorted(names))
    return re.compile(rf"^[ \t]*({'|'.join(spelled)})", re.MULTILINE)


def _name(header: str) -> str:
    return _DIGITS.sub("", header).replace(" :", ":").strip()


class Headers:
    """Counts the prompt's headers in a growing text, each by itself."""

    __slots__ = ("_finds", "_restarts", "_seen", "_times", "most", "since")

    def __init__(self, finds: re.Pattern[str] | None, restarts: int) -> None:
        self._finds = finds
        self._restarts = restarts
        self._times: dict[str, int] = {}
        self._seen = 0
        self.most = 0
        self.since = 0
        """Where the first header stands that the response took up again, in code points."""

    def look(self, text: str, end: int) -> None:
        """Take notice of the headers in `text`, which ends at absolute offset `end`, that were not seen before."""
        if self._finds is None:
            return
        start = end - len(text)
        for match in self._finds.finditer(text, max(0, self._seen - start)):
            name = _name(match.group(1))
            self._times[name] = self._times.get(name, 0) + 1
            if self._times[name] > self.most:
                self.most = self._times[name]
                if self.most == 1:
                    self.since = start + match.start()
            self._seen = start + match.end()
        self._seen = max(self._seen, end - LONGEST)

    def restart(self) -> None:
        """Count from here."""
        self._times.clear()
        self.most = 0

    def level(self) -> float:
        stop = self._restarts
        return level(self.most / (stop - 1), self.most / stop) if stop > 1 else 0.0
