"""The status page: for people, whatever their screen; without a script, and with nobody else's markup in it."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import httpx
import pytest

from guard.proxy.admin import create_admin
from guard.proxy.status_page import COUNTED, headers, page
from tests.support.devtools import opened
from tests.support.proxy import gateway_of
from tests.support.status import ANSWERS, PICTURES, guard_with_a_past

pytestmark = pytest.mark.anyio

DOCS = Path(__file__).parents[2] / "docs"

HOSTILE = "</table></style><script>document.title='owned'</script><img src=x onerror=alert(1)> {{ 7*7 }} & \"'"
WINDOW = {"minutes": 1, "seconds": 61.0, **dict.fromkeys(COUNTED, 3), "streams": 30}


def status(word: str = "fine", **fields: Any) -> dict[str, Any]:
    """What the page is given, with `word` wherever others choose what it says."""
    entry = {
        "time": "2026-01-31T11:59:50Z", "request_id": word, "stream_id": word, "model": word, "rule": word,
        "detector": word, "label": word, "score": 0.9, "channel": "reasoning", "action": "cut", "times": 2, "pid": 7,
    }  # fmt: skip
    rule = {
        "rule": word, "why": word, "detectors": [word], "labels": [word], "channels": ["content"], "models": [word],
        "score": 0.9, "action": "mask",
    }  # fmt: skip
    return {
        "guard": {"version": "0.1.0", "started": "2026-01-30T00:00:00Z", "now": "2026-01-31T12:00:00Z"},
        "ready": True,
        "reason": None,
        "streams": {"open": 5, "limit": 512},
        "rates": [WINDOW, {**WINDOW, "minutes": 5, "seconds": 303.0}, {**WINDOW, "minutes": 15, "seconds": 400.0}],
        "policy": {"name": word, "version": "abc", "mode": "enforce", "description": word, "rules": [rule]},
        "reload": {"ok": False, "time": "2026-01-31T10:00:00Z", "says": word},
        "backends": [
            {"name": word, "role": "upstream", "up": False, "breakers_open": 1, "breakers": 2},
            {"name": word, "role": "fallback", "up": None, "breakers_open": None, "breakers": 0},
        ],
        "workers": [{"worker": 0, "pid": 7, "since": "2026-01-30T00:00:00Z", "streams": 5, "answered": False}],
        "interventions": [entry],
        "flags": [{**entry, "action": "flag", "score": None}],
        **fields,
    }


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(body: str) -> Reader:
    reader = Reader()
    reader.feed(body)
    return reader


def test_no_word_of_others_becomes_markup() -> None:
    plain, hostile = read(page(status())), read(page(status(HOSTILE)))
    assert hostile.tags == plain.tags
    assert "".join(hostile.text).count(HOSTILE) == "".join(plain.text).count("fine") >= 12


def test_it_loads_and_runs_nothing() -> None:
    for tag, attributes in read(page(status())).tags:
        assert tag not in ("script", "img", "link", "iframe", "object", "form")
        assert not {"src", "style"} & set(attributes), (tag, attributes)
        assert not [name for name in attributes if name.startswith("on")]


async def test_it_is_sent_with_headers_that_keep_it_so() -> None:
    transport = httpx.ASGITransport(create_admin(gateway_of()))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        answers = [await client.get(path) for path in ("/", "/status.json")]
        for answer in answers:
            assert answer.status_code == 200
            assert headers().items() <= answer.headers.items()
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["x-frame-options"] == "DENY"
        assert answers[0].headers["content-type"] == "text/html; charset=utf-8"
        assert (await client.post("/")).status_code == 405
    (style,) = re.findall(r"<style>(.*?)</style>", answers[0].text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert answers[0].headers["content-security-policy"] == (
        f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


@pytest.mark.parametrize(
    ("query", "seconds"),
    [("", "10"), ("?refresh=3", "3"), ("?refresh=0", None), ("?refresh=-1", "10"), ("?refresh=x%22", "10"),
     ("?refresh=99999", "3600"), ("?refresh=" + "9" * 5_000, "10"), ("?refresh=%D9%A3", "10")],
)  # fmt: skip
async def test_it_refreshes_as_often_as_asked(query: str, seconds: str | None) -> None:
    transport = httpx.ASGITransport(create_admin(gateway_of()))
    async with httpx.AsyncClient(transport=transport, base_url="http://admin") as client:
        reader = read((await client.get("/" + query)).text)
    found = [each["content"] for tag, each in reader.tags if tag == "meta" and each.get("http-equiv") == "refresh"]
    assert found == ([] if seconds is None else [seconds])
    links = [each["href"] for tag, each in reader.tags if tag == "a"]
    assert links == ["?refresh=10" if seconds is None else "?refresh=0", "status.json"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, ["Ready", "5 of 512", "breaker open in 1 of 2", "not asked yet", "failed", "did not answer just now"]),
        ({}, ["3 10.0 %", "The guard has run for 6 min 40 s", "11:59:50 UTC", "2 times"]),
        ({"ready": False, "reason": "draining"}, ["Not ready: draining"]),
        ({"interventions": [], "flags": []}, ["No rule has changed an answer since the start."]),
        ({"reload": None}, ["Not reloaded since the start."]),
        ({"reload": {"ok": True, "time": "2026-01-31T10:00:00Z", "says": ""}}, ["Reloaded 2026-01-31 10:00:00 UTC."]),
    ],
)
def test_it_says_what_is_the_matter(fields: dict[str, Any], says: list[str]) -> None:
    text = " ".join("".join(read(page(status(**fields))).text).split())
    for words in says:
        assert words in text


def test_the_pictures_in_the_documentation_are_small() -> None:
    text = (DOCS / "status.md").read_text(encoding="utf-8")
    for name in PICTURES:
        assert f"(images/{name})" in text
        assert 10_000 < (DOCS / "images" / name).stat().st_size < 150_000


def test_every_table_names_its_columns() -> None:
    for table in re.findall(r"<table.*?</table>", page(status()), re.DOTALL):
        columns = table.count('scope="col"')
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL):
            assert row.count("<td") + row.count("<th ") == columns


@pytest.mark.real
async def test_a_browser_shows_it_on_a_desk_and_on_a_phone_by_day_and_by_night(tmp_path: Path) -> None:
    colours = set()
    async with guard_with_a_past() as guard:
        for width, dark in ((1280, False), (390, True)):
            async with opened(f"{guard.admin}/?refresh=0", tmp_path / str(width), width=width, dark=dark) as shown:
                assert await shown.evaluate("document.documentElement.scrollWidth") == width
                text = await shown.evaluate("document.body.innerText")
                for words in ("Ready", "0 of 512", "streams opened", "loop_in_thinking", "loop: exact", "my-request-1"):
                    assert words in text
                assert (
                    await shown.evaluate("getComputedStyle(document.querySelector('.cards div')).borderRadius") == "8px"
                )
                colours.add(await shown.evaluate("getComputedStyle(document.body).backgroundColor"))
                assert shown.said == []
        (documented,) = re.findall(r"^curl .*", (DOCS / "status.md").read_text(encoding="utf-8"), re.MULTILINE)
        command = documented.replace("http://127.0.0.1:8081", guard.admin).split()
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, check=True, timeout=20)
        assert json.loads(done.stdout)["rates"][0]["streams"] == len(ANSWERS)
    assert len(colours) == 2
