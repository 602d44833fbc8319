from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.contract import Channel, DetectorError, Finding, Lane, Span
from guard.engine.plan import DEFAULT_HOLD, Hold, Plan
from guard.events import Action, Cut, Decision, Flag, Mask, Repair
from guard.policy.compile import CompiledPolicy, Series, compile_policy
from guard.policy.problems import PolicyError
from guard.policy.source import parse_policy
from tests.support import fake_detectors

HEAD = "policy_version: 1\nname: house\n"
REASONING, CONTENT, TOOL = Lane(0, Channel.REASONING), Lane(0, Channel.CONTENT), Lane(0, Channel.TOOL, 0)
PROMPT = Lane(-1, Channel.PROMPT, 0)


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch)


def policy(*rules: str, detectors: str = "{words: {}, other: {}}", more: str = "") -> CompiledPolicy:
    lines = "".join(f"  - {{id: r{number}, {rule}}}\n" for number, rule in enumerate(rules))
    listed = f"rules:\n{lines}" if rules else ""
    return compile_policy(parse_policy(f"{HEAD}detectors: {detectors}\n{more}{listed}"))


def found(detector: str = "words", label: str = "BAD_WORD", score: float = 0.9) -> Finding:
    return Finding(detector, label, score, Span(0, 1))


def decision(
    rules: Iterable[str], lane: Lane = CONTENT, finding: Finding | None = None, model: str = "", more: str = ""
) -> Decision:
    return policy(*rules, more=more).plan(model).decide(lane, finding or found())


def watched(plan: Plan) -> dict[str, list[str]]:
    return {channel.value: [detector.name for detector in those] for channel, those in plan.watch.items() if those}


# -------------------------------------------------------------------------------------------------------------- decide

NO_RULE = Decision("", Flag())


@pytest.mark.parametrize(
    ("when", "lane", "finding", "matches"),
    [
        ("{detector: words}", CONTENT, found(), True),
        ("{detector: words}", CONTENT, found("other"), False),
        ("{detector: [words, other]}", CONTENT, found("other"), True),
        ("{channel: content}", CONTENT, found("other"), True),
        ("{channel: content}", REASONING, found(), False),
        ("{channel: [content, reasoning]}", REASONING, found(), True),
        ("{detector: words}", REASONING, found(), True),
        ("{detector: words}", TOOL, found(), True),
        ("{detector: words}", PROMPT, found(), False),  # the prompt must be named
        ("{channel: prompt}", PROMPT, found(), True),
        ("{label: BAD_WORD}", CONTENT, found(), True),
        ("{label: GOOD_WORD}", CONTENT, found(), False),
        ("{label: [GOOD_WORD, BAD_WORD]}", CONTENT, found(), True),
        ("{detector: words, score: 0.9}", CONTENT, found(score=0.9), True),
        ("{detector: words, score: 0.9}", CONTENT, found(score=0.899), False),
        ("{detector: words, score: 0}", CONTENT, found(score=0.0), True),
        ("{detector: words, model: qwq}", CONTENT, found(), False),
        ("{detector: words}", CONTENT, found("unknown"), False),
    ],
)
def test_a_rule_matches_what_it_says(when: str, lane: Lane, finding: Finding, matches: bool) -> None:
    expected = Decision("r0", Cut()) if matches else NO_RULE
    assert decision([f"when: {when}, do: cut"], lane, finding) == expected


@pytest.mark.parametrize(
    ("glob", "model", "matches"),
    [
        ("qwq*", "qwq-32b", True),
        ("qwq*", "QwQ-32B", True),
        ("'*/QWQ*'", "Qwen/QwQ-32B", True),
        ("[llama*, qwq*]", "qwq", True),
        ("qwq", "qwq-32b", False),
        ("'*'", "", True),
        ("'*a*a*a*a*a*a*a*b'", "a" * 100_000, False),
    ],
)
def test_a_rule_may_be_for_some_models(glob: str, model: str, matches: bool) -> None:
    expected = Decision("r0", Cut()) if matches else NO_RULE
    assert decision([f"when: {{detector: words, model: {glob}}}, do: cut"], model=model) == expected


REPAIR = "{repair: {how: resample}}"


@pytest.mark.parametrize(
    ("actions", "wins"),
    [
        (["flag", "mask"], 1),
        (["mask", REPAIR], 1),
        ([REPAIR, "cut"], 1),
        (["cut", REPAIR, "mask", "flag"], 0),
        (["flag", "cut", "mask"], 1),
        (["mask", "mask"], 0),  # among equals the first
        (["flag", "flag"], 0),
    ],
)
def test_the_most_severe_action_wins(actions: list[str], wins: int) -> None:
    rules = [f"when: {{detector: words}}, do: {action}" for action in actions]
    assert decision(rules).rule == f"r{wins}"


