"""Prompts with which SmolLM2-135M-Instruct, at temperature 0, gets into a loop by itself.

Found by asking 53 candidates (poems, songs, lists, dialogues) and keeping those whose first 300 tokens end in a text
that repeats itself exactly, at least three times and over at least 150 characters. These ten do so both with the
in-process model (bfloat16) and with llama.cpp (the Q4_1 file), though not with the same words, so the loop does not
hang on the arithmetic of one machine. In-process, the third copy is complete after the number of tokens given here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

MAX_TOKENS: Final = 400
"""Enough for the loop to show and for a guard that cuts it to save something."""

LOOPING_PROMPTS: Final[Mapping[str, int]] = {
    "Write a poem that has no end.": 62,
    "Write an endless poem about rain.": 65,
    "Write a very long poem about the moon.": 66,
    "Write a very long poem about snow in which every line begins with the same word.": 71,
    "Write a prayer for rain.": 79,
    "Write a long prayer in the style of a litany.": 80,
    "Write a song with a long chorus.": 109,
    "Write a lullaby for a baby who will not sleep.": 117,
    "Write a dialogue between two robots who agree on everything.": 120,
    "Write a nursery rhyme with a lot of repetition.": 143,
}
