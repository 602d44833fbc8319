"""A page in headless Chromium at a phone's or a desk's width, light or dark, straight from a server.

async with opened(guard.admin + "/?refresh=0", tmp_path / "profile", width=390, dark=True) as page:
    await page.evaluate("document.documentElement.scrollWidth")
    await page.screenshot(file)

Unlike `chromium.dump_framed` it needs no frame, so that a page which forbids frames can be looked at. What it speaks is
the Chrome DevTools Protocol (https://chromedevtools.github.io/devtools-protocol/).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.chromium import browser

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--remote-debugging-port=0",
)  # fmt: skip
_SECONDS = 30.0


class Page:
    """An open page."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self.said: list[str] = []
        """What the browser complains about: refused scripts and styles, errors."""

    async def evaluate(self, script: str) -> Any:
        """The value of an expression in the page."""
        done = await self.order("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")

    async def screenshot(self, file: Path) -> None:
        """As much of the page as the window shows, as PNG."""
        done = await self.order("Page.captureScreenshot", format="png")
        await asyncio.to_thread(file.write_bytes, base64.b64decode(done["data"]))

    async def order(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        while True:
            heard = await self._hear()
            if heard.get("id") == self._number:
                assert "error" not in heard, heard
                result: dict[str, Any] = heard["result"]
                return result

    async def until(self, event: str) -> None:
        while (await self._hear()).get("method") != event:
            pass

    async def _hear(self) -> dict[str, Any]:
        async with asyncio.timeout(_SECONDS):
            heard: dict[str, Any] = json.loads(await self._socket.receive_str())
        if heard.get("method") == "Log.entryAdded":
            self.said.append(heard["params"]["entry"]["text"])
        return heard


@contextlib.asynccontextmanager
async def opened(url: str, profile: Path, *, width: int, height: int = 844, dark: bool = False) -> AsyncIterator[Page]:
    """The page at `url`, loaded. `profile` is a new, empty folder for the browser. Skips where there is no browser."""
    process = await asyncio.create_subprocess_exec(
        *(browser(), *_FLAGS, f"--user-data-dir={profile}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        port = await _port(process, profile / "DevToolsActivePort")
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                target = next(each for each in await answer.json() if each["type"] == "page")
            async with session.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                page = Page(socket)
                await page.order("Page.enable")
                await page.order("Log.enable")
                await page.order(
                    "Emulation.setDeviceMetricsOverride",
                    width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
                )  # fmt: skip
                scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
                await page.order("Emulation.setEmulatedMedia", features=[scheme])
                await page.order("Page.navigate", url=url)
                await page.until("Page.loadEventFired")
                yield page
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def _port(process: asyncio.subprocess.Process, file: Path) -> int:
    """The port that the browser has chosen, once it has written it down."""
    async with asyncio.timeout(_SECONDS):
        while True:
            assert process.returncode is None, "Chromium ended"
            with contextlib.suppress(OSError):
                if lines := (await asyncio.to_thread(file.read_text)).splitlines():
                    return int(lines[0])
            await asyncio.sleep(0.05)
