from __future__ import annotations

from pathlib import Path

import pytest

from guard.contract import STOP, WARN
from guard.evaluate.labels import Subject
from guard.evaluate.subjects import subjects_of, usual_bar
from guard.policy import load_policy
from tests.support import transcripts


@pytest.fixture
def policy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    transcripts.install(monkeypatch)
    return transcripts.policy(tmp_path)


def test_detectors_speak_of_what_they_are_or_find(policy: str) -> None:
    expected = {"loop": Subject.LOOP, "language": Subject.LANGUAGE, "hazard": Subject.HARM}
    assert subjects_of(load_policy(policy)) == expected


def test_a_detector_is_known_by_what_it_uses(policy: str, tmp_path: Path) -> None:
    file = tmp_path / "other.yaml"
    said = Path(policy).read_text()
    file.write_text(said.replace("detector: loop", "detector: rings").replace("  loop: {", "  rings: {use: loop, "))
    assert subjects_of(load_policy(str(file)))["rings"] == Subject.LOOP


def test_any_detector_can_be_held_against_harm(policy: str) -> None:
    assert subjects_of(load_policy(policy), ["loop"])["loop"] == Subject.HARM


def test_one_that_is_not_there_is_named(policy: str) -> None:
    with pytest.raises(ValueError, match="policy house has no detector harm; it has loop, language, hazard"):
        subjects_of(load_policy(policy), ["harm"])


@pytest.mark.parametrize(("subject", "bar"), [(None, STOP), (Subject.LOOP, STOP), (Subject.LANGUAGE, WARN)])
def test_bars(subject: Subject | None, bar: float) -> None:
    assert usual_bar(subject) == bar
