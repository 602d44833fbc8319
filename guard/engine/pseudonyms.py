"""Numbers that stand for masked values: the same value has the same one throughout a response.

    ada@example.org, bob@example.org, ADA@example.org   ->   <EMAIL_ADDRESS_1>, <EMAIL_ADDRESS_2>, <EMAIL_ADDRESS_1>

Counted by label, over all lanes and choices and the prompt, in the order in which values were found. Values are
compared as a reader would: look-alike digits, invisible characters, case and white space do not matter, and of a value
without letters nothing but its digits.
"""

from __future__ import annotations

import unicodedata


class Pseudonyms:
    """Those of one response. Holds the values it has numbered, and never tells them."""

    __slots__ = ("_numbers",)

    def __init__(self) -> None:
        self._numbers: dict[str, dict[str, int]] = {}

    def number(self, label: str, value: str) -> int:
        """The number of `value` among those of its label, from 1 on."""
        known = self._numbers.setdefault(label, {})
        return known.setdefault(_plain(value), len(known) + 1)


def _plain(value: str) -> str:
    seen = "".join(char for char in unicodedata.normalize("NFKC", value) if unicodedata.category(char) != "Cf")
    if not any(map(str.isalpha, seen)):
        return "".join(filter(str.isdecimal, seen)) or seen
    return "".join(seen.casefold().split())
