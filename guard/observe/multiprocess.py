"""Metrics of several worker processes, told as one.

    parent: prepare(folder) ── starts workers ──> each: Metrics(...), numbers go to files in `folder`
            render(folder, accept)  <── sums them ───────────────────┘
            totals(folder)      <───┘ the same, of some counters
            mark_dead(pid)          when a worker has gone

Counters and histograms of workers that have gone stay in the sums; their gauges do not.
"""

from __future__ import annotations

import os
from pathlib import Path

from prometheus_client import CollectorRegistry, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from guard.observe.rates import totals_of

VARIABLE = "PROMETHEUS_MULTIPROC_DIR"


def prepare(folder: str | Path) -> None:
    """Let every `Metrics` made from now on, here and in child processes, keep its numbers in `folder`.

    Call it once, in the parent, before any worker starts and any `Metrics` is made. The folder is made if need be, and
    numbers that an earlier run left there are removed. Raises `OSError` if it cannot be written.
    """
    folder = Path(folder).absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for stale in folder.glob("*.db"):
        stale.unlink()
    os.environ[VARIABLE] = str(folder)
    # chosen at import, from the variable; a metric looks it up when it is made
    values.ValueClass = values.get_value_class()  # type: ignore[no-untyped-call]


def render(folder: str | Path, accept: str = "") -> tuple[str, bytes]:
    """Content type and body over all workers, for a scraper that sent this `Accept` header. No exemplars, and no
    `process_` metrics."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(folder))  # type: ignore[no-untyped-call]
    encode, content_type = choose_encoder(accept)
    return content_type, encode(registry)


def totals(folder: str | Path) -> dict[str, float]:
    """What `guard.observe.rates` counts, over all workers that there ever were."""
    files = [str(file) for file in Path(folder).glob("counter_*.db")]
    return totals_of(MultiProcessCollector.merge(files))  # type: ignore[no-untyped-call]


def mark_dead(pid: int, folder: str | Path | None = None) -> None:
    """Forget the gauges of a worker that has gone. `folder` is that of `prepare` by default."""
    mark_process_dead(pid, None if folder is None else str(folder))  # type: ignore[no-untyped-call]
