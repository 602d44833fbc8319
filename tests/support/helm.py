"""`helm template` in Python, as far as our chart needs it: charts are tested where there is no helm.

    render(chart, values) -> {template's name: text};   manifests(chart, values) -> the objects

A subset of Go's text/template (if, else, with, range, define, variables, pipelines) and of the functions that Helm
adds. What is not known is an error, never passed over; and where a helm is installed, the tests compare.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

_TAG: Final = re.compile(r"\{\{(-?)\s*(.*?)\s*(-?)\}\}", re.DOTALL)
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[()|]|:=|,|[^\s()|,]+')
_BLOCKS: Final = ("if", "with", "range", "define")


class TemplateError(Exception):
    """A template that cannot be rendered, or does not want to be (`required`)."""


@dataclass(slots=True)
class _Block:
    """`{{ word rest }} body {{ else }} other {{ end }}`."""

    word: str
    rest: str
    body: list[_Node] = field(default_factory=list)
    other: list[_Node] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Say:
    """`{{ pipeline }}`."""

    pipeline: str


_Node = str | _Say | _Block


def render(chart: Path, values: Mapping[str, Any], *, release: str = "test", namespace: str = "apps") -> dict[str, str]:
    """Every template of the chart with `values` over its own. Raises `TemplateError`."""
    told = yaml.safe_load((chart / "Chart.yaml").read_text(encoding="utf-8"))
    context = {
        "Values": merged(yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8")), values),
        "Chart": {"Name": told["name"], "Version": told["version"], "AppVersion": told["appVersion"]},
        "Release": {"Name": release, "Namespace": namespace, "Service": "Helm"},
        "Files": {"Get": lambda name: (chart / name).read_text(encoding="utf-8")},
    }
    templates = {file.name: parse(file.read_text(encoding="utf-8")) for file in sorted((chart / "templates").iterdir())}
    defined = {
        json.loads(node.rest): node.body
        for nodes in templates.values()
        for node in nodes
        if isinstance(node, _Block) and node.word == "define"
    }
    return {
        name: _Renderer(defined).all(nodes, context, {"$": context})
        for name, nodes in templates.items()
        if not name.startswith("_")
    }


def manifests(chart: Path, values: Mapping[str, Any], **release: str) -> list[dict[str, Any]]:
    """The objects that the chart makes."""
    texts = [text for name, text in render(chart, values, **release).items() if name.endswith(".yaml")]
    return [each for text in texts for each in yaml.safe_load_all(text) if each is not None]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, map by map."""
    both = dict(below)
    for key, value in above.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both


def parse(text: str) -> list[_Node]:
    """A template's nodes."""
    root = _Block("", "")
    stack: list[tuple[_Block, list[_Node]]] = [(root, root.body)]
    at, trim = 0, False
    for tag in _TAG.finditer(text):
        said = text[at : tag.start()]
        said = said.lstrip() if trim else said
        stack[-1][1].append(said.rstrip() if tag[1] else said)
        at, trim = tag.end(), bool(tag[3])
        word, _, rest = tag[2].partition(" ")
        if tag[2].startswith("/*"):
            continue
        if word in _BLOCKS:
            block = _Block(word, rest)
            stack[-1][1].append(block)
            stack.append((block, block.body))
        elif word == "else":
            block = stack.pop()[0]
            if rest:  # else if: an `if` within the `else`, which the same `end` closes
                raise TemplateError(f"else {rest}: not supported; nest an if")
            stack.append((block, block.other))
        elif word == "end":
            if len(stack) == 1:
                raise TemplateError("an end too many")
            stack.pop()
        else:
            stack[-1][1].append(_Say(tag[2]))
    if len(stack) > 1:
        raise TemplateError(f"{stack[-1][0].word} {stack[-1][0].rest} has no end")
    stack[-1][1].append(text[at:].lstrip() if trim else text[at:])
    return root.body


