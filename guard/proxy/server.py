"""Two HTTP servers in one process, public and admin, and how they end.

listening --SIGTERM--> draining (readiness 503, new streams 503, open ones go on) --> terminal events --> stopped
                                      '-----------second signal: no longer-----------'
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from guard.proxy.admin import create_admin
from guard.proxy.app import create_app
from guard.proxy.gateway import FLUSH_SECONDS, Gateway, log


class PortError(Exception):
    """An address cannot be listened on; the message says why and what to do."""


def listen(host: str, port: int, option: str) -> socket.socket:
    """A listening socket. Raises `PortError` that names `option`, the flag that chooses another port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(2048)
    except (OSError, UnicodeError) as error:
        sock.close()
        number = getattr(error, "errno", None)
        if number == errno.EADDRINUSE:
            says = f"is in use by another program; choose another with {option}"
        elif number == errno.EACCES:
            says = f"needs rights that this process does not have; choose one above 1023 with {option}"
        else:
            reason = getattr(error, "strerror", None) or str(error)
            says = f"cannot be listened on: {reason.lower()}; give an address of this machine"
        raise PortError(f"{host}:{port} {says}") from error
    sock.setblocking(False)
    return sock


async def serve(
    gateway: Gateway, public: socket.socket, admin: socket.socket, *, drain: float, started: Callable[[], None]
) -> None:
    """Serve both apps until SIGTERM or SIGINT, then drain. `started` is called once requests are answered."""
    servers = (_server(create_app(gateway=gateway), "on"), _server(create_admin(gateway), "off"))
    stop = asyncio.Event()
    _on_signals(stop, gateway)
    tasks = [
        asyncio.create_task(server.serve(sockets=[sock])) for server, sock in zip(servers, (public, admin), strict=True)
    ]
    stopped = asyncio.create_task(stop.wait())
    listening = asyncio.create_task(_all_listen(servers))
    try:
        await asyncio.wait({listening, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            started()
        await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        log.info("draining", streams=len(gateway.live), seconds=drain)
        await gateway.drain(drain)
    finally:
        stopped.cancel()
        listening.cancel()
        for server, task in zip(servers, tasks, strict=True):
            server.should_exit = True
            await asyncio.wait((task,))
    for task in tasks:
        task.result()


async def _all_listen(servers: tuple[_Server, ...]) -> None:
    for server in servers:
        await server.listening.wait()


class _Server(uvicorn.Server):
    """A server that says when it listens, and leaves signals to `serve`."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.listening = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listening.set()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _server(app: ASGIApp, lifespan: str) -> _Server:
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="on" if lifespan == "on" else "off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(FLUSH_SECONDS),
    )
    return _Server(config)


def _on_signals(stop: asyncio.Event, gateway: Gateway) -> None:
    def signalled() -> None:
        if stop.is_set():
            gateway.hurry()
        stop.set()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, signalled)
