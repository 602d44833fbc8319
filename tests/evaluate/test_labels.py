from __future__ import annotations

import json
import lzma
from collections import Counter
from typing import Any

import pytest

from guard.contract import PROMPT_CHOICE, Channel, Lane
from guard.evaluate.labels import Labelled, Mark, Subject, Truth, read_labelled
from guard.offline import RecordError
from tests.support.shared import shared
from tests.support.transcripts import looping, record


def read(value: dict[str, Any]) -> Labelled:
    return read_labelled(json.dumps(value))


def test_a_loop_has_its_kind_onset_and_period() -> None:
    found = read(looping())
    assert found.truths[Subject.LOOP] == Truth(positive=True, kind="exact", how="eye", onset=40, period=20)
    assert found.truths[Subject.LANGUAGE] == Truth(positive=False, how="auto")
    assert found.source == "somewhere"
    assert [lane for lane, _ in found.lanes()] == [Lane(0, Channel.CONTENT)]


@pytest.mark.parametrize(
    ("output", "word"),
    [
        ("<think>one two</think>three", "two"),
        ("<think>one two</think>three", "three"),
        ("<think>\none two", "two"),
        ("one two</think>three four", "two"),
        ("one two</think>three four", "four"),
        ("just three", "three"),
        ("\n <think>one</think>", "one"),
    ],
)
def test_places_in_the_output_become_places_in_the_response(output: str, word: str) -> None:
    start = output.index(word)
    labels = {"language_mix": True, "spans": [[start, start + len(word), "zh"]]}
    found = read(record("a", output, labels=labels, model="deepseek-r1"))
    response = found.reasoning + found.content
    assert found.marks == [Mark(response.index(word), response.index(word) + len(word), "zh")]
    assert found.truths[Subject.LANGUAGE] == Truth(positive=True, kind="zh", how="auto", onset=response.index(word))


@pytest.mark.parametrize(
    ("labels", "subject", "expected"),
    [
        ({"loop": None}, Subject.LOOP, Truth(positive=None, how="eye")),
        ({"loop": True}, Subject.LOOP, Truth(positive=True, kind="unnamed", how="eye")),
        ({"hardneg": "grid"}, Subject.LOOP, Truth(positive=False, kind="grid", how="eye")),
        ({"language_mix": True, "level": "word"}, Subject.LANGUAGE, Truth(positive=True, kind="word", how="auto")),
        ({"language_mix": None}, Subject.LANGUAGE, Truth(positive=None, how="auto")),
        ({"language_mix": False, "level": "none"}, Subject.LANGUAGE, Truth(positive=False, how="auto")),
        ({"runaway": True}, Subject.LENGTH, Truth(positive=True, kind="runaway", how="auto")),
    ],
)
def test_other_labels(labels: dict[str, Any], subject: Subject, expected: Truth) -> None:
    assert read(record("a", "some text", labels=labels)).truths[subject] == expected


def test_how_may_be_one_word_for_all_and_labels_may_be_few() -> None:
    value = record("a", "text", label_how="auto (a script)", target_lang="de")
    value["labels"] = {"language_mix": True, "level": "full", "got": ["en"]}
    found = read(value)
    assert found.truths == {Subject.LANGUAGE: Truth(positive=True, kind="full", how="auto")}
    assert found.language == "de"


def test_a_clean_response_that_starts_its_prompt_over_is_grey() -> None:
    prompt = "[STATEMENT]\nStack the blocks.\n"
    again = "[STATEMENT]\nAnother task.\n" * 4
    assert read(record("a", again, prompt=prompt)).truths[Subject.LOOP] == Truth(
        positive=None,
        kind="restarted_prompt",
        how="eye",
        note="labelled clean, but [STATEMENT] of the prompt starts 4 lines",
    )
    labelled = read(record("a", again, prompt=prompt, labels={"loop": True, "loop_kind": "selfprompt_cycle"}))
    assert labelled.truths[Subject.LOOP].positive is True


@pytest.mark.parametrize(
    ("value", "channel", "prompt", "truth"),
    [
        (
            {"id": 1, "text": "How to?", "role": "prompt", "harmful": True, "category": "hate"},
            Channel.PROMPT,
            "How to?",
            Truth(positive=True, kind="hate"),
        ),
        (
            {
                "id": 2,
                "text": "Like so.",
                "role": "response",
                "context": "How?",
                "harmful": False,
                "category": "benign",
            },
            Channel.CONTENT,
            "How?",
            Truth(positive=False),
        ),
        ({"id": 3, "text": "Yes.", "harmful": True}, Channel.CONTENT, "", Truth(positive=True, kind="harmful")),
    ],
)
def test_plain_text_goes_where_its_role_says(
    value: dict[str, Any], channel: Channel, prompt: str, truth: Truth
) -> None:
    found = read(value)
    choice = PROMPT_CHOICE if channel is Channel.PROMPT else 0
    tool = 0 if channel is Channel.PROMPT else -1
    assert found.lanes() == ((Lane(choice, channel, tool), value["text"]),)
    assert found.record.prompt_text() == prompt
    assert found.truths == {Subject.HARM: truth}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"id": 1, "output": "x"}, "has no labels"),
        ({"id": 1, "text": "x"}, "has `text` but no `harmful`"),
        ({"id": 1, "labels": {}}, "has no text"),
        (record("a", "short", labels={"loop": True, "loop_start": 99}), "is labelled at 99, outside its 5 characters"),
        (record("a", "short", labels={"loop": "yes"}), "is no labelled record: Expected"),
        ({"id": 1, "text": "x", "harmful": True, "role": "judge"}, "is no labelled record"),
    ],
)
def test_what_is_wrong_is_said(value: dict[str, Any], told: str) -> None:
    with pytest.raises(RecordError, match=told):
        read(value)


def test_real_labels_are_read() -> None:
    with lzma.open(shared("corpus/dev.jsonl.xz")) as file:
        records = [read_labelled(line) for line in file]
    loops = Counter(record.truths[Subject.LOOP].positive for record in records)
    assert loops == {False: 1974, True: 144, None: 18}
    assert sum(record.truths[Subject.LOOP].kind == "restarted_prompt" for record in records) == 5
    marked = [(record.reasoning + record.content)[slice(*mark[:2])] for record in records for mark in record.marks]
    assert len(marked) > 100
    assert not any(text.isascii() for text in marked)
