"""No masked value reaches a client of the proxy, however upstream cuts it up: every byte of the answer is looked at.

    upstream (HTTP) --chunks cut anywhere, packets cut anywhere--> proxy --> client (HTTP), raw bytes

Personal data, secrets and listed words stand in the thinking, the answer, the refusal and a tool call's arguments of
two choices at once, and in fields that nobody reviews.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detectors.pattern import Pattern, PatternSettings
from detectors.pii import Pii, PiiSettings
from guard.contract import Channel, Detector, Lane
from guard.events import Mask
from guard.testing import scan
from tests.support.dialects import DONE, VLLM, event
from tests.support.engine import plan_of, rechunk
from tests.support.guarded import Guarded, guarded
from tests.support.personal import POSITIVE
from tests.support.proxy import FixedPolicy, read_stream
from tests.support.upstream import FakeUpstream, Reply, reply

pytestmark = [pytest.mark.anyio]

VALUES: Final = (
    "4111 1111 1111 1111",
    "ada.lovelace@example.org",
    "+44 20 7946 0958",
    "AKIAIOSFODNN7EXAMPLE",
    "GB29 NWBK 6016 1331 9268 19",
    "zounds",
)
TEXTS_SAID: Final = (
    "Pay with 4111 1111 1111 1111, ada.lovelace@example.org!",
    "AKIAIOSFODNN7EXAMPLE: call +44 20 7946 0958 for zounds.",
    "zounds, it is at GB29 NWBK 6016 1331 9268 19 (zounds)",
)
MASKED: Final = (
    "Pay with <CREDIT_CARD>, <EMAIL_ADDRESS>!",
    "<SECRET>: call <PHONE_NUMBER> for <oath>.",
    "<oath>, it is at <IBAN_CODE> (<oath>)",
)
FIELDS: Final = ("reasoning", "content", "refusal", "tool")


@cache
def detectors() -> tuple[Detector, ...]:
    made = (Pii("pii", PiiSettings()), Pattern("words", PatternSettings(words={"oath": ("zounds", "笨蛋")})))
    for each in made:
        each.load()
    return made


def policy() -> FixedPolicy:
    """Masks whatever is found, wherever it is."""
    actions = {"pii": Mask(), "words": Mask()}
    return FixedPolicy(plan_of(*detectors(), actions=actions, channels=tuple(Channel)), list(actions))


# --- what upstream says


def chunk(choice: int, field: str, text: str) -> bytes:
    """One chunk of upstream's stream, with the same text once more where nobody reviews it."""
    delta: dict[str, Any] = {field: text, "annotations": [text], "thoughts": text}
    if field == "tool":
        delta = {"tool_calls": [{"index": 0, "function": {"arguments": text}}]}
    token = {"token": text, "logprob": -0.1, "bytes": list(text.encode("utf-8", "replace")), "top_logprobs": []}
    body = {"index": choice, "delta": delta, "finish_reason": None, "logprobs": {"content": [token]}, "seen": text}
    return event({"id": "x", "object": "chat.completion.chunk", "model": "m", "choices": [body], "note": text})


def opened(choice: int) -> bytes:
    call = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "send", "arguments": ""}}
    return event({"choices": [{"index": choice, "delta": {"role": "assistant", "tool_calls": [call]}}]})


def answer(chunks: Sequence[bytes]) -> list[bytes]:
    """A whole stream of two choices; each opens its tool call last, as upstreams do."""
    return [VLLM.opening(0), VLLM.opening(1), *chunks, VLLM.finish("stop", 0), VLLM.finish("stop", 1), DONE]


def said_by(pieces: dict[tuple[int, str], list[str]]) -> list[bytes]:
    """Choice by choice and field by field, the two choices in turn."""
    chunks: list[bytes] = []
    for field in FIELDS:
        if field == "tool":
            chunks += [opened(0), opened(1)]
        both = [pieces.get((choice, field), []) for choice in (0, 1)]
        for turn in range(max(map(len, both))):
            chunks += [chunk(choice, field, both[choice][turn]) for choice in (0, 1) if turn < len(both[choice])]
    return answer(chunks)


# --- what the client sees


