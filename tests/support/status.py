"""A guard with something to show on its status page.

python -m tests.support.status        # makes the pictures of docs/status.md anew
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import httpx

from tests.support.devtools import opened
from tests.support.guard_process import GuardProcess, guard_serving
from tests.support.proxy import CHAT
from tests.support.recorded_upstream import played
from tests.support.upstream import FakeUpstream, json_reply

IMAGES: Final = Path(__file__).parents[2] / "docs" / "images"
PICTURES: Final = {
    "status.png": (1280, 900, False),
    "status-dark.png": (1280, 900, True),
    "status-phone.png": (390, 1100, False),
}
"""Width and height of the window, and whether it is dark."""
ANSWERS: Final = (
    "clean_answer",
    "loop_in_reasoning",
    "clean_answer",
    "language_switch_in_content",
    "clean_answer",
    "loop_in_reasoning",
)
PROMPT: Final = "Please tell me what you know about this, and explain it to me in plain words."


@asynccontextmanager
async def guard_with_a_past(workers: int = 2, times: int = 1) -> AsyncIterator[GuardProcess]:
    """It has answered `ANSWERS` so many times over, in order, each over a connection of its own."""
    models = json_reply({"object": "list", "data": [{"id": "house-model", "object": "model"}]})
    replies = [played(name) for name in ANSWERS * times]
    async with (
        FakeUpstream(*replies, gets=models) as upstream,
        guard_serving(
            *("--upstream", upstream.url, "--no-fallback", "--policy", "default", "--workers", str(workers))
        ) as guard,
        httpx.AsyncClient(trust_env=False, timeout=30) as client,
    ):
        for number in range(len(replies)):
            body = {"model": "house-model", "messages": [{"role": "user", "content": PROMPT}], "stream": True}
            names = {"x-request-id": f"my-request-{number}", "connection": "close"}
            assert (await client.post(guard.url + CHAT, json=body, headers=names)).status_code == 200
        yield guard


async def take_pictures(folder: Path) -> None:
    async with guard_with_a_past(times=4) as guard:
        for name, (width, height, dark) in PICTURES.items():
            with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
                async with opened(
                    f"{guard.admin}/?refresh=0", Path(profile), width=width, height=height, dark=dark
                ) as page:
                    await page.screenshot(folder / name)


if __name__ == "__main__":
    IMAGES.mkdir(exist_ok=True)
    asyncio.run(take_pictures(IMAGES))
