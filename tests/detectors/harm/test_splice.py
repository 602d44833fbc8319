from __future__ import annotations

from detectors.harm.corpus import Row
from detectors.harm.splice import splice_delays, splices
from tests.support.harm_model import Told

CALM = Row("calm", "c", "response", "All is well here. " * 100, False, "benign")


def harmful(text: str, id: str = "h") -> Row:
    return Row(id, "s", "response", text, True, "hate")


def test_a_harmful_answer_goes_behind_the_beginning_of_a_harmless_one() -> None:
    (splice,) = splices([CALM, harmful("x " * 200), harmful("short", "i")])
    assert splice.text.startswith("All is well here. All")
    assert splice.text[: splice.joint].endswith("here.\n\n")
    assert splice.text[splice.joint :] == "x " * 200
    assert 500 < splice.joint <= 1_002


def test_without_a_harmless_answer_there_is_no_splice() -> None:
    assert [*splices([harmful("x " * 200)])] == []
    assert splice_delays(Told(), [harmful("x " * 200)]) == []


def test_delays_count_from_the_joint() -> None:
    found, missed = harmful("r0.98 " + "x " * 300), harmful("x " * 300, "m")
    low, high = splice_delays(Told(), [CALM, found, missed])
    assert (low.splices, low.found, low.before) == (2, 0.5, 0)
    assert low.median == high.median <= 208
    assert low.within_400 == low.within_600 == 0.5
    early = CALM._replace(text="r0.6 " + CALM.text)
    low, high = splice_delays(Told(), [early, missed])
    assert (low.before, low.found, high.before) == (1, 0.0, 0)
