"""Asks a guard model whether a text harms: one of many, behind one contract (`detectors.guard_model.adapter`).

GuardModel --cascade--> CascadeScanner --escalated--+
           --without--> WindowScanner ---every k----+--> Judge <-- a model in this process
                                                               <-- a chat API
                                                               <-- a moderations API
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from detectors.guard_model.adapter import GuardAdapter
from detectors.guard_model.cascade import CascadeScanner
from detectors.guard_model.categories import LABELS
from detectors.guard_model.embedded import REACH, Embedded
from detectors.guard_model.lane import COUNTERS, Desk, readable
from detectors.guard_model.settings import GuardModelSettings
from detectors.guard_model.windows import WindowScanner
from detectors.harm import Harm, HarmSettings
from guard.contract import Channel, Context, DetectorError, Lane, Stability

PROMPT_EVERY: Final = 2_000
"""Code points between two calls on the prompt, which is held whole anyway."""


class GuardModel:
    """Harm, as a guard model of your choice judges it: in this process, behind a chat API, or a moderations API.

    By default the embedded classifier looks at everything first, and the guard model judges what it escalates.
    """

    Settings: ClassVar[type] = GuardModelSettings
    labels: ClassVar[Mapping[str, str]] = LABELS
    stability: ClassVar[Stability] = Stability.INCUBATING
    slow: ClassVar[bool] = True
    counters: ClassVar[Mapping[str, str]] = COUNTERS

    def __init__(self, name: str, settings: GuardModelSettings) -> None:
        ways = {
            "transformers.model": settings.transformers.model,
            "endpoint.url": settings.endpoint.url,
            "moderations.url": settings.moderations.url,
        }
        given = [way for way, value in ways.items() if value]
        if len(given) != 1:
            told = f"not {' and '.join(given)}" if given else "or there is no guard model to ask"
            raise ValueError(f"one of {', '.join(ways)} must be given, {told}")
        self.name = name
        self.settings = settings
        self._adapter: GuardAdapter | None = None
        self._embedded: Embedded | None = None
        low, prompt_low = settings.escalate, settings.prompt_escalate
        self._scout = Harm(name, HarmSettings(low, low, prompt_low, prompt_low))

    def load(self) -> None:
        """Load the model, or read the API key and make the client; no request is sent. Raises `DetectorError`."""
        if self._adapter is not None:
            return
        settings = self.settings
        try:
            if settings.cascade or settings.unavailable == "pass_embedded":
                self._embedded = Embedded(settings.embedded)
                self._scout.load()
            adapter = _adapter(settings)
            adapter.load()
        except DetectorError as error:
            raise DetectorError(f"{self.name}: {error}") from error
        self._adapter = adapter

    def open(self, lane: Lane, context: Context, history: str = "") -> CascadeScanner | WindowScanner:
        adapter, settings = self._adapter, self.settings
        if adapter is None:
            raise DetectorError(f"{self.name}: opened before it was loaded")
        channel = lane.channel
        asked = channel is Channel.PROMPT
        second = self._embedded if settings.unavailable == "pass_embedded" else None
        desk = Desk(self.name, channel, settings.report, second)
        length = settings.prompt_tail
        prompt = readable(context.prompt[-length:]) if length and not asked else ""
        if settings.cascade:
            assert self._embedded is not None
            return CascadeScanner(
                desk,
                self._scout.open(lane, context, history),
                self._embedded,
                lambda: adapter.open(channel),
                prompt,
                history,
                escalate=settings.prompt_escalate if asked else settings.escalate,
                tail=settings.tail,
            )
        return WindowScanner(
            desk,
            lambda: adapter.open(channel),
            prompt,
            history,
            every=settings.every or (PROMPT_EVERY if asked else adapter.every),
            tail=settings.tail,
            reach=REACH if second else 0,
        )


def _adapter(settings: GuardModelSettings) -> GuardAdapter:
    """The one that is set. Libraries are imported here, so that a policy without one needs none."""
    if settings.transformers.model:
        try:
            from detectors.guard_model.transformers import transformers_adapter
        except ImportError as error:
            raise DetectorError(f"{error}; pip install 'qwq-guard[transformers]'") from error
        return transformers_adapter(settings.transformers, settings.controversial)
    from detectors.guard_model.endpoint import EndpointAdapter, ModerationsAdapter

    if settings.endpoint.url:
        return EndpointAdapter(settings.endpoint, settings.controversial)
    return ModerationsAdapter(settings.moderations)
