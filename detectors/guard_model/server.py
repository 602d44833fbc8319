"""A JSON API that is asked within a deadline: slots, a rate, retries, a breaker.

    ask ── breaker ── slot ── rate ──POST──► 200 ──► the parsed body
            │          │       │      ├─ 429, 5xx, broken connection ──► again, after a pause
            │          │       │      └─ 4xx, not JSON ──► Unavailable
            └──────────┴───────┴─ no time left ──► Unavailable

Synchronous: the detector runs beside the event loop. Nothing of the environment (proxies, netrc) is trusted, redirects
are not followed. The one place of the detector that reads a clock: it decides when there is an answer, never which.
"""

from __future__ import annotations

import json
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import httpx

from detectors.guard_model.adapter import Reason, Unavailable
from detectors.guard_model.answers import Unreadable
from detectors.guard_model.breaker import Breaker
from detectors.guard_model.settings import Limits

Understood = TypeVar("Understood")

_PAUSE: Final = 0.1
"""Seconds before the first retry; doubles with each."""
_LARGEST: Final = 1 << 20
"""Bytes of an answer. A judgement is a few hundred."""
_IDLE_SECONDS: Final = 3.0
"""Less than the five seconds after which uvicorn (vLLM, SGLang) closes an idle connection."""


class Server:
    """One server, shared by all streams and threads."""

    def __init__(self, url: str, api_key: str, limits: Limits) -> None:
        self._url = url.rstrip("/")
        self._limits = limits
        self._breaker = Breaker(limits.breaker_failures, limits.breaker_seconds)
        self._slots = threading.BoundedSemaphore(limits.concurrency)
        self._rate = threading.Lock()
        self._next_call = 0.0
        headers = {"accept-encoding": "identity", "user-agent": "qwq-guard"}
        if api_key:
            headers["authorization"] = f"Bearer {api_key}"
        self._client = httpx.Client(
            trust_env=False,
            follow_redirects=False,
            headers=headers,
            limits=httpx.Limits(max_connections=None, keepalive_expiry=_IDLE_SECONDS),
        )
        self._pool = ThreadPoolExecutor(limits.concurrency, thread_name_prefix="guard-model")
        weakref.finalize(self, _close, self._client, self._pool)

    def ask(
        self, path: str, bodies: Sequence[Mapping[str, Any]], read: Callable[[Sequence[Any]], Understood]
    ) -> Understood:
        """What `read` makes of the server's answers, one to each body. Raises `Unavailable` if one is not answered in
        time, or `read` raises `Unreadable`."""
        give_up = time.monotonic() + self._limits.deadline
        if not self._breaker.allows():
            raise Unavailable(Reason.BREAKER_OPEN)
        try:
            if len(bodies) == 1:
                answers = [self._one(path, bodies[0], give_up)]
            else:
                running = [self._pool.submit(self._one, path, body, give_up) for body in bodies]
                answers = [each.result() for each in running]
            understood = read(answers)
        except Unreadable as error:
            self._breaker.failed()
            raise Unavailable(Reason.UNREADABLE) from error
        except BaseException:
            self._breaker.failed()
            raise
        self._breaker.succeeded()
        return understood

    def _one(self, path: str, body: Mapping[str, Any], give_up: float) -> Any:
        if not self._slots.acquire(timeout=max(0.0, give_up - time.monotonic())):
            raise Unavailable(Reason.OVERLOADED)
        failure = Reason.TIMEOUT
        try:
            for attempt in range(self._limits.retries + 1):
                if attempt:
                    self._wait(_PAUSE * 2 ** (attempt - 1), give_up, failure)
                self._keep_the_rate(give_up)
                try:
                    return self._post(path, body, give_up)
                except _Passing as passing:
                    failure = passing.reason
            raise Unavailable(failure)
        finally:
            self._slots.release()

    def _post(self, path: str, body: Mapping[str, Any], give_up: float) -> Any:
        left = give_up - time.monotonic()
        if left <= 0:
            raise Unavailable(Reason.TIMEOUT)
        data = bytearray()
        try:
            with self._client.stream("POST", f"{self._url}{path}", json=body, timeout=left) as response:
                status = response.status_code
                for piece in response.iter_raw():
                    data += piece
                    if time.monotonic() > give_up:
                        raise Unavailable(Reason.TIMEOUT)
                    if len(data) > _LARGEST:
                        raise Unavailable(Reason.UNREADABLE)
        except httpx.TimeoutException as error:
            raise Unavailable(Reason.TIMEOUT) from error
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise _Passing(Reason.CONNECTION) from error
        if status == 429:
            raise _Passing(Reason.OVERLOADED)
        if status >= 500:
            raise _Passing(Reason.SERVER_ERROR)
        if status != 200:
            raise Unavailable(Reason.REFUSED)
        try:
            return json.loads(data, parse_constant=_no_number)
        except (ValueError, RecursionError) as error:
            raise Unavailable(Reason.UNREADABLE) from error

    def _keep_the_rate(self, give_up: float) -> None:
        if not self._limits.calls_per_second:
            return
        with self._rate:
            now = time.monotonic()
            turn = max(now, self._next_call)
            if turn > give_up:
                raise Unavailable(Reason.OVERLOADED)
            self._next_call = turn + 1 / self._limits.calls_per_second
        time.sleep(turn - now)

    @staticmethod
    def _wait(seconds: float, give_up: float, failure: Reason) -> None:
        if time.monotonic() + seconds >= give_up:
            raise Unavailable(failure)
        time.sleep(seconds)


class _Passing(Exception):
    """What may be different the next time."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason


def _no_number(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _close(client: httpx.Client, pool: ThreadPoolExecutor) -> None:
    pool.shutdown(wait=False)
    client.close()
