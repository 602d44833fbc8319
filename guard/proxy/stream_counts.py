"""How many streams every worker has open, in memory that all of them map: the limit is for all of them together.

    slot 0 | slot 1 | slot 2 ...        a worker writes its own slot; everybody reads all of them

A count is written and read in one machine word, so no lock is needed; between reading the total and writing one's own
a few streams more than the limit may be let in, never many.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from typing import Final, Self

_BYTES: Final = 8


class StreamCounts:
    """Counts of open streams, one per worker, of which this process writes one."""

    def __init__(self, descriptor: int, workers: int, own: int = 0) -> None:
        """Map the memory behind `descriptor`, which `create` has made for so many workers."""
        self._counts = memoryview(mmap.mmap(descriptor, workers * _BYTES)).cast("Q")
        self._own = own

    @classmethod
    def create(cls, workers: int) -> tuple[Self, int]:
        """Fresh counts, all zero, and the descriptor by which another process finds them. The caller closes it."""
        with tempfile.TemporaryFile() as file:
            file.truncate(workers * _BYTES)
            descriptor = os.dup(file.fileno())
        return cls(descriptor, workers), descriptor

    def set(self, count: int) -> None:
        """This process has so many streams open."""
        self._counts[self._own] = count

    def clear(self, worker: int) -> None:
        """A worker is gone, and its streams with it."""
        self._counts[worker] = 0

    def of(self, worker: int) -> int:
        return self._counts[worker]

    def total(self) -> int:
        return sum(self._counts)
