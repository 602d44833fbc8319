from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner, Result

from guard.cli import build_app
from guard.cli.detectors import attribute_docstrings, describe_settings
from tests.support import fake_detectors
from tests.support.fake_detectors import WordsSettings, point


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_detectors.install(monkeypatch, [point("words", "Words"), point("unfit", "NoSettings")])
    monkeypatch.setenv("COLUMNS", "160")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["detectors", *arguments])


def test_all_are_listed_and_a_broken_one_says_why() -> None:
    done = run()
    assert done.exit_code == 0
    assert "words     BAD_WORD, GOOD_WORD  sandbox    Finds words." in done.stdout
    assert "unfit                          broken     `unfit`" in done.stdout


def test_one_is_told_in_full() -> None:
    done = run("words")
    assert done.exit_code == 0
    for line in (
        "words  sandbox  tests.support.fake_detectors:Words",
        "    BAD_WORD: a word of the list",
        '    words: tuple[str, ...] = ["bad"]',
        "        Words that are found, whole text only.",
        "    budget: Budget",
        "        hard: int = 100",
    ):
        assert f"{line}\n" in done.stdout


def test_json_says_the_same() -> None:
    words, unfit = sorted(json.loads(run("--json").stdout)["detectors"], key=lambda each: -len(each))
    assert words["labels"] == {"BAD_WORD": "a word of the list", "GOOD_WORD": "never found"}
    assert (words["stability"], words["slow"], words["doc"]) == ("sandbox", False, "Finds words.")
    assert words["settings"][2]["default"] == {"soft": None, "hard": 100}
    assert "not a dataclass" in unfit["problem"]


def test_an_unknown_one_is_told_with_a_suggestion() -> None:
    done = run("wrods")
    assert done.exit_code == 1
    assert done.stderr == "guard: there is no detector `wrods`; did you mean `words`? (installed: unfit, words)\n"


def test_a_broken_one_asked_for_by_name_fails() -> None:
    done = run("unfit")
    assert done.exit_code == 1
    assert "`Settings` is not a dataclass" in done.stdout


def test_settings_are_described_with_their_docstrings() -> None:
    words, score, budget = describe_settings(WordsSettings)
    assert words["doc"] == "Words that are found, whole text only."
    assert (score["default"], score["type"], score["doc"]) == (0.9, "float", "")
    assert [each["name"] for each in budget["fields"]] == ["soft", "hard"]


def test_without_source_there_are_no_docstrings() -> None:
    assert attribute_docstrings(type("Made", (), {})) == {}
