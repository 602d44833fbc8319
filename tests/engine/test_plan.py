"""Hold and Plan: figures that contradict each other are refused, defaults are those of the architecture."""

from __future__ import annotations

import pytest

from guard.contract import Channel
from guard.engine.plan import DEFAULT_HOLD, WHOLE_LIMIT, Hold, Plan
from guard.events import Decision, Flag
from tests.support.engine import Custom, Words, plan_of


@pytest.mark.parametrize(("step", "limit"), [(0, 10), (-1, 10), (16, 15), (1, 0)])
def test_a_hold_that_could_never_release_is_refused(step: int, limit: int) -> None:
    with pytest.raises(ValueError, match=f"1 <= step <= limit, not step {step} and limit {limit}"):
        Hold(step=step, limit=limit)


@pytest.mark.parametrize(("step", "limit"), [(1, 1), (16, 16), (16, 4_000)])
def test_other_holds_are_taken(step: int, limit: int) -> None:
    assert Hold(step=step, limit=limit).step == step


def test_prompts_and_tool_calls_are_held_whole_by_default_and_the_rest_is_not() -> None:
    assert {channel: hold.whole for channel, hold in DEFAULT_HOLD.items()} == {
        Channel.PROMPT: True,
        Channel.REASONING: False,
        Channel.CONTENT: False,
        Channel.TOOL: True,
    }
    assert DEFAULT_HOLD[Channel.TOOL].limit == DEFAULT_HOLD[Channel.PROMPT].limit == WHOLE_LIMIT == 2**18
    assert (Hold().step, Hold().limit) == (16, 4_000)


def test_a_plan_with_one_slow_detector_is_slow() -> None:
    class Slow(Custom):
        slow = True

    assert not plan_of(Words("w", ["x"])).slow
    assert plan_of(Words("w", ["x"]), Slow()).slow
    assert not plan_of().slow


def test_defaults_of_a_plan() -> None:
    plan = Plan(watch={}, decide=lambda lane, finding: Decision("", Flag()), can_act=lambda channel, name: False)
    assert plan.hold == DEFAULT_HOLD
    assert plan.count_tokens("a" * 40) == pytest.approx(10.0)
    assert not plan.keep_text
    assert not plan.slow
