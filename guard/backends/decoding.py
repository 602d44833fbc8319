"""What only a model in this process can be kept from: writing in some scripts, and going on in a cycle.

Both look at token ids and say which tokens must not come next. Neither needs torch.

    ScriptBan:     bytes of a cut-off character ──► [pending] ──► tokens that would be, or begin, a banned character
    CycleBreaker:  ids so far ──► for each period, how long it has held ──► the token that would go on with it
"""

from __future__ import annotations

import functools
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final, get_args

import re2

from guard.backends.base import Script

MOST_CODE_POINTS: Final = 0x32000
"""Where Unicode 16 ends to assign letters; what is beyond belongs to no script."""
COPIES: Final = 3
"""So many copies in a row are a cycle ..."""
SHORTEST: Final = 32
"""... if they are so many tokens together ..."""
LONGEST_PERIOD: Final = 256
"""... and each has no more than this."""

_CLASSES: Final[Mapping[str, str]] = {"Kana": r"\p{Hiragana}\p{Katakana}"}


class ScriptBan:
    """The tokens that would write a character of `scripts`.

    `tokens` are the vocabulary's bytes by id; None for an id that writes nothing (a special token). Characters may be
    spread over tokens: `written` tells it each token that was chosen, so that it knows what has begun.
    """

    def __init__(self, tokens: Sequence[bytes | None], scripts: Collection[Script]) -> None:
        self._tokens = tokens
        self._points = _code_points(frozenset(scripts))
        self._pending = b""
        self.always = frozenset(
            index for index, token in enumerate(tokens) if token is not None and self._is_banned(token)
        )
        """Those that are banned where no character has begun."""
        self._continuing = tuple(index for index, token in enumerate(tokens) if token and 0x80 <= token[0] < 0xC0)

    def fresh(self) -> ScriptBan:
        """The same ban at the beginning of another text."""
        other = object.__new__(ScriptBan)
        other.__dict__.update(self.__dict__, _pending=b"")
        return other

    def written(self, token: int) -> None:
        """`token` has been chosen."""
        self._pending = _unfinished(self._pending + (self._tokens[token] or b""))

    def now(self) -> Collection[int]:
        """The tokens that must not come next, besides `always`."""
        if not self._pending:
            return ()
        return [index for index in self._continuing if self._is_banned(self._pending + (self._tokens[index] or b""))]

    def _is_banned(self, written: bytes) -> bool:
        rest = _unfinished(written)
        text = written[: len(written) - len(rest)].decode("utf-8", "replace")
        return any(ord(character) in self._points for character in text) or (bool(rest) and self._all_banned(rest))

    def _all_banned(self, rest: bytes) -> bool:
        """Can only banned characters come of these first bytes of one?"""
        missing = _length(rest[0]) - len(rest)
        low = _decode(rest + b"\x80" * missing)
        high = _decode(rest + b"\xbf" * missing)
        points = self._points.ordered
        return bisect_left(points, high + 1) - bisect_left(points, low) == high + 1 - low


class CycleBreaker:
    """Tells the token that would go on with a cycle: `COPIES` copies or more of at most `LONGEST_PERIOD` tokens."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._held: dict[int, int] = {}
        """By period: for how many tokens each has been the one a period before."""

    def written(self, token: int) -> None:
        """`token` has been chosen."""
        ids = self._ids
        size = len(ids)
        self._held = {
            period: self._held.get(period, 0) + 1
            for period in range(1, min(size, LONGEST_PERIOD) + 1)
            if ids[size - period] == token
        }
        ids.append(token)

    def now(self) -> Collection[int]:
        """The tokens that must not come next."""
        return {
            self._ids[-period]
            for period, held in self._held.items()
            if held >= period * (COPIES - 1) and held + period >= SHORTEST
        }


class _Points(frozenset[int]):
    """Code points, also in order."""

    ordered: Sequence[int]


def written_in(text: str) -> frozenset[Script]:
    """The scripts that `text` has letters of."""
    return frozenset(script for script in get_args(Script) if re2.search(_class(script), text))


def _class(script: Script) -> str:
    return "[" + _CLASSES.get(script, rf"\p{{{script}}}") + "]"


@functools.lru_cache(16)
def _code_points(scripts: frozenset[Script]) -> _Points:
    classes = "|".join(_class(script) for script in sorted(scripts))
    everything = "".join(chr(point) for point in range(MOST_CODE_POINTS) if not 0xD800 <= point < 0xE000)
    points = _Points(ord(match.group()) for match in re2.finditer(classes, everything)) if classes else _Points()
    points.ordered = sorted(points)
    return points


def _length(first: int) -> int:
    """Bytes of the UTF-8 character that begins with this byte (RFC 3629); 1 for a byte that begins none."""
    return 4 if 0xF0 <= first < 0xF5 else 3 if 0xE0 <= first < 0xF0 else 2 if 0xC2 <= first < 0xE0 else 1


def _unfinished(data: bytes) -> bytes:
    """The first bytes of a character at the end of `data`, as long as more of them are to come."""
    for size in range(1, min(len(data), 3) + 1):
        first = data[-size]
        if first < 0x80:
            break
        if first >= 0xC0:
            return data[-size:] if _length(first) > size else b""
    return b""


def _decode(data: bytes) -> int:
    """The code point of one whole character, overlong forms included."""
    point = data[0] & (0x7F >> len(data))
    for byte in data[1:]:
        point = point << 6 | byte & 0x3F
    return point


def vocabulary(tokenizer: Any) -> list[bytes | None]:
    """The bytes that each token of a Hugging Face tokenizer writes, by id; None for special tokens.

    Byte-level tokenizers spell bytes as letters (the table of GPT-2), SentencePiece's fallback spells them `<0xE4>`.
    """
    special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
    pieces = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    spelled = _byte_level()
    byte_level = "ByteLevel" in str(getattr(tokenizer, "backend_tokenizer", tokenizer).decoder)
    return [None if index in special else _bytes_of(piece, spelled, byte_level) for index, piece in enumerate(pieces)]


def _bytes_of(piece: str | None, spelled: Mapping[str, int], byte_level: bool) -> bytes | None:
    if piece is None:
        return None
    if byte_level:
        return bytes(spelled[letter] for letter in piece) if all(letter in spelled for letter in piece) else None
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("\u2581", " ").encode()


def _byte_level() -> dict[str, int]:
    """GPT-2's letters for bytes: a visible Latin-1 character stands for itself, the rest count up from U+0100."""
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(0x100) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {chr(0x100 + index): byte for index, byte in enumerate(hidden)}
