"""The policies that ship: they load with the real detectors, without a remark, and do what their comments say."""

from __future__ import annotations

import re

import pytest

from guard.contract import STOP, WARN, Channel, Finding, Lane, Span
from guard.events import Action, Cut, Flag, Mask, Repair
from guard.policy import CompiledPolicy, builtin_policies, compile_policy, load_policy, read_policy, try_examples
from guard.registry import available

NAMES = ["default", "observe_only", "reasoning", "strict"]


@pytest.fixture(scope="module", params=NAMES)
def policy(request: pytest.FixtureRequest) -> CompiledPolicy:
    return load_policy(request.param)


def action(name: str, channel: Channel, detector: str, label: str, score: float) -> Action:
    lane, finding = Lane(0, channel), Finding(detector, label, score, Span(0, 1))
    return load_policy(name).plan("qwq-32b").decide(lane, finding).action


def test_these_ship() -> None:
    assert list(builtin_policies()) == NAMES


def test_a_policy_has_the_name_of_its_file_and_no_remarks(policy: CompiledPolicy) -> None:
    assert policy.name in NAMES
    assert policy.warnings == ()
    assert policy.description


@pytest.mark.parametrize("name", NAMES)
def test_its_examples_hold(name: str) -> None:
    source = read_policy(name)
    assert try_examples(source, compile_policy(source)) == ()


def test_it_names_only_detectors_that_exist(policy: CompiledPolicy) -> None:
    names = {detector.name for detector in policy.detectors}
    more = {"pii"} if policy.name == "strict" else set()
    assert names == {"loop", "language", "length", "harm", *more} <= set(available())


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_says_why_or_is_plain(name: str) -> None:
    for rule in read_policy(name).policy.rules:
        assert rule.why or rule.do.flag is not None


@pytest.mark.parametrize("name", NAMES)
def test_it_explains_itself(name: str) -> None:
    text = builtin_policies()[name].read_text()
    assert text.startswith("# yaml-language-server: $schema=policy.schema.json\n#\n# " + name)
    assert len(re.findall(r"^ *# ", text, re.MULTILINE)) >= 5


R, C, T = Channel.REASONING, Channel.CONTENT, Channel.TOOL
TABLE: list[tuple[Channel, str, str, float, dict[str, type[Action]]]] = [
    (R, "loop", "exact", STOP, {"default": Cut, "strict": Cut, "reasoning": Repair}),
    (C, "loop", "exact", STOP, {"default": Cut, "strict": Cut, "reasoning": Repair}),
    (C, "loop", "circular", STOP, {"default": Cut, "strict": Cut, "reasoning": Repair}),
    (R, "loop", "self_prompt", STOP, {"default": Cut, "strict": Cut, "reasoning": Repair}),
    (C, "loop", "self_prompt", STOP, {"default": Cut, "strict": Cut, "reasoning": Cut}),
    (T, "loop", "run", STOP, {"default": Cut, "strict": Cut, "reasoning": Cut}),
    (C, "loop", "exact", WARN, {"default": Flag, "strict": Flag, "reasoning": Flag}),
    (R, "language", "leak", STOP, {"default": Flag, "strict": Flag, "reasoning": Flag}),
    (R, "language", "switch", STOP, {"default": Flag, "strict": Flag, "reasoning": Flag}),
    (C, "language", "leak", WARN, {"default": Mask, "strict": Cut, "reasoning": Mask}),
    (C, "language", "switch", STOP, {"default": Cut, "strict": Cut, "reasoning": Repair}),
    (R, "length", "soft_budget", WARN, {"default": Flag, "strict": Flag, "reasoning": Flag}),
    (R, "length", "hard_budget", STOP, {"default": Cut, "strict": Cut, "reasoning": Repair}),
    (C, "length", "hard_budget", STOP, {"default": Cut, "strict": Cut, "reasoning": Cut}),
    (T, "length", "hard_budget", STOP, {"default": Cut, "strict": Cut, "reasoning": Cut}),
    (C, "harm", "hate", 0.89, {"default": Flag, "strict": Flag, "reasoning": Flag}),
    (C, "harm", "hate", STOP, {"default": Flag, "strict": Cut, "reasoning": Flag}),
    (R, "harm", "privacy", STOP, {"default": Flag, "strict": Cut, "reasoning": Flag}),
    (T, "harm", "privacy", STOP, {"default": Flag, "strict": Flag, "reasoning": Flag}),
    (Channel.PROMPT, "harm", "privacy", 1.0, {"strict": Flag}),
    (R, "pii", "CREDIT_CARD", 0.4, {"strict": Mask}),
    (C, "pii", "EMAIL_ADDRESS", 0.4, {"strict": Mask}),
    (T, "pii", "SECRET", 0.4, {"strict": Flag}),
    (Channel.PROMPT, "pii", "SECRET", 1.0, {"strict": Flag}),
]


@pytest.mark.parametrize(("channel", "detector", "label", "score", "expected"), TABLE)
def test_they_do_what_their_comments_say(
    channel: Channel, detector: str, label: str, score: float, expected: dict[str, type[Action]]
) -> None:
    taken = {name: type(action(name, channel, detector, label, score)) for name in expected}
    assert taken == expected
    assert isinstance(action("observe_only", channel, detector, label, score), Flag)


@pytest.mark.parametrize("name", ["default", "strict", "reasoning"])
def test_a_budget_ends_as_the_clients_own_would(name: str) -> None:
    for channel in (R, C):
        taken = action(name, channel, "length", "hard_budget", STOP)
        cut = taken.otherwise if isinstance(taken, Repair) else taken
        assert isinstance(cut, Cut)
        assert cut.finish == "length"


@pytest.mark.parametrize("name", ["default", "strict", "reasoning"])
def test_an_answer_that_goes_on_with_the_prompt_ends_as_it_should_have(name: str) -> None:
    assert action(name, C, "loop", "self_prompt", STOP) == Cut(finish="stop")


def test_observing_holds_nothing_back() -> None:
    plan = load_policy("observe_only").plan("any")
    assert not any(plan.can_act(channel, detector.name) for channel in Channel for detector in plan.watch[channel])
    assert isinstance(action("observe_only", C, "loop", "error", 1.0), Flag)


def test_harm_is_held_back_only_where_it_is_cut() -> None:
    assert not any(load_policy("default").plan("any").can_act(channel, "harm") for channel in Channel)
    strict = load_policy("strict").plan("any")
    assert [channel for channel in Channel if strict.can_act(channel, "harm")] == [R, C]


def test_a_failing_detector_cuts_in_all_others() -> None:
    for name in ("default", "strict", "reasoning"):
        assert isinstance(action(name, C, "loop", "error", 1.0), Cut)


def test_no_policy_penalises_presence() -> None:
    """Presence penalties make models mix languages."""
    for name in NAMES:
        for rule in load_policy(name).rules:
            assert not isinstance(rule.action, Repair) or not any("penalty" in key for key in rule.action.sampling)