def fields_of_stream(body: bytes) -> dict[tuple[int, str], str]:
    found: dict[tuple[int, str], str] = {}
    for each in read_stream(body):
        for choice in each["choices"]:
            _note(found, choice["index"], choice["delta"])
    return found


def fields_of_whole(body: bytes) -> dict[tuple[int, str], str]:
    found: dict[tuple[int, str], str] = {}
    for choice in json.loads(body)["choices"]:
        _note(found, choice["index"], choice["message"])
    return found


def _note(found: dict[tuple[int, str], str], index: int, part: dict[str, Any]) -> None:
    calls = "".join(call["function"].get("arguments", "") for call in part.get("tool_calls") or ())
    thought = part.get("reasoning") or part.get("reasoning_content") or ""
    for field, text in (
        ("reasoning", thought),
        ("content", part.get("content") or ""),
        ("refusal", part.get("refusal") or ""),
        ("tool", calls),
    ):
        if text:
            found[index, field] = found.get((index, field), "") + text


def no_trace_of(values: Sequence[str], body: bytes) -> None:
    """Not as it stands, not escaped, not with anything in between but letters and digits."""
    text = body.decode()
    plain = re.sub(r"[^0-9A-Za-z]", "", text)
    for value in values:
        assert value not in text
        assert json.dumps(value)[1:-1] not in text
        assert re.sub(r"[^0-9A-Za-z]", "", value) not in plain


async def asked(proxy: Guarded, *, stream: bool) -> bytes:
    got = await proxy.ask(stream=stream, n=2, logprobs=True)
    assert got.status == 200, got.body
    assert got.complete
    return got.body


def placed(texts: Sequence[str]) -> dict[tuple[int, str], str]:
    """Each text in four places: the first in the first choice's thinking and arguments, in the second's refusal ..."""
    found = {(choice, field): texts[(choice + at) % 3] for choice in (0, 1) for at, field in enumerate(FIELDS)}
    return {place: json.dumps({"text": text}) if place[1] == "tool" else text for place, text in found.items()}


def splits() -> Iterator[dict[tuple[int, str], list[str]]]:
    """Every two-way split, in all places at once; the second choice is cut from the other end."""
    said = placed(TEXTS_SAID)
    for cut in range(max(map(len, said.values())) + 1):
        pieces: dict[tuple[int, str], list[str]] = {}
        for place, text in said.items():
            at = min(cut, len(text)) if place[0] == 0 else max(len(text) - cut, 0)
            pieces[place] = [piece for piece in (text[:at], text[at:]) if piece]
        yield pieces


@pytest.mark.parametrize("stream", [True, False])
async def test_no_value_leaves_at_any_two_way_split(stream: bool) -> None:
    every = list(splits())
    if not stream:
        every = every[::4]  # the same stream from upstream, folded at the end
    async with FakeUpstream(*(reply(*said_by(pieces)) for pieces in every)) as upstream:
        async with guarded(upstream, policy=policy()) as proxy:
            for _ in every:
                body = await asked(proxy, stream=stream)
                no_trace_of(VALUES, body)
                assert (fields_of_stream(body) if stream else fields_of_whole(body)) == placed(MASKED)
        assert sum(each.method == "POST" for each in upstream.received) == len(every)


async def test_no_value_leaves_at_any_two_way_split_of_a_text_completion() -> None:
    def completion(text: str, reason: str | None = None) -> bytes:
        return event(
            {"id": "x", "object": "text_completion", "choices": [{"index": 0, "text": text, "finish_reason": reason}]}
        )

    replies = [
        reply(completion(TEXTS_SAID[0][:cut]), completion(TEXTS_SAID[0][cut:]), completion("", "stop"), DONE)
        for cut in range(len(TEXTS_SAID[0]) + 1)
    ]
    async with FakeUpstream(*replies) as upstream, guarded(upstream, policy=policy()) as proxy:
        for turn in range(len(replies)):
            got = await proxy.ask(path="/v1/completions", stream=turn % 2 == 0)
            no_trace_of(VALUES, got.body)
            chunks = read_stream(got.body) if turn % 2 == 0 else [got.json]
            assert "".join(choice["text"] for each in chunks for choice in each["choices"]) == MASKED[0]


