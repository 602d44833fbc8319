"""HTTP servers in one process, and how they end.

listening --SIGTERM--> draining (readiness 503, new streams 503, open ones go on) --> terminal events --> stopped
    |  '--SIGHUP--> policy reloaded   '-----------second signal: no longer-----------'
    '-------------- (alone: the public and the admin server; with workers each of them serves the public only)
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import NamedTuple

import uvicorn
from starlette.types import ASGIApp

from guard.proxy.admin import create_admin
from guard.proxy.app import create_app
from guard.proxy.gateway import FLUSH_SECONDS, Gateway, log
from guard.proxy.protocol import HttpProtocol
from guard.proxy.reload import Reloader, watch
from guard.proxy.terminal import Terminal


class PortError(Exception):
    """An address cannot be listened on; the message says why and what to do."""


class Served(NamedTuple):
    """An app on a socket."""

    app: ASGIApp
    socket: socket.socket
    has_lifespan: bool = False


def listen(host: str, port: int, option: str, *, shared: bool = False) -> socket.socket:
    """A listening socket. Raises `PortError` that names `option`, the flag that chooses another port.

    Of `shared` ones several processes may have one each on the same port; Linux spreads connections over them evenly.
    """
    sock = _bound(host, port, option, shared=shared)
    sock.listen(2048)
    sock.setblocking(False)
    return sock


def reserve(host: str, port: int, option: str) -> socket.socket:
    """Find that a port is free, and keep it for `shared` listeners; no connection comes to this socket itself. Raises
    `PortError`, for a port that others share, too."""
    with listen(host, port, option) as alone:
        port = alone.getsockname()[1]
    return _bound(host, port, option, shared=True)


def _bound(host: str, port: int, option: str, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
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
    return sock


async def serve(
    gateway: Gateway,
    public: socket.socket,
    admin: socket.socket,
    *,
    drain: float,
    started: Callable[[], None],
    reloader: Reloader | None = None,
    watching: bool = False,
) -> None:
    """Serve both apps until SIGTERM or SIGINT, then drain. `started` is called once requests are answered.

    With a `reloader` SIGHUP and POST /reload reload the policy, and if `watching` a change of its files does.
    """
    reload = None if reloader is None else reloader.reload
    stop = asyncio.Event()

    async def leave() -> None:
        log.info("draining", streams=len(gateway.live), seconds=drain)
        await gateway.drain(drain)

    with background() as spawn:
        on_signals(stop, gateway.hurry, None if reload is None else lambda: spawn(reload()))
        if reloader is not None and watching:
            spawn(watch(lambda: reloader.files, reloader.reload))
        apps = (Served(create_app(gateway=gateway), public, True), Served(create_admin(gateway, reloader), admin, True))
        await run(apps, stop, leave, started)


async def run(
    apps: Sequence[Served], stop: asyncio.Event, leave: Callable[[], Awaitable[None]], started: Callable[[], None]
) -> None:
    """Serve `apps` until `stop` is set and `leave` is done. `started` is called once requests are answered."""
    servers = [_server(each) for each in apps]
    tasks = [
        asyncio.create_task(server.serve(sockets=[each.socket])) for server, each in zip(servers, apps, strict=True)
    ]
    stopped = asyncio.create_task(stop.wait())
    listening = asyncio.create_task(_all_listen(servers))
    try:
        await asyncio.wait({listening, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        if listening.done():
            started()
        await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
        await leave()
    finally:
        stopped.cancel()
        listening.cancel()
        for server, task in zip(servers, tasks, strict=True):
            server.should_exit = True
            await asyncio.wait((task,))
    for task in tasks:
        task.result()


def on_signals(stop: asyncio.Event, hurry: Callable[[], None], reload: Callable[[], None] | None) -> None:
    """The first SIGTERM or SIGINT sets `stop`, a second one calls `hurry`; SIGHUP calls `reload`, unless it says that
    the terminal has been closed: that is a reason to stop."""
    terminal = Terminal()

    def signalled() -> None:
        if stop.is_set():
            hurry()
        stop.set()

    def hung_up() -> None:
        if reload is None or terminal.closed():
            signalled()
        else:
            reload()

    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, signalled)
    loop.add_signal_handler(signal.SIGHUP, hung_up)


@contextlib.contextmanager
def background() -> Iterator[Callable[[Awaitable[object]], None]]:
    """Gives what starts tasks that are kept until they end, and cancelled when the block is left."""
    tasks: set[asyncio.Future[object]] = set()

    def spawn(work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    try:
        yield spawn
    finally:
        for task in tuple(tasks):
            task.cancel()


async def _all_listen(servers: Sequence[_Server]) -> None:
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


def _server(served: Served) -> _Server:
    config = uvicorn.Config(
        served.app,
        loop="none",
        http=HttpProtocol,
        ws="none",
        lifespan="on" if served.has_lifespan else "off",
        access_log=False,
        log_config=None,
        server_header=False,
        timeout_graceful_shutdown=int(FLUSH_SECONDS),
    )
    return _Server(config)
