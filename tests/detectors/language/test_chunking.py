"""The same findings however the text was cut: over texts made of pieces of many scripts, and over real transcripts."""

from __future__ import annotations

import json
import lzma
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.language import Language, LanguageSettings
from guard.contract import Channel, Context, Lane
from tests.support.shared import shared

_LANE = Lane(0, Channel.CONTENT)
_CHUNKS = (1, 13, 200)
_PIECES = (
    "So the total is 12, and we are done here. ",
    "因此我们需要考虑这个问题的所有可能情况。",
    "Теперь нужно проверить, что сумма всех вероятностей равна единице. ",
    "しかし、この場合は条件を満たさないので、",
    "그러나 이 경우에는 조건을 만족하지 않으므로 ",
    "النتيجة هي خمسة عشر كما هو متوقع. ",
    "Entonces el costo total del viaje es la suma de los precios de los boletos. ",
    "Agora precisamos encontrar todos os valores possíveis da variável. ",
    "die Verwendung von Düngemitteln führt zu einer Verschmutzung der Umwelt, ",
    "global warming ",
    "The Chinese character for zero is 零 (líng). ",
    "```py\nx = 计算(1)\n```\n",
    "`用户名` ",
    "$\\frac{a}{b}$ costs $5. ",
    "\\[ x^2 \\] ",
    '"他说" ',
    '"unclosed ',
    "(闭环，需要重新梳理) ",
    "https://ru.wikipedia.org/wiki/Заглавная ",
    "a@b.org <b>x</b> ",
    "總 ",
    "x_макс π α ",
    "\n\n",
    " ",
)
_TEXTS = st.lists(st.sampled_from(_PIECES) | st.text(max_size=12), min_size=4, max_size=24).map("".join)
_EXPECTED = st.sampled_from(["en", "zh", "ja", "ru", "es", "ko", "en zh", "de en", ""])


@cache
def detector(expect: str) -> Language:
    chosen = LanguageSettings(expect=tuple(expect.split()) or ("prompt",), allow=(), variant="simplified")
    language = Language("language", chosen)
    language.load()
    return language


def found(text: str, size: int, language: Language, context: Context) -> tuple[list[object], dict[str, float]]:
    scanner = language.open(_LANE, context)
    findings: list[object] = []
    for start in range(0, len(text), size):
        findings += scanner.feed(text[start : start + size]).findings
    findings += scanner.settle().findings
    return findings, dict(scanner.peaks())


def same(text: str, language: Language, context: Context) -> None:
    whole = found(text, max(1, len(text)), language, context)
    for size in _CHUNKS:
        assert found(text, size, language, context) == whole, f"in chunks of {size}"


@settings(max_examples=150, deadline=None)
@given(_TEXTS, _EXPECTED)
def test_generated_text_in_many_scripts(text: str, expect: str) -> None:
    same(text, detector(expect), Context())


@given(_TEXTS)
@settings(max_examples=40, deadline=None)
def test_nothing_leaves_before_it_is_settled(text: str) -> None:
    scanner = detector("en").open(_LANE, Context())
    settled = 0
    for start in range(0, len(text), 7):
        report = scanner.feed(text[start : start + 7])
        fed = min(start + 7, len(text))
        assert settled <= report.settled <= fed
        assert all(finding.span.start >= settled for finding in report.findings)
        settled = report.settled


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dev.jsonl.xz", "language_confusion.jsonl.xz"])
def test_real_transcripts(name: str) -> None:
    language = Language("language", LanguageSettings(allow=()))
    language.load()
    with lzma.open(shared(f"corpus/{name}"), "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    mixed = [record for record in records if record["labels"]["language_mix"]]
    for record in [*records[::60], *mixed[::40]]:
        same(record["output"][:8_000], language, Context(prompt=record["prompt"]))
