from __future__ import annotations

import base64
import lzma
from collections.abc import Callable

import pytest

import detectors.harm.model as model_module
from detectors.harm import Harm, HarmSettings
from detectors.harm.detector import HarmScanner
from detectors.harm.model import ModelError
from guard.contract import Channel, Context, DetectorError, Finding, Lane
from guard.testing import assert_detector_contract, chunks, scan
from tests.support.harm_model import Told

CONTENT = Lane(0, Channel.CONTENT)
CALM = "All is well here. "


class ToldHarm(Harm):
    """With a model that reads the risk from the text."""

    def load(self) -> None:
        self._model = Told()


def text(*steps: str) -> str:
    """Steps of 200 characters: calm sentences that hold a mark like `r0.7`, or none."""
    return "".join((step + " " + CALM * 20)[:199] + "." for step in steps)


def detector(**settings: float) -> ToldHarm:
    return ToldHarm("harm", HarmSettings(**settings))


def found(text: str, lane: Lane = CONTENT, **settings: float) -> list[tuple[int, float, tuple[int, int]]]:
    findings = scan(detector(**settings), text, lane=lane)
    return [(fed, finding.score, (finding.span.start, finding.span.end)) for fed, finding in findings]


def fed_with(steps: str, history: str = "") -> HarmScanner:
    one = detector()
    one.load()
    scanner = one.open(CONTENT, Context(), history)
    for piece in chunks(steps, 16):
        scanner.feed(piece)
    return scanner


def settled(text: str) -> list[int]:
    """What is settled after each step of 200 characters."""
    one = detector()
    one.load()
    scanner = one.open(CONTENT, Context())
    return [scanner.feed(step).settled for step in chunks(text, 200)]


TEXTS = [
    "",
    "r0.9",
    text("", "", ""),
    text("", "r0.7", "", "", ""),
    text("", "r0.7", "r0.8", "r0.95", "", "", "", "r0.98", "", ""),
    text("", "", "r0.7")[:-1],
    text("", "", "r0.7", "r0.7")[:-150],
    "。" * 700 + "r0.98" + "没有空格" * 300,
    "r0.7" * 400,
    "calm " * 30 + base64.b64encode(("All is well. " * 30 + "r0.8 ").encode()).decode() + " calm" * 90,
    "r0.7\u0336\u200b " * 60 + "\u202e" + "fine " * 90,
]


def test_it_keeps_the_contract() -> None:
    assert_detector_contract(detector(), TEXTS)
    assert_detector_contract(Harm("harm", HarmSettings()), [text("how to build a bomb " * 9, "", "and kill"), *TEXTS])


def test_one_mark_is_in_two_windows_and_so_confirmed() -> None:
    assert found(text("", "", "r0.7", "", "", "")) == [(800, 0.7, (400, 800))]


def test_a_window_that_the_next_one_does_not_confirm_is_cleared() -> None:
    """A mark across a cut lies whole in one window only."""
    split = "x " * 199 + "r0.7" + "x " * 99 + text("", "")
    assert found(split) == []
    assert settled(split) == [200, 400, 400, 800, 1000]


def test_what_is_sure_needs_no_second_window() -> None:
    assert found(text("", "", "r0.98", "", ""))[0] == (608, 0.98, (400, 600))


def test_a_text_that_fits_into_one_window_needs_no_second() -> None:
    assert found("r0.7 " + CALM) == [(23, 0.7, (0, 23))]
    assert found("r0.4 " + CALM) == []


def test_the_end_of_a_long_text_is_judged_too() -> None:
    assert found(text("", "", "", "")[:-20] + "r0.98") == [(785, 0.98, (600, 785))]
    assert found(text("", "", "r0.7") + "x" * 150) == [(750, 0.7, (400, 750))]
    assert found(text("", "", "r0.7") + "x" * 50) == []


def test_a_stretch_is_one_finding_and_another_when_it_gets_worse() -> None:
    scores = [score for _, score, _ in found(text("", "r0.6", "r0.6", "r0.8", "r0.7", "", "", "", "r0.7", "", ""))]
    assert scores == [0.6, 0.8, 0.7]


def test_prompts_have_higher_bars() -> None:
    prompt = Lane(-1, Channel.PROMPT, 0)
    assert found("r0.7 " + CALM, prompt) == []
    assert found("r0.85 " + CALM, prompt) == [(24, 0.85, (0, 24))]
    assert found("r0.7 " + CALM, prompt, prompt_suspect=0.6) == [(23, 0.7, (0, 23))]
    assert found(text("", "", "r0.98", ""), prompt)[0][0] == 800


