from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import Channel, Lane
from guard.events import (
    ChoiceFinished,
    ChoiceOpened,
    Deadline,
    DeadlinePassed,
    Event,
    Logprob,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamResumed,
    Usage,
    UsageReported,
)
from guard.wire.record import Header, RecordedEvent, RecordingError, read_events, read_header, write_event, write_header

LANE = Lane(0, Channel.CONTENT)
LINES: list[tuple[Event, str]] = [
    (ChoiceOpened(0), '{"e":"open"}'),
    (ChoiceOpened(2), '{"e":"open","choice":2}'),
    (TextReceived(LANE, "é\n"), '{"e":"text","channel":"content","text":"é\\n"}'),
    (
        TextReceived(Lane(1, Channel.TOOL, 3), "{}"),
        '{"e":"text","choice":1,"channel":"tool","tool":3,"text":"{}"}',
    ),
    (
        TextReceived(LANE, "a", (Logprob("a", -0.5, (97,), (Logprob("b", -2.0),)), Logprob("c", -1.0))),
        '{"e":"text","channel":"content","text":"a","logprobs":[{"token":"a","logprob":-0.5,"bytes":[97],'
        '"top":[{"token":"b","logprob":-2.0}]},{"token":"c","logprob":-1.0}]}',
    ),
    (ToolCallOpened(0, 1, "call_1", "f"), '{"e":"tool","tool":1,"id":"call_1","name":"f"}'),
    (ChoiceFinished(0, "stop"), '{"e":"finish","reason":"stop"}'),
    (ChoiceFinished(1, "length", "repetition"), '{"e":"finish","choice":1,"reason":"length","native":"repetition"}'),
    (UsageReported(Usage(9, 3)), '{"e":"usage","prompt_tokens":9,"completion_tokens":3}'),
    (
        UsageReported(Usage(9, 3, 0, 2)),
        '{"e":"usage","prompt_tokens":9,"completion_tokens":3,"reasoning_tokens":0,"cached_tokens":2}',
    ),
    (DeadlinePassed(Deadline.TOTAL), '{"e":"deadline","kind":"total"}'),
    (UpstreamEnded(), '{"e":"end"}'),
    (UpstreamFailed("c", "m"), '{"e":"fail","code":"c","message":"m"}'),
    (UpstreamResumed(0), '{"e":"resumed"}'),
    (UpstreamResumed(1, live=True), '{"e":"resumed","choice":1,"live":true}'),
]


@pytest.mark.parametrize(("event", "line"), LINES)
def test_every_event(event: Event, line: str) -> None:
    assert write_event(event).decode() == line + "\n"
    assert list(read_events([write_header(), line])) == [RecordedEvent(event)]


def test_after() -> None:
    line = write_event(ChoiceOpened(0), 0.25)
    assert line == b'{"e":"open","after":0.25}\n'
    assert list(read_events([write_header(), line])) == [RecordedEvent(ChoiceOpened(0), 0.25)]


def test_the_header() -> None:
    assert write_header() == b'{"guard_recording":1}\n'
    line = write_header("QwQ", "Hi\n")
    assert line == b'{"guard_recording":1,"model":"QwQ","prompt":"Hi\\n"}\n'
    assert read_header([line, b"not read"]) == Header(1, "QwQ", "Hi\n")


def test_recordings_may_be_written_by_hand() -> None:
    lines = [
        "# by hand\n",
        "\n",
        '  {"guard_recording": 1}\n',
        "",
        '\t{"e": "open"} \r\n',
        "# that is all",
        '{"e":"end"}',
    ]
    assert [event for event, _ in read_events(lines)] == [ChoiceOpened(0), UpstreamEnded()]
    assert read_header(lines) == Header(1)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], 'line 1: a recording begins with {"guard_recording":1}, and this is not it: Input data was truncated'),
        (["#", '{"e":"open"}'], 'line 2: a recording begins with {"guard_recording":1}, and this is not it: '),
        (['{"guard_recording":2}'], "line 1: the recording is of version 2; this guard reads 1"),
        (['{"guard_recording":1,"modell":""}'], "unknown field `modell`"),
    ],
)
def test_headers_that_cannot_be_read(lines: list[str], message: str) -> None:
    with pytest.raises(RecordingError) as caught:
        list(read_events(lines))
    assert message in str(caught.value)
    with pytest.raises(RecordingError):
        read_header(lines)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{}", "missing required field `e`"),
        ('{"e":"opened"}', "Invalid value 'opened'"),
        ('{"e":"open","choices":1}', "unknown field `choices`"),
        ('{"e":"text","channel":"thought","text":""}', "Invalid enum value 'thought' - at `$.channel`"),
        ('{"e":"text","text":"a"}', "missing required field `channel`"),
        ('{"e":"open","after":-1}', "Expected `float` >= 0.0 - at `$.after`"),
        ("not JSON", "JSON is malformed"),
        ("[" * 100_000, ""),
        (b"\xff", ""),
    ],
)
def test_lines_that_cannot_be_read(line: str | bytes, message: str) -> None:
    events = read_events([write_header(), b'{"e":"open"}', b"", line])
    assert next(events) == RecordedEvent(ChoiceOpened(0))
    with pytest.raises(RecordingError, match=r"^line 4: not an event: ") as caught:
        next(events)
    assert message in str(caught.value)


TOKENS = st.builds(
    Logprob, st.text(), st.floats(-1e6, 0), st.none() | st.lists(st.integers(0, 255)).map(tuple), st.just(())
)
LOGPROBS = st.lists(
    st.builds(lambda token, top: token._replace(top=tuple(top)), TOKENS, st.lists(TOKENS, max_size=2)), max_size=2
).map(tuple)
NUMBERS = st.integers(-2, 2**53)
EVENTS = st.one_of(
    st.builds(ChoiceOpened, NUMBERS),
    st.builds(TextReceived, st.builds(Lane, NUMBERS, st.sampled_from(Channel), NUMBERS), st.text(), LOGPROBS),
    st.builds(ToolCallOpened, NUMBERS, NUMBERS, st.text(), st.text()),
    st.builds(ChoiceFinished, NUMBERS, st.text(), st.text()),
    st.builds(UsageReported, st.builds(Usage, NUMBERS, NUMBERS, st.none() | NUMBERS, st.none() | NUMBERS)),
    st.builds(DeadlinePassed, st.sampled_from(Deadline)),
    st.just(UpstreamEnded()),
    st.builds(UpstreamFailed, st.text(), st.text()),
    st.builds(UpstreamResumed, NUMBERS, st.booleans()),
)


@given(st.lists(st.tuples(EVENTS, st.none() | st.floats(0, 1e6))))
def test_what_is_written_is_read_back(recorded: list[tuple[Event, float | None]]) -> None:
    data = write_header("m", "p") + b"".join(write_event(event, after) for event, after in recorded)
    assert list(read_events(data.splitlines())) == recorded
    assert list(read_events(data.decode().splitlines())) == recorded
