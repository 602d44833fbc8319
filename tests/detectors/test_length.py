from __future__ import annotations

import sys
from pathlib import Path

import pytest

from detectors.length import Budget, Length, LengthSettings
from guard.contract import STOP, WARN, Channel, Context, DetectorError, Lane, estimate_tokens
from guard.engine.stream import StreamGuard
from guard.events import RecordDecision, TextReceived
from guard.testing import assert_detector_contract, scan
from tests.support.engine import plan_of

TEXT = "The sum of two even numbers is even. " * 40
LANES = {channel: Lane(0, channel) for channel in Channel}


def detector(**settings: Budget | str) -> Length:
    return Length("length", LengthSettings(**settings))  # type: ignore[arg-type]


def found(
    text: str, channel: Channel = Channel.CONTENT, context: Context | None = None, **settings: Budget
) -> list[tuple[str, int]]:
    findings = scan(detector(**settings), text, lane=LANES[channel], context=context)
    return [(finding.label, finding.span.start) for _, finding in findings]


def test_a_cut_at_the_span_leaves_the_budget() -> None:
    assert found(TEXT, content_characters=Budget(soft=300, hard=1_000)) == [
        ("soft_budget", 300),
        ("hard_budget", 1_000),
    ]
    ((label, start),) = found(TEXT, content_tokens=Budget(hard=100))
    assert label == "hard_budget"
    assert estimate_tokens(TEXT[:start]) <= 100 < estimate_tokens(TEXT[: start + 1])


def test_the_two_severities() -> None:
    findings = scan(detector(content_tokens=Budget(soft=10, hard=20)), TEXT)
    assert [(finding.label, finding.score) for _, finding in findings] == [("soft_budget", WARN), ("hard_budget", STOP)]
    assert findings[1][1].detail == {"budget": "content_tokens", "limit": 20, "counted": "estimate"}


def test_within_the_budget_nothing_is_found() -> None:
    assert found(TEXT, content_characters=Budget(hard=len(TEXT))) == []


@pytest.mark.parametrize("channel", [Channel.REASONING, Channel.CONTENT, Channel.TOOL])
def test_each_channel_has_its_own_budgets(channel: Channel) -> None:
    for name in ("reasoning", "content", "tool"):
        for unit in ("tokens", "characters"):
            limited = detector(**{f"{name}_{unit}": Budget(hard=10)})
            expected = ["hard_budget"] if name == channel else []
            assert [finding.label for _, finding in scan(limited, TEXT, lane=LANES[channel])] == expected


def test_prompts_are_not_limited() -> None:
    budget = Budget(hard=0)
    assert found(TEXT, Channel.PROMPT, content_tokens=budget, choice_tokens=budget) == []


def test_a_choice_is_counted_by_the_engine() -> None:
    spent = {0: 90}

    def count(choice: int) -> int:
        spent[choice] += 5
        return spent[choice]

    context = Context(spent=count)
    # The third piece of 16 brings the count to 105.
    assert found(TEXT, context=context, choice_tokens=Budget(hard=100)) == [("hard_budget", 32)]


