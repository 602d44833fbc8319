"""Self-prompting: the model has answered, and goes on to write the next question itself, and its answer, and so on.

A prompt that is made of parts with headers at the start of a line (`[STATEMENT]`, `Question:`, `### Problem`, `User:`)
ends where the answer belongs. A response that starts such a part again and again continues the prompt instead of
answering it. The header under which the answer is to stand (the prompt ends with it) is the model's to write, and each
line of the prompt may be quoted once: who answers four questions may repeat them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from detectors.loop.level import level

_NAMES: Final = "Question|Problem|User|Human|Input|Q|Instruction|Statement"
_HEADER: Final = re.compile(
    rf"^[ \t]*(\[[A-Z][A-Z _]{{2,30}}\]|(?:#+[ \t]*|\*\*)?(?:{_NAMES})[ \t]*\d*[ \t]*:|#+[ \t]*(?:{_NAMES})[ \t]*\d*)",
    re.MULTILINE,
)
_DIGITS: Final = re.compile(r"\d+")
_LONGEST: Final = 400
"""Code points of a line that begins with a header, as far as it is read."""
_SPACE: Final = r"[ \t]*"


@dataclass(frozen=True, slots=True)
class PromptHeaders:
    """The headers of a prompt."""

    finds: re.Pattern[str]
    """Finds their lines. The first group is the header."""
    lines: Mapping[str, int]
    """Their lines in the prompt, and how often each stands there."""


def headers_of(prompt: str) -> PromptHeaders | None:
    """The headers of `prompt`; `None` if it has none."""
    found = list(_HEADER.finditer(prompt))
    names = {_name(match.group(1)) for match in found}
    if found and found[-1].end() == len(prompt.rstrip()):
        names.discard(_name(found[-1].group(1)))
    if not names:
        return None
    spelled = (re.escape(name).replace(r"\ ", _SPACE).replace(":", rf"{_SPACE}\d*{_SPACE}:") for name in sorted(names))
    finds = re.compile(rf"^{_SPACE}({'|'.join(spelled)})(.{{0,{_LONGEST}}})\n", re.MULTILINE)
    lines: dict[str, int] = {}
    for match in finds.finditer(prompt + "\n"):
        if match.group(2).strip():
            line = match.group().strip()
            lines[line] = lines.get(line, 0) + 1
    return PromptHeaders(finds, lines)


def _name(header: str) -> str:
    return " ".join(_DIGITS.sub("", header).split()).replace(" :", ":")


class Headers:
    """Counts the prompt's headers in a growing text, each by itself."""

    __slots__ = ("_headers", "_quotes", "_restarts", "_seen", "_times", "most", "since")

    def __init__(self, headers: PromptHeaders | None, restarts: int) -> None:
        self._headers = headers
        self._quotes = dict(headers.lines) if headers else {}
        self._restarts = restarts
        self._times: dict[str, int] = {}
        self._seen = 0
        self.most = 0
        self.since = 0
        """Where the first header stands that the response took up again, in code points."""

    def look(self, text: str, end: int) -> None:
        """Take notice of the headers in `text`, which ends at absolute offset `end`, that were not seen before."""
        if self._headers is None:
            return
        start = end - len(text)
        for match in self._headers.finds.finditer(text, max(0, self._seen - start)):
            self._seen = start + match.end() - 1
            line = match.group().strip()
            if self._quotes.get(line, 0) > 0:
                self._quotes[line] -= 1
                continue
            name = _name(match.group(1))
            times = self._times[name] = self._times.get(name, 0) + 1
            if times > self.most:
                self.most = times
                if times == 1:
                    self.since = start + match.start()
        self._seen = max(self._seen, end - _LONGEST)

    def restart(self) -> None:
        """Count from here."""
        self._times.clear()
        self.most = 0

    def level(self) -> float:
        stop = self._restarts
        return level(self.most / (stop - 1), self.most / stop) if stop > 1 else 0.0
