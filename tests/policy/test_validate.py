from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.schema import Policy
from guard.policy.tree import Tree, parse
from guard.policy.validate import sound, validate

HEAD = "policy_version: 1\nname: house\n"


def tree(text: str) -> Tree:
    read, problems = parse(text, "f.yaml")
    assert read is not None
    assert problems == []
    return read


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "oops: 1\non_error: flag", {"on_error": "flag"}),
        (HEAD + "on_error: maybe", {"on_error": "cut"}),
        (HEAD + "rules:\n  - {id: a, when: {detector: b, oops: 1}, do: cut}", {"rules": ["a"]}),
        (HEAD + "rules:\n  - {id: a, when: {detector: b, score: 7}, do: cut}", {"rules": ["a"]}),
        (HEAD + "rules:\n  - {id: a, when: {detector: b, channel: [content, x]}, do: cut}", {"rules": ["a"]}),
        (
            HEAD + "rules:\n  - {id: a, when: {detector: b}, do: oops}\n  - {id: b, when: {detector: b}, do: cut}",
            {"rules": ["b"]},
        ),
        (HEAD + "rules:\n  - {id: a}\n  - {id: b, when: {detector: b}, do: cut}", {"rules": ["b"]}),
        (HEAD + "rules:\n  - id: a\n    when:\n      detektor: x\n    do: cut", {"rules": []}),
        (HEAD + "rules: {}", {"rules": []}),
        (HEAD + "detectors: {a: [], b: {x: 1}}", {"detectors": ["a", "b"]}),
        (HEAD + "detectors: {A: {}, b: {x: 1}}", {"detectors": ["b"]}),
        (HEAD + "detectors: {a: {use: 1, x: 2}}", {"detectors": ["a"]}),
        (HEAD + "hold: {content: {step: 0, limit: 9}}", {"hold": ["content"]}),
        ("rules: [{id: a, when: {label: b}, do: cut}]\npolicy_version: 1", {"rules": ["a"], "name": "unnamed"}),
        ("oops: 1\n" + HEAD + "on_error: flag", {"on_error": "flag"}),
        ("policy_version: 2\nname: house", {"name": "house"}),
        ("policy_version: 1\nname: 7", {"name": "unnamed"}),
        ("[]", {"name": "unnamed"}),
        ("just words", {"name": "unnamed"}),
    ],
)
def test_only_what_is_wrong_is_taken_away(text: str, expected: dict[str, Any]) -> None:
    policy, problems = validate(tree(text))
    assert problems
    for key, value in expected.items():
        kept = getattr(policy, key)
        names = [rule.id for rule in kept] if key == "rules" else list(kept) if isinstance(kept, dict) else kept
        assert names == value


def test_of_what_is_right_everything_is_kept() -> None:
    whole = tree(HEAD + "detectors: {a: {x: 1}}\nrules:\n  - {id: a, when: {detector: a}, do: cut}")
    policy, problems = validate(whole)
    assert problems == []
    assert sound(whole, problems).plain() == whole.plain()
    assert policy == Policy.model_validate(whole.plain())


KEYS = st.sampled_from(
    ["policy_version", "name", "rules", "id", "when", "do", "detector", "detectors", "hold", "cut", "x"]
)
SCALARS = st.sampled_from(["1", "house", "content", "cut", "0.5", "true", "~", "''", "oops", "[]", "{}"])


def _flow(children: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    lists = st.lists(children, max_size=3).map(lambda items: f"[{', '.join(items)}]")
    pairs = st.dictionaries(KEYS, children, max_size=4).map(lambda of: ", ".join(f"{k}: {v}" for k, v in of.items()))
    return lists | pairs.map(lambda inside: f"{{{inside}}}")


@given(st.recursive(SCALARS, _flow, max_leaves=25))
def test_whatever_is_written_something_valid_is_left(text: str) -> None:
    whole, _ = parse(text, "f.yaml")
    assert whole is not None
    policy, problems = validate(whole)
    assert isinstance(policy, Policy)
    assert all(problem.place.line == 1 for problem in problems)
