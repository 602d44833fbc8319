"""Recordings give what was written down by hand, and the same on every road."""

from __future__ import annotations

import pytest

from tests.support.golden import FOLDER, names, offer_words, read_case
from tests.support.roads import engine_road, hook_can_play, hook_road, proxy_road

NAMES = list(names())
HOOK_NAMES = [name for name in NAMES if hook_can_play(read_case(name))]


@pytest.fixture(autouse=True)
def words(monkeypatch: pytest.MonkeyPatch) -> None:
    offer_words(monkeypatch)


@pytest.mark.parametrize("name", NAMES)
def test_the_engine_gives_what_was_written_down(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = read_case(name)
    assert engine_road(case, monkeypatch) == case.expected


@pytest.mark.parametrize("name", NAMES)
def test_the_proxy_gives_what_was_written_down(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = read_case(name)
    seen = proxy_road(case, monkeypatch)
    assert seen.by_client() == case.expected.by_client()
    assert (seen.upstream == "never called") == (case.expected.upstream == "never called")


@pytest.mark.parametrize("name", HOOK_NAMES)
def test_the_hook_gives_what_was_written_down(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = read_case(name)
    assert hook_road(case, monkeypatch).by_client() == case.expected.by_client()


def test_every_recording_has_its_expectation_and_the_other_way_round() -> None:
    assert sorted(path.name.removesuffix(".expected.yaml") for path in FOLDER.glob("*.expected.yaml")) == NAMES
    assert len(NAMES) >= 10
    assert len(HOOK_NAMES) >= 5
