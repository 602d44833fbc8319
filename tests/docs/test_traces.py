"""docs/traces.md: its settings load, and it names every attribute and event there is."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from guard.observe import traces
from guard.settings import Settings, Tracing

PAGE = (Path(__file__).parents[2] / "docs" / "traces.md").read_text(encoding="utf-8")
SOURCE = Path(traces.__file__).read_text(encoding="utf-8")


def test_its_settings_load_and_are_all(tmp_path: Path) -> None:
    (block,) = re.findall(r"^```yaml\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    file = tmp_path / "guard.yaml"
    file.write_text(block)
    assert Settings.load(file, env={}).tracing == Tracing(enabled=True, accept=True)
    assert yaml.safe_load(block)["tracing"].keys() == Tracing.model_fields.keys()


def test_every_name_is_explained_and_there() -> None:
    there = set(re.findall(r'"((?:gen_ai|guard|error)\.[a-z_.]+)"', SOURCE))
    said = set(re.findall(r"`((?:gen_ai|guard|error)\.[a-z_.]+)`", PAGE))
    told = {"guard.request_id", "guard.stream_id", "guard.policy"}
    assert said == there | told


def test_its_limits_are_those_of_the_code() -> None:
    assert {traces.MAX_EVENTS, traces.MAX_REVIEWS} == {128}
    assert str(traces._LONGEST_STATE) in PAGE
