"""The edge tables against the real detectors. What fails is in `known_failures.py` and must go on failing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from tests.detectors.edges import (
    known_failures,
    language_edges,
    language_reference,
    length_edges,
    loop_edges,
    loop_reference,
)
from tests.detectors.edges.case import LanguageCase, LengthCase, LoopCase
from tests.detectors.edges.verdict import language_faults, length_faults, loop_faults

LOOP = (*loop_reference.CASES, *loop_edges.CASES)
LANGUAGE = (*language_reference.CASES, *language_edges.CASES)
LENGTH = length_edges.CASES


@pytest.mark.parametrize("case", LOOP, ids=[case.name for case in LOOP])
def test_loop(case: LoopCase) -> None:
    compare(case.name, case.why, loop_faults(case), known_failures.LOOP)


@pytest.mark.parametrize("case", LANGUAGE, ids=[case.name for case in LANGUAGE])
def test_language(case: LanguageCase) -> None:
    compare(case.name, case.why, language_faults(case), known_failures.LANGUAGE)


@pytest.mark.parametrize("case", LENGTH, ids=[case.name for case in LENGTH])
def test_length(case: LengthCase) -> None:
    compare(case.name, case.why, length_faults(case), known_failures.LENGTH)


@pytest.mark.parametrize(
    ("cases", "known"),
    [(LOOP, known_failures.LOOP), (LANGUAGE, known_failures.LANGUAGE), (LENGTH, known_failures.LENGTH)],
    ids=["loop", "language", "length"],
)
def test_names_are_unique_and_listed_names_exist(
    cases: Sequence[LoopCase | LanguageCase | LengthCase], known: Mapping[str, str]
) -> None:
    names = Counter(case.name for case in cases)
    assert max(names.values()) == 1
    assert known.keys() <= names.keys()


@pytest.mark.parametrize("case", [case for case in LOOP if case.period], ids=lambda case: case.name)
def test_the_period_written_down_is_the_shortest(case: LoopCase) -> None:
    assert case.period is not None
    assert case.repeat_at is not None
    unit = case.text[case.repeat_at - case.period : case.repeat_at]
    assert (unit + unit).find(unit, 1) == case.period


def compare(name: str, why: str, faults: Sequence[str], known: Mapping[str, str]) -> None:
    if name not in known:
        assert not faults, f"{why} {'; '.join(faults)}"
    elif not faults:
        pytest.fail(f"{name!r} passes now: remove it from the list in known_failures.py")
