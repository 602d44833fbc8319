"""What the parent and a worker say to each other: one JSON object a line, over a socket that only the two have.

parent                              worker
  Start(settings, policy, ...)  ->
                                <-  listening | failed
                                <-  unready, and why         (as soon as that changes)
  prepare | adopt | drop        ->
                                <-  done | refused           (of the same number)
  status                        ->
                                <-  what the worker knows    (of the same number)
  drain | hurry                 ->
  (the socket closes)           ->                           the parent is gone: so goes the worker
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Mapping
from typing import Any, Final

from pydantic import SecretStr

from guard.settings import Settings

_LONGEST_LINE: Final = 64 << 20
"""Bytes. A merged policy is the longest thing that is said, and its files are at most 1 MiB each."""


class Control:
    """One end of the conversation."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> Control:
        """The end that `sock` is."""
        return cls(*await asyncio.open_unix_connection(sock=sock, limit=_LONGEST_LINE))

    def say(self, **message: Any) -> None:
        """Send a message; one to an end that is gone is lost."""
        if not self._writer.is_closing():
            self._writer.write(json.dumps(message).encode() + b"\n")

    async def hear(self) -> dict[str, Any] | None:
        """The next message, None once the other end is gone."""
        try:
            line = await self._reader.readline()
        except (OSError, ValueError):
            return None
        if not line.endswith(b"\n"):
            return None
        message: dict[str, Any] = json.loads(line)
        return message

    async def close(self) -> None:
        """Say what is left to say, and close."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            return


def settings_data(settings: Settings) -> dict[str, Any]:
    """Settings as JSON can carry them, secrets and all: to be sent over a private socket only."""
    data: dict[str, Any] = json.loads(json.dumps(settings.model_dump(), default=_plain))
    return data


def settings_from(data: Mapping[str, Any]) -> Settings:
    """The settings that `settings_data` was given."""
    return Settings(**data)


def _plain(value: object) -> Any:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
