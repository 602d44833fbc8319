"""From a name or a path to one merged policy in which everything still knows its place.

    find -> read bytes -> tree (tree.py) -> validate (schema.py) -> lay over what it extends -> validate the whole

Every file is validated for itself first, so that each problem is told where it was written. What is broken is then
left out, and the rest goes on: the operator hears of everything at once.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

import guard
from guard.policy.merge import lay_over
from guard.policy.problems import Place, PolicyError, Problem, Severity, did_you_mean, in_order, shown
from guard.policy.schema import Policy, keys_beside
from guard.policy.tree import MAX_BYTES, Tree, parse
from guard.registry import sentence

_SUFFIXES: Final = (".yaml", ".yml")
_LONGEST_CHAIN: Final = 16
"""Policies that may stand in a row by `extends`."""


@dataclass(frozen=True, slots=True)
class PolicySource:
    """A merged policy. `policy` is what could be read of it; with errors among `problems` it must not be used."""

    file: str
    policy: Policy
    tree: Tree
    problems: Sequence[Problem] = ()
    whole: bool = True
    """False if a file is missing from it: what is not there may then not be called unknown."""

    def place(self, *path: str | int, key: bool = False) -> Place:
        """Where the value at `path` (with `key`: its key) was written, in whichever file that was."""
        return self.tree.at(path, key=key)

    @property
    def errors(self) -> Sequence[Problem]:
        return [problem for problem in self.problems if problem.severity is Severity.ERROR]


def builtin_policies() -> dict[str, Path]:
    """The policies that come with the guard, by name."""
    return {file.stem: file for file in sorted(_folder().glob("*.yaml"))}


def read_policy(name_or_path: str | Path) -> PolicySource:
    """Read a built-in policy by name or any policy by path, with what it extends.

    Raises `PolicyError` if there is nothing to go on with: no such policy, or a file that is not YAML.
    """
    target = _find(str(name_or_path), Path(), Place(str(name_or_path)))
    reading = _Chain()
    tree = reading.read(target, Place(str(name_or_path)), ())
    if tree is None:
        raise PolicyError(reading.problems)
    policy, _ = _validate(tree)
    return PolicySource(str(target), policy, tree, in_order(reading.problems), reading.whole)


def parse_policy(text: str, file: str = "<policy>") -> PolicySource:
    """The same for a text. `extends` is looked up from the working directory."""
    reading = _Chain()
    tree = reading.take(text, Path(file))
    if tree is None:
        raise PolicyError(reading.problems)
    policy, _ = _validate(tree)
    return PolicySource(file, policy, tree, in_order(reading.problems), reading.whole)


@dataclass(slots=True)
class _Chain:
    """Reads a file and, through `extends`, those under it."""

    problems: list[Problem] = field(default_factory=list)
    whole: bool = True

    def read(self, path: Path, wanted_at: Place, above: tuple[Path, ...]) -> Tree | None:
        try:
            text = _text_of(path, wanted_at)
        except PolicyError as error:
            self.problems += error.problems
            return None
        return self.take(text, path, above)

    def take(self, text: str, path: Path, above: tuple[Path, ...] = ()) -> Tree | None:
        tree, problems = parse(text, str(path))
        self.problems += problems
        if tree is None:
            return None
        _, wrong = _validate(tree)
        told = {problem.place for problem in problems}  # what stands in for forbidden YAML is not wrong once more
        self.problems += [problem for problem in wrong if problem.place not in told]
        base = self.base_of(tree, path, (*above, _identity(path)))
        tree = _without_broken(tree, [*problems, *wrong])
        if base is None:
            return tree
        merged, clashes = lay_over(base, tree)
        self.problems += clashes
        return merged

    def base_of(self, tree: Tree, path: Path, above: tuple[Path, ...]) -> Tree | None:
        named = tree.child("extends")
        if named is None or not isinstance(named.value, str):
            return None
        base: Tree | None = None
        try:
            target = _find(named.value, path.parent, named.place)
            if _identity(target) in above:
                circle = " -> ".join(each.name for each in (*above[above.index(_identity(target)) :], target))
                raise PolicyError(
                    [Problem("P115", named.place, f"the policies extend each other in a circle: {circle}")]
                )
            if len(above) >= _LONGEST_CHAIN:
                raise PolicyError([Problem("P115", named.place, f"more than {_LONGEST_CHAIN} policies in a row")])
            base = self.read(target, named.place, above)
        except PolicyError as error:
            self.problems += error.problems
        self.whole = self.whole and base is not None
        return base


def _find(wanted: str, folder: Path, place: Place) -> Path:
    """The file meant by a built-in name or a path. Raises `PolicyError`."""
    builtin = builtin_policies()
    if wanted in builtin:
        return builtin[wanted]
    if "/" in wanted or "\\" in wanted or wanted.endswith(_SUFFIXES):
        return folder / Path(wanted).expanduser()
    known = ", ".join(builtin)
    hint = did_you_mean(wanted, builtin)
    told = f"there is no built-in policy `{shown(wanted)}`{hint}; built in are {known}; a file is given by its path, "
    raise PolicyError([Problem("P106", place, f"{told}such as ./{shown(wanted) or 'house'}.yaml")])


def _text_of(path: Path, wanted_at: Place) -> str:
    """The text of a file. Raises `PolicyError`."""

    def refusal(message: str, place: Place = wanted_at) -> PolicyError:
        return PolicyError([Problem("P106", place, message)])

    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refusal(f"there is no file {path}; built-in policies are {', '.join(builtin_policies())}") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise refusal(f"{path} cannot be read: {why}") from None
    if len(raw) > MAX_BYTES:
        raise refusal(f"it is larger than {MAX_BYTES >> 20} MiB; a policy is a page or two", Place(str(path)))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig").split("\n")
        line = raw.split(b"\n")[len(before) - 1].decode("utf-8", "replace")
        place = Place(str(path), len(before), len(before[-1]) + 1, line)
        raise refusal(f"the byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8", place) from None


def _validate(tree: Tree) -> tuple[Policy, list[Problem]]:
    """The policy in `tree`, leaving out what is broken, and what is."""
    try:
        return Policy.model_validate(tree.plain()), []
    except ValidationError as error:
        problems = [_problem(tree, each) for each in error.errors()]
    kept = _without_broken(tree, problems).plain()
    kept = {"policy_version": 1, "name": "unnamed", **kept} if isinstance(kept, dict) else {}
    try:
        return Policy.model_validate(kept), problems
    except ValidationError:
        return Policy(policy_version=1, name="unnamed"), problems


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
    name = next((str(step) for step in reversed(path) if isinstance(step, str)), "the policy")
    told = f"`{name}` {sentence(error)}"
    if error["type"] == "value_error":
        return tree.at(path), told
    words = re.findall("'([^']*)'", error.get("ctx", {}).get("expected", ""))
    return tree.at(path), f"{told}, not {shown(given)}{did_you_mean(str(given), words)}"


def _without_broken(tree: Tree, problems: Iterable[Problem]) -> Tree:
    """`tree` without the rules, detectors and other top-level values in which a problem lies."""
    wrong = {(problem.place.line, problem.place.column) for problem in problems}

    def sound(node: Tree) -> bool:
        if (node.place.line, node.place.column) in wrong:
            return False
        if any((place.line, place.column) in wrong for place in node.keys.values()):
            return False
        return all(sound(child) for child in _children(node))

    if not isinstance(tree.value, dict):
        return Tree(tree.place, {})
    values: dict[str, Tree] = {}
    for key, child in tree.value.items():
        if key not in Policy.model_fields:
            continue
        if key == "rules" and isinstance(child.value, list):
            values[key] = Tree(child.place, [rule for rule in child.value if sound(rule)], child.keys)
        elif key == "detectors" and isinstance(child.value, dict):
            # A broken entry stays under its name, so that rules which speak of it are not called wrong too.
            entries = {
                name: entry if sound(entry) else Tree(entry.place, {})
                for name, entry in child.value.items()
                if (child.keys[name].line, child.keys[name].column) not in wrong
            }
            values[key] = Tree(child.place, entries, child.keys)
        elif sound(child):
            values[key] = child
    return Tree(tree.place, values, tree.keys)


def _children(node: Tree) -> Iterable[Tree]:
    if isinstance(node.value, dict):
        return node.value.values()
    return node.value if isinstance(node.value, list) else ()


def _identity(path: Path) -> Path:
    return path.resolve()


@functools.cache
def _folder() -> Path:
    """Where the built-in policies are: inside the wheel, or at the top of a checkout."""
    package = Path(guard.__file__).parent
    shipped: Any = package / "_policies"
    return shipped if shipped.is_dir() else package.parent / "policies"
