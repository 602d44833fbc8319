"""How many disguised words the `pattern` detector still finds, by way of disguise.

    python -m bench.evasion
    python -m bench.evasion --harm ../shared/harm/dev.jsonl.xz    the detector `harm` instead: `bench.harm_evasion`

40 listed words and phrases, each in five sentences: 200 strings a disguise. Found means: a finding whose span covers
the disguised word. "As it stands" is the same list with `shadow: false` and nothing decoded.
"""

from __future__ import annotations

import argparse
import base64
import codecs
import random
import sys
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from bench import harm_evasion
from detectors.pattern import Pattern, PatternSettings, WordList
from guard.contract import Channel, Context, Finding, Lane

# fmt: off
WORDS: Final = (
    "blockhead", "bumpkin", "charlatan", "codswallop", "crackpot", "dastard", "dimwit", "dunderhead", "egads",
    "fiddlesticks", "fopdoodle", "gadzooks", "gibberish", "harebrain", "hogwash", "hornswoggle", "humbug", "knave",
    "lickspittle", "mountebank", "muttonhead", "nincompoop", "numbskull", "oaf", "poltroon", "poppycock",
    "rapscallion", "ratbag", "rogue", "scallywag", "scoundrel", "simpleton", "varlet", "whippersnapper", "zounds",
    "silly goose", "bird brain", "dirty rotten scoundrel", "lily livered", "two faced cad",
)
# fmt: on
CARRIERS: Final = (
    "You are a {}.",
    "He called them {}, and left the room.",
    "{} is what I heard\nwhen the door closed.",
    "The answer (see above) is: {}",
    "因此 {} 就是答案。",
)
_CYRILLIC: Final = str.maketrans("aceopxyikbhmt", "асеорхуіквнмт")
_GREEK: Final = str.maketrans("aeiknoptuvxy", "αεικηορτυνχγ")
_LEET: Final = str.maketrans("aeiost", "431057")
_SMALL: Final = str.maketrans("abcdefghijklmnoprtuvwyz", "ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀᴛᴜᴠᴡʏᴢ")


def _between(mark: str) -> Callable[[str], str]:
    return lambda word: mark.join(word)


def _after(mark: str) -> Callable[[str], str]:
    return lambda word: "".join(char + mark for char in word)


def _shifted(first: int) -> Callable[[str], str]:
    return lambda word: "".join(chr(first + ord(char) - 97) if char.isalpha() else char for char in word)


def _in_base64(word: str) -> str:
    return base64.b64encode(word.encode()).decode()


DISGUISES: Final[Mapping[str, Callable[[str], str]]] = {
    "none": str,
    "upper case": str.upper,
    "zero-width space between letters": _between("\u200b"),
    "word joiner, soft hyphen": _between("\u2060\u00ad"),
    "tag character between letters": _between("\U000e0061"),
    "bidi mark between letters": _between("\u200f"),
    "right-to-left override, letters reversed": lambda word: f"\u202e{word[::-1]}\u202c",
    "Cyrillic look-alikes": lambda word: word.translate(_CYRILLIC),
    "Greek look-alikes": lambda word: word.translate(_GREEK),
    "small capitals": lambda word: word.translate(_SMALL),
    "fullwidth": _shifted(0xFF41),
    "mathematical bold script": _shifted(0x1D4EA),
    "circled, boxed": _shifted(0x24D0),
    "combining stroke over letters": _after("\u0336"),
    "stacked accents": _after("\u0301\u0328\u0316"),
    "variation selectors": _after("\ufe0f"),
    "combining grapheme joiner": _between("\u034f"),
    "Braille blank between letters": _between("\u2800"),
    "Hangul filler between letters": _between("\u3164"),
    "base64": _in_base64,
    "base64 twice": lambda word: _in_base64(_in_base64(word)),
    "hex": lambda word: word.encode().hex(),
    "url-encoding, every letter": lambda word: "".join(f"%{ord(char):02x}" for char in word),
    "url-encoded base64": lambda word: urllib.parse.quote(_in_base64(word)),
    "rot13": lambda word: codecs.encode(word, "rot13"),
    "hidden in tag characters": lambda word: "".join(chr(0xE0000 + ord(char)) for char in word),
    "leetspeak": lambda word: word.translate(_LEET),
    "spaces between letters": _between(" "),
    "full stops between letters": _between("."),
    "one letter doubled": lambda word: word[:2] + word[1:],
    "two letters swapped": lambda word: word[0] + word[2] + word[1] + word[3:],
}


def strings(disguise: Callable[[str], str]) -> Iterator[tuple[str, int, int]]:
    """Text, and where in it the disguised word stands."""
    for word in WORDS:
        for carrier in CARRIERS:
            disguised = disguise(word)
            start = carrier.index("{}")
            yield carrier.format(disguised), start, start + len(disguised.rstrip("\u202c"))


def detector(*, plain: bool) -> Pattern:
    """The list, with everything undone or, if `plain`, as it stands."""
    words = WordList(words=tuple(WORDS), shadow=not plain)
    settings = PatternSettings(words={"listed": words})
    made = Pattern("pattern", replace(settings, decode=()) if plain else settings)
    made.load()
    return made


def recall(made: Pattern, disguise: Callable[[str], str], seed: int = 0) -> float:
    """Share of the strings, fed in pieces of 1 to 40 characters, in which the word is found."""
    sizes = random.Random(seed)
    found = total = 0
    for text, start, end in strings(disguise):
        scanner = made.open(Lane(0, Channel.CONTENT), Context())
        findings: list[Finding] = []
        at = 0
        while at < len(text):
            size = sizes.randint(1, 40)
            findings += scanner.feed(text[at : at + size]).findings
            at += size
        findings += scanner.settle().findings
        found += any(finding.span.start <= start and end <= finding.span.end for finding in findings)
        total += 1
    return found / total


def table() -> str:
    """The recall of every disguise, as Markdown."""
    seen, plain = detector(plain=False), detector(plain=True)
    rows = [f"| {name} | {recall(seen, how):.1%} | {recall(plain, how):.1%} |" for name, how in DISGUISES.items()]
    return "\n".join(["| Disguise | Found | As it stands |", "|---|---|---|", *rows])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.evasion", description=__doc__.splitlines()[0])
    parser.add_argument("--harm", type=Path, metavar="ROWS", help="labelled rows for the detector `harm`")
    options = parser.parse_args(arguments)
    try:
        print(table() if options.harm is None else harm_evasion.table(DISGUISES, options.harm))
    except (OSError, ValueError) as error:
        print(f"evasion: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
