"""A text as its reader sees it: what detectors that match text look at.

    raw      Ｋ i l l <zero width> y ö u r s е l f +               "е" is Cyrillic
    shadow   k i l l               y o u r s e l f                "+" waits: a combining mark may follow
    starts   0 1 2 3               5 6 7 8 9 ...   raw offset where each character comes from
    ends     1 2 3 5               6 7 8 ...       and where its source ends, dropped characters included

NFKD; marks, format characters (zero-width, bidi, tags, variation selectors) and controls dropped; look-alikes and blank
letters mapped (`detectors._confusables`); digits of other scripts mapped; case folded, unless it matters to who looks;
NFC. A character and what combines with it are one source of at most 33 code points, and are read when the next one
begins: the shadow does not depend on the chunks.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import groupby
from typing import Final, Protocol

from detectors._confusables import BLANK, BLANKS, LATIN

_LONGEST: Final = 32
"""Most combining characters that belong to one; more of them are sources of their own."""
_DROPPED: Final = frozenset({"Mn", "Me", "Cf"})


class View(Protocol):
    """A text that grows at its end and is let go of at its beginning, and where it comes from. Offsets are absolute."""

    text: str

    @property
    def base(self) -> int:
        """Offset, in the view, of `text[0]`."""
        ...

    @property
    def end(self) -> int: ...
    def source(self, start: int, end: int) -> tuple[int, int]:
        """The raw span that became `text[start:end]`, both offsets of the view."""
        ...

    def raw(self, at: int) -> int:
        """The raw offset from which the view at `at` comes, or will come."""
        ...

    def take(self, delta: str) -> None: ...
    def settle(self) -> None:
        """Read what waits."""
        ...

    def forget(self, before: int) -> None: ...


class Raw:
    """The text itself."""

    __slots__ = ("base", "text")

    def __init__(self) -> None:
        self.base = 0
        self.text = ""

    @property
    def end(self) -> int:
        return self.base + len(self.text)

    def source(self, start: int, end: int) -> tuple[int, int]:
        return start, end

    def raw(self, at: int) -> int:
        return at

    def take(self, delta: str) -> None:
        self.text += delta

    def settle(self) -> None:
        return None

    def forget(self, before: int) -> None:
        if before > self.base:
            self.text = self.text[before - self.base :]
            self.base = before


class Shadow:
    """The shadow text. Holds what has not been forgotten and one waiting source.

    `closed` leaves blank letters out; `fold=False` keeps upper and lower case apart.
    """

    __slots__ = ("_closed", "_ends", "_fold", "_read", "_starts", "_waiting", "base", "text")

    def __init__(self, *, closed: bool = False, fold: bool = True) -> None:
        self._closed = closed
        self._fold = fold
        self.base = 0
        self.text = ""
        self._starts: list[int] = []
        self._ends: list[int] = []
        self._read = 0
        """Raw code points read; `_waiting` comes after them."""
        self._waiting = ""

    @property
    def end(self) -> int:
        return self.base + len(self.text)

    def source(self, start: int, end: int) -> tuple[int, int]:
        return self._starts[start - self.base], self._ends[end - 1 - self.base]

    def raw(self, at: int) -> int:
        return self._starts[at - self.base] if at < self.end else self._read

    def take(self, delta: str) -> None:
        if not delta:
            return
        text = self._waiting + delta
        if delta.isascii() and not _CONTROLS.search(text):
            if self._waiting and not self._waiting.isascii():
                self._add(self._waiting)
                text = delta
            self._plain(text[:-1])
            self._waiting = text[-1]
            return
        sources: list[str] = _SOURCE.findall(text)
        self._waiting = sources.pop()
        for ascii_only, run in groupby(sources, str.isascii):
            if ascii_only and not _CONTROLS.search(joined := "".join(run)):
                self._plain(joined)
            else:
                for source in run if not ascii_only else joined:
                    self._add(source)

    def settle(self) -> None:
        waiting, self._waiting = self._waiting, ""
        if waiting:
            self._add(waiting)

    def forget(self, before: int) -> None:
        gone = before - self.base
        if gone > 0:
            self.text = self.text[gone:]
            del self._starts[:gone]
            del self._ends[:gone]
            self.base = before

    def closed(self) -> Shadow:
        """A shadow that goes on from here without the blank letters to come: "z⠀o⠀u⠀n⠀d⠀s" reads "zounds" there."""
        copy = Shadow(closed=True, fold=self._fold)
        copy.base, copy.text, copy._read, copy._waiting = self.base, self.text, self._read, self._waiting
        copy._starts, copy._ends = self._starts[:], self._ends[:]
        return copy

    def _plain(self, text: str) -> None:
        """Printable ASCII: every character is a source of its own."""
        self.text += text.lower() if self._fold else text
        start, self._read = self._read, self._read + len(text)
        self._starts.extend(range(start, self._read))
        self._ends.extend(range(start + 1, self._read + 1))

    def _add(self, source: str) -> None:
        shown = shadow_of(source) if self._fold else cased_shadow_of(source)
        if self._closed:
            shown = shown.replace(BLANK, "")
        start, self._read = self._read, self._read + len(source)
        self.text += shown
        self._starts.extend([start] * len(shown))
        self._ends.extend([self._read] * len(shown))


def shadow(text: str) -> str:
    """The whole shadow of a whole text."""
    view = Shadow()
    view.take(text)
    view.settle()
    return view.text


@lru_cache(8_192)
def shadow_of(source: str) -> str:
    """What one character, with what combines with it, is seen as."""
    return unicodedata.normalize("NFC", "".join(char.casefold() for char in _shown(source)))


@lru_cache(8_192)
def cased_shadow_of(source: str) -> str:
    """The same with upper and lower case kept apart."""
    return unicodedata.normalize("NFC", "".join(_shown(source)))


def _shown(source: str) -> Iterator[str]:
    for char in unicodedata.normalize("NFKD", source):
        if char in BLANKS:
            yield BLANK
        elif (category := unicodedata.category(char)) == "Nd":
            yield str(unicodedata.decimal(char))
        elif category not in _DROPPED and not _CONTROLS.match(char):
            latin = LATIN.get(char, char)
            yield latin.upper() if char.isupper() else latin


def _combining() -> str:
    """A regular expression's class of what belongs to the character before it, conjoining Hangul included."""
    ranges = []
    belongs = (
        code
        for code in range(0x80, sys.maxunicode + 1)
        if unicodedata.category(chr(code)) in _DROPPED or 0x1161 <= code <= 0x11FF or 0xD7B0 <= code <= 0xD7FF
    )
    for _, group in groupby(enumerate(belongs), lambda pair: pair[1] - pair[0]):
        codes = [code for _, code in group]
        ranges.append(f"\\U{codes[0]:08x}-\\U{codes[-1]:08x}")
    return "".join(ranges)


_CONTROLS: Final = re.compile(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]")
_CLASS: Final = _combining()
_SOURCE: Final = re.compile(f"[^{_CLASS}][{_CLASS}]{{0,{_LONGEST}}}|[{_CLASS}]{{1,{_LONGEST + 1}}}", re.DOTALL)
