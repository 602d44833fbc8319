"""Which detectors there are, and how one is made from the settings in a policy.

Built-in or plug-in, a detector is an entry point of the group `guard.detectors`. Listing reads metadata only; a
detector's module is imported when a policy names it. Every function may be called from any thread.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from importlib import metadata
from typing import Any, Final, NamedTuple

from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from guard.contract import ERROR_LABEL, Detector, DetectorError, Stability

GROUP: Final = "guard.detectors"
RESERVED: Final = frozenset({"use", "override"})
"""Keys beside a detector's settings that the policy file keeps for itself."""


class SettingProblem(NamedTuple):
    """What is wrong with one setting. `path` leads to it from the top of the detector's settings."""

    path: tuple[str | int, ...]
    message: str
    unknown: tuple[str, ...] | None = None
    """For a key that does not exist: the keys that do."""


class SettingsError(ValueError):
    """Settings do not fit their detector; carries every problem."""

    def __init__(self, use: str, problems: Iterable[SettingProblem]):
        self.problems = tuple(problems)
        told = "; ".join(f"{'.'.join(map(str, problem.path)) or use}: {problem.message}" for problem in self.problems)
        super().__init__(told)


class UnknownDetector(LookupError):
    """No installed package offers a detector of this name; `known` are those that are offered."""

    def __init__(self, use: str, known: Iterable[str]):
        super().__init__(f"there is no detector `{use}`")
        self.use = use
        self.known = tuple(known)


def entry_points() -> Iterable[metadata.EntryPoint]:
    """The entry points of the group, from package metadata. Tests put their own in its place."""
    return metadata.entry_points(group=GROUP)


def available() -> dict[str, metadata.EntryPoint]:
    """Every offered detector by name, in alphabetical order. Imports none of them."""
    return {point.name: point for point in sorted(entry_points(), key=lambda point: (point.name, point.value))}


def detector_class(use: str) -> type[Detector]:
    """Import the detector offered as `use`.

    Raises `UnknownDetector`, or `DetectorError` if it cannot be imported, breaks the contract, or is offered by two
    packages at once.
    """
    offers = {point.value: point for point in entry_points() if point.name == use}
    if not offers:
        raise UnknownDetector(use, available())
    if len(offers) > 1:
        raise DetectorError(f"`{use}` is offered twice, as {' and '.join(sorted(offers))}; uninstall one of them")
    point = next(iter(offers.values()))
    try:
        loaded = point.load()
    except Exception as error:
        extra = f"; pip install 'qwq-guard[{','.join(point.extras)}]'" if point.extras else ""
        raise DetectorError(
            f"`{use}` ({point.value}) cannot be imported: {type(error).__name__}: {error}{extra}"
        ) from error
    if missing := _missing(loaded):
        raise DetectorError(f"`{use}` ({point.value}) is not a detector: {missing}; see guard.contract.Detector")
    return loaded  # type: ignore[no-any-return]


def read_settings(use: str, cls: type[Detector], values: Mapping[str, Any]) -> Any:
    """An instance of the detector's `Settings`. Types are taken strictly, nested dataclasses included.

    Raises `SettingsError` with every problem, `DetectorError` if `Settings` has types that cannot be validated.
    """
    try:
        # As JSON, because strictness then allows what YAML spells alike: a list for a tuple, a word for an enum.
        return TypeAdapter[Any](cls.Settings).validate_json(json.dumps(values), strict=True, extra="forbid")
    except ValidationError as error:
        raise SettingsError(use, (_setting_problem(cls.Settings, each) for each in error.errors())) from error
    except (PydanticUserError, PydanticUndefinedAnnotation) as error:
        raise DetectorError(f"the settings of `{use}` have a type that cannot be validated: {error.message}") from error


def build(name: str, use: str, settings: Mapping[str, Any]) -> Detector:
    """The detector `use` under the rule-visible `name`; not loaded yet.

    Raises `UnknownDetector`, `DetectorError` or `SettingsError`.
    """
    cls = detector_class(use)
    values = read_settings(use, cls, settings)
    try:
        return cls(name, values)
    except ValueError as error:
        raise SettingsError(use, [SettingProblem((), str(error) or "the settings contradict each other")]) from error
    except Exception as error:
        raise DetectorError(f"`{use}` cannot be made: {type(error).__name__}: {error}") from error


def sentence(error: ErrorDetails) -> str:
    """One of pydantic's validation errors as "must be ..." in the words of a policy."""
    context: dict[str, Any] = error.get("ctx", {})
    match error["type"]:
        case "literal_error" | "enum":
            return f"must be {context['expected']}"
        case "value_error":
            return str(context["error"])
        case "dict_type" | "model_type" | "model_attributes_type" | "dataclass_type" | "mapping_type":
            return "must be a mapping (`key: value` lines)"
        case "list_type" | "tuple_type" | "set_type" | "frozen_set_type":
            return "must be a list"
        case "string_type":
            return "must be text; put it in quotes"
        case "bool_type":
            return "must be true or false"
        case "int_type" | "int_from_float":
            return "must be a whole number"
        case "float_type":
            return "must be a number"
        case "too_short" | "string_too_short":
            return "must not be empty"
        case "none_required":
            return "must be left empty"
        case "missing" | "missing_argument":
            return "must be given"
        case _:
            message = error["msg"].removeprefix("Input should be ").removeprefix("Value should ")
            return f"must be {message}" if message != error["msg"] else f"{message[:1].lower()}{message[1:]}"


def _setting_problem(settings: type, error: ErrorDetails) -> SettingProblem:
    path = tuple(error["loc"])
    if error["type"] in {"unexpected_keyword_argument", "extra_forbidden"}:
        return SettingProblem(path, "there is no such setting", _fields_beside(settings, path))
    return SettingProblem(path, sentence(error))


def _fields_beside(settings: Any, path: tuple[str | int, ...]) -> tuple[str, ...]:
    """The names that could have stood at `path`: found by making the default settings and walking down."""
    try:
        default: Any = settings()
        for step in path[:-1]:
            default = default[step] if isinstance(default, Mapping) else getattr(default, str(step))
        return tuple(field.name for field in dataclasses.fields(default))
    except (AttributeError, KeyError, TypeError):
        return ()


def _missing(loaded: Any) -> str:
    """What an entry point's object lacks to be a detector; empty if nothing."""
    if not isinstance(loaded, type):
        return "it is not a class"
    settings = getattr(loaded, "Settings", None)
    if not (isinstance(settings, type) and dataclasses.is_dataclass(settings)):
        return "`Settings` is not a dataclass"
    if reserved := {field.name for field in dataclasses.fields(settings)} & RESERVED:
        return f"the setting `{min(reserved)}` is a word of the policy file"
    labels = getattr(loaded, "labels", None)
    if not isinstance(labels, Mapping) or not all(isinstance(label, str) for label in labels):
        return "`labels` is not a mapping from label to meaning"
    if ERROR_LABEL in labels:
        return f"the label `{ERROR_LABEL}` is reserved"
    if not isinstance(getattr(loaded, "stability", None), Stability):
        return "`stability` is not a guard.contract.Stability"
    if not isinstance(getattr(loaded, "slow", None), bool):
        return "`slow` is neither True nor False"
    if absent := [name for name in ("load", "open") if not callable(getattr(loaded, name, None))]:
        return f"it has no `{absent[0]}`"
    return ""