ACTIONS: dict[str, int] = {"flag": 0, "mask": 1, REPAIR: 2, "cut": 3}
RULE = st.tuples(
    st.sampled_from(["detector: words", "channel: content", "label: BAD_WORD", "detector: other"]),
    st.sampled_from(["0", "0.5", "0.95"]),
    st.sampled_from(list(ACTIONS)),
)
ORDER: dict[type[Action], int] = {Flag: 0, Mask: 1, Repair: 2, Cut: 3}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(RULE, min_size=1, max_size=5), RULE, st.sampled_from([0.4, 0.7, 1.0]))
def test_another_rule_never_makes_a_policy_milder(
    rules: list[tuple[str, str, str]], another: tuple[str, str, str], score: float
) -> None:
    written = [f"when: {{{when}, score: {least}}}, do: {do}" for when, least, do in [*rules, another]]
    before = decision(written[:-1], finding=found(score=score))
    after = decision(written, finding=found(score=score))
    assert ORDER[type(after.action)] >= ORDER[type(before.action)]


# --------------------------------------------------------------------------------------------------------------- error


@pytest.mark.parametrize(
    ("rules", "more", "rule", "kind"),
    [
        (["when: {detector: words}, do: flag"], "", "on_error", Cut),
        (["when: {detector: words}, do: cut"], "on_error: flag\n", "on_error", Flag),
        (["when: {detector: words, label: error}, do: flag", "when: {detector: words}, do: cut"], "", "r0", Flag),
        (["when: {detector: words, label: [error, BAD_WORD]}, do: mask"], "", "r0", Mask),
        (["when: {detector: other, label: error}, do: flag", "when: {detector: words}, do: cut"], "", "on_error", Cut),
    ],
)
def test_a_failing_detector_follows_on_error_unless_a_rule_names_it(
    rules: list[str], more: str, rule: str, kind: type[Action]
) -> None:
    made = decision(rules, finding=found(label="error", score=1.0), more=more)
    assert (made.rule, type(made.action)) == (rule, kind)


def test_the_cut_of_a_failing_detector_tells_the_user() -> None:
    made = decision(["when: {detector: words}, do: flag"], finding=found(label="error"))
    assert isinstance(made.action, Cut)
    assert made.action.notice


# ---------------------------------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        (["when: {detector: words}, do: flag"], {"reasoning": ["words"], "content": ["words"], "tool": ["words"]}),
        (["when: {detector: [other, words], channel: content}, do: flag"], {"content": ["words", "other"]}),
        (["when: {channel: prompt}, do: cut"], {"prompt": ["words", "other"]}),
        (["when: {detector: words, channel: tool}, do: cut", "when: {label: error}, do: cut"], {"tool": ["words"]}),
        ([], {}),
    ],
)
def test_a_detector_watches_where_a_rule_speaks_of_it(rules: list[str], expected: dict[str, list[str]]) -> None:
    assert watched(policy(*rules).plan("")) == expected


@pytest.mark.parametrize(
    ("rules", "acts"),
    [
        (["when: {detector: words}, do: flag"], False),
        (["when: {detector: words, channel: content}, do: mask"], True),
        (["when: {detector: words, channel: reasoning}, do: cut"], False),
        (["when: {detector: other}, do: cut", "when: {detector: words}, do: flag"], False),
        # what is done about an error needs no text held back
        (["when: {detector: words}, do: flag", "when: {detector: words, label: error}, do: cut"], False),
        (["when: {detector: words, label: [error, BAD_WORD]}, do: cut"], True),
    ],
)
def test_text_is_held_only_where_a_rule_can_act(rules: list[str], acts: bool) -> None:
    assert policy(*rules).plan("").can_act(Channel.CONTENT, "words") is acts


def test_text_is_kept_only_where_a_rule_can_repair() -> None:
    made = policy(
        "when: {detector: words, model: qwq*}, do: {repair: {how: conclude}}", "when: {detector: words}, do: cut"
    )
    assert made.plan("qwq-32b").keep_text
    assert not made.plan("llama").keep_text


def test_holds_are_those_of_the_policy_over_the_defaults() -> None:
    plan = policy("when: {detector: words}, do: cut", more="hold: {content: {limit: 99}}\n").plan("")
    assert plan.hold == {**DEFAULT_HOLD, Channel.CONTENT: Hold(limit=99)}


@pytest.mark.parametrize(
    ("when", "repair", "sentences"),
    [
        ("{detector: words}", "{how: resample, keep: last_sentence}", True),
        ("{detector: words, channel: content}", "{how: hand_over, keep: last_sentence}", True),
        ("{detector: words, channel: reasoning}", "{how: resample, keep: last_sentence}", False),
        ("{detector: words}", "{how: conclude, keep: last_sentence}", False),
        ("{detector: words}", "{how: resample}", False),
    ],
)
def test_an_answer_that_may_be_taken_up_at_a_sentence_end_leaves_in_sentences(
    when: str, repair: str, sentences: bool
) -> None:
    plan = policy(f"when: {when}, do: {{repair: {repair}}}", "when: {detector: other}, do: cut").plan("")
    assert plan.hold == {**DEFAULT_HOLD, Channel.CONTENT: Hold(sentences=sentences)}


