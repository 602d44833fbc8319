from __future__ import annotations

import pytest

from guard.contract import DetectorError
from guard.policy import compile_policy, parse_policy, try_examples
from tests.support import fake_detectors

HEAD = "policy_version: 1\nname: house\n"


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch)


def tried(rule: str, detectors: str = "{words: {words: [wicked]}}") -> list[tuple[str, int, str]]:
    source = parse_policy(f"{HEAD}detectors: {detectors}\nrules:\n  - {{id: one, {rule}}}\n")
    problems = try_examples(source, compile_policy(source))
    return [(problem.code, problem.place.column, problem.message) for problem in problems]


def test_examples_that_hold_are_not_mentioned() -> None:
    assert tried("when: {detector: words}, do: cut, examples: {hits: [wicked, so wicked], misses: [kind]}") == []


def test_a_hit_that_does_not_hit_is_told_with_its_place() -> None:
    ((code, column, message),) = tried("when: {detector: words}, do: cut, examples: {hits: [wicked, kind]}")
    assert (code, column) == ("P119", 75)
    assert "found was nothing" in message


def test_a_miss_that_hits_is_told_with_what_was_found() -> None:
    ((code, column, message),) = tried("when: {detector: words}, do: cut, examples: {misses: [wicked]}")
    assert (code, column) == ("P119", 69)
    assert "words BAD_WORD 0.90" in message


def test_the_rule_must_match_not_only_the_detector() -> None:
    rule = "when: {detector: words, score: 0.95}, do: cut, examples: {hits: [wicked], misses: [wicked]}"
    ((_, _, message),) = tried(rule)
    assert "rule `one` does not match this text; found was words BAD_WORD 0.90" in message


def test_without_examples_nothing_is_loaded() -> None:
    source = parse_policy(
        f"{HEAD}detectors: {{words: {{}}}}\nrules:\n  - {{id: one, when: {{detector: words}}, do: cut}}\n"
    )
    policy = compile_policy(source)
    assert try_examples(source, policy) == ()
    assert [getattr(each, "loads", None) for each in policy.detectors] == [0]


def test_a_detector_that_cannot_load_is_told() -> None:
    with pytest.raises(DetectorError, match="no model here"):
        tried("when: {detector: failing}, do: cut, examples: {hits: [x]}", "{failing: {}}")


def test_a_detector_that_raises_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fake_detectors.Failing, "load", lambda self: None)
    ((_, _, message),) = tried("when: {detector: failing}, do: cut, examples: {hits: [x]}", "{failing: {}}")
    assert "the detector failed on it: RuntimeError: always" in message
