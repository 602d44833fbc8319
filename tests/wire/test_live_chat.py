"""A chat answer that keeps its name."""

from __future__ import annotations

import pytest

from guard.contract import Channel, Lane
from guard.events import ChoiceOpened, TextReceived
from guard.wire.errors import UpstreamError
from guard.wire.live_chat import LONGEST_ID, LiveChatDecoder
from guard.wire.sse import SseEvent
from guard.wire.think import ThinkStart


def fed(*events: bytes) -> LiveChatDecoder:
    decoder = LiveChatDecoder(ThinkStart.AUTO)
    for event in events:
        decoder.feed(SseEvent("message", event))
    return decoder


def test_the_first_name_is_kept_and_the_rest_is_read_as_ever() -> None:
    decoder = LiveChatDecoder(ThinkStart.AUTO)
    assert decoder.answer_id == ""
    events = decoder.feed(
        SseEvent("message", b'{"id":"a-1","choices":[{"index":0,"delta":{"reasoning_content":"Hm"}}]}')
    )
    assert events == [ChoiceOpened(0), TextReceived(Lane(0, Channel.REASONING), "Hm")]
    decoder.feed(SseEvent("message", b'{"id":"a-2","choices":[]}'))
    assert decoder.answer_id == "a-1"


@pytest.mark.parametrize("name", [b"7", b"null", b'["a"]', b'"' + b"x" * (LONGEST_ID + 1) + b'"'])
def test_what_is_no_name_is_not_taken_for_one(name: bytes) -> None:
    assert fed(b'{"id":' + name + b',"choices":[]}').answer_id == ""


def test_what_is_no_json_is_the_decoders_business() -> None:
    with pytest.raises(UpstreamError):
        fed(b"nonsense")
    assert fed(b"[DONE]").done