async def test_values_that_a_cut_follows_do_not_leave_either() -> None:
    """Upstream breaks off within a value, or right behind it: what was held is settled, and masked or not sent."""
    for value in VALUES:
        whole = f"It is {value}"
        said = reply(VLLM.opening(), VLLM.content(whole), VLLM.content(" "))
        async with FakeUpstream(said) as upstream, guarded(upstream, policy=policy()) as proxy:
            got = await proxy.ask(stream=True)
            no_trace_of([value], got.body)


# --- random texts, cuts and packets

PIECES = st.one_of(
    st.sampled_from([value for values in POSITIVE.values() for value in values]),
    st.sampled_from(
        ("plain words, ", "zounds ", "z\u200bounds", "笨蛋", " ", "\n", "1 2 ", "\\", '"', "\\u0040", "é", "x" * 70)
    ),
)
TEXTS = st.lists(PIECES, min_size=1, max_size=12).map(" ".join)
SIZES = st.lists(st.integers(1, 30), min_size=1, max_size=5)


def masked(text: str, lane: Lane) -> str:
    """`text` with what each detector finds in the whole of it replaced, overlapping finds by the first."""
    spans = sorted(
        (finding.span.start, finding.span.end, finding.label)
        for each in detectors()
        for _, finding in scan(each, text, lane=lane)
    )
    out, at = "", 0
    for start, end, label in spans:
        if start >= at:
            out += f"{text[at:start]}<{label}>"
        at = max(at, end)
    return out + text[at:]


class Wire:
    """One proxy and one upstream for all examples."""

    def __init__(self) -> None:
        self.runner = asyncio.Runner()
        self.upstream = FakeUpstream(reply(DONE))
        self.proxy: Guarded | None = None

    async def start(self) -> None:
        await self.upstream.__aenter__()
        self._serving = guarded(self.upstream, policy=policy())
        self.proxy = await self._serving.__aenter__()

    async def stop(self) -> None:
        await self._serving.__aexit__(None, None, None)
        await self.upstream.__aexit__(None, None, None)

    async def play(self, said: Reply, *, stream: bool) -> bytes:
        assert self.proxy is not None
        self.upstream._replies = (said,)
        return await asked(self.proxy, stream=stream)


@pytest.fixture(scope="module")
def wire() -> Iterator[Wire]:
    made = Wire()
    made.runner.run(made.start())
    yield made
    made.runner.run(made.stop())
    made.runner.close()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.dictionaries(st.tuples(st.sampled_from((0, 1)), st.sampled_from(FIELDS)), TEXTS, min_size=1, max_size=5),
    SIZES,
    SIZES,
    st.booleans(),
)
def test_what_is_found_in_the_whole_never_leaves_however_it_is_cut(
    wire: Wire, texts: dict[tuple[int, str], str], cuts: list[int], packets: list[int], stream: bool
) -> None:
    pieces: dict[tuple[int, str], list[str]] = {}
    expected: dict[tuple[int, str], str] = {}
    for (choice, field), text in texts.items():
        if field == "tool":
            text = json.dumps({"text": text})
            wanted = masked(f"send\n{text}", Lane(choice, Channel.TOOL, 0)).removeprefix("send\n")
        else:
            channel = Channel.REASONING if field == "reasoning" else Channel.CONTENT
            wanted = masked(text, Lane(choice, channel))
        pieces[choice, field] = rechunk(text, cuts)
        expected[choice, field] = wanted
    raw = b"".join(said_by(pieces))
    sizes = [size * 40 for size in packets]
    body = wire.runner.run(wire.play(reply(*_cut(raw, sizes)), stream=stream))
    got = fields_of_stream(body) if stream else fields_of_whole(body)
    for place, wanted in expected.items():
        assert got.get(place, "") == wanted
        if place[1] == "tool":
            json.loads(wanted)  # a mask leaves JSON what it is


def _cut(data: bytes, sizes: list[int]) -> list[bytes]:
    out: list[bytes] = []
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)]
        out.append(data[at : at + size])
        at, turn = at + size, turn + 1
    return out
