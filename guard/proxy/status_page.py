"""The status as a page: made here, without a script, loading nothing, escaped wherever it says what others chose."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, StrictUndefined, Template

REFRESH_SECONDS: Final = 10
COUNTED: Final[Mapping[str, str]] = {
    "streams": "streams opened",
    "loops": "loops",
    "language_switches": "language switches",
    "cuts": "cut",
    "repairs": "repaired",
    "errors": "ended in an error",
}
"""What `guard.observe.rates` counts, in words."""


def page(status: Mapping[str, Any], refresh: int = REFRESH_SECONDS) -> str:
    """The page for what `status.together` made. It asks for itself again every `refresh` seconds, never if 0."""
    return _template().render(
        s=status, refresh=refresh, default_refresh=REFRESH_SECONDS, counted=COUNTED, style=_style()
    )


@cache
def headers() -> Mapping[str, str]:
    """What the page, and the JSON beside it, are sent with: nothing may run, be loaded, be framed or be kept."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return {
        "content-security-policy": f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'",
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=False)
    environment.filters["clock"] = _clock
    return environment.from_string(_asset("status.html"))


@cache
def _style() -> str:
    return _asset("status.css")


def _asset(name: str) -> str:
    return (files("guard.proxy") / name).read_text(encoding="utf-8")


def _clock(time: str, now: str = "") -> str:
    """`2026-01-31T23:59:59Z` as people read it; without the day if that is the day of `now`."""
    day = "" if time[:10] == now[:10] else f"{time[:10]} "
    return f"{day}{time[11:19]} UTC"
