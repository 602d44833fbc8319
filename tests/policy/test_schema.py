from __future__ import annotations

import json
from pathlib import Path

import pytest

from guard.contract import Channel
from guard.engine.plan import DEFAULT_HOLD, Hold
from guard.events import Cut, Flag, Mask, Repair
from guard.policy.schema import Policy, Rule, keys_beside


def rule(do: object, **when: object) -> Rule:
    return Rule.model_validate({"id": "one", "when": {"detector": "loop", **when}, "do": do})


@pytest.mark.parametrize(
    ("do", "action"),
    [
        ("flag", Flag()),
        ("mask", Mask()),
        ("cut", Cut()),
        ({"mask": {"replacement": "[gone]"}}, Mask("[gone]")),
        ({"cut": {"notice": "stopped", "finish": "length"}}, Cut("stopped", "length")),
        ({"repair": {"how": "conclude"}}, Repair("conclude")),
        (
            {
                "repair": {
                    "how": "resample",
                    "keep": "span_start",
                    "sampling": {"temperature": 1, "seed": 7},
                    "phrase": "So",
                    "instruction": "Be brief.",
                    "max_tokens": 9,
                    "attempts": 2,
                    "otherwise": {"notice": "sorry", "finish": "stop"},
                }
            },
            Repair(
                "resample",
                "span_start",
                {"temperature": 1.0, "seed": 7.0},
                "So",
                9,
                2,
                Cut("sorry", "stop"),
                "Be brief.",
            ),
        ),
    ],
)
def test_actions_are_read_with_the_defaults_of_the_engine(do: object, action: object) -> None:
    assert rule(do).do.action() == action


def test_the_prompt_is_watched_only_where_it_is_named() -> None:
    assert rule("flag").channels() == [Channel.REASONING, Channel.CONTENT, Channel.TOOL]
    assert rule("flag", channel=["prompt"]).channels() == [Channel.PROMPT]


def test_holds_fill_up_from_the_defaults() -> None:
    policy = Policy.model_validate({"policy_version": 1, "name": "x", "hold": {"content": {"step": 4}, "tool": {}}})
    assert policy.holds() == {**DEFAULT_HOLD, Channel.CONTENT: Hold(step=4)}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        (("x",), "policy_version"),
        (("rules", 3, "x"), "when"),
        (("rules", 3, "when", "x"), "detector"),
        (("rules", 3, "do", "x"), "repair"),
        (("rules", 3, "do", "repair", "otherwise", "x"), "notice"),
        (("rules", 3, "do", "repair", "sampling", "x"), "temperature"),
        (("hold", "x"), "reasoning"),
        (("hold", "content", "x"), "limit"),
    ],
)
def test_the_keys_that_could_have_been_meant_are_known(path: tuple[str | int, ...], key: str) -> None:
    assert key in keys_beside(path)


@pytest.mark.parametrize("path", [("rules", 0, "id", "x"), ("nowhere", "x"), ("on_error", 0, "x")])
def test_where_there_are_no_keys_none_are_known(path: tuple[str | int, ...]) -> None:
    assert keys_beside(path) == []


def test_the_json_schema_beside_the_policies_is_current() -> None:
    file = Path(__file__).parents[2] / "policies" / "policy.schema.json"
    assert json.loads(file.read_text()) == Policy.model_json_schema(), (
        "guard check --schema > policies/policy.schema.json"
    )


def test_the_json_schema_explains_itself() -> None:
    schema = Policy.model_json_schema()
    assert all("description" in definition for definition in schema["$defs"].values())
    assert schema["additionalProperties"] is False