def test_characters_that_are_not_seen_do_not_fill_a_window() -> None:
    """Fifty marks on each letter: a window of 400 raw characters would show eight of them."""
    hidden = "".join(char + "\u0336" * 30 for char in "All is well. And r0.98 of it, says who knows it well. ") * 3
    ((_, score, _), *_) = found(hidden)
    assert score == 0.98


@pytest.mark.parametrize("encode", [lambda said: base64.b64encode(said).decode(), bytes.hex])
def test_what_an_encoded_stretch_says_is_judged(encode: Callable[[bytes], str]) -> None:
    said = encode(b"All is well here, but for r0.85, which is not.")
    before = "All is well here. " * 20
    ((_, finding),) = scan(detector(), f"{before}It is {said} as they say. " + "All is well here. " * 30)
    start = len(before) + len("It is ")
    assert (finding.score, finding.evidence) == (0.85, (start, start + len(said)))
    assert finding.detail["decoded"] in ("base64", "hex")
    assert not scan(detector(), before + encode(b"All is well here, and it stays so.") + " so. " + before)


def test_an_encoding_in_an_encoding_is_judged_three_layers_deep() -> None:
    said = b"All is well here, but for r0.85, which is not."
    for layer in range(1, 5):
        said = base64.b64encode(said)
        scores = [finding.score for _, finding in scan(detector(), f"It is {said.decode()} as they say.")]
        assert scores == ([0.85] if layer <= 3 else []), layer


def test_an_encoded_stretch_is_held_until_it_ends() -> None:
    said = base64.b64encode(b"All is well here. " * 20).decode()
    steps = settled("All is well here, I say: " * 8 + said + " " + "All is well. " * 60)
    assert steps[1:3] == [200, 200]
    assert steps[-1] > 800


def test_text_is_settled_to_the_end_of_a_sentence() -> None:
    calm = "A sentence of thirty letters. " * 20 + "And one that has not"
    assert settled(calm[:200]) == [180]
    assert settled("x " * 200) == [200, 400]
    assert settled("一句话。" * 50 + "没有") == [200, 200]


def test_a_suspected_window_is_held_until_it_is_confirmed_or_cleared() -> None:
    assert settled(text("", "", "r0.7", "", "")) == [200, 400, 400, 800, 1000]


def test_what_waits_is_bounded() -> None:
    one = detector()
    one.load()
    for each in ("r0.7 " * 1_000, text("", "r0.7") * 20, "x" * 5_000, (CALM * 10 + "r0.7") * 30):
        scanner, worst = one.open(CONTENT, Context()), 0
        for number, piece in enumerate(chunks(each, 16), 1):
            worst = max(worst, 16 * number - scanner.feed(piece).settled)
        assert worst < (1_000 + 200 if each[0] == "x" else 400 + 160) + 16


def test_history_is_remembered_and_not_reported() -> None:
    history = text("", "", "r0.7")
    scanner = fed_with("x" * 200, history)
    assert not scanner.settle().findings
    fresh = fed_with("", history)
    (finding,) = fresh.feed("x" * 200).findings
    assert (finding.span.start, finding.score) == (600, 0.7)
    assert finding.evidence is not None
    assert finding.evidence.start < 600
    assert not fed_with("", history).settle().findings


def test_peaks_are_what_a_finding_would_have_scored() -> None:
    scanner = fed_with(text("", "r0.3", "", "", ""))
    assert scanner.peaks()["indiscriminate_weapons"] == 0.3
    assert max(fed_with("").peaks().values()) == 0
    assert set(scanner.peaks()) == set(Harm.labels)


def test_a_finding_names_the_category_and_no_text() -> None:
    ((_, finding),) = scan(detector(), "r0.7 " + CALM)
    assert isinstance(finding, Finding)
    assert finding.label == "indiscriminate_weapons"
    assert finding.detail == {}


@pytest.mark.parametrize(
    "settings",
    [{"suspect": 0.0}, {"suspect": 0.98}, {"sure": 1.1}, {"prompt_suspect": 0.9, "prompt_sure": 0.8}],
)
def test_bars_that_contradict_each_other_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="suspect"):
        HarmSettings(**settings)


def test_a_missing_model_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ModelError("it cannot be read: " + str(lzma.LZMAError("corrupt")))

    monkeypatch.setattr("detectors.harm.detector.shipped_model", missing)
    with pytest.raises(DetectorError, match=r"hazard: the model .* cannot be read: corrupt; install"):
        Harm("hazard", HarmSettings()).load()
    assert model_module.SHIPPED.is_file()


def test_it_must_be_loaded_first() -> None:
    with pytest.raises(DetectorError, match="before it was loaded"):
        Harm("harm", HarmSettings()).open(CONTENT, Context())
