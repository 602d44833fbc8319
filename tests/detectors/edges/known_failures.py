"""Rows of the tables that fail today, each with the reason. A row that passes must leave: the lists only shrink."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

LOOP: Final[Mapping[str, str]] = {
    "counting aloud": "numbers alone, without a word between them, are taken for data",
    "round of doubts": "suspected; its doubts and replies make too many combinations to be old before the end",
    "fresh words, same conclusion": "new words in every sentence are taken for something new; it needs the meaning",
    "impatient": "only suspected: the fourth copy ends between two looks, which are 64 characters apart",
}

LANGUAGE: Final[Mapping[str, str]] = {
    "nb asked, nb answered": "the short Norwegian prompt is taken for Danish",
    "hr asked, hr answered": "the short Croatian prompt is not recognised",
    "Italian menu": "four dishes in a row look like Italian prose",
    "ar to fa": "Persian is not told from Arabic",
    "uk asked, ru answered": "the short Ukrainian prompt makes Russian expected as well",
}

LENGTH: Final[Mapping[str, str]] = {
    "tools go by the answer's budget": "a tool call has a budget of its own, `tool_tokens`",
    "history was past both": "a lane past its hard budget that goes on is told so once more, or a repair would lift it",
}
