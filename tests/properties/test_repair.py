"""Whatever upstream does during a repair, the client's stream is well-formed, nothing that was unreleased at the
decision leaves, and nothing that was sent is sent again.

Upstream's texts count: attempt 1 says "1.0 1.1 1.2 ", attempt 2 "2.0 2.1 ", so that every piece says where it is from.
What leaves between two decisions has to be the beginning of what that attempt said, masks applied.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import httpx
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from guard.backends.base import Capabilities, UpstreamError
from guard.backends.scripted import ScriptedBackend, in_turn
from guard.contract import Channel, Context, Lane
from guard.engine.choice import SEAM
from guard.engine.plan import Hold, Plan
from guard.engine.stream import StreamGuard
from guard.events import (
    Action,
    CancelUpstream,
    ChoiceFinished,
    ChoiceOpened,
    Command,
    Cut,
    Deadline,
    DeadlinePassed,
    EndStream,
    Event,
    FailStream,
    FinishChoice,
    Mask,
    OpenChoice,
    Repair,
    Resume,
    SendText,
    SendUsage,
    TextReceived,
    UpstreamEnded,
    UpstreamFailed,
    UpstreamResumed,
)
from guard.proxy.app import create_app
from guard.proxy.clocks import Clocks
from guard.wire.record import RecordedEvent
from tests.support.engine import CONTENT, REASONING, Words, finishes, plan_of, play, rechunked, records, seen
from tests.support.proxy import FixedPolicy, gateway_of, read_stream

ALL: Final = frozenset({"conclude", "resample", "hand_over"})
BAD: Final = ("AGAIN!", "LOOP!", "STOP!")
RESET: Final = UpstreamFailed("upstream_reset", "It broke.")
LATE: Final = Cut("Sorry.", "length")


@dataclass(frozen=True)
class Attempt:
    """What upstream does on one request. `refused` is what is heard instead of an answer."""

    texts: list[tuple[Lane, str]]
    end: tuple[Event, ...]
    refused: Event | None = None

    def said(self, lane: Lane) -> str:
        return "".join(text for where, text in self.texts if where == lane)

    def events(self) -> list[Event]:
        return [ChoiceOpened(0), *(TextReceived(lane, text) for lane, text in self.texts), *self.end]


@dataclass
class Scenario:
    """A policy, and an upstream that may go wrong as often as it is asked."""

    repairs: dict[str, Repair]
    attempts: list[Attempt]
    holds: dict[Channel, Hold]
    sizes: list[int]
    max_tokens: int | None

    def plan(self) -> Plan:
        words = {"again": "AGAIN!", "loop": "LOOP!", "stop": "STOP!", "hide": "SECRET"}
        detectors = [Words(name, [word]) for name, word in words.items()]
        actions: dict[str, Action] = {"stop": Cut("Stopped."), "hide": Mask("<hidden>")}
        actions.update(self.repairs)
        return plan_of(*detectors, actions=actions, hold=self.holds, keep_text=True)

    def guard(self) -> StreamGuard:
        return StreamGuard(self.plan(), Context("hi", max_tokens=self.max_tokens), repairs=ALL)


MARKS: Final = ("SECRET ", ". ", "\n", "", "AGAI ", "SECRE", ". ")
WRONG: Final = ("AGAIN! ", "LOOP! ", "", "AGAIN! ", "LOOP! ", "STOP! ", "")


@st.composite
def counted(draw: st.DrawFn, attempt: int) -> str:
    """A text that counts, and may go wrong on the way."""
    marks = [draw(st.sampled_from(MARKS)), draw(st.sampled_from(MARKS)), draw(st.sampled_from(WRONG)), ""]
    lengths = draw(st.tuples(*[st.sampled_from([3, 0, 1, 7, 12])] * len(marks)))
    counts = (f"{attempt}.{at} " for at in range(sum(lengths)))
    return "".join("".join(islice(counts, length)) + mark for length, mark in zip(lengths, marks, strict=True))


ENDS: Final[list[tuple[Event, ...]]] = [
    (ChoiceFinished(0, "stop"), UpstreamEnded()),
    (ChoiceFinished(0, "stop"), UpstreamEnded()),
    (ChoiceFinished(0, "length"), UpstreamEnded()),
    (ChoiceFinished(0, "stop"), RESET),
    (UpstreamEnded(),),
    (RESET,),
    (DeadlinePassed(Deadline.BETWEEN_EVENTS),),
    (DeadlinePassed(Deadline.TOTAL),),
]
REFUSALS: Final[list[Event]] = [
    RESET,
    UpstreamEnded(),
    DeadlinePassed(Deadline.FIRST_BYTE),
    DeadlinePassed(Deadline.SHUTDOWN),
]


@st.composite
def attempts(draw: st.DrawFn, number: int, *, clocks: bool) -> Attempt:
    text = counted(number)
    orders = [(REASONING, CONTENT), (REASONING, CONTENT), (CONTENT,), (REASONING,), (CONTENT, REASONING), ()]
    lanes = draw(st.sampled_from(orders))
    ends = [end for end in ENDS if clocks or not any(isinstance(event, DeadlinePassed) for event in end)]
    refusals = [event for event in REFUSALS if clocks or event == RESET]
    refused = draw(st.sampled_from(refusals)) if number > 1 and draw(st.integers(0, 4)) == 4 else None
    return Attempt([(lane, draw(text)) for lane in lanes], draw(st.sampled_from(ends)), refused)


@st.composite
def repairs(draw: st.DrawFn) -> Repair:
    return Repair(
        draw(st.sampled_from(["resample", "conclude", "hand_over"])),
        draw(st.sampled_from(["span_start", "first_copy", "last_sentence"])),
        attempts=draw(st.sampled_from([1, 2, 3])),
        otherwise=LATE,
    )


@st.composite
def scenarios(draw: st.DrawFn, *, clocks: bool = True) -> Scenario:
    hold = st.builds(
        Hold,
        step=st.sampled_from([16, 1, 4, 32]),
        limit=st.just(4_000),
        sentences=st.sampled_from([False, False, True]),
    )
    return Scenario(
        repairs={"again": draw(repairs()), "loop": draw(repairs())},
        attempts=[draw(attempts(number, clocks=clocks)) for number in range(1, draw(st.sampled_from([4, 2, 3])) + 1)],
        holds={Channel.REASONING: draw(hold), Channel.CONTENT: draw(hold)},
        sizes=draw(st.lists(st.sampled_from([1, 2, 3, 7, 16, 40, 200]), min_size=1, max_size=4)),
        max_tokens=draw(st.sampled_from([None, None, 10, 100, 1_000])),
    )


def drive(scenario: Scenario, sizes: list[int]) -> tuple[StreamGuard, list[list[Command]]]:
    """As a driver does: the commands of each attempt, of which all but the last end in `Resume`."""
    guard = scenario.guard()
    runs: list[list[Command]] = []
    for number, attempt in enumerate([*scenario.attempts, Attempt([], (), RESET)]):
        events = attempt.events() if attempt.refused is None else [attempt.refused]
        if number and attempt.refused is None:
            events = [UpstreamResumed(0), *events]
        commands: list[Command] = []
        for event in rechunked(events, sizes):
            commands += play(guard, [event])
            if guard.ended or (commands and isinstance(commands[-1], Resume)):
                break
        runs.append(commands)
        if guard.ended:
            break
    return guard, runs


def sent(commands: Iterable[Command], lane: Lane) -> str:
    return "".join(command.text for command in commands if isinstance(command, SendText) and command.lane == lane)


def masked(text: str) -> str:
    return text.replace("SECRET", "<hidden>")


# --- the engine


@given(scenarios())
def test_how_text_is_cut_up_changes_nothing(scenario: Scenario) -> None:
    _, whole = drive(scenario, [1_000_000])
    _, pieces = drive(scenario, scenario.sizes)
    assert [seen(run) for run in pieces] == [seen(run) for run in whole]
    assert [records(run) for run in pieces] == [records(run) for run in whole]


@given(scenarios())
def test_what_leaves_is_the_beginning_of_what_each_attempt_said(scenario: Scenario) -> None:
    _, runs = drive(scenario, scenario.sizes)
    nothing = Attempt([], ())
    for number, run in enumerate(runs):
        attempt = scenario.attempts[number] if number < len(scenario.attempts) else nothing
        said = nothing if attempt.refused is not None else attempt
        for lane in (REASONING, CONTENT):
            left = sent(run, lane)
            if number and lane == REASONING:
                left = left.removeprefix(SEAM)
            assert masked(said.said(lane)).startswith(left)
            assert not any(word in left for word in BAD)
        if any(isinstance(command, FinishChoice) and command.intervention is None for command in run):
            assert [sent(run, lane) for lane in (REASONING, CONTENT)] == [
                masked(said.said(lane)) for lane in (REASONING, CONTENT)
            ]


@given(scenarios())
def test_upstream_goes_on_with_what_the_client_has(scenario: Scenario) -> None:
    _, runs = drive(scenario, scenario.sizes)
    client = model = ""
    for run in runs:
        client += sent(run, CONTENT)
        model += sent(run, REASONING).removeprefix(SEAM if model else "")
        if run and isinstance(resume := run[-1], Resume):
            assert resume.content == client
            assert model.startswith(resume.reasoning)
            assert resume.lane.channel is Channel.REASONING or resume.reasoning == model
            model = resume.reasoning
            assert 1 <= resume.max_tokens <= resume.repair.max_tokens
            if scenario.max_tokens is not None:
                assert resume.max_tokens <= scenario.max_tokens


@given(scenarios())
def test_every_repaired_stream_ends_well_formed(scenario: Scenario) -> None:
    guard, runs = drive(scenario, scenario.sizes)
    commands = [command for run in runs for command in run]
    assert guard.ended
    kinds = Counter(type(command) for command in commands)
    assert kinds[OpenChoice] == 1
    assert kinds[EndStream] + kinds[FailStream] == 1
    assert kinds[FinishChoice] == kinds[SendUsage] == kinds[EndStream]
    assert isinstance(commands[-1], EndStream | FailStream)
    resumes = [run[-1] for run in runs[:-1]]
    for run in runs[:-1]:
        assert isinstance(run[-2], CancelUpstream)
        assert sum(isinstance(command, Resume) for command in run) == 1
    by_kind = Counter(resume.repair.how for resume in resumes if isinstance(resume, Resume))
    for how, count in by_kind.items():
        assert count <= max(repair.attempts for repair in scenario.repairs.values() if repair.how == how)
    if isinstance(commands[-1], FailStream) and resumes:
        assert commands[-1].code in ("deadline_total", "deadline_shutdown")
    finish = finishes(commands).get(0)
    if resumes and finish is not None:
        assert finish.intervention is not None
        assert finish.intervention.action in ("repair", "cut")
        ended = scenario.attempts[len(resumes)] if len(resumes) < len(scenario.attempts) else None
        if ended is None or ended.refused is not None or not isinstance(ended.end[0], ChoiceFinished):
            assert finish.intervention.action == "cut"
    assert play(guard, [UpstreamResumed(0), TextReceived(CONTENT, "more"), UpstreamEnded()]) == []


# --- the proxy

CLOCKS: Final = Clocks(*[3_600.0] * len(Clocks.__slots__))


def recorded(attempt: Attempt) -> list[RecordedEvent] | UpstreamError:
    if attempt.refused is not None:
        return UpstreamError("It broke.", code="upstream_reset")
    return [RecordedEvent(event) for event in attempt.events()]


async def ask(app: Any, body: dict[str, Any]) -> httpx.Response:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://guard") as client:
        return await client.post("/v1/chat/completions", json=body)


@settings(max_examples=40)
@given(scenarios(clocks=False), st.booleans())
def test_a_client_of_the_proxy_gets_what_the_engine_gives(scenario: Scenario, stream: bool) -> None:
    _, runs = drive(scenario, [1_000_000])
    commands = [command for run in runs for command in run]
    backend = ScriptedBackend(in_turn(*map(recorded, scenario.attempts)), capabilities=Capabilities(ALL))
    gateway = gateway_of(backend, FixedPolicy(scenario.plan()), clocks=CLOCKS)
    body: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": stream}
    if scenario.max_tokens is not None:
        body["max_tokens"] = scenario.max_tokens
    response = asyncio.run(ask(create_app(gateway=gateway), body))
    assert backend.streams == backend.closed
    assert len(backend.requests) == len(runs)
    failed = isinstance(commands[-1], FailStream)
    finish = finishes(commands).get(0)
    if not stream:
        assert (response.status_code != 200) == failed
        if failed:
            return
        (choice,) = response.json()["choices"]
        told = response.json().get("guard", {}).get("action", "")
        texts = {name: choice["message"].get(name) or "" for name in ("reasoning_content", "content")}
    else:
        chunks = read_stream(response.content)
        assert sum("error" in chunk for chunk in chunks) == failed
        assert len({chunk["id"] for chunk in chunks if "id" in chunk}) == 1
        parts = [(chunk, part) for chunk in chunks for part in chunk.get("choices", ())]
        assert sum("role" in part["delta"] for _, part in parts) == 1
        last = [(chunk, part) for chunk, part in parts if part["finish_reason"]]
        assert len(last) == (not failed)
        choice = last[0][1] if last else {"finish_reason": None}
        told = last[0][0].get("guard", {}).get("action", "") if last else ""
        texts = {
            name: "".join(part["delta"].get(name) or "" for _, part in parts)
            for name in ("reasoning_content", "content")
        }
    notices = "".join(getattr(command, "text", "") for command in commands if type(command).__name__ == "SendNotice")
    assert texts["reasoning_content"] == sent(commands, REASONING)
    assert texts["content"] == sent(commands, CONTENT) + notices
    assert choice["finish_reason"] == (finish.reason if finish else None)
    assert told == (finish.intervention.action if finish and finish.intervention else "")


# --- do the strategies get anywhere?

ENOUGH: Final = {
    "one repair, answered": 10,
    "two repairs": 10,
    "three repairs": 2,
    "refused": 8,
    "cut after a repair": 20,
    "a thinking concluded": 8,
    "an answer resampled": 8,
    "handed over": 8,
    "rewound": 3,
    "masked before a repair": 5,
    "no tokens left": 1,
}
"""How many of 300 answers must show it."""


def shows(scenario: Scenario, runs: list[list[Command]]) -> Iterator[str]:
    resumes = [run[-1] for run in runs if run and isinstance(run[-1], Resume)]
    finish = finishes([command for run in runs for command in run]).get(0)
    done = finish.intervention.action if finish is not None and finish.intervention is not None else ""
    if len(resumes) == 1 and done == "repair":
        yield "one repair, answered"
    if len(resumes) > 1:
        yield "two repairs"
    if len(resumes) > 2:
        yield "three repairs"
    if resumes and len(resumes) < len(scenario.attempts) and scenario.attempts[len(resumes)].refused:
        yield "refused"
    if resumes and done == "cut":
        yield "cut after a repair"
    for run, resume in zip(runs, resumes, strict=False):
        assert isinstance(resume, Resume)
        kinds = {"conclude": "a thinking concluded", "hand_over": "handed over", "resample": "resampled"}
        kind = kinds[resume.repair.how]
        yield f"an answer {kind}" if kind == "resampled" and resume.lane == CONTENT else kind
        if any(SEAM in command.text for later in runs[1:] for command in later if isinstance(command, SendText)):
            yield "rewound"
        if "<hidden>" in sent(run, CONTENT) + sent(run, REASONING):
            yield "masked before a repair"
    if not resumes and scenario.max_tokens == 10 and done == "cut":
        yield "no tokens left"


def test_the_strategies_reach_what_matters() -> None:
    counts: Counter[str] = Counter()

    @settings(
        max_examples=300,
        derandomize=True,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(scenarios())
    def collect(scenario: Scenario) -> None:
        counts.update(set(shows(scenario, drive(scenario, [1_000_000])[1])))

    collect()
    assert {what: counts[what] for what, least in ENOUGH.items() if counts[what] < least} == {}
