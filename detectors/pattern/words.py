"""Listed words as expressions.

Words are found as wholes: what stands beside them is no letter or digit of a script that puts spaces between words. A
space in a phrase is any white space, a few characters of it.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple, TypeAlias

from detectors._confusables import BLANK
from detectors._shadow import shadow
from detectors.pattern.regex import Piece, assertion, character, either, escaped, sequence

LONGEST_WORD: Final = 200
"""Code points of a listed word or phrase."""
_ROTATED: Final = 5
"""Shorter words are not looked for in rot13: turned, they are too often words themselves."""
_UNSPACED: Final = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}"
_BESIDE: Final = [character(r"[^\pL\pN_]"), character(f"[{_UNSPACED}]")]
_BEFORE: Final = either([assertion("^"), *_BESIDE])
_AFTER: Final = either([assertion("$"), *_BESIDE])

_Node: TypeAlias = "dict[str, _Node]"


class Words(NamedTuple):
    """Words with the same neighbourhood, as one expression whose first group is the word."""

    piece: Piece
    decoded: str


def words_of(words: Iterable[str], *, see_shadow: bool, whole: bool, ignore_case: bool, rot13: bool) -> Iterator[Words]:
    """Raises `ValueError` for a word that is too long or of which nothing is left in the shadow."""
    sides: dict[tuple[bool, bool, str], dict[str, None]] = {}
    for word in words:
        seen = " ".join((shadow(word) if see_shadow else word).replace(BLANK, "").split())
        if not seen:
            raise ValueError(f"the word {word!r} is empty, or nothing of it can be seen; remove it")
        if len(seen) > LONGEST_WORD:
            raise ValueError(f"the word {word[:40]!r}... is longer than {LONGEST_WORD} characters; write a pattern")
        sides.setdefault((whole and _spaced(seen[0]), whole and _spaced(seen[-1]), ""), {})[seen] = None
        if rot13 and see_shadow and seen.isascii() and sum(map(str.isalpha, seen)) >= _ROTATED:
            turned = codecs.encode(seen, "rot13")
            sides.setdefault((whole, whole, "rot13"), {})[turned] = None
    for (left, right, decoded), some in sides.items():
        inner = _trie(some, see_shadow)
        if ignore_case and not see_shadow:
            inner = inner._replace(full=f"(?i:{inner.full})", opening=f"(?i:{inner.opening})")
        group = inner._replace(full=f"({inner.full})")
        yield Words(sequence([*([_BEFORE] if left else []), group, *([_AFTER] if right else [])]), decoded)


def _trie(words: Iterable[str], see_shadow: bool) -> Piece:
    """One expression for all words. Beginnings are shared: thousands of words make one automaton of bearable size."""
    space = rf"[\s{BLANK}]{{1,4}}" if see_shadow else r"\s{1,4}"
    root: _Node = {}
    for word in words:
        node = root
        for char in word:
            node = node.setdefault(space if char == " " else escaped(char), {})
        node[""] = {}
    full, opening = _written(root)
    lengths = [(len(word), len(word) + 3 * word.count(" ")) for word in words]
    return Piece(full, opening, min(short for short, _ in lengths), max(long for _, long in lengths))


def _written(node: _Node) -> tuple[str, str]:
    """What may follow from here on, and the proper beginnings of it."""
    full: list[str] = []
    opening: list[str] = []
    for char, child in node.items():
        if char:
            rest, begun = _written(child)
            full.append(char + rest)
            opening.append(char + begun)
    if not full:
        return "", ""
    # A word that ends here makes the rest optional. A beginning may end anywhere.
    return f"(?:{'|'.join(full)}){'?' if '' in node else ''}", f"(?:{'|'.join(opening)})?"


def _spaced(char: str) -> bool:
    """Is it a letter or digit of a script that puts spaces between words?"""
    return (char.isalnum() or char == "_") and not _unspaced(ord(char))


def _unspaced(code: int) -> bool:
    return (
        0x0E00 <= code <= 0x0EFF
        or 0x1000 <= code <= 0x109F
        or 0x1100 <= code <= 0x11FF
        or 0x1780 <= code <= 0x17FF
        or 0x2E80 <= code <= 0xD7FF
        or 0xF900 <= code <= 0xFAFF
        or 0xFF66 <= code <= 0xFFDC
        or 0x20000 <= code <= 0x3FFFF
    )
