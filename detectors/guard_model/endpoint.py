"""Guard models behind HTTP: those that answer in a chat, and the moderations API. Neither keeps anything."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from detectors.guard_model.adapter import Judge, Judgement, Level
from detectors.guard_model.answers import Unreadable, read_answer
from detectors.guard_model.categories import labels_of
from detectors.guard_model.formats import Format, Opinion, format_of
from detectors.guard_model.server import Server
from detectors.guard_model.settings import EndpointGuard, Limits, ModerationsGuard
from guard.contract import WARN, Channel, DetectorError

EVERY: Final = 400
"""Code points between two calls: the embedded classifier's window."""


class EndpointAdapter:
    """A guard model behind an OpenAI-compatible chat API."""

    every = EVERY

    def __init__(self, settings: EndpointGuard, controversial: float) -> None:
        self._settings = settings
        self._format = format_of(settings.format, settings.ask, controversial)
        self._server: Server | None = None

    def load(self) -> None:
        settings = self._settings
        if not settings.model:
            raise DetectorError("endpoint: model must be given: the name under which the server has the guard model")
        self._server = self._server or _connect("endpoint", settings.url, settings.api_key_env, settings.limits)

    def open(self, channel: Channel) -> Judge:
        assert self._server is not None
        return _ChatJudge(self._server, self._format, self._settings.model, channel)


class _ChatJudge:
    def __init__(self, server: Server, format: Format, model: str, channel: Channel) -> None:
        self._server = server
        self._format = format
        self._model = model
        self._channel = channel

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        questions = self._format.questions(self._model, prompt, text_so_far + new_text, self._channel)

        def read(answers: Sequence[Any]) -> Opinion:
            return self._format.read(
                [(question, read_answer(answer)) for question, answer in zip(questions, answers, strict=True)]
            )

        opinion = self._server.ask("/chat/completions", [question.body for question in questions], read)
        return Judgement(*opinion, len(new_text))


class ModerationsAdapter:
    """A server with OpenAI's `POST /moderations`. It is shown the text alone: the API takes no conversation."""

    every = EVERY

    def __init__(self, settings: ModerationsGuard) -> None:
        self._settings = settings
        self._server: Server | None = None

    def load(self) -> None:
        settings = self._settings
        self._server = self._server or _connect("moderations", settings.url, settings.api_key_env, settings.limits)

    def open(self, channel: Channel) -> Judge:
        assert self._server is not None
        return _ModerationsJudge(self._server, self._settings.model)


class _ModerationsJudge:
    def __init__(self, server: Server, model: str) -> None:
        self._server = server
        self._model = model

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        body = {"model": self._model, "input": text_so_far + new_text}
        opinion = self._server.ask("/moderations", [body], lambda answers: read_moderation(answers[0]))
        return Judgement(*opinion, len(new_text))


def read_moderation(answer: Any) -> Opinion:
    """What a moderations API says of its only input. What it flags has a risk of at least 0.5. Raises `Unreadable`."""
    try:
        (result,) = answer["results"]
        flagged = result["flagged"]
        scores = {str(name): float(score) for name, score in result["category_scores"].items() if score is not None}
        named = [str(name) for name, yes in result["categories"].items() if yes]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unreadable("it is not one result with `flagged`, `categories` and `category_scores`") from error
    if not isinstance(flagged, bool) or not all(math.isfinite(score) for score in scores.values()):
        raise Unreadable("`flagged` or a score is of the wrong type")
    highest: Sequence[str] = [max(scores, key=scores.__getitem__)] if scores else []
    risk = min(1.0, max(0.0, *scores.values(), WARN if flagged else 0.0))
    return Opinion(risk, Level.UNSAFE if flagged else Level.SAFE, labels_of(named or highest))


def _connect(where: str, url: str, api_key_env: str, limits: Limits) -> Server:
    try:
        parts = urlsplit(url)
        meant = parts.scheme in ("http", "https") and parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        meant = False
    if not meant:
        raise DetectorError(f"{where}: url: {url!r} must be like http://host:8001/v1, without a name or password")
    key = os.environ.get(api_key_env, "") if api_key_env else ""
    if api_key_env and not key:
        raise DetectorError(f"{where}: the environment variable {api_key_env} is not set; it should hold the API key")
    return Server(url, key, limits)
