"""Reading settings from a file, the environment and the command line, and saying what is wrong with them.

file ─┐
env  ─┼─> merged data, and for each key where it came from ─> pydantic ─> settings, or one line per problem
flags─┘
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource

PREFIX: Final = "GUARD_"
HIDDEN: Final = "(hidden)"
SECRETS: Final = frozenset({"api_key", "hmac_key"})
"""Keys whose values are never shown."""

S = TypeVar("S", bound=BaseSettings)

_SERVICE_LINK: Final = re.compile(r".*_(SERVICE_(HOST|PORT.*)|PORT_\d+_(TCP|UDP).*)")
"""Variables that Kubernetes sets in every container for a Service that happens to be named `guard`."""
_LISTS: Final = frozenset({"tuple_type", "list_type"})
_MAPS: Final = frozenset({"dict_type", "mapping_type"})


class SettingsError(Exception):
    """The configuration cannot be used. `problems` has one line for each thing to mend."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def read(cls: type[S], path: Path | None, env: Mapping[str, str], overrides: Mapping[str, Any]) -> S:
    """Settings of class `cls`: `overrides` over `GUARD_*` variables over the file. Raises `SettingsError`."""
    merged = _Merged(cls)
    if path is not None:
        merged.add_file(path)
    merged.add_environment(env)
    merged.add_overrides(overrides)
    try:
        settings = cls(**merged.data)
    except ValidationError as error:
        merged.problems += [merged.describe(each) for each in error.errors(include_url=False)]
    if merged.problems:
        raise SettingsError(list(dict.fromkeys(merged.problems)))
    return settings


class _Environment(EnvSettingsSource):
    """Variables of a given mapping; what is no JSON is left to validation."""

    def __init__(self, cls: type[BaseSettings], env: Mapping[str, str]) -> None:
        self._given = {name.lower(): value for name, value in env.items() if value}
        super().__init__(cls)

    def _load_env_vars(self) -> Mapping[str, str | None]:
        return self._given

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


class _Merged:
    """Settings from several sources, and where each came from."""

    def __init__(self, cls: type[BaseSettings]) -> None:
        self._cls = cls
        self.data: dict[str, Any] = {}
        self.problems: list[str] = []
        self._origins: dict[tuple[str, ...], str] = {}

    def add_file(self, path: Path) -> None:
        try:
            self._add_yaml(path, path.read_text(encoding="utf-8"))
        except OSError as error:
            self.problems.append(f"{path}: cannot be read ({error.strerror}); give the path of a guard.yaml")
        except UnicodeDecodeError as error:
            self.problems.append(f"{path}: is not UTF-8 text (byte {error.start})")
        except RecursionError:
            self.problems.append(f"{path}: is nested too deeply")
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            at = f":{mark.line + 1}" if mark else ""
            says = getattr(error, "problem", None) or getattr(error, "reason", error)
            self.problems.append(f"{path}{at}: is not YAML: {' '.join(str(says).split())}")

    def _add_yaml(self, path: Path, text: str) -> None:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                line = event.start_mark.line + 1 if event.start_mark else 1
                self.problems.append(f"{path}:{line}: aliases (*name) are not read here; write the value again")
                return
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        if isinstance(node, yaml.MappingNode):
            self._note_lines(node, str(path), ())
            data = yaml.SafeLoader("").construct_document(node)
            # a section that is named but left empty means its defaults
            self.data = {str(key): {} if value is None else value for key, value in data.items()}
        elif node is not None:
            self.problems.append(f"{path}: holds no settings; write lines like `port: 8080`")

    def _note_lines(self, node: yaml.MappingNode, file: str, above: tuple[str, ...]) -> None:
        for key, value in node.value:
            path = (*above, str(key.value))
            where = f"{file}:{key.start_mark.line + 1}"
            if path in self._origins:
                self.problems.append(f"{where}: {'.'.join(path)}: is set twice; remove one of the two")
            elif isinstance(value, yaml.MappingNode):
                self._note_lines(value, file, path)
            self._origins[path] = where

    def add_environment(self, env: Mapping[str, str]) -> None:
        env = {name: value for name, value in env.items() if name.upper().startswith(PREFIX) and value}
        for name in env:
            path = tuple(name.lower().removeprefix(PREFIX.lower()).split("__"))
            if path[0] in self._cls.model_fields:
                self._origins[path] = name
            elif not _SERVICE_LINK.fullmatch(name.upper()):
                self.problems.append(f"{name}: no such setting{_did_you_mean(path[0], self._cls.model_fields)}")
        self.data = _merge(self.data, _Environment(self._cls, env)())

    def add_overrides(self, overrides: Mapping[str, Any]) -> None:
        for path in _paths(overrides):
            self._origins[path] = "command line"
        self.data = _merge(self.data, overrides)

    def describe(self, error: ErrorDetails) -> str:
        """One line: place, key, value, what is wrong and what to do."""
        path = tuple(str(part) for part in error["loc"])
        where = next((self._origins[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._origins), "")
        says = self._reason(path, error, is_variable=where.upper().startswith(PREFIX))
        return ": ".join(part for part in (where, ".".join(path), says) if part)

    def _reason(self, path: tuple[str, ...], error: ErrorDetails, *, is_variable: bool) -> str:
        kind = error["type"]
        if kind == "extra_forbidden":
            return f"no such setting{_did_you_mean(path[-1], _keys_at(self._cls, path[:-1]))}"
        if kind == "missing":
            return "is missing, and has no default"
        if kind == "value_error":
            return str(error["msg"]).removeprefix("Value error, ")
        value = HIDDEN if SECRETS & set(path) else _shortened(error["input"])
        if kind == "model_type":
            return f"{value} is no section: {'set' if is_variable else 'write'} its keys one by one"
        if kind in _LISTS:
            return f"{value} is no list" + ('; in a variable write it as JSON: ["a", "b"]' if is_variable else "")
        if kind in _MAPS:
            return f"{value} is no map" + ('; in a variable write it as JSON: {"a": "b"}' if is_variable else "")
        says = str(error["msg"]).replace("Input should", "should").replace("String should", "should")
        if is_variable and str(error["input"]).startswith(("tcp://", "udp://")):
            says += '; Kubernetes sets this for a Service named "guard": use `enableServiceLinks: false`'
        return f"{value} {says}"


def _shortened(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."


def _paths(data: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The paths of all values that are no maps."""
    found: list[tuple[str, ...]] = []
    for key, value in data.items():
        path = (*above, str(key))
        found += _paths(value, path) if isinstance(value, Mapping) else [path]
    return found


def _keys_at(cls: type[BaseModel], path: tuple[str, ...]) -> Collection[str]:
    """The keys that the section at `path` knows."""
    for name in path:
        field = cls.model_fields.get(name)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        section = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), None)
        if section is None:
            return ()
        cls = section
    return cls.model_fields.keys()


def _did_you_mean(word: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(word, known, n=1)
    if close:
        return f"; did you mean `{close[0]}`?"
    return f"; there are {', '.join(known)}" if known else ""


def _merge(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """`above` over `below`, section by section."""
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        merged[key] = _merge(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
