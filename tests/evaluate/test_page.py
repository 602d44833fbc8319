from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from guard.evaluate.labels import Labelled, read_labelled
from guard.evaluate.measure import Measured, measure
from guard.evaluate.page import build_page
from guard.evaluate.report import build_report
from guard.evaluate.subjects import subjects_of
from guard.policy import load_policy
from tests.support import transcripts
from tests.support.chromium import dump, dump_framed
from tests.support.transcripts import LOOPING, looping, record

HOSTILE = "</script><img src=x onerror=\"document.title='owned'\">\u2028 {{data}} 🌊 & <b>"


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A page of four records: a loop that is found, one that is missed, a false alarm, and a hostile one."""
    transcripts.install(monkeypatch)
    policy = load_policy(transcripts.policy(tmp_path))
    labels = {"loop": True, "loop_kind": HOSTILE, "loop_start": 5}
    values = [
        looping("found"),
        record("missed", "<think>" + HOSTILE + "</think>🌊🌊 round and round", labels=labels),
        record("false", LOOPING),
        record(HOSTILE, HOSTILE, source=HOSTILE, model=HOSTILE, prompt=HOSTILE),
    ]
    lines = [json.dumps(value) for value in values]
    subjects = subjects_of(policy)
    records: list[Measured] = [measure(n, read_labelled(line), policy, subjects) for n, line in enumerate(lines, 1)]
    report = build_report(
        records, file=HOSTILE, policy=policy.name, policy_version="v", subjects=subjects, costs={"loop": [1.5]}
    )

    def read(wanted: set[int]) -> Iterator[tuple[int, Labelled]]:
        return ((n, read_labelled(line)) for n, line in enumerate(lines, 1) if n in wanted)

    file = tmp_path / "page.html"
    file.write_bytes(build_page(report, records, read))
    return file


class Reader(HTMLParser):
    """Collects tags with their attributes, and the text of scripts and styles."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.raw: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] in ("script", "style"):
            tag, attributes = self.tags[-1]
            self.raw.setdefault(attributes.get("id") or tag, data)


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    return reader


def hashed(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def test_it_loads_nothing_and_runs_its_own_script_only(page: Path) -> None:
    reader = read(page)
    for tag, attributes in reader.tags:
        assert tag not in ("img", "link", "iframe", "object")
        assert not {"src", "style", "onerror", "onclick"} & set(attributes), (tag, attributes)
        assert (attributes.get("href") or "#").startswith("#")
    (content,) = [each["content"] for tag, each in reader.tags if tag == "meta" and "http-equiv" in each]
    assert content == (
        f"default-src 'none'; style-src '{hashed(reader.raw['style'])}'; script-src '{hashed(reader.raw['script'])}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_data_cannot_end_its_element(page: Path) -> None:
    data: dict[str, Any] = json.loads(read(page).raw["data"])
    assert data["detectors"] == ["loop", "language", "hazard"]
    assert [each["id"] for each in data["transcripts"]] == ["missed", "false", "found", HOSTILE]


def test_figures_and_charts_need_no_script(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "<b>50.0 %</b><span>1 of 2</span>" in text
    assert "0.9 or more: recall 50 %, 1 of 2 clean stopped" in text
    assert text.count("<svg") == 2
    assert "</script><img" not in text


def test_what_is_left_out_is_said(page: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert "left out" not in page.read_text(encoding="utf-8")
    policy = load_policy(transcripts.policy(tmp_path))
    records = [measure(1, read_labelled(json.dumps(looping())), policy, subjects_of(policy))]
    report = build_report(records, file="f", policy="p", policy_version="v", subjects={}, costs={})
    assert b"1 transcripts are left out" in build_page(report, records, lambda wanted: iter(()), limit=0)


@pytest.mark.real
def test_a_browser_shows_the_list(page: Path, tmp_path: Path) -> None:
    shown = dump(page.as_uri(), tmp_path / "profile")
    (items,) = re.findall(r'<ul id="list">(.*?)</ul>', shown, re.S)
    assert re.findall(r"<b>(.*?)</b>", items) == ["missed", "false"]
    assert "loop: missed" in items
    assert re.search(r'id="count"[^>]*>2 of 4<', shown)


@pytest.mark.real
def test_a_browser_opens_a_transcript_with_what_was_found(page: Path, tmp_path: Path) -> None:
    shown = dump(f"{page.as_uri()}#line=1", tmp_path / "profile")
    (body,) = re.findall(r'<div id="body">(.*)</div>\s*</dialog>', shown, re.S)
    assert '<span class="pin onset">labelled onset: loop</span>' in body
    assert '<span class="pin">often 0.90 (times 4)</span>' in body
    assert re.sub(r"<span class=\"pin.*?</span>|<[^>]*>", "", body[body.index("<h3>") :]) == (
        f"content, {len(LOOPING)} characters{LOOPING}"
    )
    (stopped,) = re.findall(r'<mark class="[^"]*stop"[^>]*>(.*?)</mark>', body)
    assert stopped == LOOPING[96:112]


@pytest.mark.real
def test_text_stays_text_and_places_count_characters(page: Path, tmp_path: Path) -> None:
    shown = dump(f"{page.as_uri()}#line=2", tmp_path / "profile")
    assert "<title>owned" not in shown
    (body,) = re.findall(r'<div id="body">(.*)</div>\s*</dialog>', shown, re.S)
    assert "<img" not in body
    assert "&lt;/script&gt;&lt;img src=x" in body
    assert "🌊🌊 round and round" in body


@pytest.mark.real
@pytest.mark.parametrize("hash", ["", "#line=4"])
def test_it_fits_a_phone(page: Path, tmp_path: Path, hash: str) -> None:
    shown = dump_framed(page, tmp_path / "profile", width=390, hash=hash)
    assert 'data-width="390"' in shown
    assert "recall" in shown
