"""CPU time that metrics take per read of upstream, in microseconds: `python -m bench.metrics`.

`time`: the histogram of added latency. `waiting`: the look at what waits, a real one every 16th time. `summary`: tokens
and the like, for a read that brought one text. `detectors`: the clocks around four detectors on one stream in 16, for a
read of one token where 16 characters make a step. With `PROMETHEUS_MULTIPROC_DIR` set it measures what a worker pays.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import cast

from guard.contract import Channel, Context, Detector, Lane, Report
from guard.engine.plan import Plan
from guard.engine.stream import StreamGuard
from guard.events import SendText, TextReceived
from guard.observe.metrics import Known, Metrics
from guard.observe.timing import ONE_IN
from guard.policy import load_policy
from guard.proxy.summary import Summary
from guard.proxy.waiting import Waiting

CONTENT = Lane(0, Channel.CONTENT)
TOKENS_A_STEP = 4


def measure(times: int = 50_000, repeats: int = 5) -> Mapping[str, float]:
    """Microseconds by part; each is the best of `repeats` runs, less the cost of calling nothing."""
    policy = load_policy("default")
    policy.load()
    plan = policy.plan("")
    metrics = Metrics(Known(detectors={detector.name: detector.labels for detector in policy.detectors}))
    stream = metrics.stream_opened("chat")
    guard = StreamGuard(plan, Context())
    for number in range(40):
        guard.receive(TextReceived(CONTENT, f" word{number}"))
    waiting, summary, sent = Waiting(stream), Summary(), [SendText(CONTENT, " word")]
    nothing = _microseconds(lambda: None, times, repeats)

    def cost(call: Callable[[], object]) -> float:
        return max(_microseconds(call, times, repeats) - nothing, 0.0)

    plain, timed = _clocked(plan, metrics)
    watching = len(plan.watch[Channel.CONTENT])
    return {
        "time": cost(lambda: stream.event_handled(0.000_08)),
        "waiting": cost(lambda: waiting.look(guard, 1.0)),
        "summary": cost(lambda: summary.note(sent, 1.0, guard, stream)),
        "detectors": max(cost(timed) - cost(plain), 0.0) * watching / TOKENS_A_STEP / ONE_IN,
    }


def _clocked(plan: Plan, metrics: Metrics) -> tuple[Callable[[], object], Callable[[], object]]:
    """A scanner that does nothing, without and with clocks around it."""

    class Idle:
        name = plan.watch[Channel.CONTENT][0].name
        labels: Mapping[str, str] = {}
        slow = False

        def open(self, lane: Lane, context: Context, history: str = "") -> Idle:
            return self

        def feed(self, delta: str) -> Report:
            return Report(0)

        settle = feed

    idle = Plan({Channel.CONTENT: (cast(Detector, Idle()),)}, plan.decide, plan.can_act)
    timed = metrics.timed(idle).watch[Channel.CONTENT][0].open(CONTENT, Context())
    plain = Idle()
    return lambda: plain.feed(""), lambda: timed.feed("")


def _microseconds(call: Callable[[], object], times: int, repeats: int) -> float:
    best = float("inf")
    for _ in range(repeats):
        began = perf_counter()
        for _ in range(times):
            call()
        best = min(best, perf_counter() - began)
    return best / times * 1e6


if __name__ == "__main__":
    found = measure()
    for part, microseconds in found.items():
        sys.stdout.write(f"{part:<10} {microseconds:6.2f} µs\n")
    sys.stdout.write(f"{'all':<10} {sum(found.values()):6.2f} µs per read of upstream\n")
