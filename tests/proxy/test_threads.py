from __future__ import annotations

import asyncio
import threading

import pytest

from guard.proxy.threads import run_in_thread

pytestmark = pytest.mark.anyio


async def test_a_result_comes_back_from_another_thread() -> None:
    there = await run_in_thread(threading.get_ident)
    assert there != threading.get_ident()


async def test_an_exception_comes_back() -> None:
    def broken() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await run_in_thread(broken)


async def test_hanging_threads_hold_up_nobody() -> None:
    release = threading.Event()
    hanging = [asyncio.create_task(run_in_thread(lambda: release.wait(30))) for _ in range(50)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(run_in_thread(lambda: 42), 10) == 42
    for task in hanging:
        task.cancel()
    assert all(task.cancelled() for task in (await asyncio.wait(hanging))[0])
    release.set()


async def test_a_thread_that_comes_back_too_late_changes_nothing() -> None:
    release = threading.Event()
    task = asyncio.create_task(run_in_thread(lambda: release.wait(30)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await asyncio.sleep(0.01)


def test_a_loop_that_has_ended_is_left_alone() -> None:
    release = threading.Event()
    ended = threading.Event()

    def late() -> None:
        release.wait(30)
        ended.set()

    async def give_up() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_in_thread(late), 0.01)

    asyncio.run(give_up())
    release.set()
    assert ended.wait(10)
