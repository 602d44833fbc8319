"""Repairs that cannot mean what their author meant."""

from __future__ import annotations

import pytest

from guard.policy.compile import compile_policy
from guard.policy.problems import PolicyError, Problem
from guard.policy.source import parse_policy
from tests.support import fake_detectors

HEAD = """policy_version: 1
name: house
detectors: {words: {}, talk: {use: language}, language: {use: words}}
rules:
"""


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch, [*fake_detectors.DEFAULT, fake_detectors.point("language", "Words")])


def problems(when: str, repair: str) -> list[Problem]:
    text = f"{HEAD}  - id: one\n    when: {when}\n    do:\n      repair: {repair}\n"
    try:
        return [problem for problem in compile_policy(parse_policy(text)).warnings if problem.place.line > 4]
    except PolicyError as error:
        return list(error.problems)


@pytest.mark.parametrize(
    ("when", "repair"),
    [
        ("{detector: words}", "{how: conclude, phrase: Enough.}"),
        ("{detector: words, channel: reasoning}", "{how: conclude, sampling: {presence_penalty: 1}}"),
        ("{detector: words, channel: [reasoning, content]}", "{how: resample, instruction: 'Be brief.'}"),
        ("{detector: words}", "{how: hand_over, instruction: 'Be brief.', sampling: {top_k: -1, seed: 7}}"),
        ("{detector: talk}", "{how: resample, sampling: {temperature: 2, top_p: 0, frequency_penalty: -2}}"),
        ("{channel: content}", "{how: resample, sampling: {presence_penalty: 0.5}}"),
    ],
)
def test_what_is_right_passes(when: str, repair: str) -> None:
    assert problems(when, repair) == []


@pytest.mark.parametrize(
    ("when", "repair", "code", "column", "told"),
    [
        ("{channel: prompt}", "{how: resample}", "P116", 7, "use `cut` or `mask`"),
        ("{channel: [content, tool]}", "{how: resample}", "P116", 7, "leaves whole or not at all"),
        ("{channel: [content]}", "{how: conclude}", "P116", 21, "use `how: resample`"),
        ("{detector: words}", "{how: resample, phrase: So.}", "P116", 39, "use `instruction`"),
        ("{detector: words}", "{how: conclude, instruction: So.}", "P116", 44, "use `phrase`"),
        (
            "{detector: words}",
            "{how: resample, sampling: {temperature: 2.5}}",
            "P104",
            55,
            "a number from 0 to 2, not 2.5",
        ),
        ("{detector: words}", "{how: resample, sampling: {top_k: 1.5}}", "P104", 49, "must be a whole number"),
        ("{detector: talk}", "{how: resample, sampling: {presence_penalty: 1}}", "P116", 42, "change their language"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(when: str, repair: str, code: str, column: int, told: str) -> None:
    (problem,) = problems(when, repair)
    assert (problem.code, problem.place.column) == (code, column)
    assert told in problem.message


def test_a_name_that_is_not_listed_is_told_once() -> None:
    (problem,) = problems("{detector: nobody}", "{how: resample, sampling: {presence_penalty: 1}}")
    assert problem.code == "P110"
