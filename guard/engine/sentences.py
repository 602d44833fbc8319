"""Where sentences end: a text that is taken up again reads best from there."""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 400
"""Code points after which a sentence is taken for one that does not end."""

_LOOK_BACK: Final = 2_000
_END: Final = re.compile(r"[.!?…]+[\"'”’)\]*_]*(?=\s)|[。！？]+[」』”’）]*|\n+")
"""A full stop counts once white space follows, so that `3.14` holds none; a line that is over always counts."""


def last_end(text: str, end: int) -> int:
    """Where the last sentence that is over by `end` ends, white space after it left out; 0 if there is none within the
    last 2,000 code points."""
    found = 0
    for match in _END.finditer(text, max(end - _LOOK_BACK, 0), min(end + 1, len(text))):
        stop = match.end() if match[0][0] != "\n" else match.start() or match.end()
        if stop <= end:
            found = stop
    return found
