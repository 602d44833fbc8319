from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from guard.contract import Channel, Finding, Lane, Report, Span
from guard.events import Action, Cut, Flag, Mask, Repair
from guard.offline import RecordError, read_record, run, scan, summarise
from guard.policy import CompiledPolicy, load_policy
from tests.support.engine import Custom, Words, plan_of
from tests.support.proxy import FixedPolicy

ACTIONS: dict[str, Action] = {
    "stop": Cut("Stopped."),
    "hide": Mask("<hidden>"),
    "note": Flag(),
    "again": Repair("conclude", otherwise=Cut("Cannot.")),
}


def house(*channels: Channel) -> CompiledPolicy:
    """STOP! cuts, SECRET is masked, NOTED is flagged, AGAIN! is repaired, `hush` finds and says nothing of it."""
    detectors = (
        Words("stop", ["STOP!"]),
        Words("hide", ["SECRET"]),
        Words("note", ["NOTED"]),
        Words("again", ["AGAIN!"]),
        Words("hush", ["HUSH"]),
    )
    return FixedPolicy(plan_of(*detectors, actions=ACTIONS, channels=channels or Channel))


def scanned(policy: CompiledPolicy | None = None, **fields: Any) -> dict[str, Any]:
    """What becomes of a record, as it is written to the report."""
    result = scan(read_record(json.dumps({"id": "r", **fields})), policy or house())
    row: dict[str, Any] = json.loads(msgspec.json.encode(result))
    return row


@pytest.mark.parametrize(
    ("fields", "reasoning", "content"),
    [
        ({"output": "Hello."}, "", "Hello."),
        ({"output": "<think>Hm.</think>Hello."}, "Hm.", "Hello."),
        ({"output": "<think>Hm."}, "Hm.", ""),
        ({"output": "Hm.</think>Hello.", "model": "Qwen/QwQ-32B"}, "Hm.", "Hello."),
        ({"output": "No </think> tag.", "model": "Qwen/QwQ-32B-Preview"}, "", "No </think> tag."),
        ({"reasoning": "Hm.", "content": "Hello."}, "Hm.", "Hello."),
        ({"reasoning": "Hm."}, "Hm.", ""),
        ({"content": "Hello.", "reasoning": None}, "", "Hello."),
        ({"output": ""}, "", ""),
        ({"output": "Hello.", "content": "ignored", "labels": {"loop": False}, "prompt": "Hi"}, "", "Hello."),
        ({"output": "Hello.", "messages": [{"role": "user", "content": "Hi"}]}, "", "Hello."),
    ],
)
def test_every_form_of_a_record_is_read(fields: dict[str, Any], reasoning: str, content: str) -> None:
    assert read_record(json.dumps({"id": 7, **fields})).texts() == (reasoning, content)
    row = scanned(**fields)
    assert row["outcome"] == "passed"
    assert row["released"] == {"reasoning": len(reasoning), "content": len(content)}


@pytest.mark.parametrize(
    ("fields", "prompt"),
    [
        ({}, ""),
        ({"prompt": "Hi"}, "Hi"),
        ({"prompt": "Hi", "messages": [{"content": "ignored"}]}, "Hi"),
        (
            {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]},
            "Be brief.\nHi",
        ),
        (
            {
                "messages": [
                    {"content": [{"type": "text", "text": "Look:"}, {"type": "image_url"}, 5]},
                    {"content": None},
                ]
            },
            "Look:",
        ),
    ],
)
def test_the_prompt_is_what_detectors_know(fields: dict[str, Any], prompt: str) -> None:
    assert read_record(json.dumps({"id": 7, "output": "x", **fields})).prompt_text() == prompt
    seen: list[str] = []
    detector = Custom(opening=lambda lane, context: seen.append(context.prompt))
    scanned(FixedPolicy(plan_of(detector, channels=[Channel.CONTENT])), output="x", **fields)
    assert seen == [prompt]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"", "is no record"),
        (b"nonsense", "is no record"),
        (b"[]", "Expected `object`"),
        (b'{"output": "x"}', "missing required field `id`"),
        (b'{"id": null, "output": "x"}', "$.id"),
        (b'{"id": 1}', "has no text: give `output`, or `reasoning` and `content`"),
        (b'{"id": 1, "prompt": "Hi"}', "has no text"),
        (b'{"id": 1, "output": 5}', "$.output"),
        (b'{"id": 1, "output": "x", "messages": "Hi"}', "$.messages"),
        (b'{"id": 1, "output": "\xff"}', "is no record"),
        (b'{"id": 1, "output": ' + b"[" * 100_000, "is no record"),
    ],
)
def test_what_is_no_record_is_told(line: bytes, says: str) -> None:
    with pytest.raises(RecordError) as caught:
        read_record(line)
    assert says in str(caught.value)


