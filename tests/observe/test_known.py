"""Labels say what the configuration names, and `other`."""

from __future__ import annotations

import pytest

from guard.observe.known import OTHER, Bounded, Known, Names, known_of
from guard.policy import compile_policy, load_policy, parse_policy


def test_what_is_not_known_is_other() -> None:
    bounded = Bounded(["one", ""])
    assert [bounded(value) for value in ("one", "two", "", "ONE")] == ["one", OTHER, OTHER, OTHER]
    bounded.learn(["two"])
    assert bounded("two") == "two"


def test_labels_and_counters_are_known_per_detector() -> None:
    names = Names(Known(detectors={"loop": ["exact"], "harm": ["hate"]}, counters={"harm": ["judged"]}))
    assert [names.label("loop", label) for label in ("exact", "error", "hate")] == ["exact", "error", OTHER]
    assert names.label("nobody", "error") == OTHER
    assert [names.counter("harm", name) for name in ("judged", "guessed")] == ["judged", OTHER]
    assert names.counter("loop", "judged") == OTHER


def test_a_policy_that_is_loaded_later_adds_its_names() -> None:
    names = Names(Known(detectors={"loop": ["exact"]}, rules=["old"]))
    names.learn(Known(detectors={"loop": ["near"], "words": ["oath"]}, rules=["new"], loops=["circles"]))
    assert [names.rules(rule) for rule in ("old", "new", "none of them")] == ["old", "new", OTHER]
    assert [names.label("loop", label) for label in ("exact", "near")] == ["exact", "near"]
    assert names.label("words", "oath") == "oath"
    assert names.loops == {"loop", "circles"}


@pytest.mark.parametrize("policy", ["default", "strict", "reasoning", "observe_only"])
def test_a_shipped_policy_names_all_it_can_say(policy: str) -> None:
    compiled = load_policy(policy)
    names = Names(known_of(compiled))
    for series in compiled.labels():
        assert names.detectors(series.detector) == series.detector
        assert names.label(series.detector, series.label) == series.label
    assert {names.rules(rule) for rule in (*compiled.rule_ids, "on_error", "hold_limit")}.isdisjoint({OTHER})


def test_detectors_are_known_by_what_they_are_not_by_their_name() -> None:
    policy = compile_policy(
        parse_policy("policy_version: 1\nname: house\ndetectors: {circles: {use: loop}, tongues: {use: language}}\n")
    )
    known = known_of(policy)
    assert (set(known.loops), set(known.language_switches), set(known.budgets)) == ({"circles"}, {"tongues"}, set())
