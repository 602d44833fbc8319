"""One policy laid over the policy that it extends.

What is laid over may add detectors, settings and rules. It replaces a rule of the same id, or settings of a detector
that are given below, only where it says `override: true`; so nobody weakens a policy by accident. `name`,
`description`, `hold`, `in_process` and `prompt.block` are those of the file on top. `on_error` and what `prompt`
refuses may become stricter, not laxer.
"""

from __future__ import annotations

from guard.policy.problems import Problem, did_you_mean
from guard.policy.tree import Tree


def lay_over(base: Tree, top: Tree) -> tuple[Tree, list[Problem]]:
    """The merged tree, and where `top` does more than it may. Both are valid policies of their own."""
    if not isinstance(base.value, dict) or not isinstance(top.value, dict):
        return top, []
    problems: list[Problem] = []
    values = {**base.value, **top.value}
    keys = {**base.keys, **top.keys}
    merges = (
        ("detectors", _detectors),
        ("rules", _rules),
        ("hold", _top),
        ("in_process", _top),
        ("prompt", _prompt),
        ("on_error", _on_error),
    )
    for key, merge in merges:
        over = top.child(key)
        if over is not None:
            values[key] = merge(base.child(key) or Tree(base.place), over, problems)
    return Tree(top.place, values, keys), problems


def _rules(base: Tree, top: Tree, problems: list[Problem]) -> Tree:
    merged = list(_items(base))
    below = {_id(rule): index for index, rule in enumerate(merged)}
    for rule in _items(top):
        name, override = _id(rule), _flag(rule)
        if name in below and override:
            merged[below[name]] = rule
            continue
        if name in below:
            first = merged[below[name]].place
            told = (
                f"`{name}` is already a rule of {first.file}; choose another id, or say `override: true` to replace it"
            )
            problems.append(Problem("P114", rule.at(["id"]), told))
            continue
        if override:
            told = f"there is no rule `{name}` to override{did_you_mean(name, below)}"
            problems.append(Problem("P114", rule.at(["override"], key=True), told))
        merged.append(rule)
    return Tree(top.place, merged)


def _detectors(base: Tree, top: Tree, problems: list[Problem]) -> Tree:
    below, above = _entries(base), _entries(top)
    merged = dict(below)
    for name, entry in above.items():
        if name not in below:
            merged[name] = entry
        elif isinstance(entry.value, dict):
            merged[name] = _settings(below[name], entry, _flag(entry), f"detectors.{name}", problems)
    return Tree(top.place, merged, {**base.keys, **top.keys})


def _settings(base: Tree, top: Tree, override: bool, path: str, problems: list[Problem]) -> Tree:
    """Two mappings of settings in one, mappings in them too; anything else that differs needs `override`."""
    merged, keys = dict(_entries(base)), {**base.keys, **top.keys}
    for key, value in _entries(top).items():
        below = merged.get(key)
        if below is None or key == "override":
            merged[key] = value
        elif isinstance(below.value, dict) and isinstance(value.value, dict):
            merged[key] = _settings(below, value, override, f"{path}.{key}", problems)
        elif override or below.plain() == value.plain():
            merged[key] = value
        else:
            entry = ".".join(path.split(".")[:2])
            told = f"`{path}.{key}` is given in {below.place.file}; to change it, say `override: true` under {entry}"
            problems.append(Problem("P114", top.keys.get(key, value.place), told))
    return Tree(top.place, merged, keys)


def _top(base: Tree, top: Tree, problems: list[Problem]) -> Tree:
    """What the file on top gives replaces what it extends."""
    return _settings(base, top, True, "", problems)


def _prompt(base: Tree, top: Tree, problems: list[Problem]) -> Tree:
    merged = _settings(base, top, True, "prompt", problems)
    values = dict(_entries(merged))
    for key, below in _entries(base).items():
        if below.value == "refuse" and values[key].value == "allow":
            told = f"{base.place.file} refuses `{key}`, and what extends it may not be laxer"
            problems.append(Problem("P114", values[key].place, told))
            values[key] = below
    return Tree(merged.place, values, merged.keys)


def _on_error(base: Tree, top: Tree, problems: list[Problem]) -> Tree:
    if base.value == "flag" or top.value == "cut":
        return top
    told = f"{base.place.file} cuts on errors, and what extends it may not be laxer; use a rule with `label: error`"
    problems.append(Problem("P114", top.place, told))
    return Tree(base.place, "cut")


def _items(tree: Tree) -> list[Tree]:
    return tree.value if isinstance(tree.value, list) else []


def _entries(tree: Tree) -> dict[str, Tree]:
    return tree.value if isinstance(tree.value, dict) else {}


def _id(rule: Tree) -> str:
    name = rule.child("id")
    return str(name.value) if name else ""


def _flag(entry: Tree) -> bool:
    given = entry.child("override")
    return given is not None and given.value is True
