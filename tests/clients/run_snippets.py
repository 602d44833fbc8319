"""Run programs one after another in this Python, and tell what each printed and how it ended.

    {"name": "source", ...} > python run_snippets.py > {"ran": {"name": {"said", "error", "message"}}, "refused": []}

Run outside the project's environment, so it imports nothing of it. Nothing but the loopback can be reached: who else is
asked for is listed under `refused`.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
from typing import Any

LOOPBACK = ("127.0.0.1", "localhost", "::1", None, "")


def refuse_others(refused: list[str]) -> None:
    """Let this process look up and reach the loopback only."""

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        host: Any = None
        if event == "socket.getaddrinfo":
            host = arguments[0]
        elif event == "socket.connect" and isinstance(arguments[1], tuple):
            host = arguments[1][0]
        host = host.decode() if isinstance(host, bytes) else host
        if host not in LOOPBACK:
            refused.append(str(host))
            raise ConnectionRefusedError(f"{host} is not for tests")

    sys.addaudithook(watch)


def run(source: str) -> dict[str, str]:
    """What `source` printed, and the exception that ended it, if one did."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stdout(said):
            exec(compile(source, "snippet", "exec"), {"__name__": "__main__"})  # noqa: S102 - it is ours
    except Exception as error:  # noqa: BLE001 - told
        return {"said": said.getvalue(), "error": type(error).__name__, "message": str(error)}
    return {"said": said.getvalue(), "error": "", "message": ""}


def main() -> None:
    refused: list[str] = []
    refuse_others(refused)
    ran = {name: run(source) for name, source in json.load(sys.stdin).items()}
    json.dump({"ran": ran, "refused": refused}, sys.stdout)


if __name__ == "__main__":
    main()
