from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from guard.cli import build_app
from guard.policy.schema import Policy
from tests.support import fake_detectors

GOOD = """\
policy_version: 1
name: house
description: for tests
detectors: {words: {words: [wicked]}}
rules:
  - id: no_words
    when: {detector: words, label: BAD_WORD, channel: content, score: 0.9}
    do: cut
    examples: {hits: [wicked], misses: [kind]}
"""


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake_detectors.install(monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


def run(*arguments: str) -> Result:
    return CliRunner().invoke(build_app(), ["check", *arguments])


def write(text: str, name: str = "house.yaml") -> str:
    Path(name).write_text(text)
    return name


def test_a_good_policy_is_summed_up() -> None:
    done = run(write(GOOD))
    assert done.exit_code == 0
    head, columns, rule, *_ = done.stdout.splitlines()
    assert head.startswith("house ")
    assert head.endswith(" for tests")
    assert columns.split() == ["rule", "detector", "label", "channel", "score", "does"]
    assert rule.split() == ["no_words", "words", "BAD_WORD", "content", "0.9", "cut"]
    assert done.stdout.endswith("1 policy: 0 errors\n")


def test_problems_are_shown_with_carets_and_counted() -> None:
    done = run(write(GOOD.replace("BAD_WORD", "BAD_WROD").replace("score", "scoer")))
    assert done.exit_code == 1
    assert "house.yaml:7:36: P103 unknown label\n    when: {detector: words, label: BAD_WROD" in done.stdout
    assert "house.yaml:7:64: P102 unknown key\n    when: {detector: words, label: BAD_WROD" in done.stdout
    assert done.stdout.endswith("1 policy: 2 errors\n")


def test_several_policies_are_checked_in_one_go() -> None:
    done = run(write(GOOD), write(GOOD.replace("cut", "ctu"), "second.yaml"), "nosuch")
    assert done.exit_code == 1
    assert "second.yaml:8:9: P102" in done.stdout
    assert "there is no built-in policy `nosuch`" in done.stdout
    assert done.stdout.endswith("3 policies: 2 errors\n")


def test_warnings_do_not_fail() -> None:
    done = run(write(GOOD.replace("detectors: {", "detectors: {other: {}, ")))
    assert done.exit_code == 0
    assert "house.yaml:4:13: P118 warning: watches nothing" in done.stdout
    assert done.stdout.endswith("1 policy: 0 errors, 1 warning\n")


def test_examples_that_fail_do() -> None:
    done = run(write(GOOD.replace("[kind]", "[very wicked]")))
    assert done.exit_code == 1
    assert "house.yaml:9:41: P119 example fails" in done.stdout


def test_a_detector_that_cannot_load_for_its_examples_is_told() -> None:
    text = GOOD.replace("{words: {words: [wicked]}}", "{failing: {}}").replace("words, label: BAD_WORD", "failing")
    done = run(write(text))
    assert done.exit_code == 1
    assert "`failing` cannot load: OSError: no model here" in done.stdout


def test_json_says_the_same() -> None:
    done = run("--json", write(GOOD), write(GOOD.replace("cut", "ctu"), "second.yaml"))
    good, bad = json.loads(done.stdout)["policies"]
    assert done.exit_code == 1
    assert (good["policy"], good["ok"], good["name"], good["rules"]) == ("house.yaml", True, "house", ["no_words"])
    assert (len(good["version"]), good["detectors"], good["problems"]) == (12, ["words"], [])
    assert (bad["ok"], bad["problems"][0]["code"], bad["problems"][0]["line"]) == (False, "P102", 8)


def test_the_schema_is_printed() -> None:
    done = run("--schema")
    assert done.exit_code == 0
    assert json.loads(done.stdout) == Policy.model_json_schema()


def test_markup_in_a_policy_is_only_text() -> None:
    done = run(write(GOOD.replace("for tests", "'[red]for[/red] [/nonsense]'")))
    assert done.exit_code == 0
    assert "[red]for[/red] [/nonsense]" in done.stdout
