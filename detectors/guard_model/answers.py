"""What a chat completion says: its text, and how likely it was to say something else instead.

tokens       "Safety"  ":"   " Unsafe"   "\n"  ...
top                          Unsafe 0.83, Safe 0.15, Cont 0.02      -> P(unsafe), P(safe), P(controversial)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class Unreadable(ValueError):
    """Not an answer that the format has. Says what is missing, never what the answer was."""


class Token(NamedTuple):
    """One token of an answer, with the probabilities of those that could have stood there, itself among them."""

    text: str
    probabilities: Mapping[str, float]


class Answer(NamedTuple):
    """A completion. `tokens` is empty where the server tells no log probabilities."""

    text: str
    tokens: Sequence[Token] = ()


def read_answer(data: Any) -> Answer:
    """The first choice of a chat completion. Raises `Unreadable`."""
    try:
        choice = data["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError) as error:
        raise Unreadable("it has no message") from error
    if not isinstance(text, str) or not text.strip():
        raise Unreadable("its message has no text")
    return Answer(text, _tokens(choice.get("logprobs")))


def word_probabilities(answer: Answer, words: Sequence[str], *, after: str = "") -> Mapping[str, float] | None:
    """How likely the answer was to say each of `words` where it says one, first or after the text `after`.

    A word is recognised by its first token, so none may begin as another does. Sums to 1 over the words. None without
    log probabilities, or where no word stands there.
    """
    said = ""
    for token in answer.tokens:
        if said.rstrip().lower().endswith(after.lower()) and token.text.strip():
            found = dict.fromkeys(words, 0.0)
            for text, probability in token.probabilities.items():
                begun = [word for word in words if text.strip() and word.startswith(text.strip().lower())]
                if len(begun) == 1:
                    found[begun[0]] += probability
            whole = sum(found.values())
            return {word: probability / whole for word, probability in found.items()} if whole else None
        said += token.text
    return None


def _tokens(logprobs: Any) -> Sequence[Token]:
    """What cannot be read of log probabilities is as good as none: the answer's text still counts."""
    try:
        return [
            Token(
                str(each["token"]),
                {
                    str(one["token"]): math.exp(min(0.0, float(one["logprob"])))
                    for one in [*(each.get("top_logprobs") or ()), each]
                },
            )
            for each in logprobs["content"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()
