"""The prose of a Markdown text: what is left without code, mathematics, addresses and tags.

    raw     Let `x` be (as in French) 3. \\[ a^2 \\] So the ans|
    pieces  |--|  |---| |.........| |--|          |--------|     dotted: weighs 0.25
                                                             ^held: "ans" may go on

Dropped: ``` fences, `code`, $..$, $$..$$, \\(..\\), \\[..\\], \\begin..\\end, \\command{..}, URLs, mail addresses,
tags. Quotations and parentheses weigh less: what stands there is often about a language rather than in it.

An opener that is never closed recovers: one that belongs to a line at the line's end or after its limit below, one of
displayed mathematics at the next empty line or after 2,000 code points. Only a fence stays open, as in Markdown.

Pieces never cut a word. Which pieces come out of one `feed` depends on the chunks: feed on a grid (`detectors._grid`)
where they must not.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

QUOTED: Final = 0.25
"""Weight of quotations and parentheses."""
_HELD: Final = 320
"""Longest stretch that waits for its closer, in code points; no construct below is longer."""
_DISPLAYED: Final = 2_000
_BEFORE: Final = 32


class Piece(NamedTuple):
    """Prose that stands at `start` (absolute, raw) code point by code point."""

    text: str
    start: int
    weight: float = 1.0


_SUSPICIOUS: Final = re.compile(r"[`$\\\"“«「『<(（@]|://|www\.")
_WORD_END: Final = re.compile(r"[\w'’.@:/+-]{1,64}\Z")
_WIDE_END: Final = re.compile(r".*[\u2e80-\uffef]", re.DOTALL)

_OPENER: Final = re.compile(
    r"(?P<partial>`{1,2}\Z|\$\Z|</?\Z|\\\Z)|(?P<fence>```+)|(?P<code>`)|(?P<display>\$\$|\\\[|\\\(|\\begin\{)|(?P<money>\$\d[\d,.]*(?=[\s;)]))|(?P<math>\$)"
    r"|(?P<command>\\[A-Za-z]+)|(?P<url>https?://|www\.)|(?P<mail>[\w.+-]{1,64}@)|(?P<tag></?[A-Za-z])"
    r"|(?P<quote>[\"“«「『])|(?P<aside>[(（])"
)
_WHOLE: Final = {
    "code": re.compile(r"`[^`\n]{0,200}`"),
    "math": re.compile(r"\$(?:[^\s$](?:[^$\n]{0,298}[^\s$])?| [^$\n]{1,298} )\$(?!\d)"),
    "url": re.compile(r"(?:https?://|www\.)[^\s<>()\"'，。）]+"),
    "mail": re.compile(r"[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+"),
    "tag": re.compile(r"</?[A-Za-z][^<>\n]{0,80}>"),
    "quote": re.compile(r"\"[^\"\n]{1,160}\"|“[^”\n]{1,160}”|«[^»\n]{1,160}»|「[^」\n]{1,160}」|『[^』\n]{1,160}』"),
    "aside": re.compile(r"[(（][^()（）\n]{1,80}[)）]"),
}
_LIMIT: Final = {"code": 202, "math": 302, "url": _HELD, "mail": 128, "tag": 84, "quote": 162, "aside": 82}
_OPEN_ENDED: Final = frozenset({"url", "mail", "math"})
"""What may prove longer, or something else, by the next character."""
_WEIGHED: Final = frozenset({"quote", "aside"})
_CLOSER: Final = {
    "$$": re.compile(r"\$\$"),
    "\\[": re.compile(r"\\\]"),
    "\\(": re.compile(r"\\\)"),
    "\\begin{": re.compile(r"\\end\{[^{}\n]{0,40}\}"),
}
_FENCE_END: Final = re.compile(r"```+")
_LONGEST_CLOSER: Final = 47


class Prose:
    """Feed it a text; it answers with the prose of it."""

    __slots__ = ("_before", "_buffer", "_closer", "_inside", "held")

    def __init__(self, start: int = 0) -> None:
        self.held = start
        """Absolute offset of the first code point that is neither in a piece yet nor dropped."""
        self._buffer = ""
        self._before = ""
        self._closer: re.Pattern[str] | None = None
        self._inside = 0

    @property
    def waiting(self) -> str:
        """The text from `held` on."""
        return self._buffer

    def feed(self, text: str) -> list[Piece]:
        """The prose that `text` completes."""
        self._buffer += text
        if not self._closer and not _SUSPICIOUS.search(self._buffer):
            return self._plain()
        return self._scan(final=False)

    def finish(self) -> list[Piece]:
        """The prose that waits, as if the text ended here; more may follow."""
        return self._scan(final=True)

    def _plain(self) -> list[Piece]:
        end = _whole_words(self._buffer)
        if not end:
            return []
        piece = Piece(self._buffer[:end], self.held)
        self._consume(end)
        return [piece]

    def _consume(self, count: int) -> None:
        self._before = (self._before + self._buffer[max(0, count - _BEFORE) : count])[-_BEFORE:]
        self._buffer = self._buffer[count:]
        self.held += count

    def _scan(self, *, final: bool) -> list[Piece]:
        pieces: list[Piece] = []
        at = 0  # everything before has been dealt with
        plain = 0  # plain text since here has not been put into a piece
        while True:
            if self._closer:
                at = plain = self._skip(at, final)
                if self._closer:
                    break
            opener = _OPENER.search(self._buffer, at)
            if opener is None:
                at = len(self._buffer) if final else max(at, plain + _whole_words(self._buffer[plain:]))
                break
            at, end = self._construct(opener, final)
            if end < 0:
                break
            if end == at:  # no construct after all: the opener is plain text
                at = opener.end()
                continue
            self._emit(pieces, plain, at)
            if opener.lastgroup in _WEIGHED:
                pieces.append(Piece(self._buffer[at + 1 : end - 1], self.held + at + 1, QUOTED))
            at = plain = end
        self._emit(pieces, plain, at)
        self._consume(at)
        return pieces

    def _emit(self, pieces: list[Piece], start: int, end: int) -> None:
        if end > start:
            pieces.append(Piece(self._buffer[start:end], self.held + start))

    def _construct(self, opener: re.Match[str], final: bool) -> tuple[int, int]:
        """Where the construct begun by `opener` starts and ends; ends -1 if that is still open."""
        kind = opener.lastgroup or ""
        start, end = opener.span()
        match kind:
            case "partial":
                return start, start if final else -1
            case "fence":
                if end == len(self._buffer) and not final:
                    return start, -1
                line = (self._before + self._buffer[:start]).rpartition("\n")[2]
                if line.strip(" \t>-*+.)0123456789"):
                    return start, start
                self._closer, self._inside = _FENCE_END, 0
                return start, end
            case "display":
                self._closer, self._inside = _CLOSER[opener.group()], 0
                return start, end
            case "money":
                return start, start
            case "command":
                return start, self._command(start, end, final)
        return self._line_construct(kind, start, final)

    def _line_construct(self, kind: str, start: int, final: bool) -> tuple[int, int]:
        whole = _WHOLE[kind].match(self._buffer, start)
        if whole and (final or kind not in _OPEN_ENDED or self._buffer[whole.end() :].strip(".")):
            return start, whole.end()
        rest = len(self._buffer) - start
        closed = self._buffer.find("\n", start) >= 0 or (kind == "mail" and self._mail_is_over(start))
        if final or rest > _LIMIT[kind] or closed or (kind == "math" and self._math_failed(start, whole)):
            return start, whole.end() if whole else start
        return start, -1

    def _mail_is_over(self, start: int) -> bool:
        return any(char.isspace() for char in self._buffer[start:])

    def _math_failed(self, start: int, whole: re.Match[str] | None) -> bool:
        """A second `$` has come, and it does not close the first."""
        second = self._buffer.find("$", start + 1)
        return whole is None and 0 <= second < len(self._buffer) - 1

    def _command(self, start: int, end: int, final: bool) -> int:
        """The end of a command that starts at `start` and whose name ends at `end`, arguments included, or -1."""
        buffer = self._buffer
        while end < len(buffer) and buffer[end] == "{":
            close = _closing_brace(buffer, end)
            if close < 0:
                hopeless = final or "\n" in buffer[end:] or len(buffer) - start > _HELD
                return end if hopeless else -1
            end = close
        waits = end == len(buffer) and not final and end - start <= _HELD
        return -1 if waits else end

    def _skip(self, at: int, final: bool) -> int:
        """Leave out text up to the closer; where that ends, or the end of what can be left out by now."""
        assert self._closer is not None
        buffer = self._buffer
        fence = self._closer is _FENCE_END
        close = self._closer.search(buffer, at)
        blank = -1 if fence else buffer.find("\n\n", at, close.start() if close else len(buffer))
        if close and blank < 0 and (final or not fence or close.end() < len(buffer)):
            self._closer = None
            return close.end()
        if blank >= 0:
            self._closer = None
            return blank
        end = len(buffer) if final else max(at, len(buffer) - _LONGEST_CLOSER)
        self._inside += end - at
        if not fence and self._inside > _DISPLAYED:
            self._closer = None
        return end


def _whole_words(text: str) -> int:
    """How much of `text` can be let go without cutting a word that may go on."""
    end = _WORD_END.search(text, max(0, len(text) - 64))
    if end is None:
        return len(text)
    wide = _WIDE_END.match(end.group())
    return end.start() + wide.end() if wide else end.start()


def _closing_brace(text: str, start: int) -> int:
    """The offset behind the brace that closes the one at `start`, on the same line, or -1."""
    depth = 0
    for offset in range(start, min(len(text), start + _HELD)):
        char = text[offset]
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth == 0:
                return offset + 1
        elif char == "\n":
            return -1
    return -1
