"""What the README says is run, loaded or counted here."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from guard.observe.catalogue import CATALOGUE
from guard.policy import compile_policy, parse_policy
from guard.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def test_the_policy_in_ten_lines_is_a_policy_of_about_ten_lines() -> None:
    (policy,) = [text for text in blocks("yaml") if "policy_version" in text]
    compiled = compile_policy(parse_policy(policy, "README.md"))
    assert not compiled.warnings
    assert "no_foreign_words_in_answers" in compiled.rule_ids
    assert len(policy.splitlines()) <= 12


def test_the_configuration_loads(tmp_path: Path) -> None:
    (config,) = [text for text in blocks("yaml") if "upstream:" in text]
    file = tmp_path / "guard.yaml"
    file.write_text(config, encoding="utf-8")
    settings = Settings.load(file, env={})
    assert settings.upstream is not None
    assert settings.upstream.models == ("qwq-32b",)


def test_the_metrics_it_names_exist_with_those_labels() -> None:
    section = README.partition("\n## Metrics\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| ([^|]*)\|", section, re.MULTILINE)
    there = {spec.name: set(spec.labels) for spec in CATALOGUE}
    assert len(rows) >= 8
    for names, labels in rows:
        for name in re.findall(r"\w+", names):
            assert {label for label in labels.strip().split(", ") if label} == there[name], name


@pytest.mark.parametrize("text", blocks("python"))
def test_the_python_parses(text: str) -> None:
    ast.parse(text)


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)#]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_make_targets_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_flag_of_guard_serve_is_spelled_right() -> None:
    serve = (ROOT / "guard" / "cli" / "serve.py").read_text(encoding="utf-8")
    for flag in set(re.findall(r"--([a-z-]+)", "\n".join(re.findall(r"guard serve ([^`\n]+)", README)))):
        assert flag in serve.replace("_", "-"), flag
