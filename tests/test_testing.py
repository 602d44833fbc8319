from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import pytest

from guard.contract import Channel, Context, Finding, Lane, Report, Span, Stability
from guard.testing import assert_detector_contract, chunks, scan

WORD = "bad"


class BadWord:
    """Finds "bad", correctly, until `Scanner` is replaced by one that does not."""

    Settings: ClassVar[type] = dict
    labels: ClassVar[Mapping[str, str]] = {"word": "the word stands there"}
    stability: ClassVar[Stability] = Stability.SANDBOX
    slow: ClassVar[bool] = False

    def __init__(self, name: str, scanner: Callable[[str, str], Any]) -> None:
        self.name = name
        self.scanner = scanner

    def load(self) -> None: ...

    def open(self, lane: Lane, context: Context, history: str = "") -> Any:
        return self.scanner(self.name, history)


class Honest:
    def __init__(self, name: str, history: str) -> None:
        self.name = name
        self.text = history
        self.seen = len(history)

    def feed(self, delta: str) -> Report:
        self.text += delta
        found = []
        while (at := self.text.find(WORD, self.seen)) >= 0:
            self.seen = at + len(WORD)
            found.append(self.finding(at))
        return Report(max(self.seen, len(self.text) - len(WORD) + 1), found)

    def finding(self, at: int) -> Finding:
        return Finding(self.name, "word", 0.9, Span(at, at + len(WORD)))

    def settle(self) -> Report:
        self.seen = len(self.text)
        return Report(len(self.text))


class Forgetful(Honest):
    def settle(self) -> Report:
        return Report(0)


class Boastful(Honest):
    def feed(self, delta: str) -> Report:
        return super().feed(delta)._replace(settled=len(self.text) + 1)


class Hasty(Honest):
    def feed(self, delta: str) -> Report:
        return super().feed(delta)._replace(settled=len(self.text))


class Inventive(Honest):
    def finding(self, at: int) -> Finding:
        return Finding(self.name, "wrod", 0.9, Span(at, at + len(WORD)))


class Loud(Honest):
    def finding(self, at: int) -> Finding:
        return Finding(self.name, "word", 1.1, Span(at, at + len(WORD)))


class Masked(Honest):
    def finding(self, at: int) -> Finding:
        return Finding("other", "word", 0.9, Span(at, at + len(WORD)))


class Empty(Honest):
    def finding(self, at: int) -> Finding:
        return Finding(self.name, "word", 0.9, Span(at, at))


class Chunky(Honest):
    def feed(self, delta: str) -> Report:
        self.text += delta
        at = delta.find(WORD)
        start = len(self.text) - len(delta) + at
        return Report(len(self.text) if at < 0 else start, () if at < 0 else [self.finding(start)])


class Shared(Honest):
    budget: ClassVar[list[int]] = [1]

    def feed(self, delta: str) -> Report:
        report = super().feed(delta)
        if WORD[::-1] in delta:
            self.budget[0] = 0
        return report if self.budget[0] else report._replace(findings=())


class Amnesiac(Honest):
    def __init__(self, name: str, history: str) -> None:
        super().__init__(name, "")


TEXTS = ["", "good", "a bad one and a bad one", "x" * 500 + WORD + "y" * 300]


def test_an_honest_detector_passes() -> None:
    assert_detector_contract(BadWord("words", Honest), TEXTS)


@pytest.mark.parametrize(
    ("scanner", "message"),
    [
        (Forgetful, "fell"),
        (Boastful, "only"),
        (Hasty, "settled"),
        (Inventive, "undeclared label 'wrod'"),
        (Loud, "score 1.1"),
        (Masked, "signs as 'other'"),
        (Empty, "empty"),
        (Chunky, "chunks of"),
        (Shared, "share state"),
        (Amnesiac, "settled"),
    ],
)
def test_a_broken_promise_is_named(scanner: type[Honest], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        assert_detector_contract(BadWord("words", scanner), TEXTS)


def test_the_reserved_label_cannot_be_declared() -> None:
    class Reserved(BadWord):
        labels: ClassVar[Mapping[str, str]] = {"error": "mine"}

    with pytest.raises(AssertionError, match="reserved"):
        assert_detector_contract(Reserved("words", Honest), TEXTS)


def test_scan_feeds_on_the_grid_and_says_when() -> None:
    found = scan(BadWord("words", Honest), "a bad one and a bad one", step=8)
    assert [(at, finding.span) for at, finding in found] == [(8, (2, 5)), (23, (16, 19))]


def test_scan_goes_on_after_the_history() -> None:
    found = scan(BadWord("words", Honest), "good and bad", step=8, history="0123456789bad")
    assert [(at, finding.span) for at, finding in found] == [(25, (22, 25))]


def test_scan_takes_the_lane_and_the_context() -> None:
    seen = []

    class Curious(BadWord):
        def open(self, lane: Lane, context: Context, history: str = "") -> Any:
            seen.append((lane, context.prompt))
            return super().open(lane, context, history)

    lane = Lane(1, Channel.TOOL, 2)
    scan(Curious("words", Honest), "text", lane=lane, context=Context(prompt="asked"))
    assert seen == [(lane, "asked")]


def test_chunks() -> None:
    assert list(chunks("abcdefg", 3)) == ["abc", "def", "g"]
    assert list(chunks("", 3)) == []
