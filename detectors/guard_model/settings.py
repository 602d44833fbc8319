"""What an operator sets: one of three ways to a guard model, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from detectors.guard_model.categories import LABELS
from detectors.harm import HarmSettings
from guard.contract import WARN

SAFE: Final = "safe"
"""Stands in `labels` for a class of a classifier that means no harm."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is asked of a server, and how long. Nothing here changes a verdict: what cannot be had in time is
    `unavailable`."""

    deadline: float = 5.0
    """Seconds for one judgement, with waiting for a slot and retries."""
    retries: int = 1
    """How often a request is sent again after 429, 5xx or a broken connection."""
    concurrency: int = 8
    """Requests at a time, over all streams. The others wait, within their deadline."""
    calls_per_second: float = 0.0
    """The most requests a second, over all streams; 0 for no limit."""
    breaker_failures: int = 5
    """Judgements that fail in a row before the server is left alone."""
    breaker_seconds: float = 30.0
    """For how long it is left alone. Then one judgement tries it."""

    def __post_init__(self) -> None:
        for name in ("deadline", "breaker_seconds"):
            if not 0 < getattr(self, name) <= 600:
                raise ValueError(f"{name} must be more than 0 and at most 600 seconds, not {getattr(self, name)}")
        for name, least in (("retries", 0), ("concurrency", 1), ("breaker_failures", 1), ("calls_per_second", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be {least} or more, not {getattr(self, name)}")


@dataclass(frozen=True, slots=True)
class TransformersGuard:
    """A model in this process. Needs `pip install qwq-guard[transformers]`."""

    model: str = ""
    """A folder or a hub id; empty: not used. A hub is only asked where an id is given here."""
    kind: Literal["classifier", "qwen3guard_stream"] = "classifier"
    """A sequence classifier, or Qwen3Guard-Stream, which judges every token as it comes."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """For a classifier: what each of its classes means, as a label of this detector or `safe`. All must be named."""
    device: str = "auto"
    dtype: str = "auto"
    threads: int = 0
    """CPU threads, for all of the process; 0 leaves it to torch. 1 is fastest for small models."""
    context_tokens: int = 4_096
    """The longest context, in tokens, for Qwen3Guard-Stream. When it is full, it starts again with the end of the
    text. Each open stream keeps its keys and values: about 0.11 MiB a token with the 0.6B model."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Qwen3Guard-Stream does not need it here."""

    def __post_init__(self) -> None:
        for name, label in self.labels.items():
            if label != SAFE and label not in LABELS:
                raise ValueError(f"labels: {name}: `{label}` is neither `safe` nor one of {', '.join(LABELS)}")
        if self.threads < 0:
            raise ValueError(f"threads must be 0 or more, not {self.threads}")
        if self.context_tokens < 256:
            raise ValueError(f"context_tokens must be 256 or more, not {self.context_tokens}")


@dataclass(frozen=True, slots=True)
class EndpointGuard:
    """A guard model behind an OpenAI-compatible API: vLLM, SGLang, llama.cpp, Ollama."""

    url: str = ""
    """Where its API begins, as in `http://127.0.0.1:8001/v1`; empty: not used."""
    model: str = ""
    """The name under which it is served."""
    format: Literal["qwen3guard_gen", "llama_guard", "granite_guardian", "shieldgemma"] = "qwen3guard_gen"
    """How it is asked and how it answers."""
    ask: Mapping[str, str] = field(default_factory=dict)
    """For Granite Guardian and ShieldGemma, which answer one question at a time: label to the risk's name, or to the
    guideline's text. Each costs a request. Empty: `harm`, or four guidelines."""
    api_key_env: str = ""
    """The environment variable that holds the API key; empty: none is sent."""
    limits: Limits = field(default_factory=Limits)

    def __post_init__(self) -> None:
        for label in self.ask:
            if label not in LABELS:
                raise ValueError(f"ask: `{label}` is not one of {', '.join(LABELS)}")
        if self.ask and self.format not in ("granite_guardian", "shieldgemma"):
            raise ValueError(f"ask: {self.format} asks about all kinds of harm at once; leave it out")


@dataclass(frozen=True, slots=True)
class ModerationsGuard:
    """A server that has `POST /moderations` as OpenAI's API has it."""

    url: str = ""
    """Where its API begins, as in `https://api.openai.com/v1`; empty: not used."""
    model: str = "omni-moderation-latest"
    api_key_env: str = ""
    """The environment variable that holds the API key; empty: none is sent."""
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class GuardModelSettings:
    """Which guard model, and what it is shown. One of `transformers`, `endpoint` and `moderations` must be given."""

    transformers: TransformersGuard = field(default_factory=TransformersGuard)
    """A model in this process."""
    endpoint: EndpointGuard = field(default_factory=EndpointGuard)
    """A guard model behind an OpenAI-compatible API."""
    moderations: ModerationsGuard = field(default_factory=ModerationsGuard)
    """A moderations API."""
    cascade: bool = True
    """The embedded classifier looks at everything, and the guard model judges only what it escalates. False shows the
    guard model everything."""
    escalate: float = 0.2
    """A window that the embedded classifier holds harmful with this probability goes to the guard model."""
    prompt_escalate: float = 0.2
    """As `escalate`, for the request."""
    report: float = WARN
    """The least risk of which there is a finding. Rules choose the score at which something is done."""
    controversial: float = 0.5
    """What "controversial" of Qwen3Guard counts: 1 as unsafe does ("strict"), 0 as safe does ("loose")."""
    every: int = 0
    """Without cascade: characters between two calls. 0: what suits the model (96 for Qwen3Guard-Stream, else 400)."""
    tail: int = 2_000
    """Characters of the text before the new part that the guard model is shown."""
    prompt_tail: int = 4_000
    """Characters of the request that the guard model is shown: its end."""
    unavailable: Literal["error", "pass_embedded"] = "error"
    """When the guard model fails or is late: a finding `error`, or the word of the embedded classifier alone. Both are
    counted."""
    embedded: HarmSettings = field(default_factory=HarmSettings)
    """The bars of the embedded classifier where its word counts (`pass_embedded`)."""

    def __post_init__(self) -> None:
        for name in ("escalate", "prompt_escalate", "report"):
            if not 0 < getattr(self, name) <= 1:
                raise ValueError(f"{name} must be more than 0 and at most 1, not {getattr(self, name)}")
        if not 0 <= self.controversial <= 1:
            raise ValueError(f"controversial must be 0 to 1, not {self.controversial}")
        if self.every and not 16 <= self.every <= 4_000:
            raise ValueError(f"every must be 0 or 16 to 4000 characters, not {self.every}")
        for name in ("tail", "prompt_tail"):
            if not 0 <= getattr(self, name) <= 100_000:
                raise ValueError(f"{name} must be 0 to 100000 characters, not {getattr(self, name)}")