def found(detector: str, span: list[int], at: int, channel: str = "content") -> dict[str, Any]:
    return {
        "detector": detector,
        "label": "hit",
        "score": 0.9,
        "channel": channel,
        "span": span,
        "evidence": None,
        "at": at,
    }


def acted(rule: str, action: str, span: list[int], at: int, channel: str = "content") -> dict[str, Any]:
    return {
        "rule": rule,
        "action": action,
        "detector": rule,
        "label": "hit",
        "channel": channel,
        "span": span,
        "at": at,
    }


@pytest.mark.parametrize(
    ("fields", "row"),
    [
        ({"output": "Fine."}, {"outcome": "passed", "findings": [], "actions": [], "released": [0, 5]}),
        (
            {"output": "A HUSH word."},
            {"outcome": "passed", "findings": [found("hush", [2, 6], 12)], "actions": [], "released": [0, 12]},
        ),
        (
            {"output": "Is NOTED."},
            {
                "outcome": "flagged",
                "findings": [found("note", [3, 8], 9)],
                "actions": [acted("note", "flag", [3, 8], 9)],
                "released": [0, 9],
            },
        ),
        (
            {"output": "A SECRET."},
            {
                "outcome": "masked",
                "findings": [found("hide", [2, 8], 9)],
                "actions": [acted("hide", "mask", [2, 8], 9)],
                "released": [0, 11],
            },
        ),
        (
            {"output": "0123456789 STOP! and so on to the end"},
            {
                "outcome": "cut",
                "findings": [found("stop", [11, 16], 16)],
                "actions": [acted("stop", "cut", [11, 16], 16)],
                "released": [0, 11],
            },
        ),
        (
            {"reasoning": "Hm. AGAIN! and so on", "content": "never reached"},
            {
                "outcome": "repaired",
                "findings": [found("again", [4, 10], 16, "reasoning")],
                "actions": [acted("again", "repair", [4, 10], 16, "reasoning")],
                "released": [4, 0],
            },
        ),
        (
            {"reasoning": "NOTED \U0001f44d", "content": "STOP!"},
            {
                "outcome": "cut",
                "findings": [found("note", [0, 5], 7, "reasoning"), found("stop", [0, 5], 5)],
                "actions": [acted("note", "flag", [0, 5], 7, "reasoning"), acted("stop", "cut", [0, 5], 5)],
                "released": [7, 0],
            },
        ),
    ],
)
def test_the_report_is_as_promised(fields: dict[str, Any], row: dict[str, Any]) -> None:
    policy = house(Channel.REASONING, Channel.CONTENT)
    reasoning, content = row["released"]
    expected = {"id": "r", **row, "released": {"reasoning": reasoning, "content": content}}
    assert scanned(policy, **fields) == expected
    assert list(scanned(policy, **fields)) == ["id", "outcome", "findings", "actions", "released"]


def test_evidence_is_told() -> None:
    finding = Finding("custom", "hit", 0.9, Span(0, 3), evidence=Span(1, 2))
    detector = Custom(feed=lambda _text: Report(0), settle=lambda text: Report(len(text), [finding]))
    plan = plan_of(detector, channels=[Channel.CONTENT])
    (row,) = scanned(FixedPolicy(plan), output="abc")["findings"]
    assert row["evidence"] == [1, 2]


@pytest.mark.parametrize("on_error", [Cut(), Flag()])
def test_a_detector_that_fails_is_an_error_whatever_the_policy_does(on_error: Action) -> None:
    def settle(_text: str) -> Report:
        raise ValueError

    plan = plan_of(Custom(settle=settle), actions={"custom": Cut()}, on_error=on_error)
    row = scanned(FixedPolicy(plan), output="abc")
    assert row["outcome"] == "error"
    assert row["actions"][0]["rule"] == "on_error"
    assert row["findings"][0]["label"] == "error"


def test_a_blocked_prompt_releases_nothing() -> None:
    row = scanned(prompt="STOP! now", output="never reached")
    assert row["outcome"] == "cut"
    assert row["actions"][0]["channel"] == "prompt"
    assert row["released"] == {"reasoning": 0, "content": 0}


def test_numbers_are_ids_too() -> None:
    assert scan(read_record(b'{"id": 12, "output": "x"}'), house()).id == 12


def test_commands_become_a_report(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text(
        "policy_version: 1\nname: house\ndetectors: {length: {content_characters: {hard: 40}}}\n"
        "rules:\n- {id: long, when: {detector: length, score: 0.9}, do: {cut: {finish: length}}}\n"
    )
    policy = load_policy(str(path))
    policy.load()
    record = read_record(json.dumps({"id": 1, "output": "word " * 30}))
    result = summarise(1, run(record, policy))
    assert result == scan(record, policy)
    assert (result.outcome, result.actions[0].rule) == ("cut", "long")
    assert result.released["content"] <= 48
    assert Lane(0, Channel.CONTENT).channel == result.findings[0].channel
