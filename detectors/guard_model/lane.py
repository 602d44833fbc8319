"""What the two scanners share: judgements become findings and counters, failures become errors or a second opinion.

judgement --risk >= report--> a finding for each category, and another each time its score rises in a stretch
no judgement ----error------> a finding `error`; the text counts as looked at, and the policy decides
             --pass_embedded--> the embedded classifier's word
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final

from detectors.guard_model.adapter import Judgement, Unavailable
from detectors.guard_model.embedded import Embedded
from guard.contract import ERROR_LABEL, Channel, Finding, Span

COUNTERS: Final[Mapping[str, str]] = {
    "windows": "windows that the embedded classifier, or without cascade the guard model, was shown",
    "escalated": "windows that the embedded classifier passed on to the guard model",
    "judged": "windows that the guard model judged",
    "cleared": "windows that the guard model judged below the least risk reported",
    "confirmed": "windows that the guard model judged at or above it",
    "held_chars": "characters that waited for the guard model's judgements, summed over them",
    "unavailable": "windows that the guard model should have judged and did not",
}


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def readable(text: str) -> str:
    """`text` with half surrogate pairs replaced, which neither UTF-8 nor a tokenizer has. Its length stays."""
    return text if text.isascii() else _SURROGATE.sub("\ufffd", text)


class Desk:
    """One lane's judgements. Offsets are code points of the lane."""

    __slots__ = ("_channel", "_embedded", "_name", "_peaks", "_report", "_said", "counts")

    def __init__(self, name: str, channel: Channel, report: float, embedded: Embedded | None) -> None:
        """`embedded` is who speaks where the guard model does not; without, that is an error."""
        self._name = name
        self._channel = channel
        self._report = report
        self._embedded = embedded
        self._said: dict[str, float] = {}
        """The highest score by label in the present stretch of findings."""
        self._peaks: dict[str, float] = {}
        self.counts: Counter[str] = Counter()

    def judged(self, judgement: Judgement, span: Span, evidence: Span) -> Sequence[Finding]:
        """The findings of a judgement on `span`, which rests on `evidence`."""
        self.counts["judged"] += 1
        harmful = judgement.risk >= self._report
        self.counts["confirmed" if harmful else "cleared"] += 1
        detail = {"level": str(judgement.level)}
        return self._findings(judgement.risk, judgement.categories, harmful, span, evidence, detail)

    def unavailable(self, error: Unavailable, text: str, span: Span) -> Sequence[Finding]:
        """The findings where there is no judgement on `span`, which ends where `text` ends."""
        self.counts["unavailable"] += 1
        if self._embedded is None:
            return [Finding(self._name, ERROR_LABEL, 1.0, span, detail={"error": str(error.reason)})]
        score, category = self._embedded.verdict(text, span.end - span.start, self._channel)
        detail = {"judge": "embedded", "unavailable": str(error.reason)}
        return self._findings(score, [category], bool(category), span, span, detail)

    def clean(self) -> None:
        """A window that needed no judgement: a stretch of findings is over."""
        self._said.clear()

    def take_counts(self) -> Mapping[str, float]:
        """The counters since the last call."""
        counts, self.counts = self.counts, Counter()
        return counts

    def peaks(self) -> Mapping[str, float]:
        return dict(self._peaks)

    def _findings(
        self,
        score: float,
        labels: Sequence[str],
        harmful: bool,
        span: Span,
        evidence: Span,
        detail: Mapping[str, str | float],
    ) -> Sequence[Finding]:
        for label in filter(None, labels):
            self._peaks[label] = max(self._peaks.get(label, 0.0), score)
        if not harmful:
            self._said.clear()
            return ()
        risen = [label for label in labels if score > self._said.get(label, 0.0)]
        self._said.update(dict.fromkeys(risen, score))
        if span.start >= span.end:
            return ()
        return [Finding(self._name, label, score, span, evidence, detail) for label in risen]
