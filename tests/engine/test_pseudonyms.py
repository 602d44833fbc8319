from __future__ import annotations

import pytest

from guard.contract import PROMPT_CHOICE, Channel, Context, Lane
from guard.engine.pseudonyms import Pseudonyms
from guard.engine.stream import StreamGuard
from guard.events import ChoiceFinished, Mask, SendPrompt, TextReceived, ToolCallOpened, UpstreamEnded
from tests.support.engine import CONTENT, REASONING, Words, plan_of, play, said


def test_values_are_counted_by_label() -> None:
    made = Pseudonyms()
    assert [made.number("a", "x"), made.number("a", "y"), made.number("b", "y"), made.number("a", "x")] == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("ada@example.org", "ADA@Example.org", True),
        ("4111 1111 1111 1111", "4111-1111-1111-1111", True),
        ("4111 1111", "４１１１\u200b１１１１", True),
        ("GB29 NWBK", "GB29NWBK", True),
        ("ada.b@example.org", "adab@example.org", False),
        ("4111", "4112", False),
        ("...", "---", False),
        ("...", "...", True),
    ],
)
def test_values_are_compared_as_a_reader_would(one: str, other: str, same: bool) -> None:
    made = Pseudonyms()
    assert (made.number("x", one) == made.number("x", other)) is same


def test_are_the_same_over_prompt_lanes_and_choices() -> None:
    words = Words("names", ["Ada", "Bob", "Eve"])
    plan = plan_of(words, actions={"names": Mask("<{label}_{n}>")}, channels=tuple(Channel))
    guard = StreamGuard(plan, Context(), choices=2)
    other, tool = Lane(1, Channel.CONTENT), Lane(0, Channel.TOOL, 0)
    commands = play(
        guard,
        [
            TextReceived(Lane(PROMPT_CHOICE, Channel.PROMPT, 0), "Bob and {n}"),
            ChoiceFinished(PROMPT_CHOICE, ""),
            TextReceived(REASONING, "Ada, Bob, "),
            TextReceived(CONTENT, "Ada, then Eve, then Ada {n}"),
            TextReceived(other, "Eve and Bob"),
            ToolCallOpened(0, 0, "id", "call"),
            TextReceived(tool, "Eve"),
            ChoiceFinished(0, "stop"),
            ChoiceFinished(1, "stop"),
            UpstreamEnded(),
        ],
    )
    label = "hit"
    assert SendPrompt(0, f"<{label}_1> and {{n}}") in commands
    assert said(commands)[REASONING] == f"<{label}_2>, <{label}_1>, "
    assert said(commands)[CONTENT] == f"<{label}_2>, then <{label}_3>, then <{label}_2> {{n}}"
    assert said(commands)[other] == f"<{label}_3> and <{label}_1>"
    assert said(commands)[tool].endswith(f"<{label}_3>")
