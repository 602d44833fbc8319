"""Processor time of a process and its descendants, in nanoseconds, from the scheduler's own books (Linux).

`schedstat` counts what a thread has run, so the figure does not depend on who else wants the core, unlike wall time.
Threads that have ended meanwhile are not counted; none of the servers measured here ends threads while streaming.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

PROC = Path("/proc")


def family(pid: int) -> set[int]:
    """`pid` and all its descendants."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in PROC.glob("[0-9]*/stat"):
        try:
            # the command's name, in parentheses, may hold anything; the parent's id is the second word after it
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        children[parent].append(int(stat.parent.name))
    found = {pid}
    waiting = [pid]
    while waiting:
        born = children[waiting.pop()]
        found.update(born)
        waiting += born
    return found


def nanoseconds(pid: int) -> int:
    """Time that the process tree under `pid` has run. Raises `OSError` if it is gone or the kernel keeps no books."""
    total = 0
    for member in family(pid):
        for task in (PROC / str(member) / "task").iterdir():
            total += int((task / "schedstat").read_text().split()[0])
    return total
