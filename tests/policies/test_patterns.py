"""A house policy of word lists: its labels reach rules, examples, the wire and metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.policy import PolicyError, compile_policy, load_policy, read_policy, try_examples
from guard.proxy.app import create_app
from guard.settings import Settings
from tests.support.metrics import total
from tests.support.proxy import CHAT, MESSAGES, answer_of, content, scripted

POLICY = """
policy_version: 1
name: house
detectors:
  pattern:
    words:
      oath: [zounds, "egad sir"]
      codename: {words: [BLUEBIRD], shadow: false, ignore_case: false}
    patterns:
      ticket: 'HR-\\d{4,6}'
      key: {regex: 'key=\\S+', max_length: 40}
    secrets: true
rules:
  - id: oaths
    why: our users are children
    when: {detector: pattern, label: oath}
    do: {mask: {replacement: "[{label}]"}}
    examples:
      hits: ["Ｚｏｕｎｄｓ, he said", "z\\u200bo\\u200bunds", "egad   sir"]
      misses: ["astounding", "egad"]
  - {id: codenames, when: {detector: pattern, label: [codename, ticket]}, do: mask}
  - {id: keys, when: {detector: pattern, label: [key, secret]}, do: {cut: {notice: A key was left out.}}}
"""


@pytest.fixture
def house(tmp_path: Path) -> Path:
    path = tmp_path / "house.yaml"
    path.write_text(POLICY, encoding="utf-8")
    return path


async def answered(house: Path, *pieces: str) -> tuple[dict[str, Any], Any]:
    """The response to a request that is answered with `pieces`, and the registry of its metrics."""
    backend = scripted(*answer_of(*map(content, pieces)))
    app = create_app(Settings.load(env={}, overrides={"policy": str(house)}), backend=backend)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        answer = await client.post(CHAT, json={"model": "m", "messages": MESSAGES})
    return answer.json(), app.state.gateway.metrics.registry


def test_its_labels_are_known_and_its_examples_hold(house: Path) -> None:
    source = read_policy(str(house))
    policy = compile_policy(source)
    assert policy.warnings == ()
    assert try_examples(source, policy) == ()
    assert {series.label for series in policy.labels()} == {"oath", "codename", "ticket", "key", "secret", "error"}


def test_a_label_that_is_not_listed_is_told(house: Path) -> None:
    house.write_text(POLICY.replace("label: oath}", "label: oaths}"), encoding="utf-8")
    with pytest.raises(PolicyError, match="P103 unknown label") as told:
        load_policy(str(house))
    assert "did you mean `oath`?" in str(told.value)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (", max_length: 40", "", r"patterns: key: `key=\\S\+` has no upper limit of length; give max_length"),
        ("HR-\\d{4,6}", "HR-(?=x)", "patterns: ticket: RE2 has no `assert`"),
        ("oath: [zounds", "two words: [zounds", "`two words` cannot be a label"),
    ],
)
def test_a_pattern_that_cannot_be_used_is_told_with_its_place(house: Path, old: str, new: str, told: str) -> None:
    house.write_text(POLICY.replace(old, new), encoding="utf-8")
    with pytest.raises(PolicyError, match=told) as error:
        load_policy(str(house))
    assert "house.yaml:" in str(error.value)


@pytest.mark.anyio
async def test_words_are_masked_on_the_wire_and_counted_by_their_label(house: Path) -> None:
    body, metrics = await answered(house, "Well, z", "\u200bou", "nds and BLUE", "BIRD, bluebird, hr-", "12345!")
    assert body["choices"][0]["message"]["content"] == "Well, [oath] and <codename>, bluebird, <ticket>!"
    assert body["choices"][0]["finish_reason"] == "stop"
    found = {"detector": "pattern", "channel": "content"}
    counts = [total(metrics, "guard_findings_total", **found, label=label) for label in ("oath", "codename", "ticket")]
    assert counts == [1, 1, 1]


@pytest.mark.anyio
async def test_a_secret_is_cut(house: Path) -> None:
    body, _ = await answered(house, "It is AKIA", "Q" * 16, " and more")
    assert body["choices"][0]["message"]["content"].startswith("It is")
    assert "AKIA" not in str(body)
    assert body["guard"]["label"] == "secret"
