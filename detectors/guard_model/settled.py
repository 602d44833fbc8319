"""Where a growing text can be cut so that a tokenizer makes the same tokens of the parts as of the whole.

    "It isn't  done, no|t"      cut before white space, and between a letter or digit and what is neither
           settled     waits

Byte-level BPE as Qwen has it splits a text by a pattern first (letters with one character before them, single digits,
runs of punctuation with the line ends after them, white space) and never joins across. A cut between characters never
splits a UTF-8 sequence.
"""

from __future__ import annotations

import unicodedata
from typing import Final

_LONGEST_WAIT: Final = 96
"""Code points without such a place (Chinese without punctuation, base64) that are waited for. Then the text is cut
anyway: it costs a token or two that the whole would not have."""


def settled_end(text: str) -> int:
    """How much of `text`, whose end is not known yet, can be tokenized: its length up to the last such place."""
    for at in range(len(text) - 1, 0, -1):
        if _is_boundary(text[at - 1], text[at]):
            return at
    return len(text) if len(text) >= _LONGEST_WAIT else 0


def _is_boundary(before: str, after: str) -> bool:
    if after == " ":
        return not before.isspace()
    # a mark may join the letter before it (Unicode NFC)
    return unicodedata.category(before)[0] in "LN" and unicodedata.category(after)[0] not in "LNM"
