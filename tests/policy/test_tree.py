from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.policy.tree import MAX_DEPTH, Tree, parse


def read(text: str) -> Tree:
    tree, problems = parse(text, "f.yaml")
    assert problems == []
    assert tree is not None
    return tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),  # words of YAML 1.1 that are words here
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("''", ""),
        ("12", 12),
        ("-3", -3),
        ("012", 12),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("0.9", 0.9),
        (".5", 0.5),
        ("1.", 1.0),
        ("1e3", 1000.0),
        (".", "."),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("2026-01-01", "2026-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("|-\n 12", "12"),
        ("=", "="),
    ],
)
def test_scalars_are_those_of_the_core_schema(text: str, value: Any) -> None:
    plain = read(f"x: {text}\n").plain()["x"]
    assert plain == value
    assert type(plain) is type(value)


def test_keys_are_text() -> None:
    assert read("no: 1\n1: 2\ntrue: 3\n'quoted': 4\n").plain() == {"no": 1, "1": 2, "true": 3, "quoted": 4}


REFUSED = {
    "no colon": ("a: b: c", ("P101", 1, 5)),
    "tab for indentation": ("a:\n\tb: 1", ("P101", 2, 1)),
    "quote never closed": ("a: 'x\nb: 1\n", ("P101", 1, 4)),
    "bracket never closed": ("a: [1, 2\n", ("P101", 1, 4)),
    "control character": ("a: 1\nb: \x01", ("P101", 2, 4)),
    "escape out of range": ('"\\UFFFFFFFF"', ("P101", 1, 1)),
    "empty": ("# nothing\n", ("P101", 1, 1)),
    "YAML of the future": ("%YAML 9.9\n---\na: 1", ("P101", 1, 1)),
    "anchor": ("a: &x 1", ("P107", 1, 4)),
    "alias without anchor": ("a: *x", ("P107", 1, 4)),
    "tag": ("a: !!str 1", ("P107", 1, 4)),
    "dangerous tag": ("a: !!python/object/apply:os.system [x]", ("P107", 1, 4)),
    "local tag": ("a: !include b.yaml", ("P107", 1, 4)),
    "merge key": ("a: {b: 1}\n<<: {c: 1}", ("P107", 2, 1)),
    "second document": ("a: 1\n---\nb: 1\n", ("P107", 3, 1)),
    "duplicate key": ("a: 1\nb: 2\na: 3\n", ("P108", 3, 1)),
    "duplicate key in other quotes": ("a: 1\n'a': 3\n", ("P108", 2, 1)),
    "list as a key": ("? [a]\n: 1\n", ("P104", 1, 3)),
    "number too large": ("a: 1e999", ("P104", 1, 4)),
    "endless integer": ("a: " + "9" * 5_000, ("P104", 1, 4)),
    "surrogate": ('a: "\\ud800"', ("P104", 1, 4)),
    "deep lists": ("[" * 40 + "]" * 40, ("P109", 1, MAX_DEPTH + 1)),
    "deep mappings": ("{a: " * 40 + "}" * 40, ("P109", 1, 4 * MAX_DEPTH + 1)),
    "very deep": ("[" * 500_000, ("P109", 1, MAX_DEPTH + 1)),
    "line break of Unicode counts": ("a: 1\u2028b: *x", ("P107", 2, 4)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_policy_may_not_hold_is_refused_with_its_place(case: str) -> None:
    text, expected = REFUSED[case]
    _, problems = parse(text, "f.yaml")
    assert [(problem.code, problem.place.line, problem.place.column) for problem in problems] == [expected]


def test_all_problems_are_told_at_once() -> None:
    _, problems = parse("a: &x 1\nb: *x\nc: !t 1\na: 2\n", "f.yaml")
    assert [problem.place.line for problem in problems] == [1, 2, 3, 4]


def test_a_billion_laughs_unfold_to_nothing() -> None:
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)}, *{chr(97 + i)}]\n" for i in range(20)
    )
    tree, problems = parse(bomb, "f.yaml")
    assert len(problems) == 61
    assert tree is not None
    assert tree.plain()["u"] == [None, None]


def test_the_deepest_allowed_nesting_is_allowed() -> None:
    assert read("[" * MAX_DEPTH + "]" * MAX_DEPTH).plain() != []


def test_keys_and_values_know_their_places() -> None:
    tree = read("rules:\n  - id: one\n    do: cut\n")
    assert (tree.at(["rules", 0, "id"]).line, tree.at(["rules", 0, "id"]).column) == (2, 9)
    assert (tree.at(["rules", 0, "do"], key=True).line, tree.at(["rules", 0, "do"], key=True).column) == (3, 5)
    assert tree.at(["rules", 0, "do"]).text == "    do: cut"


def test_a_path_that_does_not_exist_leads_as_far_as_it_does() -> None:
    tree = read("rules:\n  - id: one\n")
    assert tree.at(["rules", 0, "when", "label"]) == tree.at(["rules", 0])
    assert tree.at(["rules", 7]) == tree.at(["rules"])
    assert tree.at(["rules", 0, "id", 0]) == tree.at(["rules", 0, "id"])


@given(st.text(alphabet=st.sampled_from("ab01:-?&*!|>'\"%@`{}[],#\n\t \\~.é\u2028\x00\ud800"), max_size=60))
def test_no_text_does_anything_but_parse_or_be_refused(text: str) -> None:
    tree, problems = parse(text, "f.yaml")
    assert tree is not None or problems
    for problem in problems:
        assert problem.place.line >= 1
        assert str(problem)
