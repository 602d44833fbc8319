"""The part of YAML that a policy may use, read into a tree in which every key and value knows its place.

Mappings, lists and scalars of YAML 1.2's core schema: of the plain words only `true` and `false` are booleans, so that
`allow: [no]` means Norwegian and `on` is a word. No anchors, aliases, merge keys, tags or second documents: a reader
must be able to see what a line means where it stands, and ten lines must not unfold to a gigabyte. Keys are text.

PyYAML's parser gives the events; they are taken one by one, so a file that nests too deeply is given up where it does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import yaml

from guard.policy.problems import Place, Problem, shown

MAX_BYTES: Final = 1 << 20
"""Largest policy file, in bytes."""
MAX_DEPTH: Final = 32
"""Deepest nesting of mappings and lists."""

Path = Sequence[str | int]
Scalar = str | int | float | bool | None

# YAML 1.2.2, section 10.3.2 (core schema), without octal, hexadecimal, infinities and not-a-number.
_NULL: Final = re.compile(r"null|Null|NULL|~|")
_TRUE: Final = re.compile(r"true|True|TRUE")
_FALSE: Final = re.compile(r"false|False|FALSE")
_INTEGER: Final = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]{1,4})?")
_LINE_BREAK: Final = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Tree:
    """A value with its place. Of a mapping `keys` holds the places of the keys."""

    place: Place
    value: Scalar | list[Tree] | dict[str, Tree] = None
    keys: dict[str, Place] = field(default_factory=dict)

    def plain(self) -> Any:
        """The value alone, as Python data."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value

    def at(self, path: Path, *, key: bool = False) -> Place:
        """The place of the value at `path`, or of the deepest part of the path that exists; with `key` of its key."""
        place, node = self.place, self
        for last, step in enumerate(path, start=1 - len(path)):
            child = node.child(step)
            if child is None:
                break
            place = node.keys[str(step)] if key and last == 0 and isinstance(node.value, dict) else child.place
            node = child
        return place

    def child(self, step: str | int) -> Tree | None:
        """What stands under a key or an index, if anything does."""
        if isinstance(self.value, dict):
            return self.value.get(str(step))
        if isinstance(self.value, list) and isinstance(step, int) and step < len(self.value):
            return self.value[step]
        return None


def parse(text: str, file: str) -> tuple[Tree | None, list[Problem]]:
    """The tree of `text` and all that is wrong with it as YAML; no tree if it could not be read to its end."""
    reading = _Reading(text, file)
    tree = reading.document()
    return tree, reading.problems


class _Reading:
    """One pass over one file."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.text = text
        self.lines = _LINE_BREAK.split(text)
        self.problems: list[Problem] = []

    def document(self) -> Tree | None:
        tree: Tree | None = None
        try:
            events = yaml.parse(self.text, Loader=yaml.SafeLoader)
            for event in events:
                if isinstance(event, yaml.NodeEvent):
                    if tree is not None:
                        self.blame("P107", event, "a policy is one document; remove this `---` and what follows")
                        break
                    tree = self.node(event, events, 1)
        except _TooDeep as stop:
            self.problems.append(stop.problem)
            return None
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            if error.context_mark and mark and mark.index >= len(self.text):  # never closed: show where it was opened
                mark = error.context_mark
            place = self.place(mark.line, mark.column) if mark else Place(self.file)
            said = ", ".join(part for part in (error.context, error.problem) if part)
            self.problems.append(Problem("P101", place, f"{said}; check indentation, quotes and brackets here"))
            return None
        except yaml.reader.ReaderError as error:
            before = _LINE_BREAK.split(self.text[: error.position])
            place = self.place(len(before) - 1, len(before[-1]))
            number = error.character if isinstance(error.character, int) else ord(error.character)
            self.problems.append(Problem("P101", place, f"the character U+{number:04X} may not stand in a YAML file"))
            return None
        except (ValueError, OverflowError):  # PyYAML 6.0.3 passes "\UFFFFFFFF" and an impossible %YAML to int and chr
            self.problems.append(Problem("P101", Place(self.file), "a number or an escape in it is out of range"))
            return None
        if tree is None:
            self.problems.append(Problem("P101", Place(self.file), "the file is empty; begin with `policy_version: 1`"))
        return tree

    def node(self, event: yaml.NodeEvent, events: Iterator[Any], depth: int) -> Tree:
        place = self.plain_place(event)
        if isinstance(event, yaml.AliasEvent):
            self.blame("P107", event, f"the alias `*{shown(event.anchor)}` must be written out")
            return Tree(place)
        if event.anchor is not None:
            self.blame("P107", event, f"the anchor `&{shown(event.anchor)}` has no use here; remove it")
        if (tag := getattr(event, "tag", None)) is not None:
            self.blame("P107", event, f"the tag `{shown(tag)}` has no use here; remove it")
        if isinstance(event, yaml.ScalarEvent):
            return Tree(place, self.scalar(event))
        if depth > MAX_DEPTH:
            raise _TooDeep(Problem("P109", place, f"mappings and lists may nest {MAX_DEPTH} deep, no deeper"))
        if isinstance(event, yaml.SequenceStartEvent):
            return Tree(place, [self.node(child, events, depth + 1) for child in _until(yaml.SequenceEndEvent, events)])
        return self.mapping(place, events, depth)

    def mapping(self, place: Place, events: Iterator[Any], depth: int) -> Tree:
        values: dict[str, Tree] = {}
        keys: dict[str, Place] = {}
        for key_event in _until(yaml.MappingEndEvent, events):
            key = self.node(key_event, events, depth + 1)
            value = self.node(next(events), events, depth + 1)
            if not isinstance(key_event, yaml.ScalarEvent):
                if not isinstance(key_event, yaml.AliasEvent):
                    self.problems.append(Problem("P104", key.place, "a key is a word, not a list or a mapping"))
                continue
            name = key_event.value
            if name == "<<" and key_event.implicit[0]:
                self.blame("P107", key_event, "the merge key `<<` must be written out")
            elif name in values:
                first = keys[name].line
                self.blame("P108", key_event, f"`{shown(name)}` is already given in line {first}; keep one of them")
            else:
                values[name], keys[name] = value, key.place
        return Tree(place, values, keys)

    def scalar(self, event: yaml.ScalarEvent) -> Scalar:
        text = event.value
        if _SURROGATE.search(text):
            self.blame("P104", event, "half of a surrogate pair is not a character; write the character itself")
            return ""
        if not event.implicit[0]:  # quoted, or a block
            return str(text)
        if _NULL.fullmatch(text):
            return None
        if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
            return bool(_TRUE.fullmatch(text))
        if _INTEGER.fullmatch(text):
            return int(text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
            self.blame("P104", event, f"{shown(text)} is too large a number")
            return 0
        return str(text)

    def blame(self, code: str, event: yaml.Event, message: str) -> None:
        self.problems.append(Problem(code, self.plain_place(event), message))

    def plain_place(self, event: yaml.Event) -> Place:
        mark = event.start_mark
        return self.place(mark.line, mark.column) if mark else Place(self.file)

    def place(self, line: int, column: int) -> Place:
        text = self.lines[line] if line < len(self.lines) else ""
        return Place(self.file, line + 1, column + 1, text)


def _until(end: type[Any], events: Iterator[Any]) -> Iterator[Any]:
    """The events before `end`; whoever takes one may read on from `events` to the end of its node."""
    for event in events:
        if isinstance(event, end):
            return
        yield event


class _TooDeep(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem
