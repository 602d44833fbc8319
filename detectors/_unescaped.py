"""A growing JSON text with the escapes of its strings undone, and where each character comes from.

    raw    "caf\\u00e9\\n a\\"         an escape that is not whole waits
    said   "caf é  \\n  a

Detectors that match text look at tool calls' arguments like this: \\u0061 is an a there, and a mask never takes half of
an escape. What is no escape stands for itself, so a text need not be JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from guard.contract import Channel, Finding, Lane, Report, Scanner, Span

_ESCAPE: Final = re.compile(r'\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])')
_ESCAPES: Final = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_OPEN: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?")


class Unescaped:
    """Text with JSON's escapes undone, and where each character comes from."""

    __slots__ = ("_base", "_read", "_starts", "_waiting")

    def __init__(self) -> None:
        self._base = 0
        self._starts: list[int] = []
        self._read = 0
        """Code points read; `_waiting` comes after them."""
        self._waiting = ""

    def start(self, at: int) -> int:
        """Where the character at `at` begins in the text; the end of what was read if there is none."""
        at -= self._base
        return self._starts[at] if at < len(self._starts) else self._read

    def end(self, at: int) -> int:
        """Where the character before `at` ends."""
        return self.start(at)

    def take(self, delta: str) -> str:
        text = self._waiting + delta
        # An escape that is not whole waits: a backslash that is not itself escaped, and at most five more characters.
        done = len(text)
        at = text.rfind("\\", max(len(text) - 6, 0))
        if at >= 0:
            first = at
            while first > 0 and text[first - 1] == "\\":
                first -= 1
            begins = (at - first) % 2 == 0
            if begins and not _ESCAPE.match(text, at) and _OPEN.fullmatch(text, at):
                done = at
        self._waiting = text[done:]
        return self._undo(text[:done])

    def settle(self) -> str:
        waiting, self._waiting = self._waiting, ""
        return self._undo(waiting)

    def forget(self, before: int) -> None:
        gone = before - self._base
        if gone > 0:
            del self._starts[:gone]
            self._base = before

    def _undo(self, text: str) -> str:
        out: list[str] = []
        at = 0
        for escape in _ESCAPE.finditer(text):
            out.append(text[at : escape.start()])
            self._plain(escape.start() - at)
            said = escape.group()[1:]
            out.append(chr(int(said[1:], 16)) if len(said) == 5 else _ESCAPES.get(said, said))
            self._starts.append(self._read)
            self._read += len(escape.group())
            at = escape.end()
        out.append(text[at:])
        self._plain(len(text) - at)
        return "".join(out)

    def _plain(self, length: int) -> None:
        self._starts.extend(range(self._read, self._read + length))
        self._read += length


def for_lane(lane: Lane, history: str, make: Callable[[str], Scanner]) -> Scanner:
    """The scanner that `make` makes of a history; on a tool call's lane it is shown what the arguments say."""
    return ToolScanner(history, make) if lane.channel is Channel.TOOL else make(history)


class ToolScanner:
    """A scanner of what a tool call says, for a tool call as it stands. Offsets are led back."""

    __slots__ = ("_inner", "_text")

    def __init__(self, history: str, make: Callable[[str], Scanner]) -> None:
        self._text = Unescaped()
        said = self._text.take(history) + self._text.settle()
        self._inner = make(said)

    def feed(self, delta: str) -> Report:
        return self._told(self._inner.feed(self._text.take(delta)))

    def settle(self) -> Report:
        waiting = self._text.settle()
        before = self._inner.feed(waiting).findings if waiting else ()
        report = self._inner.settle()
        return self._told(report._replace(findings=[*before, *report.findings]))

    def peaks(self) -> Mapping[str, float]:
        tell = getattr(self._inner, "peaks", None)
        return {} if tell is None else tell()

    def _told(self, report: Report) -> Report:
        settled = self._text.start(report.settled)
        findings = [self._there(finding) for finding in report.findings]
        self._text.forget(report.settled - _KEPT)
        return report._replace(settled=settled, findings=findings)

    def _there(self, finding: Finding) -> Finding:
        evidence = finding.evidence and self._span(finding.evidence)
        return replace(finding, span=self._span(finding.span), evidence=evidence)

    def _span(self, span: Span) -> Span:
        return Span(self._text.start(span.start), self._text.end(span.end))


_KEPT: Final = 8_192
"""Characters before what is settled whose places are kept: evidence may lie there."""
