from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from guard.contract import STOP, WARN, Channel, Span, estimate_tokens
from guard.evaluate.labels import read_labelled
from guard.evaluate.measure import Measured, measure
from guard.evaluate.subjects import subjects_of
from guard.policy import load_policy
from tests.support import transcripts
from tests.support.transcripts import LOOPING, UNIT, looping, record


@pytest.fixture(autouse=True)
def policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    transcripts.install(monkeypatch)
    return transcripts.policy(tmp_path)


def measured(value: dict[str, Any], policy: str) -> Measured:
    compiled = load_policy(policy)
    compiled.load()
    return measure(7, read_labelled(json.dumps(value)), compiled, subjects_of(compiled))


def test_an_alarm_has_its_place_and_what_it_leaks_and_saves(policy: str) -> None:
    found = measured(looping(), policy)
    loop = found.results["loop"]
    read = 112  # the fourth `again` ends at 98, within the step of 16 that ends there
    assert [(each.label, each.score, each.channel, each.at) for each in loop.findings] == [
        ("often", STOP, Channel.CONTENT, read)
    ]
    assert loop.findings[0].span == Span(read - 16, read)
    alarm = loop.alarms[STOP]
    assert alarm == loop.alarms[WARN]
    assert alarm.at == read
    assert alarm.leaked == pytest.approx(estimate_tokens(LOOPING[40 : read - 16]))
    assert alarm.saved == pytest.approx(estimate_tokens(LOOPING[read:]))
    assert loop.tokens == pytest.approx(estimate_tokens(LOOPING))
    assert (found.line, found.outcome, found.rules) == (7, "cut", ["no_loops"])


def test_every_detector_sees_all_the_text_whatever_the_policy_does_to_it(policy: str) -> None:
    found = measured(record("a", "<think>" + UNIT * 5 + "</think>" + UNIT * 9 + "oui poison"), policy)
    assert found.outcome == "cut"
    loop = found.results["loop"]
    assert [(each.channel, each.base) for each in loop.findings] == [
        (Channel.REASONING, 0),
        (Channel.CONTENT, len(UNIT * 5)),
    ]
    assert loop.alarms[STOP].found == loop.findings[0]
    assert [each.score for each in found.results["language"].findings] == [0.6]
    assert list(found.results["language"].alarms) == [WARN]
    assert found.place(3) == "reasoning:3"
    assert found.place(len(UNIT * 5) + 2) == "content:2"
    assert found.place(None) == ""


def test_peaks_tell_of_what_was_not_reported(policy: str) -> None:
    loop = measured(record("a", "again and again, and that is it"), policy).results["loop"]
    assert loop.findings == []
    assert loop.peaks == {"often": pytest.approx(STOP / 2), "never": 0.0}
    assert loop.alarms == {}


def test_a_lane_that_is_not_watched_is_not_counted(policy: str) -> None:
    prompt = measured({"id": 1, "text": "poison again", "role": "prompt", "harmful": True}, policy)
    assert [(name, result.tokens > 0) for name, result in prompt.results.items()] == [
        ("loop", False),
        ("language", False),
        ("hazard", True),
    ]
    assert [each.channel for each in prompt.results["hazard"].findings] == [Channel.PROMPT]
    thinking = measured(record("a", "<think>oui</think>no"), policy)
    assert thinking.results["language"].findings == []


def test_a_detector_that_fails_is_an_error_and_no_alarm(policy: str) -> None:
    file = Path(policy)
    file.write_text(file.read_text().replace("loop: {word", "loop: {use: raising, word"))
    found = measured(looping(), policy)
    assert found.results["loop"].errors == 1
    assert found.results["loop"].alarms == {}
    assert found.outcome == "error"


@pytest.mark.parametrize("output", ["", " "])
def test_a_record_without_text_is_measured_too(policy: str, output: str) -> None:
    found = measured(record("a", output), policy)
    assert all(not result.findings for result in found.results.values())
    assert found.length == len(output)