def test_models_for_which_the_same_rules_speak_share_a_plan() -> None:
    made = policy("when: {detector: words, model: qwq*}, do: cut", "when: {detector: words}, do: flag")
    assert made.plan("qwq-32b") is made.plan("qwq-32b-preview")
    assert made.plan("a") is made.plan("b" * 100_000)
    assert made.plan("a") is not made.plan("qwq")


def test_without_rules_for_models_there_is_one_plan() -> None:
    made = policy("when: {detector: words}, do: cut")
    assert made.plan("a") is made.plan("b")


def test_many_model_names_are_not_remembered() -> None:
    made = policy("when: {detector: words, model: qwq*}, do: cut", "when: {detector: words}, do: flag")
    for number in range(1_000):
        made.plan(f"hostile-{number}")
    assert made._selected_by.cache_info().currsize <= 64
    assert made._plan_of.cache_info().currsize == 1


# -------------------------------------------------------------------------------------------------------------- policy


def test_a_policy_says_what_it_is() -> None:
    made = policy("when: {detector: words}, do: cut", more="description: for tests\n", detectors="{words: {}}")
    assert (made.name, made.description, made.rule_ids) == ("house", "for tests", ("r0",))
    assert [detector.name for detector in made.detectors] == ["words"]
    assert made.warnings == ()


def test_warnings_are_kept() -> None:
    made = policy("when: {detector: words}, do: cut")
    assert [problem.code for problem in made.warnings] == ["P118"]


SAME = HEAD + "detectors: {words: {}}\nrules:\n  - {id: a, when: {detector: words, score: 0.5}, do: cut}\n"


@pytest.mark.parametrize(
    ("text", "same"),
    [
        (SAME + "# a comment\n", True),
        (SAME.replace("{detector: words, score: 0.5}", "{score: 5e-1, detector: [words]}"), True),
        (SAME.replace("do: cut", "do: {cut: {finish: content_filter}}"), True),
        (SAME.replace("0.5", "0.6"), False),
        (SAME.replace("words: {}", "words: {score: 0.5}"), False),
        (SAME.replace("name: house", "name: horse"), False),
        (SAME + "on_error: flag\n", False),
    ],
)
def test_the_version_is_of_what_is_said_not_of_how(text: str, same: bool) -> None:
    version = compile_policy(parse_policy(SAME)).version
    assert len(version) == 12
    assert (compile_policy(parse_policy(text)).version == version) is same


def test_detectors_are_loaded_once() -> None:
    made = policy("when: {detector: words}, do: cut")
    made.load()
    made.load()
    assert [getattr(detector, "loads", None) for detector in made.detectors] == [1, 1]


def test_a_detector_that_cannot_load_is_named() -> None:
    with pytest.raises(DetectorError, match="`failing` cannot load: OSError: no model here"):
        policy("when: {detector: failing}, do: cut", detectors="{failing: {}}").load()


def test_a_policy_with_errors_is_refused() -> None:
    with pytest.raises(PolicyError) as caught:
        policy("when: {detector: wrds}, do: cut")
    assert "P110 unknown detector" in str(caught.value)


def test_everything_that_metrics_may_carry_is_known_beforehand() -> None:
    made = policy(
        "when: {detector: words, label: BAD_WORD, channel: content}, do: mask",
        "when: {detector: words, channel: reasoning}, do: {repair: {how: conclude}}",
        detectors="{words: {}, other: {}}",
    )
    content = {Series("words", "BAD_WORD", "content", action) for action in ("flag", "mask", "cut")}
    content |= {Series("words", "GOOD_WORD", "content", "flag"), Series("words", "error", "content", "cut")}
    reasoning = {
        Series("words", label, "reasoning", action)
        for label in ("BAD_WORD", "GOOD_WORD")
        for action in ("flag", "repair", "cut")
    }
    assert made.labels() == content | reasoning | {Series("words", "error", "reasoning", "cut")}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(RULE, min_size=1, max_size=4),
    st.sampled_from([REASONING, CONTENT, TOOL]),
    st.sampled_from(["BAD_WORD", "GOOD_WORD", "error"]),
    st.sampled_from([0.4, 0.7, 1.0]),
)
def test_no_decision_leads_to_a_series_that_was_not_known(
    rules: list[tuple[str, str, str]], lane: Lane, label: str, score: float
) -> None:
    made = policy(*(f"when: {{{when}, score: {least}}}, do: {do}" for when, least, do in rules))
    plan = made.plan("")
    for detector in plan.watch[lane.channel]:
        action = plan.decide(lane, found(detector.name, label, score)).action
        word = type(action).__name__.lower()
        assert Series(detector.name, label, lane.channel, word) in made.labels()


@pytest.mark.parametrize(
    ("rules", "more", "mode"),
    [
        (["when: {detector: words}, do: flag"], "on_error: flag\n", "observe"),
        (["when: {detector: words}, do: flag"], "", "enforce"),  # a detector that fails cuts
        (["when: {detector: words}, do: flag", "when: {detector: other}, do: mask"], "on_error: flag\n", "enforce"),
        ([], "on_error: flag\n", "observe"),
    ],
)
def test_a_policy_that_only_flags_observes(rules: list[str], more: str, mode: str) -> None:
    assert policy(*rules, more=more).mode == mode
