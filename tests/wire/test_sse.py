from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.wire.errors import UpstreamError
from guard.wire.sse import DONE, KEEP_ALIVE, SseDecoder, SseEvent, encode_event


def message(data: bytes) -> SseEvent:
    return SseEvent("message", data)


STREAMS = [
    ("one event", b"data: a\n\n", [message(b"a")]),
    ("no space", b"data:a\n\n", [message(b"a")]),
    ("only the first space goes", b"data:  a\n\n", [message(b" a")]),
    ("CRLF", b"data: a\r\n\r\ndata: b\r\n\r\n", [message(b"a"), message(b"b")]),
    ("CR", b"data: a\r\rdata: b\r\r", [message(b"a"), message(b"b")]),
    ("mixed ends", b"data: a\r\n\ndata: b\r\r\ndata: c\n\r", [message(b"a"), message(b"b"), message(b"c")]),
    ("byte order mark", b"\xef\xbb\xbfdata: a\n\n", [message(b"a")]),
    ("byte order mark later is a field name", b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [message(b"a")]),
    ("comments", b": hi\ndata: a\n:\n: data: x\n\n", [message(b"a")]),
    ("keep-alive of OpenRouter", b": OPENROUTER PROCESSING\n\ndata: a\n\n", [message(b"a")]),
    ("several lines", b"data: a\ndata: b\ndata\ndata: c\n\n", [message(b"a\nb\n\nc")]),
    ("id and retry", b"id: 1\nretry: 10\ndata: a\n\n", [message(b"a")]),
    ("unknown field", b"dat: x\ndata: a\n\n", [message(b"a")]),
    ("named", b"event: ping\ndata: {}\n\ndata: a\n\n", [SseEvent("ping", b"{}"), message(b"a")]),
    ("last name counts", b"event: a\nevent: b\ndata: c\n\n", [SseEvent("b", b"c")]),
    ("name that is not UTF-8", b"event: \xff\ndata: c\n\n", [SseEvent("\ufffd", b"c")]),
    ("empty data is not an event", b"data:\n\ndata: \n\ndata\n\nevent: x\n\ndata: a\n\n", [message(b"a")]),
    ("error field of old llama.cpp", b'error: {"code":500}\n\n', [SseEvent("error", b'{"code":500}')]),
    ("error event", b"event: error\ndata: x\n\n", [SseEvent("error", b"x")]),
    ("unfinished", b"data: a\n\ndata: b\n", [message(b"a")]),
    ("unfinished line", b"data: a\n\ndata: b", [message(b"a")]),
    ("blank lines", b"\n\n\n\ndata: a\n\n\n\n", [message(b"a")]),
    ("not UTF-8", b"data: \xff\xe4\n\n", [message(b"\xff\xe4")]),
    ("line ends of text only", "data: a\u2028b\x85c\x0b\n\n".encode(), [message("a\u2028b\x85c\x0b".encode())]),
    ("nothing", b"", []),
]


@pytest.mark.parametrize(("stream", "events"), [row[1:] for row in STREAMS], ids=[row[0] for row in STREAMS])
def test_streams_whole_and_byte_by_byte(stream: bytes, events: list[SseEvent]) -> None:
    assert SseDecoder().feed(stream) == events
    assert feed(SseDecoder(), [stream[at : at + 1] for at in range(len(stream))]) == (events, None)


def feed(decoder: SseDecoder, pieces: list[bytes]) -> tuple[list[SseEvent], str | None]:
    """Everything that comes of `pieces`, and the code and message of the error that ended it."""
    events: list[SseEvent] = []
    try:
        for piece in pieces:
            events += decoder.feed(piece)
        decoder.feed(b"")
    except UpstreamError as error:
        return events, f"{error.code}: {error.message}"
    return events, None


FRAGMENTS = st.sampled_from(
    [b"data: ", b"data:", b"data", b"event: x", b"error: ", b":", b"\n", b"\r", b"\r\n", b"\n\n", b"\xef\xbb\xbf", b" "]
)


@given(st.lists(FRAGMENTS | st.binary(max_size=12), max_size=40), st.data())
def test_the_cuts_do_not_matter(fragments: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(fragments)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, cut = (SseDecoder(max_line=20, max_event=24, max_total=100) for _ in range(2))
    events, error = feed(whole, [stream])
    assert feed(cut, pieces) == (events, error)
    assert error or cut.pending == whole.pending


@pytest.mark.parametrize(
    ("stream", "pending"),
    [
        (b"", False),
        (b"data: a\n\n", False),
        (b"data: a", True),
        (b"data: a\n", True),
        (b"data: a\n\n: hm", True),
        (b": comment\n", False),
    ],
)
def test_pending_tells_of_an_unfinished_event(stream: bytes, pending: bool) -> None:
    decoder = SseDecoder()
    decoder.feed(stream)
    assert decoder.pending is pending


@pytest.mark.parametrize(
    ("stream", "sentence"),
    [
        (b"data: " + b"x" * 100, "a line of the stream is longer than 50 bytes"),
        (b"data: " + b"x" * 100 + b"\n\n", "a line of the stream is longer than 50 bytes"),
        (b": " + b"x" * 100, "a line of the stream is longer than 50 bytes"),
        (b"data: 1234567890\n" * 9, "an event of the stream is longer than 90 bytes"),
        (b"data:\n" * 91, "an event of the stream is longer than 90 bytes"),
        (b": 34567890\n" * 100, "the stream is longer than 1000 bytes"),
    ],
)
def test_caps(stream: bytes, sentence: str) -> None:
    stream = b"data: first\n\n" + stream
    for pieces in ([stream], [stream[at : at + 1] for at in range(len(stream))]):
        events, error = feed(SseDecoder(max_line=50, max_event=90, max_total=1_000), pieces)
        assert events == [message(b"first")]
        assert error == f"upstream_protocol: The model server's answer cannot be read: {sentence}."


def test_a_fault_is_raised_again() -> None:
    decoder = SseDecoder(max_line=10)
    for _ in range(2):
        with pytest.raises(UpstreamError):
            decoder.feed(b"x" * 11)


def test_a_line_that_never_ends_is_kept_only_up_to_the_cap() -> None:
    decoder = SseDecoder(max_line=100_000)
    for _ in range(100):
        assert decoder.feed(b"x" * 1_000) == []
    with pytest.raises(UpstreamError, match="longer than 100000 bytes"):
        decoder.feed(b"x" * 1_000)
    assert len(decoder._tail) <= 101_000


@pytest.mark.parametrize("caps", [(8, 99, 99), (99, 2, 99), (99, 99, 8)])
def test_the_caps_hold_for_an_event_in_one_read(caps: tuple[int, int, int]) -> None:
    assert feed(SseDecoder(*caps), [b"data: abc\n\n"])[1] is not None


@given(st.lists(st.binary(min_size=1).filter(lambda data: not set(data) & set(b"\r\n")), max_size=5))
def test_encoded_events_are_read_back(payloads: list[bytes]) -> None:
    stream = KEEP_ALIVE + b"".join(map(encode_event, payloads)) + DONE
    assert SseDecoder().feed(stream) == [*map(message, payloads), message(b"[DONE]")]
