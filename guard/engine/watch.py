"""One scanner on one lane, held to the contract: whatever it says is checked before it is believed."""

from __future__ import annotations

from collections.abc import Sequence

from guard.contract import ERROR_LABEL, Detector, DetectorError, Finding, Report, Scanner, Span


class Watch:
    """One scanner on the lane and what it has promised."""

    __slots__ = ("acts", "labels", "name", "scanner", "settled")

    def __init__(self, detector: Detector, scanner: Scanner, acts: bool, start: int = 0) -> None:
        """`start` is the length of the history that the scanner was opened with."""
        self.name = detector.name
        self.labels = detector.labels
        self.scanner = scanner
        self.acts = acts
        self.settled = start

    def accept(self, report: Report, fed: int, *, settling: bool) -> Sequence[Finding]:
        """Check the report against the contract and take it. Raises `DetectorError` if it breaks a promise."""
        settled = report.settled
        if not isinstance(settled, int) or not self.settled <= settled <= fed or (settling and settled != fed):
            raise DetectorError(f"settled {settled} of {fed} after {self.settled}")
        if not report.findings:
            self.settled = settled
            return ()
        findings = tuple(report.findings)
        for finding in findings:
            if not _is_span(finding.span, self.settled, fed):
                raise DetectorError(f"span {finding.span} is not within {self.settled}:{fed}")
            if finding.evidence is not None and not _is_span(finding.evidence, 0, fed):
                raise DetectorError(f"evidence {finding.evidence} is not within 0:{fed}")
            if finding.detector != self.name or (finding.label not in self.labels and finding.label != ERROR_LABEL):
                raise DetectorError("finding under a name that is not its own")
            if not 0.0 <= finding.score <= 1.0:
                raise DetectorError(f"score {finding.score}")
        self.settled = settled
        return findings


def _is_span(span: object, first: int, last: int) -> bool:
    """Written by a plug-in, so its types are looked at too: a fraction would only fail at the release."""
    return (
        isinstance(span, Span)
        and isinstance(span.start, int)
        and isinstance(span.end, int)
        and first <= span.start <= span.end <= last
    )
