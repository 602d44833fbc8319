"""What there is to know of a prompt, read once for all lanes of a response."""

from __future__ import annotations

from typing import Final

from detectors.loop.headers import headers_of
from detectors.loop.told import Told


class Prompt:
    """A prompt as the statistics see it. Immutable."""

    __slots__ = ("headers", "text", "told")

    def __init__(self, text: str) -> None:
        self.text: Final = text
        self.told: Final = Told(text)
        self.headers: Final = headers_of(text)
