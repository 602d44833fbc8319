"""From a name or a path to one merged policy in which everything still knows its place.

    find -> read bytes -> tree (tree.py) -> validate (validate.py) -> lay over what it extends (merge.py)

Every file is validated for itself first, so that each problem is told where it was written. What is broken is then
left out, and the rest goes on: the operator hears of everything at once.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import guard
from guard.policy.merge import lay_over
from guard.policy.problems import Place, PolicyError, Problem, Severity, did_you_mean, in_order, shown
from guard.policy.schema import Policy
from guard.policy.tree import MAX_BYTES, Tree, parse
from guard.policy.validate import sound, validate

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
    policy, _ = validate(tree)
    return PolicySource(str(target), policy, tree, in_order(reading.problems), reading.whole)


def parse_policy(text: str, file: str = "<policy>") -> PolicySource:
    """The same for a text. `extends` is looked up from the working directory."""
    reading = _Chain()
    tree = reading.take(text, Path(file))
    if tree is None:
        raise PolicyError(reading.problems)
    policy, _ = validate(tree)
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
        _, wrong = validate(tree)
        told = {problem.place for problem in problems}  # what stands in for forbidden YAML is not wrong once more
        self.problems += [problem for problem in wrong if problem.place not in told]
        base = self.base_of(tree, path, (*above, _identity(path)))
        tree = sound(tree, [*problems, *wrong])
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
    if "\x00" in wanted:
        raise PolicyError([Problem("P106", place, "a path cannot hold a NUL character")])
    if wanted in builtin:
        return builtin[wanted]
    if "/" in wanted or "\\" in wanted or wanted.endswith(_SUFFIXES) or os.path.isfile(folder / wanted):
        return folder / os.path.expanduser(wanted)  # unlike Path.expanduser, leaves a user it does not know
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
    except OSError as error:
        raise refusal(f"{path} cannot be read: {error.strerror or error}") from None
    if len(raw) > MAX_BYTES:
        raise refusal(f"it is larger than {MAX_BYTES >> 20} MiB; a policy is a page or two", Place(str(path)))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig").split("\n")
        line = raw.split(b"\n")[len(before) - 1].decode("utf-8", "replace")
        place = Place(str(path), len(before), len(before[-1]) + 1, line)
        raise refusal(f"the byte 0x{raw[error.start]:02x} is not UTF-8; save the file as UTF-8", place) from None


def _identity(path: Path) -> Path:
    return path.resolve()


def _folder() -> Path:
    """Where the built-in policies are: inside the wheel, or at the top of a checkout."""
    package = Path(guard.__file__).parent
    shipped = package / "_policies"
    return shipped if shipped.is_dir() else package.parent / "policies"
