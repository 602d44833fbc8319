from __future__ import annotations

import sys

import pytest

from detectors.language import Language, LanguageSettings
from detectors.language.veto import load_lingua
from guard.contract import DetectorError
from guard.testing import assert_detector_contract, scan

SPANISH = "Entonces el costo total del viaje es la suma de los precios de cada uno de los boletos de tren. "


def test_a_second_opinion() -> None:
    pytest.importorskip("lingua", reason="lingua-language-detector is not installed")
    veto = load_lingua("language")
    assert veto("the total cost of the trip is the sum of all prices", frozenset({"en"}))
    assert not veto("entonces el costo total del viaje es la suma de los precios", frozenset({"en"}))


def test_the_detector_with_a_veto_still_finds_switches() -> None:
    pytest.importorskip("lingua", reason="lingua-language-detector is not installed")
    detector = Language("language", LanguageSettings(expect=("en",), allow=(), veto="lingua"))
    assert [finding.label for _, finding in scan(detector, SPANISH * 2)] == ["switch"]
    assert_detector_contract(detector, [SPANISH * 2])


def test_without_the_package_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lingua", None)
    with pytest.raises(DetectorError, match=r"pip install 'qwq-guard\[lingua\]'"):
        Language("language", LanguageSettings(veto="lingua")).load()