@dataclass(frozen=True, slots=True)
class _Renderer:
    defined: Mapping[str, Sequence[_Node]]

    def all(self, nodes: Sequence[_Node], dot: Any, variables: Mapping[str, Any]) -> str:
        variables = dict(variables)
        return "".join(self._one(node, dot, variables) for node in nodes)

    def _one(self, node: _Node, dot: Any, variables: dict[str, Any]) -> str:
        if isinstance(node, str):
            return node
        if isinstance(node, _Block):
            return self._block(node, dot, variables)
        name, is_set, pipeline = node.pipeline.partition(":=")
        if is_set:
            variables[name.strip()] = self._value(pipeline, dot, variables)
            return ""
        return _text(self._value(node.pipeline, dot, variables))

    def _block(self, block: _Block, dot: Any, variables: dict[str, Any]) -> str:
        if block.word == "define":
            return ""
        if block.word == "range":
            names, _, pipeline = block.rest.partition(":=")
            found = self._value(pipeline, dot, variables)
            key, value = (name.strip() for name in names.split(","))
            return "".join(
                self.all(block.body, found[each], {**variables, key: each, value: found[each]})
                for each in sorted(found)
            )
        found = self._value(block.rest, dot, variables)
        if not found:
            return self.all(block.other, dot, variables)
        return self.all(block.body, found if block.word == "with" else dot, variables)

    def _value(self, pipeline: str, dot: Any, variables: Mapping[str, Any]) -> Any:
        tokens = _TOKEN.findall(pipeline)
        return self._pipeline(iter(tokens), dot, variables)

    def _pipeline(self, tokens: Iterator[str], dot: Any, variables: Mapping[str, Any]) -> Any:
        """Read up to the end or a closing bracket."""
        before: list[Any] = []
        words: list[Any] = []
        for token in tokens:
            if token == ")":
                break
            if token == "|":
                before, words = [self._call(words, before, dot)], []
            elif token == "(":
                words.append(self._pipeline(tokens, dot, variables))
            else:
                words.append(self._word(token, dot, variables))
        return self._call(words, before, dot)

    def _word(self, token: str, dot: Any, variables: Mapping[str, Any]) -> Any:
        if token.startswith('"'):
            return json.loads(token)
        if token.lstrip("-").isdigit():
            return int(token)
        if token.startswith((".", "$")):
            name, _, path = token.partition(".")
            value = variables[name] if name else dot
            for step in filter(None, path.split(".")):
                value = value.get(step) if isinstance(value, Mapping) else None
            return value
        if token in ("true", "false"):
            return token == "true"
        if token == "include":
            return lambda name, to: self.all(self.defined[name], to, {"$": to})
        if token not in FUNCTIONS:
            raise TemplateError(f"{token}: not known here")
        return FUNCTIONS[token]

    @staticmethod
    def _call(words: Sequence[Any], before: Sequence[Any], dot: Any) -> Any:
        first, *rest = words
        if callable(first):
            return first(*rest, *before)
        if rest or before:
            raise TemplateError(f"{first!r} is no function")
        return first


def _required(says: str, value: Any) -> Any:
    if value in (None, ""):
        raise TemplateError(says)
    return value


def _printf(form: str, *values: Any) -> str:
    return form % tuple(_text(value) for value in values)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return ""
    if isinstance(value, str | int):
        return str(value)
    raise TemplateError(f"a {type(value).__name__} as text: use toYaml")


def _indent(width: int, text: str) -> str:
    return " " * width + text.replace("\n", "\n" + " " * width)


FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "add": lambda *numbers: sum(numbers),
    "contains": lambda part, whole: part in whole,
    "default": lambda other, value: value or other,
    "hasKey": lambda mapping, key: key in mapping,
    "nindent": lambda width, text: "\n" + _indent(width, text),
    "not": lambda value: not value,
    "printf": _printf,
    "quote": lambda value: json.dumps(_text(value), ensure_ascii=False),
    "required": _required,
    "sha256sum": lambda text: hashlib.sha256(text.encode()).hexdigest(),
    "toYaml": lambda value: yaml.safe_dump(value, allow_unicode=True, default_flow_style=False).rstrip("\n"),
    "trimSuffix": lambda suffix, text: text.removesuffix(suffix),
    "trunc": lambda length, text: text[:length],
}
