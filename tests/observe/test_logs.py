"""A record is one line that says what happened, and nothing that a client, a model or an exception may put into it."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import re
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from guard.observe.logs import LONGEST, Forward, configure_log, place_of

EVIL = [
    "m\n2026-01-01 [info] all is well",
    "m\r\nx",
    "m\x1b[2J\x1b[31mred",
    "m\x9b31m",
    "m\u2028line\u2029paragraph",
    "m\u202egnirts",
    "m\x00nul\x08\x7f",
    "m\ud800half",
    '", "outcome": "passed',
]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers, root.level)
    levels = {name: logging.getLogger(name).level for name in ("httpx", "uvicorn.error", "uvicorn.access")}
    yield
    structlog.reset_defaults()
    logging.captureWarnings(False)
    root.handlers, root.level = before
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


def lines_of(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def told(level: str = "info") -> io.StringIO:
    stream = io.StringIO()
    configure_log(level, stream=stream)
    return stream


def test_a_record_is_a_line_of_json() -> None:
    stream = told()
    structlog.get_logger("guard").info("stream", request_id="r1", tokens={"content": 3}, error=None)
    (line,) = lines_of(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {"event": "stream", "level": "info", "request_id": "r1", "tokens": {"content": 3}, "error": None}


@pytest.mark.parametrize("form", ["json", "console"])
@pytest.mark.parametrize("evil", EVIL)
def test_no_value_can_forge_a_line_or_reach_the_terminal(form: Any, evil: str) -> None:
    stream = io.StringIO()
    configure_log("info", form, stream)
    log = structlog.get_logger("guard")
    log.info("stream", model=evil, nested={"a": [evil], evil: 1}, request_id=evil)
    log.info(evil)
    written = stream.getvalue()
    assert len(written.splitlines()) == 2
    assert written.isprintable() or all(char.isprintable() or char == "\n" for char in written)
    if form == "json":
        assert lines_of(stream)[0].keys() == {"event", "level", "timestamp", "model", "nested", "request_id"}


@given(st.text())
def test_whatever_a_client_sends_stays_in_its_line(text: str) -> None:
    stream = told()
    structlog.get_logger("guard").info("stream", model=text)
    assert len(stream.getvalue().splitlines()) == 1
    assert stream.getvalue().isascii()
    assert len(lines_of(stream)[0]["model"]) <= 10 * LONGEST


def test_long_values_are_cut_short() -> None:
    stream = told()
    structlog.get_logger("guard").info("stream", model="m" * 100_000)
    assert lines_of(stream)[0]["model"] == "m" * (LONGEST - 1) + "…"


def test_people_on_a_terminal_read_it_in_colour() -> None:
    stream = Terminal()
    configure_log("info", "auto", stream)
    structlog.get_logger("guard").info("stream", outcome="cut")
    assert "outcome" in re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue())
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize(
    ("level", "seen"),
    [("debug", ["d", "i", "w", "e"]), ("info", ["i", "w", "e"]), ("warning", ["w", "e"]), ("error", ["e"])],
)
def test_levels(level: str, seen: list[str]) -> None:
    stream = told(level)
    log = structlog.get_logger("guard")
    for name in ("debug", "info", "warning", "error"):
        getattr(log, name)(name[0])
    assert [line["event"] for line in lines_of(stream)] == seen


def test_a_log_that_cannot_be_written_ends_nothing() -> None:
    with contextlib.suppress(OSError), open("/dev/full", "w") as full:  # what is buffered fails once more at the end
        configure_log("info", "json", full)
        for level in ("info", "warning", "error"):
            getattr(structlog.get_logger("guard"), level)("stream")
    structlog.get_logger("guard").info("the stream is closed now")


# --- exceptions and libraries


def raised() -> Exception:
    try:
        raise ValueError("the model said: secret plan")
    except ValueError as error:
        return error


def test_an_exceptions_message_is_not_told() -> None:
    stream = told()
    log = structlog.get_logger("guard")
    error = raised()
    log.error("internal error", exc_info=error)
    log.error("internal error", exc_info=(type(error), error, error.__traceback__))
    try:
        raise error
    except ValueError:
        log.exception("internal error")
        logging.getLogger("uvicorn.error").exception("Exception in ASGI application\n")
    assert "secret" not in stream.getvalue()
    assert [(line["exception"], line["at"].partition(":")[0]) for line in lines_of(stream)] == [
        ("ValueError", "test_logs.py")
    ] * 4


def test_libraries_are_told_in_one_line() -> None:
    stream = told()
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: <Task exception='secret'>")
    logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
    assert [(line["event"], line["logger"], line["level"]) for line in lines_of(stream)] == [
        ("Task exception was never retrieved", "asyncio", "error"),
        ("Invalid HTTP request received.", "uvicorn.error", "warning"),
    ]
    assert "secret" not in stream.getvalue()


def test_the_same_complaint_is_told_once_a_minute() -> None:
    stream = told()
    now = 0.0
    root = logging.getLogger()
    root.handlers = [Forward(lambda: now)]
    for now in (0.0, 1.0, 59.0, 61.0):
        logging.getLogger("exporter").error("Failed to export %d spans", now)
        logging.getLogger("other").error("Failed to export %d spans", now)
    assert [line["event"] for line in lines_of(stream)] == [
        "Failed to export 0 spans",
        "Failed to export 0 spans",
        "Failed to export 61 spans",
        "Failed to export 61 spans",
    ]
    for number in range(1_000):
        logging.getLogger("exporter").error(f"complaint {number}")
    assert len(root.handlers[0]._told) <= 256  # type: ignore[attr-defined]


def test_libraries_do_not_tell_of_every_request() -> None:
    stream = told()
    logging.getLogger("httpx").info("HTTP Request: POST http://upstream")
    logging.getLogger("uvicorn.error").info("Started server process")
    assert stream.getvalue() == ""


def test_a_record_that_cannot_be_formatted_is_told_all_the_same() -> None:
    stream = told()
    logging.getLogger("library").warning("%d apples", "no number")
    assert lines_of(stream)[0]["event"] == "%d apples"


def test_warnings_are_records() -> None:
    stream = told()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old", DeprecationWarning, stacklevel=1)
    assert lines_of(stream)[0]["logger"] == "py.warnings"


def test_an_exception_that_was_never_raised_has_no_place() -> None:
    assert place_of(ValueError()) == ""


def test_a_line_is_written_in_one_piece() -> None:
    written: list[str] = []

    class Stream(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    configure_log("info", "json", Stream())
    structlog.get_logger("guard").info("one")
    assert len(written) == 1
    assert json.loads(written[0])["event"] == "one"
