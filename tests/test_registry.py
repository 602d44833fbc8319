from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from guard import registry
from guard.contract import DetectorError
from guard.registry import SettingsError, UnknownDetector, available, build, detector_class, read_settings
from tests.support import fake_detectors
from tests.support.fake_detectors import Budget, Words, WordsSettings, point


@pytest.fixture
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch)


@pytest.mark.usefixtures("_fakes")
def test_detectors_are_listed_by_name_without_importing_them() -> None:
    assert list(available()) == ["absent", "broken", "failing", "other", "unfit", "words"]


def test_the_installed_package_offers_its_own() -> None:
    assert {"language", "length", "loop"} <= set(available())


def test_listing_imports_no_detector() -> None:
    code = (
        "import sys, guard.registry as r; r.available(); print(*(m for m in sys.modules if m.startswith('detectors')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@pytest.mark.usefixtures("_fakes")
def test_a_detector_is_built_with_its_settings() -> None:
    detector = build("mine", "words", {"words": ["a", "b"], "score": 1, "budget": {"soft": 3}})
    assert isinstance(detector, Words)
    assert detector.name == "mine"
    assert detector.settings == WordsSettings(words=("a", "b"), score=1.0, budget=Budget(soft=3, hard=100))
    assert detector.loads == 0


@pytest.mark.usefixtures("_fakes")
@pytest.mark.parametrize(
    ("settings", "path", "message"),
    [
        ({"wrods": []}, ("wrods",), "there is no such setting"),
        ({"budget": {"hrd": 1}}, ("budget", "hrd"), "there is no such setting"),
        ({"words": "a"}, ("words",), "must be a list"),
        ({"words": ["a", True]}, ("words", 1), "must be text; put it in quotes"),
        ({"score": "high"}, ("score",), "must be a number"),
        ({"score": True}, ("score",), "must be a number"),
        ({"budget": {"hard": 1.5}}, ("budget", "hard"), "must be a whole number"),
        ({"budget": {"soft": "1"}}, ("budget", "soft"), "must be a whole number"),
        ({"budget": []}, ("budget",), "must be a mapping"),
        ({"words": []}, (), "there must be at least one word"),
    ],
)
def test_settings_are_taken_strictly(settings: dict[str, Any], path: tuple[str | int, ...], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        build("mine", "words", settings)
    (problem,) = caught.value.problems
    assert problem.path == path
    assert problem.message.startswith(message)


@dataclass(frozen=True, slots=True)
class Kinds:
    kind: Literal["a", "b"] = "a"
    switch: bool = False
    share: Annotated[float, Field(ge=0, le=1)] = 0.5
    table: Mapping[str, int] = field(default_factory=dict)
    words: Annotated[tuple[str, ...], Field(min_length=1)] = ("a",)
    code: Annotated[str, Field(pattern="^[a-z]$")] = "a"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "c"}, "must be 'a' or 'b'"),
        ({"switch": "yes"}, "must be true or false"),
        ({"share": 2}, "must be less than or equal to 1"),
        ({"table": [1]}, "must be a mapping (`key: value` lines)"),
        ({"words": []}, "must not be empty"),
        ({"code": "A"}, "string should match pattern '^[a-z]$'"),
    ],
)
def test_what_a_setting_must_be_is_told_in_the_words_of_a_policy(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_settings("kinds", type("Kind", (Words,), {"Settings": Kinds}), settings)
    assert [problem.message for problem in caught.value.problems] == [message]


def test_a_setting_without_a_default_must_be_given() -> None:
    @dataclass
    class Needy:
        needed: int

    with pytest.raises(SettingsError) as caught:
        read_settings("needy", type("Kind", (Words,), {"Settings": Needy}), {"other": 1})
    assert {problem.path: problem.message for problem in caught.value.problems} == {
        ("needed",): "must be given",
        ("other",): "there is no such setting",
    }


@pytest.mark.usefixtures("_fakes")
def test_all_wrong_settings_are_told_at_once_with_the_keys_there_are() -> None:
    with pytest.raises(SettingsError) as caught:
        build("mine", "words", {"wrods": 1, "budget": {"hrd": 1}, "score": "x"})
    known = {problem.path: problem.unknown for problem in caught.value.problems}
    assert known == {("wrods",): ("words", "score", "budget"), ("budget", "hrd"): ("soft", "hard"), ("score",): None}
    assert "budget.hrd: there is no such setting" in str(caught.value)


@pytest.mark.usefixtures("_fakes")
def test_an_unknown_detector_comes_with_those_that_are_known() -> None:
    with pytest.raises(UnknownDetector) as caught:
        build("mine", "wrods", {})
    assert "words" in caught.value.known


@pytest.mark.usefixtures("_fakes")
@pytest.mark.parametrize(
    ("use", "message"),
    [
        ("absent", r"cannot be imported: ModuleNotFoundError.*pip install 'qwq-guard\[pii\]'"),
        ("broken", "cannot be made: RuntimeError: never works"),
        ("unfit", "`Settings` is not a dataclass"),
    ],
)
def test_a_detector_that_breaks_the_contract_is_refused(use: str, message: str) -> None:
    with pytest.raises(DetectorError, match=message):
        build("mine", use, {})


@dataclass(frozen=True, slots=True)
class Reserved:
    use: int = 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"Settings": int}, "`Settings` is not a dataclass"),
        ({"Settings": Reserved}, "`use` is a word of the policy file"),
        ({"labels": ["a"]}, "`labels` is not a mapping"),
        ({"labels": {1: "a"}}, "`labels` is not a mapping"),
        ({"labels": {"error": "a"}}, "`error` is reserved"),
        ({"stability": "stable"}, "`stability`"),
        ({"slow": 1}, "`slow`"),
        ({"open": None}, "no `open`"),
    ],
)
def test_the_contract_is_checked_member_by_member(
    monkeypatch: pytest.MonkeyPatch, change: dict[str, Any], message: str
) -> None:
    unfit = type("Unfit", (Words,), change)
    monkeypatch.setattr(fake_detectors, "Unfit", unfit, raising=False)
    fake_detectors.install(monkeypatch, [point("unfit", "Unfit")])
    with pytest.raises(DetectorError, match=message):
        detector_class("unfit")


def test_what_is_no_class_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch, [point("unfit", "HERE")])
    with pytest.raises(DetectorError, match="it is not a class"):
        detector_class("unfit")


def test_a_name_offered_twice_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch, [point("words", "Words"), point("words", "Failing")])
    with pytest.raises(DetectorError, match="offered twice"):
        detector_class("words")


def test_one_package_found_twice_is_one_offer(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch, [point("words", "Words"), point("words", "Words")])
    assert detector_class("words") is Words


def test_settings_that_cannot_be_validated_are_the_plug_ins_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclass
    class Odd:
        lock: registry.SettingProblem | object = None
        broken: "NoSuchType" = 1  # type: ignore[name-defined]  # noqa: F821, UP037

    monkeypatch.setattr(Words, "Settings", Odd)
    fake_detectors.install(monkeypatch)
    with pytest.raises(DetectorError, match="cannot be validated"):
        build("mine", "words", {})
