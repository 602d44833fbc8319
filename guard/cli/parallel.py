"""Work on the lines of a file on all cores, results in the order of the lines."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

from guard.cli.jsonl import Line

BATCH = 16
"""Lines per task: enough to make hand-over cheap, few enough to keep a progress bar moving."""
AHEAD = 4
"""Batches under way per process: enough that none waits, few enough that memory stays small."""

Result = TypeVar("Result")


def map_batches(
    lines: Iterator[Line],
    work: Callable[[list[Line]], Result],
    *,
    prepare: Callable[..., None],
    arguments: tuple[object, ...] = (),
    workers: int = 0,
) -> Iterator[Result]:
    """`work` on batches of lines, in order; 0 `workers` is one per core.

    `prepare(*arguments)` runs first in every process. Both are functions of a module, as they are sent to other
    processes; what they raise is raised here.
    """
    count = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(count, initializer=prepare, initargs=arguments) as pool:
        waiting: deque[Future[Result]] = deque()
        try:
            for batch in batches(lines):
                waiting.append(pool.submit(work, batch))
                if len(waiting) > count * AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


def batches(lines: Iterator[Line]) -> Iterator[list[Line]]:
    """The lines, up to `BATCH` at a time."""
    batch: list[Line] = []
    for line in lines:
        batch.append(line)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
