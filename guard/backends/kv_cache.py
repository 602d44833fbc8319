"""What a model has already read of an answer that is to be continued.

    cancelled ──keep──► [ids, keys and values] ──recall: same request, common beginning──► cropped, goes on from there
                                    └──────────── any other request ────────────────────► forgotten

One answer is kept at a time, and only its own repair finds it: nobody else's timing tells what it was about.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

LEAST: Final = 16
"""Tokens below which it is not worth the trouble."""


class Memory:
    """Used by the model's thread only. `new` makes an empty cache."""

    def __init__(self, new: Callable[[], Any]) -> None:
        self._new = new
        self._request_id = ""
        self._ids: Sequence[int] = ()
        self._cache: Any = None

    def keep(self, request_id: str, ids: Sequence[int], cache: Any) -> None:
        """The answer to `request_id` was broken off at `ids`; `cache` holds the most of them."""
        if request_id and getattr(cache, "is_croppable", False):
            self._request_id, self._ids, self._cache = request_id, tuple(ids), cache

    def recall(self, request_id: str, ids: Sequence[int]) -> tuple[Any, int]:
        """A cache to generate with after `ids`, and how many of them it holds."""
        kept, cache = self._ids, self._cache
        mine = bool(request_id) and request_id == self._request_id
        self._request_id, self._ids, self._cache = "", (), None
        if not mine:
            return self._new(), 0
        held = cache.get_seq_length()
        common = 0
        for common, (old, new) in enumerate(zip(kept[:held], ids[:-1], strict=False), 1):
            if old != new:
                common -= 1
                break
        if common < LEAST:
            return self._new(), 0
        cache.crop(common - held)
        return cache, common
