"""Which labels a detector is held against."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from guard.contract import STOP, WARN, Detector
from guard.evaluate.labels import Subject
from guard.policy import CompiledPolicy

HAZARDS: Final = frozenset(
    {
        "violent_crimes", "non_violent_crimes", "sex_related_crimes", "child_sexual_exploitation", "child_exploitation",
        "defamation", "specialized_advice", "privacy", "intellectual_property", "indiscriminate_weapons",
        "weapons_cbrn", "hate", "harassment", "suicide_self_harm", "self_harm", "sexual_content", "sexual", "elections",
        "misinformation", "malware_cyber", "code_interpreter_abuse",
    }
)  # fmt: skip
"""Names of hazards: the categories of MLCommons' AILuminate 1.0, and those of data sets that split them further."""

USUAL_BAR: Final[Mapping[Subject, float]] = {Subject.LANGUAGE: WARN}
"""The score from which on a finding is an alarm in lists of misses and false alarms, where that is not `STOP`: a few
foreign letters are what a language label mostly means, and a detector does not stop for them."""


def subjects_of(policy: CompiledPolicy, harm_detectors: Collection[str] = ()) -> dict[str, Subject]:
    """What each detector speaks of, by name; detectors that no label speaks of are left out.

    `harm_detectors` are held against harm. Raises `ValueError` for one that the policy does not have.
    """
    known = [detector.name for detector in policy.detectors]
    if missing := sorted(set(harm_detectors) - set(known)):
        raise ValueError(f"policy {policy.name} has no detector {', '.join(missing)}; it has {', '.join(known)}")
    subjects = {}
    for detector in policy.detectors:
        use = policy.policy.detectors[detector.name].use or detector.name
        subject = Subject.HARM if detector.name in harm_detectors else _subject(use, detector)
        if subject is not None:
            subjects[detector.name] = subject
    return subjects


def usual_bar(subject: Subject | None) -> float:
    """The score that counts as an alarm on this subject unless said otherwise."""
    return STOP if subject is None else USUAL_BAR.get(subject, STOP)


def _subject(use: str, detector: Detector) -> Subject | None:
    if use in (Subject.LOOP, Subject.LANGUAGE, Subject.LENGTH):
        return Subject(use)
    if any(label.startswith("harm") or label.lower() in HAZARDS for label in detector.labels):
        return Subject.HARM
    return None
