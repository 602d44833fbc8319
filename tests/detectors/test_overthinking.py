from __future__ import annotations

import pytest

from detectors._overthinking import KEPT, signals

PLAIN = "".join(f"Step {n}: the sum of {n * 7} and {n * n} has to be compared with the bound. " for n in range(80))


def test_a_short_text_tells_nothing() -> None:
    assert signals("Wait, the answer is 12. Wait.") == {}


def test_hesitations_are_counted_per_thousand_tokens() -> None:
    assert signals(PLAIN)["hesitations"] == 0
    assert signals("Wait, hmm, let me reconsider the sum. Alternatively, I am stuck here. " * 40)["hesitations"] > 100


@pytest.mark.parametrize(
    ("answers", "count"),
    [
        ("The answer is 12. Wait. So the answer is $12$. Hence \\boxed{12}. ", 3),
        ("The answer is 12. No, the answer is 13. ", 1),
        ("答案是十二。等等，答案是十二。", 2),
        ("What is asked for is unclear. ", 0),
    ],
)
def test_answers_in_a_row_are_counted_from_the_end(answers: str, count: int) -> None:
    assert signals(PLAIN + answers)["repeated_answers"] == count


def test_what_repeats_compresses() -> None:
    assert signals("I need to check this again, because it may be wrong. " * 90)["compression"] < 0.1
    assert signals(PLAIN)["compression"] > 0.1
    assert 0 < signals("\ud800" * 600)["compression"] < 1


def test_only_the_end_counts() -> None:
    assert signals("Wait, the answer is 12. " * 100 + PLAIN[-KEPT:]) == signals(PLAIN)
