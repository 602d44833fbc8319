"""The embedded classifier as the first look of a cascade, and as the word that counts when the guard model is away."""

from __future__ import annotations

from typing import Final, NamedTuple

from detectors.harm import HarmSettings
from detectors.harm.detector import STEP, WINDOW
from detectors.harm.model import Model, ModelError, shipped_model
from guard.contract import Channel, DetectorError

REACH: Final = STEP + WINDOW
"""Code points before the new text that its verdict looks at."""


class Verdict(NamedTuple):
    """What the embedded classifier says of a stretch of text. The category is empty below its bar."""

    score: float
    category: str


class Embedded:
    """Immutable; safe to use from several threads."""

    def __init__(self, settings: HarmSettings, model: Model | None = None) -> None:
        try:
            self._model = model or shipped_model()
        except (OSError, ModelError) as error:
            raise DetectorError(f"the embedded classifier cannot be used: {error}; install qwq-guard again") from error
        self._settings = settings

    def risk(self, window: str) -> float:
        """The probability that a window of at most `WINDOW` code points is harmful."""
        return self._model.risk(window)

    def verdict(self, text: str, new: int, channel: Channel) -> Verdict:
        """Its word on the last `new` code points of `text`, by the rule of the detector `harm`: a window counts as much
        as the one before it confirms, or for itself where it is sure."""
        prompt = channel is Channel.PROMPT
        suspect = self._settings.prompt_suspect if prompt else self._settings.suspect
        sure = self._settings.prompt_sure if prompt else self._settings.sure
        best, worst = 0.0, ""
        for end in range(len(text), len(text) - max(1, new), -STEP):
            window = text[max(0, end - WINDOW) : end]
            risk = self._model.risk(window)
            if risk < sure and end > WINDOW:
                risk = min(risk, self._model.risk(text[max(0, end - REACH) : end - STEP]))
            if risk > best:
                best, worst = risk, window
        return Verdict(best, self._model.category(worst)) if best >= suspect else Verdict(best, "")
