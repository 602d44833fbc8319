"""What the parent of several workers counts. It serves nobody, so that is all it counts.

Its numbers go to the same folder as its workers' (`multiprocess.prepare`) and are told with theirs.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry

from guard.observe import catalogue as c


class WorkerMetrics:
    """The workers and what is done with all of them."""

    def __init__(self, workers: int) -> None:
        registry = CollectorRegistry()
        c.WORKERS.register(registry).set(workers)
        self._ready = c.WORKERS_READY.register(registry)
        self._restarts = c.WORKER_RESTARTS.register(registry)
        self._reloads = c.RELOADS.register(registry)
        self._reload_ok = c.RELOAD_OK.register(registry)
        self._reload_ok.set(1)

    def running(self, workers: int) -> None:
        """So many serve clients."""
        self._ready.set(workers)

    def restarted(self) -> None:
        """One that died is being started again."""
        self._restarts.inc()

    def reload_tried(self, ok: bool) -> None:
        """The policy was loaded again, everywhere; if not `ok` the one before stays in force."""
        self._reloads.labels("ok" if ok else "failed").inc()
        self._reload_ok.set(ok)
