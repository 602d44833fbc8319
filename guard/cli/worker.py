"""The entry point of a worker process: `guard serve` runs it, with descriptors as arguments."""

from __future__ import annotations

import asyncio
import sys


def main() -> None:
    """Serve as one of several workers until the parent says otherwise."""
    import uvloop

    from guard.cli.serve import configure_log, name_model
    from guard.proxy.worker import Descriptors, work

    descriptors = Descriptors(*map(int, sys.argv[1:3]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(work(descriptors, configure_log, name_model))
    sys.exit(code)
