"""Regular expressions whose matches are bounded, and what the beginning of a match looks like.

    foo\\b   ->  full    foo\\b
                opening (?:f(?:o(?:o)?)?)?    what stands at the end of a text of which more may make it a match
                longest 3

The opening, searched for at the end of the text so far, gives the start of the earliest match that may still be open:
text before it can be let go. Assertions such as `\\b` and `$` look at the next character, so before them a match is
open too. Patterns are parsed as Python's `re` does and written out for RE2; the syntax is what both understand.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Sequence
from re import _constants, _parser  # type: ignore[attr-defined]  # the only parser there is; private since 3.11
from typing import Any, Final, NamedTuple

from detectors._confusables import BLANK

LONGEST: Final = 4_000
"""Code points of a match. Text is held for an open one, and a hold is limited to as much."""
_REPEATS: Final = 1_000
"""RE2 repeats nothing more often."""
_FLAGS: Final = {re.IGNORECASE: "i", re.MULTILINE: "m", re.DOTALL: "s"}


class Piece(NamedTuple):
    """A part of an expression, for RE2."""

    full: str
    opening: str | None
    """Every proper beginning of a match; None if it has none, "" for the empty one."""
    shortest: int
    longest: int


EMPTY: Final = Piece("", None, 0, 0)


def character(text: str) -> Piece:
    """An expression that matches one code point."""
    return Piece(text, "", 1, 1)


def assertion(text: str) -> Piece:
    """An expression that matches no text, but looks at the next code point."""
    return Piece(text, "", 0, 0)


def sequence(pieces: Sequence[Piece]) -> Piece:
    opening = None
    for piece in reversed(pieces):
        after = None if opening is None else piece.full + opening
        opening = _either([each for each in (piece.opening, after) if each is not None])
    return Piece(
        "".join(piece.full for piece in pieces),
        opening,
        sum(piece.shortest for piece in pieces),
        sum(piece.longest for piece in pieces),
    )


def either(pieces: Sequence[Piece]) -> Piece:
    return Piece(
        f"(?:{'|'.join(piece.full for piece in pieces)})",
        _either([piece.opening for piece in pieces if piece.opening is not None]),
        min(piece.shortest for piece in pieces),
        max(piece.longest for piece in pieces),
    )


def repeat(piece: Piece, least: int, most: int) -> Piece:
    if most == 0:
        return EMPTY
    group = f"(?:{piece.full})"
    opening = piece.opening
    if opening is not None and most > 1:
        opening = f"{group}{{0,{most - 1}}}{opening}"
    return Piece(f"{group}{{{least},{most}}}", opening, piece.shortest * least, piece.longest * most)


def literal(text: str) -> Piece:
    """`text` itself."""
    return sequence([character(escaped(char)) for char in text])


def escaped(char: str) -> str:
    return f"\\x{{{ord(char):x}}}" if not (char.isalnum() and char.isascii()) else char


def bounded(source: str, *, max_length: int | None, shadow: bool) -> Piece:
    """`source` for RE2, no match of it longer than `max_length`.

    Repeats without an upper limit get the highest common one with which the whole stays within `max_length`. For
    `shadow`, spaces match blank letters too. Raises `ValueError` that says what is wrong and what to do.
    """
    try:
        if "{," in source:
            raise ValueError("`{,n}` means different things to different programs; write {0,n}")
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)  # [[:alpha:]] is something else in RE2
            parsed = _parser.parse(source)
    except (re.error, RecursionError, OverflowError, FutureWarning) as error:
        raise ValueError(f"`{source}` cannot be read: {error}") from None
    endless = _endless(parsed)
    if endless and max_length is None:
        raise ValueError(f"`{source}` has no upper limit of length; give max_length, or write {{1,64}} for + and *")
    low, high = 1, min(_REPEATS, max_length or 1)
    piece = _Writer(low, shadow).write(parsed, parsed.state.flags)
    limit = LONGEST if max_length is None else max_length
    if piece.longest > limit:
        raise ValueError(f"`{source}` matches up to {piece.longest} characters, more than {limit}; shorten it")
    while endless and low < high:
        middle = (low + high + 1) // 2
        tried = _Writer(middle, shadow).write(parsed, parsed.state.flags)
        low, high, piece = (middle, high, tried) if tried.longest <= limit else (low, middle - 1, piece)
    if piece.shortest == 0:
        raise ValueError(f"`{source}` matches the empty text, so it would match everywhere")
    return piece


def _either(openings: Sequence[str]) -> str | None:
    if not openings:
        return None
    some = list(dict.fromkeys(each for each in openings if each))
    inner = f"(?:{'|'.join(some)})" if some else ""
    return f"{inner}?" if some and "" in openings else inner


def _endless(parsed: Any) -> bool:
    """Does it hold a repeat without an upper limit?"""
    if isinstance(parsed, _parser.SubPattern | list | tuple):
        if isinstance(parsed, tuple) and len(parsed) == 3 and parsed[1] is _constants.MAXREPEAT:
            return True
        return any(_endless(each) for each in parsed)
    return False


class _Writer:
    """Writes parsed expressions, endless repeats as repeats up to `most` (and `least` if that is more)."""

    def __init__(self, most: int, shadow: bool) -> None:
        self._most = most
        self._shadow = shadow

    def write(self, parsed: Any, flags: int) -> Piece:
        return _with_flags(sequence([self._one(operation, value) for operation, value in parsed]), flags, 0)

    def _one(self, operation: Any, value: Any) -> Piece:
        match str(operation):
            case "LITERAL":
                space = self._shadow and value == 0x20
                return character(f"[ {BLANK}]" if space else escaped(chr(value)))
            case "NOT_LITERAL":
                return character(f"[^{escaped(chr(value))}]")
            case "ANY":
                return character(".")
            case "IN":
                return character(f"[{''.join(self._members(value))}]")
            case "BRANCH":
                return either([self.write(branch, 0) for branch in value[1]])
            case "SUBPATTERN":
                _, added, removed, inner = value
                return _with_flags(self.write(inner, 0), added, removed)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = value
                most = max(self._most, least) if most is _constants.MAXREPEAT else most
                return repeat(self.write(inner, 0), least, most)
            case "AT":
                return assertion(_ASSERTIONS[str(value)])
        told = str(operation).lower().replace("_", " ")
        raise ValueError(f"RE2 has no `{told}` (no references, no look-around); write it without")

    def _members(self, values: Iterable[tuple[Any, Any]]) -> Iterable[str]:
        for operation, value in values:
            match str(operation):
                case "NEGATE":
                    yield "^"
                case "LITERAL":
                    yield escaped(chr(value)) + (BLANK if self._shadow and value == 0x20 else "")
                case "RANGE":
                    yield f"{escaped(chr(value[0]))}-{escaped(chr(value[1]))}"
                case _:
                    blank = BLANK if self._shadow and str(value) == "CATEGORY_SPACE" else ""
                    yield _CATEGORIES[str(value)] + blank


def _with_flags(piece: Piece, added: int, removed: int) -> Piece:
    on = "".join(letter for flag, letter in _FLAGS.items() if added & flag)
    off = "".join(letter for flag, letter in _FLAGS.items() if removed & flag)
    if not on and not off:
        return piece
    before = f"(?{on}-{off}:" if off else f"(?{on}:"
    opening = piece.opening and f"{before}{piece.opening})"
    return piece._replace(full=f"{before}{piece.full})", opening=opening)


_ASSERTIONS: Final = {
    "AT_BEGINNING": "^",
    "AT_BEGINNING_STRING": r"\A",
    "AT_END": "$",
    "AT_END_STRING": r"\z",
    "AT_BOUNDARY": r"\b",
    "AT_NON_BOUNDARY": r"\B",
}
_CATEGORIES: Final = {
    "CATEGORY_DIGIT": r"\d",
    "CATEGORY_NOT_DIGIT": r"\D",
    "CATEGORY_SPACE": r"\s",
    "CATEGORY_NOT_SPACE": r"\S",
    "CATEGORY_WORD": r"\w",
    "CATEGORY_NOT_WORD": r"\W",
}
