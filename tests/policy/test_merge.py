from __future__ import annotations

from typing import Any

import pytest

from guard.policy.merge import lay_over
from guard.policy.tree import Tree, parse


def tree(text: str, file: str) -> Tree:
    read, problems = parse(text, file)
    assert read is not None
    assert problems == []
    return read


def merged(base: str, top: str) -> tuple[Any, list[tuple[str, int, int]]]:
    result, problems = lay_over(tree(base, "base.yaml"), tree(top, "top.yaml"))
    assert all(problem.place.file == "top.yaml" for problem in problems)
    assert all(problem.code == "P114" for problem in problems)
    return result.plain(), [(problem.message, problem.place.line, problem.place.column) for problem in problems]


ALLOWED = [
    ("name: a\ndescription: b", "name: c", {"name": "c", "description": "b"}),
    ("rules: [{id: a}]", "rules: [{id: b}]", {"rules": [{"id": "a"}, {"id": "b"}]}),
    ("rules: [{id: a}]", "{}", {"rules": [{"id": "a"}]}),
    ("{}", "rules: [{id: b}]", {"rules": [{"id": "b"}]}),
    (
        "rules: [{id: a, why: x}, {id: b}]",
        "rules: [{id: c}, {id: a, override: true}]",
        {"rules": [{"id": "a", "override": True}, {"id": "b"}, {"id": "c"}]},
    ),
    ("detectors: {a: {x: 1}}", "detectors: {b: {x: 2}}", {"detectors": {"a": {"x": 1}, "b": {"x": 2}}}),
    ("detectors: {a: {x: 1}}", "detectors: {a: {y: 2}}", {"detectors": {"a": {"x": 1, "y": 2}}}),
    ("detectors: {a: {x: [1]}}", "detectors: {a: {x: [1]}}", {"detectors": {"a": {"x": [1]}}}),
    ("detectors: {a: {x: {s: 1}}}", "detectors: {a: {x: {h: 2}}}", {"detectors": {"a": {"x": {"s": 1, "h": 2}}}}),
    (
        "detectors: {a: {x: {s: 1}, y: [1]}}",
        "detectors: {a: {override: true, x: {s: 2}, y: [2]}}",
        {"detectors": {"a": {"x": {"s": 2}, "y": [2], "override": True}}},
    ),
    ("detectors: {a: {}}", "detectors: {a: }", {"detectors": {"a": {}}}),
    ("detectors: {a: }", "detectors: {a: {x: 1}}", {"detectors": {"a": {"x": 1}}}),
    (
        "hold: {content: {step: 8}}",
        "hold: {content: {step: 4, limit: 9}}",
        {"hold": {"content": {"step": 4, "limit": 9}}},
    ),
    ("on_error: flag", "on_error: cut", {"on_error": "cut"}),
    ("prompt: {block: error}", "prompt: {block: answer}", {"prompt": {"block": "answer"}}),
    (
        "in_process: {ban_scripts: [Han], break_cycles: true}",
        "in_process: {ban_scripts: [Thai]}",
        {"in_process": {"ban_scripts": ["Thai"], "break_cycles": True}},
    ),
    ("prompt: {image: allow}", "prompt: {image: refuse}", {"prompt": {"image": "refuse"}}),
    ("prompt: {image: refuse}", "prompt: {audio: refuse}", {"prompt": {"image": "refuse", "audio": "refuse"}}),
    ("{}", "prompt: {token_ids: allow}", {"prompt": {"token_ids": "allow"}}),
    ("on_error: flag", "on_error: flag", {"on_error": "flag"}),
    ("on_error: flag", "{}", {"on_error": "flag"}),
    ("{}", "on_error: cut", {"on_error": "cut"}),
]


@pytest.mark.parametrize(("base", "top", "expected"), ALLOWED)
def test_what_is_laid_over_adds(base: str, top: str, expected: Any) -> None:
    assert merged(base, top) == (expected, [])


REFUSED = [
    ("rules: [{id: a}]", "rules: [{id: a}]", 1, 14, "already a rule of base.yaml", {"rules": [{"id": "a"}]}),
    ("rules: [{id: abc}]", "rules: [{id: abd, override: true}]", 1, 19, "did you mean `abc`?", None),
    (
        "detectors: {a: {x: 1}}",
        "detectors: {a: {x: 2}}",
        1,
        17,
        "`detectors.a.x` is given",
        {"detectors": {"a": {"x": 1}}},
    ),
    ("detectors: {a: {x: {s: 1}}}", "detectors: {a: {x: {s: 2}}}", 1, 21, "under detectors.a", None),
    ("detectors: {a: {use: b}}", "detectors: {a: {use: c}}", 1, 17, "override: true", None),
    (
        "prompt: {image: refuse}",
        "prompt: {image: allow}",
        1,
        17,
        "base.yaml refuses `image`",
        {"prompt": {"image": "refuse"}},
    ),
    ("on_error: cut", "on_error: flag", 1, 11, "base.yaml cuts on errors", {"on_error": "cut"}),
    ("name: a", "on_error: flag", 1, 11, "base.yaml cuts on errors", None),
]


@pytest.mark.parametrize(("base", "top", "line", "column", "message", "kept"), REFUSED)
def test_what_would_weaken_is_refused(base: str, top: str, line: int, column: int, message: str, kept: Any) -> None:
    result, problems = merged(base, top)
    (problem,) = problems
    assert problem[1:] == (line, column)
    assert message in problem[0]
    assert kept is None or result == kept
