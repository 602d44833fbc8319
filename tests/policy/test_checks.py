"""A table of policies beside what is said of them: code, line and column of every problem."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from guard.policy.compile import compile_policy
from guard.policy.problems import PolicyError, Problem
from guard.policy.source import parse_policy
from tests.support import fake_detectors

HEAD = "policy_version: 1\nname: house\n"
WORDS = HEAD + "detectors: {words: {}}\n"


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch)


def problems_of(text: str) -> list[Problem]:
    try:
        return list(compile_policy(parse_policy(text, "house.yaml")).warnings)
    except PolicyError as error:
        return list(error.problems)


def said(text: str) -> list[tuple[str, int, int]]:
    return [(problem.code, problem.place.line, problem.place.column) for problem in problems_of(text)]


def rule(when: str = "{detector: words}", do: str = "cut", more: str = "") -> str:
    return f"  - {{id: one, when: {when}, do: {do}{more}}}\n"


def ruled(when: str = "{detector: words}", do: str = "cut", more: str = "") -> str:
    """Rule `one` stands in line 5; `when` begins in column 20."""
    return WORDS + "rules:\n" + rule(when, do, more)


GOOD = [
    ruled(),
    ruled("{detector: words, label: BAD_WORD, channel: [content, tool], score: 0.5, model: 'qwq*'}"),
    ruled("{detector: [words], label: [BAD_WORD, error]}", "flag"),
    ruled("{channel: prompt}", "{mask: {replacement: 'x'}}"),
    ruled("{label: GOOD_WORD, score: 1}", "{cut: {notice: 'no more', finish: length}}"),
    ruled(do="{repair: {how: conclude, otherwise: {notice: sorry}}}"),
    ruled(
        do="{repair: {how: resample, keep: last_sentence, sampling: {temperature: 1, top_k: 20}, instruction: 'So'}}"
    ),
    ruled(more=", why: because, examples: {hits: [bad], misses: [fine]}"),
    ruled(do="flag", more=", override: false"),
    WORDS + "hold: {content: {step: 8}, tool: {limit: 100000}}\non_error: flag\nrules:\n" + rule(),
    HEAD + "detectors: {mine: {use: words, words: [no, on], budget: {soft: 3}}}\nrules:\n" + rule("{detector: mine}"),
    HEAD + "detectors:\n  words:\nrules:\n" + rule(),
]

ERRORS: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    # the file as such
    "not a mapping": ("[]", [("P104", 1, 1)]),
    "empty": ("", [("P101", 1, 1)]),
    "nothing given": ("{}", [("P105", 1, 1)]),
    "no name": ("policy_version: 1\ndetectors: {words: {}}\nrules:\n" + rule(), [("P105", 1, 1)]),
    "version of the future": (WORDS.replace("1", "2", 1) + "rules:\n" + rule(), [("P104", 1, 17)]),
    "version is text": (WORDS.replace("1", "'1'", 1) + "rules:\n" + rule(), [("P104", 1, 17)]),
    "name is no identifier": (WORDS.replace("house", "My House") + "rules:\n" + rule(), [("P104", 2, 7)]),
    "unknown key": (WORDS + "ruls: []\nrules:\n" + rule(), [("P102", 4, 1)]),
    "duplicate key": (WORDS + "name: again\nrules:\n" + rule(), [("P108", 4, 1)]),
    "rules are no list": (WORDS + "rules: {one: 1}\n", [("P104", 4, 8)]),
    "on_error of another kind": (WORDS + "on_error: mask\nrules:\n" + rule(), [("P104", 4, 11)]),
    # rules
    "rule without anything": (WORDS + "rules:\n  - {}\n", [("P105", 5, 5)]),
    "rule without do": (WORDS + "rules:\n  - id: one\n    when: {detector: words}\n", [("P105", 5, 5)]),
    "rule id with capitals": (ruled().replace("id: one", "id: One"), [("P104", 5, 10)]),
    "rule id of ours": (ruled().replace("id: one", "id: on_error"), [("P104", 5, 10)]),
    "two rules of one id": (ruled() + rule("{channel: content}"), [("P113", 6, 10)]),
    "unknown key in a rule": (ruled(more=", wehn: 1"), [("P102", 5, 49)]),
    "empty when": (ruled("{}"), [("P104", 5, 21)]),
    "when with a score alone": (ruled("{score: 0.9}"), [("P104", 5, 21)]),
    "empty list": (ruled("{detector: []}"), [("P104", 5, 32)]),
    "unknown key in when": (ruled("{detektor: words}"), [("P102", 5, 22)]),
    "detector not listed": (ruled("{detector: wrds}"), [("P110", 5, 32)]),
    "second detector not listed": (ruled("{detector: [words, other]}"), [("P110", 5, 40)]),
    "no detectors at all": (HEAD + "rules:\n" + rule("{channel: content}"), [("P110", 4, 21)]),
    "unknown label": (ruled("{detector: words, label: BAD_WROD}"), [("P103", 5, 46)]),
    "unknown label in a list": (ruled("{detector: words, label: [BAD_WORD, X]}"), [("P103", 5, 57)]),
    "unknown label of any detector": (ruled("{label: BADWORD}"), [("P103", 5, 29)]),
    "unknown channel": (ruled("{channel: contents}"), [("P104", 5, 31)]),
    "score above one": (ruled("{detector: words, score: 1.5}"), [("P104", 5, 46)]),
    "score below zero": (ruled("{detector: words, score: -1}"), [("P104", 5, 46)]),
    "score as text": (ruled("{detector: words, score: '0.9'}"), [("P104", 5, 46)]),
    "score as a word of YAML 1.1": (ruled("{detector: words, score: yes}"), [("P104", 5, 46)]),
    "model is a number": (ruled("{detector: words, model: 32}"), [("P104", 5, 46)]),
    # actions
    "unknown action": (ruled(do="block"), [("P102", 5, 44)]),
    "two actions": (ruled(do="{cut: {}, flag: {}}"), [("P104", 5, 44)]),
    "no action": (ruled(do="{}"), [("P104", 5, 44)]),
    "action without settings": (ruled(do="{cut: }"), [("P104", 5, 44)]),
    "unknown setting of an action": (ruled(do="{cut: {note: x}}"), [("P102", 5, 51)]),
    "unknown finish": (ruled(do="{cut: {finish: done}}"), [("P104", 5, 59)]),
    "bare repair": (ruled(do="repair"), [("P105", 5, 44)]),
    "repair without how": (ruled(do="{repair: {keep: first_copy}}"), [("P105", 5, 53)]),
    "unknown way to repair": (ruled(do="{repair: {how: concluded}}"), [("P104", 5, 59)]),
    "unknown sampling parameter": (ruled(do="{repair: {how: resample, sampling: {temp: 1}}}"), [("P102", 5, 80)]),
    "no attempts": (ruled(do="{repair: {how: resample, attempts: 0}}"), [("P104", 5, 79)]),
    "otherwise is a word": (ruled(do="{repair: {how: resample, otherwise: cut}}"), [("P104", 5, 80)]),
    "repair of a prompt": (ruled("{channel: prompt}", "{repair: {how: conclude}}"), [("P116", 5, 44)]),
    # detectors
    "detector not installed": (
        HEAD + "detectors: {wrods: {}}\nrules:\n" + rule("{detector: wrods}"),
        [("P110", 3, 13)],
    ),
    "used detector not installed": (HEAD + "detectors: {words: {use: x}}\nrules:\n" + rule(), [("P110", 3, 26)]),
    "detector cannot be imported": (
        HEAD + "detectors: {absent: {}}\nrules:\n" + rule("{channel: content}"),
        [("P111", 3, 13)],
    ),
    "detector cannot be made": (
        HEAD + "detectors: {broken: {}}\nrules:\n" + rule("{channel: content}"),
        [("P111", 3, 13)],
    ),
    "no detector behind the name": (
        HEAD + "detectors: {unfit: {}}\nrules:\n" + rule("{channel: content}"),
        [("P111", 3, 13)],
    ),
    "detector settings are a list": (HEAD + "detectors: {words: []}\nrules:\n" + rule(), [("P104", 3, 20)]),
    "unknown setting": (HEAD + "detectors: {words: {wrods: [a]}}\nrules:\n" + rule(), [("P102", 3, 21)]),
    "unknown nested setting": (
        HEAD + "detectors: {words: {budget: {soft: 1, hrd: 2}}}\nrules:\n" + rule(),
        [("P102", 3, 39)],
    ),
    "setting of a wrong type": (HEAD + "detectors: {words: {words: [a, 1]}}\nrules:\n" + rule(), [("P112", 3, 32)]),
    "nested setting of a wrong type": (
        HEAD + "detectors: {words: {budget: {hard: '2'}}}\nrules:\n" + rule(),
        [("P112", 3, 36)],
    ),
    "settings that contradict": (HEAD + "detectors: {words: {words: []}}\nrules:\n" + rule(), [("P112", 3, 13)]),
    "setting that its detector refuses by name": (
        HEAD + "detectors: {words: {words: [a], score: 2}}\nrules:\n" + rule(),
        [("P112", 3, 40)],
    ),
    "detector name with a dash": (HEAD + "detectors: {my-words: {use: words}}\nrules: []\n", [("P104", 3, 13)]),
    # hold
    "unknown channel of a hold": (WORDS + "hold: {contents: {step: 1}}\nrules:\n" + rule(), [("P102", 4, 8)]),
    "unknown key of a hold": (WORDS + "hold: {content: {stp: 1}}\nrules:\n" + rule(), [("P102", 4, 18)]),
    "step above limit": (WORDS + "hold: {content: {step: 90, limit: 9}}\nrules:\n" + rule(), [("P104", 4, 7)]),
    "step of nothing": (WORDS + "hold: {content: {step: 0}}\nrules:\n" + rule(), [("P104", 4, 24)]),
    "tool calls in pieces": (WORDS + "hold: {tool: {whole: false}}\nrules:\n" + rule(), [("P116", 4, 22)]),
    # examples
    "examples of failing": (ruled("{label: error}", more=", examples: {hits: [a]}"), [("P116", 5, 46)]),
    # everything at once
    "all at once": (
        HEAD + "detectors: {words: {wrods: 1}}\nfoo: 1\nrules:\n" + rule(do="blok") + rule("{detector: wods}"),
        [("P102", 3, 21), ("P102", 4, 1), ("P102", 6, 44), ("P110", 7, 32)],
    ),
}

WARNINGS: dict[str, tuple[str, list[tuple[str, int, int]]]] = {
    "no rules": (WORDS, [("P118", 1, 1)]),
    "a detector without rules": (
        HEAD + "detectors: {words: {}, other: {}}\nrules:\n" + rule(),
        [("P118", 3, 24)],
    ),
    "a rule behind its equal": (ruled() + rule(do="cut").replace("one", "two"), [("P117", 6, 10)]),
    "a milder rule behind a wider one": (
        ruled() + rule("{detector: words, score: 0.5}", "flag").replace("one", "two"),
        [("P117", 6, 10)],
    ),
    "a milder rule before a wider one": (
        ruled("{channel: content}", "flag") + rule().replace("one", "two"),
        [("P117", 5, 10)],
    ),
    "a detector with none of the labels": (
        HEAD + "detectors: {words: {}, failing: {}}\nrules:\n" + rule("{detector: [words, failing], label: BAD_WORD}"),
        [("P117", 5, 10)],
    ),
    "errors where nothing watches": (
        ruled("{channel: content}") + rule("{label: error, channel: prompt}").replace("one", "two"),
        [("P117", 6, 10)],
    ),
}


@pytest.mark.parametrize("text", GOOD)
def test_what_is_right_passes(text: str) -> None:
    assert problems_of(text) == []


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_wrong_is_refused_with_its_place(case: str) -> None:
    text, expected = ERRORS[case]
    assert sorted(set(said(text)), key=lambda each: each[1:]) == expected
    assert all(problem.severity == "error" for problem in problems_of(text))


@pytest.mark.parametrize("case", WARNINGS)
def test_what_is_odd_is_remarked_on(case: str) -> None:
    text, expected = WARNINGS[case]
    assert said(text) == expected
    assert all(problem.severity == "warning" for problem in problems_of(text))


@pytest.mark.parametrize(
    "second",
    [
        rule("{detector: words, score: 0.5}", "mask"),
        rule("{detector: words, score: 0.95}", "flag").replace("detector: words", "label: error"),
        rule("{detector: words, channel: prompt}", "flag"),
    ],
)
def test_a_rule_that_adds_something_is_not_remarked_on(second: str) -> None:
    text = ruled("{detector: words, score: 0.9}", "cut") + second.replace("one", "two")
    assert said(text) == []


def test_messages_say_the_way_out() -> None:
    told = {case: " ".join(problem.message for problem in problems_of(ERRORS[case][0])) for case in ERRORS}
    assert "did you mean `BAD_WORD`? (guard detectors words)" in told["unknown label"]
    assert "did you mean `words`?" in told["detector not installed"]
    assert "add `other: {}` under `detectors:`" in told["second detector not listed"]
    assert "pip install 'qwq-guard[pii]'" in told["detector cannot be imported"]
    assert "did you mean `hard`?" in told["unknown nested setting"]
    assert "did you mean `rules`?" in told["unknown key"]
    assert "did you mean `conclude`?" in told["unknown way to repair"]
    assert "there must be at least one word" in told["settings that contradict"]
    assert "line 5 of house.yaml" in told["two rules of one id"]


def test_no_value_of_the_schema_is_reported_in_python() -> None:
    for case, (text, _) in ERRORS.items():
        for problem in problems_of(text):
            assert "Input" not in problem.message, case
            assert "None" not in problem.message, case


ODD = st.sampled_from(["", "~", "1", "-0.5", "true", "[]", "{}", "oops", "[words, 1]", "*x", "'\\0'"])
SELDOM = st.integers(0, 39).map(lambda drawn: drawn == 39)
"""Mostly false, so that what is written is mostly right and problems meet one by one."""


@st.composite
def _mapping(draw: st.DrawFn, /, **values: st.SearchStrategy[str]) -> str:
    """A flow mapping of these keys, those in capitals always and the others half of the time, seldom with a mistake."""
    pairs = []
    for key, value in values.items():
        if draw(SELDOM) if key.isupper() else draw(st.booleans()):
            continue
        pairs.append(f"{key.lower()}: {draw(ODD if draw(SELDOM) else value)}")
    if draw(SELDOM):
        pairs.append("oops: 1")
    return f"{{{', '.join(pairs)}}}"


NAMES = st.sampled_from(["words", "words", "other", "failing", "[words, other]"])
LABELS = st.sampled_from(["BAD_WORD", "BAD_WORD", "error", "[error, trouble]"])
CHANNELS = st.sampled_from(["prompt", "content", "[tool, reasoning]"])
RULES = st.lists(
    _mapping(
        ID=st.sampled_from(["a", "b", "c", "d", "e", "on_error"]),
        WHEN=_mapping(DETECTOR=NAMES, label=LABELS, channel=CHANNELS, score=st.sampled_from(["0", "0.9"])),
        DO=st.sampled_from(["cut", "flag", "{repair: {how: resample}}", "{mask: {replacement: x}}"]),
        examples=st.just("{hits: [x]}"),
    ),
    min_size=1,
    max_size=4,
).map(lambda rules: f"[{', '.join(rules)}]")
WORDS_SETTINGS = _mapping(words=st.just("[a]"), use=st.just("other"))
POLICIES = _mapping(
    POLICY_VERSION=st.just("1"),
    NAME=st.just("house"),
    on_error=st.just("flag"),
    DETECTORS=_mapping(
        WORDS=_mapping(words=st.just("[a]"), use=st.just("other")), OTHER=st.just("{}"), failing=st.just("")
    ),
    hold=_mapping(content=_mapping(step=st.sampled_from(["8", "9999"]), limit=st.just("99"), whole=st.just("false"))),
    RULES=RULES,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=200)
@given(POLICIES)
def test_whatever_is_written_is_compiled_or_refused_with_places(text: str) -> None:
    for problem in problems_of(text):
        assert problem.message
        assert 1 <= problem.place.column <= len(problem.place.text) + 1
