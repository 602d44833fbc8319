"""The harness measures what it says, and refuses figures of runs that went wrong."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bench.quick import Load, RunFailed, check, main, shares, summarise, table
from bench.text import tokens

LOAD = Load(streams=2, tokens=30, rate=200.0)


def result(**changes: Any) -> dict[str, Any]:
    streams = [{"events": 34, "text": "".join(tokens(30, number)), "ended": True} for number in range(2)]
    streams[0] |= changes
    return {"late": 0, "streams": streams}


def test_whole_streams_count() -> None:
    check(result(), LOAD, "guard")


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (result(text="Every lighthouse"), "1 streams lost or changed text, one ends in 'Every lighthouse'"),
        (result(ended=False), "1 of 2 streams did not end with a single [DONE]"),
        ({**result(), "late": 1}, "1 of 2 streams did not end in time"),
        ({"late": 0, "streams": []}, "did not end in time"),
    ],
)
def test_broken_streams_do_not(bad: dict[str, Any], says: str) -> None:
    with pytest.raises(RunFailed) as refused:
        check(bad, LOAD, "guard")
    assert says in str(refused.value)


def test_ratios_are_taken_within_a_repetition() -> None:
    figures = [("nginx", 20.0), ("guard", 70.0), ("guard", 90.0), ("nginx", 30.0), ("nginx", 21.0), ("guard", 63.0)]
    summary = summarise(figures)
    assert summary["guard"] == {
        "us_per_event": {"median": 70.0, "least": 63.0, "most": 90.0},
        "times_nginx": {"median": 3.0, "least": 3.0, "most": 3.5},
        "repetitions": 3,
    }
    assert summary["nginx"]["us_per_event"]["median"] == 21.0
    assert "70.00 (63.00 to 90.00)     3.00 (3.00 to 3.50)" in table(summary, LOAD)


def test_without_nginx_there_is_no_ratio() -> None:
    summary = summarise([("guard", 70.0)])
    assert summary["guard"]["times_nginx"] is None
    assert "70.00 (70.00 to 70.00)" in table(summary, LOAD)


def test_shares_of_a_profile() -> None:
    raw = "run (server.py:10);feed (guard/engine/lane.py:20) 30\nrun (server.py:10);feed (guard/engine/lane.py:25) 60\n"
    raw += "run (server.py:12) 10\nRunner.run (asyncio/runners.py:118) 900\n"
    assert shares(raw) == [
        " 90.0 %  guard/engine",
        " 10.0 %  server.py",
        " 90.0 %  guard/engine/lane.py feed",
        " 10.0 %  server.py run",
    ]


@pytest.mark.real
@pytest.mark.parametrize("contestant", ["nginx", "guard"])
def test_a_short_run(contestant: str, capsys: pytest.CaptureFixture[str]) -> None:
    load = ["--streams", "4", "--tokens", "40", "--rate", "100", "--repetitions", "1", "--json"]
    status = main([*load, "--contestants", contestant])
    out, err = capsys.readouterr()
    if "nginx is what the guard is compared with" in err:
        pytest.skip("nginx is not installed (Debian: apt-get install nginx-light)")
    assert status == 0, err
    assert json.loads(out)[contestant]["us_per_event"]["least"] > 0
