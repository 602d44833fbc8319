"""The processes of a run: started on a core, waited for, and ended again."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from shutil import which
from urllib.request import ProxyHandler, build_opener

NGINX = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream model {{ server 127.0.0.1:{upstream}; keepalive 256; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://model;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_buffering off;
            proxy_read_timeout 120s;
        }}
    }}
}}
"""


class CannotStart(Exception):
    """A process that the run needs is missing or does not come up; the message says what to do."""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def cores() -> tuple[set[int], set[int]]:
    """Where the proxy runs, and where everything else does; the same where there is only one core."""
    usable = sorted(os.sched_getaffinity(0))
    return ({usable[0]}, {usable[1]}) if len(usable) > 1 else ({usable[0]}, {usable[0]})


@contextmanager
def running(command: Sequence[str], folder: Path, port: int, core: set[int], ready: str = "") -> Iterator[int]:
    """Run `command` on `core` until the block is left; yields its process id once `port` accepts connections, or the
    URL `ready` answers 200. Raises `CannotStart`."""
    name = Path(command[0]).name if "-m" not in command else command[command.index("-m") + 1]
    log = folder / f"{name}-{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=_environment(),
            preexec_fn=lambda: os.sched_setaffinity(0, core),
        )
    try:
        _wait_for(process, port, ready, name, log)
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _environment() -> Mapping[str, str]:
    """Ours, less what would configure a guard."""
    return {name: value for name, value in os.environ.items() if not name.startswith("GUARD_")}


def _wait_for(process: subprocess.Popen[bytes], port: int, ready: str, name: str, log: Path) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        if _answers(ready) if ready else _listens(port):
            return
        time.sleep(0.05)
    tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
    how = f"ended with code {process.returncode}" if process.poll() is not None else "was not ready within 30 s"
    raise CannotStart(f"{name} {how}. It said:\n{tail}")


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _answers(url: str) -> bool:
    try:
        with build_opener(ProxyHandler({})).open(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def nginx(folder: Path, port: int, upstream: int) -> list[str]:
    """The command of a plain reverse proxy."""
    program = which("nginx") or which("nginx", path="/usr/sbin")
    if program is None:
        raise CannotStart("nginx is what the guard is compared with, and is not installed: apt-get install nginx-light")
    config = folder / "nginx.conf"
    user = "user root;" if os.geteuid() == 0 else ""
    config.write_text(NGINX.format(folder=folder, port=port, upstream=upstream, user=user), encoding="utf-8")
    return [program, "-p", str(folder), "-e", "stderr", "-c", str(config)]


def guard(port: int, admin_port: int, upstream: int, policy: str) -> list[str]:
    """The command of the guard's proxy; it is ready when `/readyz` on its admin port says so. It is told what the
    upstream is, so that it does not ask while it is measured."""
    return [
        *("env", "GUARD_UPSTREAM__DIALECT=openai", str(Path(sys.executable).with_name("guard"))),
        "serve",
        *("--upstream", f"http://127.0.0.1:{upstream}", "--no-fallback"),
        *("--port", str(port), "--admin-port", str(admin_port)),
        *("--policy", policy),
    ]


def guard_with(config: Path, port: int, admin_port: int) -> list[str]:
    """The command of the guard's proxy with a configuration file."""
    program = str(Path(sys.executable).with_name("guard"))
    return [program, "serve", "--config", str(config), "--port", str(port), "--admin-port", str(admin_port)]