def test_the_characters_of_a_choice_are_counted_over_its_lanes() -> None:
    detector = Length("length", LengthSettings(choice_characters=Budget(soft=100, hard=200)))
    plan = plan_of(detector, channels=[Channel.REASONING, Channel.CONTENT])
    guard = StreamGuard(plan, Context())
    lanes = (Lane(0, Channel.REASONING), 96), (Lane(0, Channel.CONTENT), 160)
    commands = [command for lane, size in lanes for command in guard.receive(TextReceived(lane, "abc " * (size // 4)))]
    found = [
        (record.lane.channel, record.finding.label, record.finding.span.start, record.finding.detail["budget"])
        for record in commands
        if isinstance(record, RecordDecision)
    ]
    # 96 of thinking: the first piece of 16 of the answer brings the choice to 112, the seventh to 208.
    assert found == [
        (Channel.CONTENT, "soft_budget", 0, "choice_characters"),
        (Channel.CONTENT, "hard_budget", 96, "choice_characters"),
    ]
    assert guard.written(0) == 256
    assert guard.written(1) == 0


def test_a_budget_spent_in_the_history_is_reported_with_the_first_new_text() -> None:
    history = TEXT[:500]
    limited = detector(content_characters=Budget(hard=100))
    assert scan(limited, "", history=history) == []
    ((_, finding),) = scan(limited, TEXT, history=history)
    assert finding.span.start == len(history)


def test_a_soft_budget_spent_in_the_history_is_not_reported_again() -> None:
    limited = detector(content_characters=Budget(soft=100, hard=600))
    findings = scan(limited, TEXT, history=TEXT[:500])
    assert [finding.label for _, finding in findings] == ["hard_budget"]


@pytest.mark.parametrize(
    ("model", "soft", "hard"),
    [("Qwen/QwQ-32B", 8_000, 16_000), ("qwq-32b-preview-q4", 4_000, 8_000), ("", 8_000, 16_000)],
)
@pytest.mark.parametrize("channel", [Channel.REASONING, Channel.CONTENT])
def test_budgets_by_family_of_models(model: str, soft: int, hard: int, channel: Channel) -> None:
    findings = scan(detector(), "word " * 13_000, lane=LANES[channel], context=Context(model=model), step=512)
    assert [finding.detail["limit"] for _, finding in findings] == [soft, hard]
    unlimited = detector(reasoning_tokens=Budget(), content_tokens=Budget())
    assert scan(unlimited, "word " * 13_000, lane=LANES[channel], context=Context(model=model), step=512) == []


def test_a_finding_tells_signs_of_overthinking() -> None:
    text = "Wait, the answer is 12. Let me verify that once more, to be sure. " * 100
    ((_, finding),) = scan(detector(content_characters=Budget(hard=5_000), content_tokens=Budget()), text)
    assert float(finding.detail["hesitations"]) > 50
    assert float(finding.detail["compression"]) < 0.1
    assert float(finding.detail["repeated_answers"]) > 20
    assert_detector_contract(detector(content_characters=Budget(soft=900, hard=5_000)), [text])


def test_nothing_is_held() -> None:
    scanner = detector(content_tokens=Budget(hard=5)).open(LANES[Channel.CONTENT], Context())
    assert [scanner.feed("some words").settled for _ in range(5)] == [10, 20, 30, 40, 50]


def test_peaks_tell_how_close_it_was() -> None:
    limited = detector(content_characters=Budget(hard=100), content_tokens=Budget())
    scanner = limited.open(LANES[Channel.CONTENT], Context())
    scanner.feed("x" * 50)
    assert scanner.peaks() == {"soft_budget": 0, "hard_budget": STOP / 2}


@pytest.fixture
def tokenizer_folder(tmp_path: Path) -> Path:
    """A tokenizer for which every word and every comma is a token."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.mark.parametrize("name", ["", "tokenizer.json"])
def test_a_tokenizer_counts(tokenizer_folder: Path, name: str) -> None:
    limited = detector(content_tokens=Budget(hard=50), tokenizer=str(tokenizer_folder / name))
    ((at, finding),) = scan(limited, "word " * 100)
    assert finding.detail["counted"] == "tokenizer"
    assert 250 <= finding.span.start <= 250 + 128
    assert at <= finding.span.start + 16
    assert_detector_contract(limited, [TEXT, "word " * 100, "字" * 600])


def test_a_missing_tokenizer_is_named(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"no file .*tokenizer\.json"):
        detector(tokenizer=str(tmp_path)).load()


def test_a_broken_tokenizer_is_named(tmp_path: Path) -> None:
    file = tmp_path / "tokenizer.json"
    file.write_text("{}", encoding="utf-8")
    with pytest.raises(DetectorError, match="cannot be read"):
        detector(tokenizer=str(file)).load()


def test_without_the_package_the_message_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DetectorError, match="pip install tokenizers"):
        detector(tokenizer="somewhere").load()


@pytest.mark.parametrize(("soft", "hard", "message"), [(-1, None, "soft"), (None, -1, "hard"), (2, 1, "above hard")])
def test_impossible_budgets_are_named(soft: int | None, hard: int | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Budget(soft, hard)


def test_keeps_the_contract() -> None:
    budgets = detector(
        content_tokens=Budget(20, 100), content_characters=Budget(50, 100), choice_tokens=Budget(hard=10)
    )
    assert_detector_contract(budgets, [TEXT, "答案是十二。" * 100, "a" * 101])
    assert_detector_contract(budgets, [TEXT], context=Context(spent=lambda _: 11))
