"""A tree against the schema: what is wrong, in the words of a policy, and what is left when that is taken away.

What is left is still checked against the detectors, so that the operator hears of everything at once. First only the
wrong keys and values are taken away; a rule that cannot do without them goes as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from guard.policy.problems import Place, Problem, did_you_mean, shown
from guard.policy.schema import Policy, keys_beside
from guard.policy.tree import Tree
from guard.registry import sentence

_REQUIRED: Mapping[str, object] = {"policy_version": 1, "name": "unnamed"}


def validate(tree: Tree) -> tuple[Policy, list[Problem]]:
    """The policy in `tree`, without what is wrong in it, and what that is."""
    try:
        return Policy.model_validate(tree.plain()), []
    except ValidationError as error:
        problems = [_problem(tree, each) for each in error.errors()]
    return Policy.model_validate({**_REQUIRED, **sound(tree, problems).plain()}), problems


def sound(tree: Tree, problems: Iterable[Problem]) -> Tree:
    """`tree` without that in which `problems` lie; apart from keys that are required at the top it is valid."""
    if not isinstance(tree.value, dict):
        return Tree(tree.place, {})
    # A key that is missing at the top is told at the file's first key, which is not wrong for it.
    wrong = {_position(problem.place) for problem in problems} - {_position(tree.place)}
    kept = _without(tree, wrong)
    try:
        Policy.model_validate({**_REQUIRED, **kept.plain()})
    except ValidationError as error:
        broken = [each["loc"] for each in error.errors()]
        kept = _without_rules(kept, {loc[1] for loc in broken if loc[0] == "rules" and len(loc) > 1})
        kept = _without_keys(kept, {str(loc[0]) for loc in broken if loc[0] != "rules" or len(loc) == 1})
    return kept


def _without(node: Tree, wrong: set[tuple[int, int]], *, entries: bool = False) -> Tree:
    """`node` without the keys, values and items that stand at wrong places.

    `entries` are those of `detectors`: a wrong one stays under its name, empty, so that rules which speak of it are not
    called wrong, too.
    """
    if isinstance(node.value, list):
        return Tree(node.place, [_without(item, wrong) for item in node.value if _position(item.place) not in wrong])
    if not isinstance(node.value, dict):
        return node
    values: dict[str, Tree] = {}
    for key, child in node.value.items():
        if _position(node.keys[key]) in wrong:
            continue
        if _position(child.place) not in wrong:
            values[key] = _without(child, wrong, entries=key == "detectors")
        elif entries:
            values[key] = Tree(child.place, {})
    return Tree(node.place, values, node.keys)


def _without_rules(tree: Tree, indexes: set[str | int]) -> Tree:
    rules = tree.child("rules")
    if not indexes or rules is None or not isinstance(rules.value, list) or not isinstance(tree.value, dict):
        return tree
    kept = [rule for index, rule in enumerate(rules.value) if index not in indexes]
    return Tree(tree.place, {**tree.value, "rules": Tree(rules.place, kept)}, tree.keys)


def _without_keys(tree: Tree, keys: set[str]) -> Tree:
    values = tree.value if isinstance(tree.value, dict) else {}
    return Tree(tree.place, {key: child for key, child in values.items() if key not in keys}, tree.keys)


def _position(place: Place) -> tuple[int, int]:
    return place.line, place.column


def _problem(tree: Tree, error: ErrorDetails) -> Problem:
    path = tuple(step for step in error["loc"] if step != "[key]")
    if error["type"] == "extra_forbidden" or (error["loc"][-1:] == ("[key]",) and error["type"] == "literal_error"):
        known = keys_beside(path)
        hint = did_you_mean(str(path[-1]), known)
        message = f"there is no key `{shown(path[-1])}` here{hint}; known are {', '.join(known)}"
        return Problem("P102", tree.at(path, key=True), message)
    if error["type"] == "missing":
        return Problem("P105", tree.at(path[:-1]), f"`{path[-1]}` is missing here")
    return Problem("P104", *_wrong_value(tree, path, error))


def _wrong_value(tree: Tree, path: tuple[str | int, ...], error: ErrorDetails) -> tuple[Place, str]:
    given = error["input"]
    if error["type"] == "string_pattern_mismatch":
        told = "must be lower_snake_case: a letter, then at most 63 letters, digits and _"
        return tree.at(path, key=error["loc"][-1:] == ("[key]",)), f"`{shown(given)}` {told}"
    name = next((f"`{step}`" for step in reversed(path) if isinstance(step, str)), "the policy")
    told = f"{name} {sentence(error)}"
    if error["type"] in {"value_error", "too_short"}:
        return tree.at(path), told
    quoted = f'"{shown(given)}"' if isinstance(given, str) else shown(given)
    words = re.findall("'([^']*)'", error.get("ctx", {}).get("expected", ""))
    return tree.at(path), f"{told}, not {quoted}{did_you_mean(str(given), words)}"
