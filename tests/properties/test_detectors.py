"""The engine's properties once more, with the built-in detectors and the built-in policies.

Texts are made of what makes these detectors think: loops of many periods, other languages and scripts, code,
mathematics, tables, and plain prose between them.
"""

from __future__ import annotations

from collections import Counter
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from guard.contract import Channel, Context, Lane, Span
from guard.engine.stream import StreamGuard
from guard.events import ChoiceFinished, Cut, EndStream, Event, Flag, Mask, TextReceived, UpstreamEnded
from guard.policy import CompiledPolicy, load_policy
from tests.support.engine import CONTENT, REASONING, finishes, play, rechunked, records, said, seen

PROSE = (
    "The sum of two and two is four, because each of them counts for two. ",
    "So we should first find the number of apples that Tom has given away.\n",
    "However, this is not what the question asks about.\n\n",
    "- one\n- two\n- three\n",
    "```python\nfor i in range(10):\n    print(i)\n```\n",
    r"\[ a^2 + b^2 = c^2 \] ",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "See https://example.org/page?q=1 for `details`. ",
    "0.333333333333333333333333333333333333333333",
    "......",
    " \n",
)
FOREIGN = (
    "因此我们需要重新检查这个结果。",
    "Теперь нужно проверить, что сумма всех чисел верна. ",
    "なので、もう一度確認しましょう。",
    "Ahora tenemos que comprobar que la suma de todos los números sea correcta. ",
    "следовательно",
    "因此",
)
REPEATED = (
    "Wait, let me check that again. ",
    "ha",
    "So x = 3, and then y = 4, and then z = 5, and so on, until every letter of the alphabet has had its turn. ",
    "再检查一遍。",
    "4",
)
PROMPT = "Please tell me what the sum of two and two is, and explain to me step by step how you have found it."

prose = st.lists(st.sampled_from(PROSE), min_size=1, max_size=12).map("".join)
loops = st.builds(str.__mul__, st.sampled_from(REPEATED), st.sampled_from((2, 4, 11, 40, 150)))
texts = st.lists(st.one_of(prose, prose, loops, st.sampled_from(FOREIGN)), min_size=1, max_size=8).map("".join)
segments = st.lists(st.tuples(st.sampled_from((REASONING, CONTENT)), texts), min_size=1, max_size=4)
sizes = st.lists(st.sampled_from((1, 2, 3, 7, 15, 16, 17, 64, 300)), min_size=1, max_size=5)
policies = st.sampled_from(("default", "strict", "reasoning"))


@cache
def policy(name: str) -> CompiledPolicy:
    """A built-in policy, with its models loaded."""
    compiled = load_policy(name)
    compiled.load()
    return compiled


def guarded(name: str) -> StreamGuard:
    return StreamGuard(policy(name).plan("qwq"), Context(PROMPT, "qwq"))


def answer(segments: list[tuple[Lane, str]]) -> list[Event]:
    texts = [TextReceived(lane, text) for lane, text in segments]
    return [*texts, ChoiceFinished(0, "stop"), UpstreamEnded()]


def masked(text: str, masks: list[Span], end: int) -> str:
    """`text` before `end` with `masks` replaced; one that `end` would split has not left."""
    out, at = "", 0
    for start, stop in sorted(masks):
        if start >= end or stop > end:
            return out + text[at : min(start, end)]
        if start >= at:  # else the one before reaches into it, and stands for both
            out += text[at:start] + "[…]"
        at = max(at, stop)
    return out + text[at:end]


@given(segments, sizes, policies)
def test_how_text_is_cut_up_changes_nothing(segments: list[tuple[Lane, str]], sizes: list[int], name: str) -> None:
    whole = play(guarded(name), answer(segments))
    pieces = play(guarded(name), rechunked(answer(segments), sizes))
    assert seen(pieces) == seen(whole)
    assert records(pieces) == records(whole)


@given(segments, sizes, policies)
def test_what_leaves_is_the_beginning_of_what_upstream_said_but_for_masks(
    segments: list[tuple[Lane, str]], sizes: list[int], name: str
) -> None:
    guard = guarded(name)
    commands = play(guard, rechunked(answer(segments), sizes))
    assert guard.ended
    assert isinstance(commands[-1], EndStream)
    cut = finishes(commands)[0].reason != "stop"
    for review in guard.lanes():
        text = "".join(text for lane, text in segments if lane == review.lane)
        sent = said(commands).get(review.lane, "")
        decided = [record for record in records(commands) if record.lane == review.lane]
        endings = [record.finding.span.start for record in decided if isinstance(record.decision.action, Cut)]
        masks = [record.finding.span for record in decided if isinstance(record.decision.action, Mask)]
        end = min(endings) if endings else review.fed
        assert sent == masked(text, masks, end)
        assert cut or end == len(text)
    assert not any(record.finding.label == "error" for record in records(commands))


@given(segments, sizes)
def test_observing_changes_nothing_and_delays_nothing(segments: list[tuple[Lane, str]], sizes: list[int]) -> None:
    guard = guarded("observe_only")
    for event in rechunked(answer(segments), sizes):
        commands = guard.receive(event)
        if isinstance(event, TextReceived):
            assert said(commands) == {event.lane: event.text}
        assert all(isinstance(record.decision.action, Flag) for record in records(commands))


@pytest.mark.parametrize(
    ("what", "least"),
    [
        ("cut by loop", 10),
        ("cut by language", 3),
        ("flag by loop", 5),
        ("flag by language", 10),
        ("more than 2,000 code points", 20),
        ("passed", 5),
    ],
)
def test_the_strategies_reach_what_matters(what: str, least: int) -> None:
    assert reached()[what] >= least


@cache
def reached() -> Counter[str]:
    """In how many of 150 answers under the default policy each thing was seen."""
    counts: Counter[str] = Counter()

    @settings(
        max_examples=150,
        derandomize=True,
        phases=[Phase.generate],
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(segments)
    def collect(segments: list[tuple[Lane, str]]) -> None:
        commands = play(guarded("default"), answer(segments))
        found = {
            f"{'cut' if isinstance(record.decision.action, Cut) else 'flag'} by {record.finding.detector}"
            for record in records(commands)
        }
        if any(sum(len(text) for lane, text in segments if lane.channel is channel) > 2_000 for channel in Channel):
            found.add("more than 2,000 code points")
        counts.update(found or {"passed"})

    collect()
    return counts
