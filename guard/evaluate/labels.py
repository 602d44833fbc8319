"""Labelled records, in every shape they come in, as one.

    {"id", "prompt", "output", "labels": {"loop", "loop_kind", "loop_start", "loop_period", "language_mix", "spans",
     "level", "runaway"}, "label_how", "source", ...}                       a transcript, labelled
    {"id", "text", "role": "prompt" | "response", "context"?, "harmful"}    plain text, labelled harmful or not

`null` for a label means that nobody could tell: such a record is grey, neither positive nor clean. Offsets of labels
count code points of `output` with its tags; here they count code points of the response: reasoning, then content.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Final, Literal, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from guard.contract import PROMPT_CHOICE, Channel, Lane
from guard.evaluate.headers import restarted
from guard.offline import Record, RecordError
from guard.wire.think import CLOSING_TAG, OPENING_TAG


class Subject(StrEnum):
    """What a label, and a detector, speaks of."""

    LOOP = "loop"
    LANGUAGE = "language"
    LENGTH = "length"
    HARM = "harm"


class Truth(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a response on one subject.

    `kind` says what is wrong with it, or for a clean one what makes it hard. `onset` is where it goes wrong: for a
    loop, where the first repeated copy starts; for a language, its first letter.
    """

    positive: bool | None
    kind: str = ""
    how: str = ""
    onset: int | None = None
    period: float | None = None
    note: str = ""


class Mark(NamedTuple):
    """A labelled stretch of the response."""

    start: int
    end: int
    label: str


class Labelled(msgspec.Struct, frozen=True, kw_only=True):
    """A record, its texts and what is true of them. `prompted` says that the text is the user's."""

    record: Record
    source: str
    language: str
    prompted: bool
    reasoning: str
    content: str
    truths: Mapping[Subject, Truth]
    marks: Sequence[Mark]

    def lanes(self) -> Sequence[tuple[Lane, str]]:
        """The lanes that hold text, in order."""
        if self.prompted:
            return ((Lane(PROMPT_CHOICE, Channel.PROMPT, 0), self.record.prompt_text()),)
        both = ((Lane(0, Channel.REASONING), self.reasoning), (Lane(0, Channel.CONTENT), self.content))
        return tuple((lane, text) for lane, text in both if text)


class _Labels(msgspec.Struct):
    loop: bool | UnsetType | None = UNSET
    loop_kind: str | None = None
    loop_start: int | None = None
    loop_period: float | None = None
    language_mix: bool | UnsetType | None = UNSET
    level: str | None = None
    spans: list[tuple[int, int, str]] = []
    runaway: bool | UnsetType | None = UNSET
    hardneg: str | None = None


class _Line(Record, kw_only=True):
    source: str = ""
    labels: _Labels | None = None
    label_how: dict[str, str] | str | None = None
    text: str | None = None
    role: Literal["prompt", "response"] = "response"
    context: str | None = None
    harmful: bool | None = None
    category: str | None = None
    target_lang: str | None = None
    prompt_lang: str | None = None
    lang: str | None = None


_DECODER: Final = msgspec.json.Decoder(_Line)


def read_labelled(line: bytes | str) -> Labelled:
    """A labelled record from a line of JSON. Raises `RecordError` that says what is wrong with it."""
    try:
        raw = _DECODER.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise RecordError(f"is no labelled record: {error}") from error
    if raw.text is not None:
        return _plain(raw, raw.text)
    if raw.labels is None:
        raise RecordError("has no labels: give `labels` with an `output`, or `text` and `harmful`")
    reasoning, content = raw.texts()
    output = raw.output if raw.output is not None else reasoning + content
    places = _Places(output, reasoning, content)
    return Labelled(
        record=raw,
        source=raw.source,
        language=raw.target_lang or raw.prompt_lang or raw.lang or "",
        prompted=False,
        reasoning=reasoning,
        content=content,
        truths=_truths(raw, raw.labels, output, places),
        marks=[Mark(places.at(start), places.at(end), language) for start, end, language in raw.labels.spans],
    )


def _plain(raw: _Line, text: str) -> Labelled:
    if raw.harmful is None:
        raise RecordError("has `text` but no `harmful`: true or false")
    prompted = raw.role == "prompt"
    prompt = text if prompted else raw.context or ""
    truth = Truth(
        positive=raw.harmful, kind=(raw.category or "harmful") if raw.harmful else "", how=_how(raw, "harmful")
    )
    return Labelled(
        record=Record(id=raw.id, prompt=prompt, content="" if prompted else text, model=raw.model),
        source=raw.source,
        language=raw.lang or "",
        prompted=prompted,
        reasoning="",
        content="" if prompted else text,
        truths={Subject.HARM: truth},
        marks=(),
    )


def _truths(raw: _Line, labels: _Labels, output: str, places: _Places) -> dict[Subject, Truth]:
    truths: dict[Subject, Truth] = {}
    if labels.loop is not UNSET:
        truths[Subject.LOOP] = _loop(raw, labels, labels.loop, output, places)
    if labels.language_mix is not UNSET:
        mixed = labels.language_mix
        found = "+".join(sorted({language for _, _, language in labels.spans}))
        truths[Subject.LANGUAGE] = Truth(
            positive=mixed,
            kind=(labels.level or found) if mixed else "",
            how=_how(raw, "language_mix"),
            onset=places.at(min(start for start, _, _ in labels.spans)) if mixed and labels.spans else None,
        )
    if labels.runaway is not UNSET:
        kind = "runaway" if labels.runaway else ""
        truths[Subject.LENGTH] = Truth(positive=labels.runaway, kind=kind, how=_how(raw, "runaway"))
    return truths


def _loop(raw: _Line, labels: _Labels, loop: bool | None, output: str, places: _Places) -> Truth:
    how = _how(raw, "loop")
    if loop is False and (again := restarted(raw.prompt_text(), output)):
        note = f"labelled clean, but {again[0]} of the prompt starts {again[1]} lines"
        return Truth(positive=None, kind="restarted_prompt", how=how, note=note)
    return Truth(
        positive=loop,
        kind=(labels.loop_kind or "unnamed") if loop else labels.hardneg or "",
        how=how,
        onset=places.at(labels.loop_start) if loop and labels.loop_start is not None else None,
        period=labels.loop_period if loop else None,
    )


def _how(raw: _Line, label: str) -> str:
    """`eye`, `auto`, ...: the first word of how the label came about."""
    said = raw.label_how.get(label, "") if isinstance(raw.label_how, dict) else raw.label_how or ""
    return said.partition(" ")[0]


class _Places:
    """From offsets in an output with tags to offsets in reasoning and content, joined."""

    def __init__(self, output: str, reasoning: str, content: str) -> None:
        self._length = len(output)
        self._cuts: list[tuple[int, int]] = []  # where in the output a tag was, and its length
        missing = len(output) - len(reasoning) - len(content)
        opened = missing in (len(OPENING_TAG), len(OPENING_TAG) + len(CLOSING_TAG))
        if opened:
            self._cuts.append((output.index(OPENING_TAG), len(OPENING_TAG)))
        if missing - opened * len(OPENING_TAG) == len(CLOSING_TAG):
            self._cuts.append((len(output) - len(content) - len(CLOSING_TAG), len(CLOSING_TAG)))

    def at(self, offset: int) -> int:
        """Raises `RecordError` for a place outside the output; a place within a tag is the one after it."""
        if not 0 <= offset <= self._length:
            raise RecordError(f"is labelled at {offset}, outside its {self._length} characters")
        return offset - sum(min(length, offset - start) for start, length in self._cuts if start < offset)
