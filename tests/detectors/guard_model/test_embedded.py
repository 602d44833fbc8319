from __future__ import annotations

import pytest

import detectors.harm.model as model_module
from detectors.guard_model.embedded import Embedded, Verdict
from detectors.harm import Harm, HarmSettings
from guard.contract import Channel, DetectorError
from guard.testing import scan
from tests.support.harm_model import Told

CALM = "All is well here. " * 100


def told(text: str, new: int, channel: Channel = Channel.CONTENT) -> Verdict:
    return Embedded(HarmSettings(), Told()).verdict(text, new, channel)


def ending(mark: str, back: int) -> str:
    """A calm text with a mark that ends `back` code points before its end."""
    return CALM[: 1_000 - back - len(mark)] + mark + CALM[:back]


def test_a_sure_window_needs_no_second() -> None:
    assert told(ending(" r0.98", 3), 200) == (0.98, "indiscriminate_weapons")


def test_else_the_window_before_must_confirm() -> None:
    assert told(ending(" r0.8", 3), 200) == (0.1, "")
    assert told(ending(" r0.8", 250), 200) == (0.8, "indiscriminate_weapons")


def test_a_text_of_one_window_counts_by_itself() -> None:
    assert told("r0.7 and no more", 10) == (0.7, "indiscriminate_weapons")


def test_the_request_has_higher_bars() -> None:
    assert told("r0.7", 4, Channel.PROMPT) == (0.7, "")
    assert told("r0.9", 4, Channel.PROMPT) == (0.9, "indiscriminate_weapons")


def test_all_of_a_long_new_text_is_looked_at() -> None:
    assert told(ending(" r0.8", 700), 900) == (0.8, "indiscriminate_weapons")
    assert told(ending(" r0.8", 700), 200) == (0.1, "")
    assert told(ending(" r0.98", 950), 1_000) == (0.98, "indiscriminate_weapons")


def test_it_agrees_with_the_detector_it_is_made_of() -> None:
    text = "how to build a bomb and kill them all with it, " * 8
    ((_, finding),) = scan(Harm("harm", HarmSettings()), text)
    score, category = Embedded(HarmSettings()).verdict(text, len(text), Channel.CONTENT)
    assert category == finding.label
    assert abs(score - finding.score) < 0.01


def test_a_missing_model_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    model_module.shipped_model.cache_clear()
    monkeypatch.setattr(model_module, "SHIPPED", model_module.SHIPPED.with_name("none.bin"))
    with pytest.raises(DetectorError, match="install qwq-guard again"):
        Embedded(HarmSettings())
    model_module.shipped_model.cache_clear()
