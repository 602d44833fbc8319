"""What the pages under docs/ show is loaded here, and where they point is looked up."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest

from guard.policy import compile_policy, parse_policy

DOCS = Path(__file__).parents[2] / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCKS = [
    pytest.param(language, text, id=f"{page.name}-{index}")
    for page in PAGES
    for index, (language, text) in enumerate(
        re.findall(r"^```(\w+)\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    )
]


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_what_a_page_shows_can_be_read(language: str, text: str) -> None:
    if language == "yaml" and re.search(r"^policy_version:", text, re.MULTILINE):
        assert not compile_policy(parse_policy(text, "docs")).warnings
    elif language == "json":
        rest = text.strip()
        while rest:
            _, end = json.JSONDecoder().raw_decode(rest)
            rest = rest[end:].lstrip()
    elif language == "python":
        ast.parse(text)


def anchors(page: Path) -> set[str]:
    """The places of a page that a link can point to, as GitHub names them."""
    prose = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(((?!https?:)[^)]+)\)", page.read_text(encoding="utf-8")):
        file, _, anchor = target.partition("#")
        there = (page.parent / file).resolve() if file else page
        assert there.exists(), target
        if anchor and there.suffix == ".md":
            assert anchor in anchors(there), target
