"""How the guard is configured: `guard.yaml`, overridden by `GUARD_*` variables, overridden by the command line.

    guard.yaml: {upstream: {url: http://127.0.0.1:8000}}        the file names sections and keys as this module does
    GUARD_UPSTREAM__URL=http://127.0.0.1:8000                   `__` goes one level down; lists and maps are JSON
    guard serve --upstream http://127.0.0.1:8000                some keys have a flag

Whatever does not fit is refused, all of it at once, with its place and the way out. All times are seconds.

The file is long because it is a list: every key with its sentence, in the order in which they are shown.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ByteSize, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from guard.settings_source import HIDDEN, PREFIX, read
from guard.settings_source import SettingsError as SettingsError

CONFIG_VARIABLE: Final = f"{PREFIX}CONFIG"
EMBEDDED: Final = "embedded"
"""Stands for the model that is installed along with the guard."""
_MIB: Final = 1 << 20

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Count = Annotated[int, Field(ge=1)]
FieldName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]


class Section(BaseModel):
    """A part of the file. Unknown keys are errors; nothing changes after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Timeouts(Section):
    """How long an upstream may take."""

    connect: Seconds = 5.0
    """To accept the connection."""
    first_byte: Seconds = 120.0
    """From the request to the first event."""
    between_events: Seconds = 60.0
    """From one event to the next."""
    total: Seconds = 1800.0
    """From the request to the end of the answer."""


class RepetitionDetection(Section):
    """When vLLM itself ends an answer that goes in circles. All figures are tokens."""

    max_pattern_size: Count
    """Longest cycle that is looked for."""
    min_pattern_size: Count = 1
    """Shortest cycle that is looked for."""
    min_count: Annotated[int, Field(ge=2)] = 4
    """So many copies in a row end the answer."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min_pattern_size > self.max_pattern_size:
            raise ValueError("`min_pattern_size` is larger than `max_pattern_size`")
        return self


class Native(Section):
    """What the model server itself is asked to do, in every chat request; clients cannot change it. Each is for one
    kind of server, and left out for the others."""

    thinking_token_budget: Annotated[int, Field(ge=0)] | None = None
    """vLLM: ends the thinking after so many tokens."""
    repetition_detection: RepetitionDetection | None = None
    """vLLM: ends an answer that goes in circles; the client sees the finish reason `length`."""
    reasoning_budget_tokens: Annotated[int, Field(ge=0)] | None = None
    """llama.cpp: ends the thinking after so many tokens."""
    reasoning_control: bool = False
    """llama.cpp: arm answers so that their thinking can be ended while they run."""
    thinking_budget: Count | None = None
    """DashScope: ends the thinking after so many tokens."""

    def asked_for(self) -> dict[str, Any]:
        """The fields to send, as they are sent."""
        return {name: value for name, value in self.model_dump(exclude_none=True).items() if value is not False}


class Upstream(Section):
    """The OpenAI-compatible server that the guard stands in front of."""

    url: str
    """Its base, with or without `/v1`: http://127.0.0.1:8000"""
    name: str = Field(default="upstream", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")
    """What responses and metrics call it."""
    api_key: SecretStr | None = None
    """Sent as bearer token. Better set as GUARD_UPSTREAM__API_KEY than written to a file."""
    auth: Literal["replace", "pass_through"] = "pass_through"
    """`replace`: send `api_key` (the default where one is set). `pass_through`: send the client's own credentials."""
    models: tuple[str, ...] = ()
    """The models that clients may ask for; any other name is then answered with 404. Empty: upstream decides."""
    start_state: Mapping[str, Literal["reasoning", "content", "auto", "native"]] = {}
    """Where a model's output begins, by glob of its name; before the built-in knowledge of QwQ. `reasoning`: inside
    the thinking, without an opening tag. `content`: in the answer, tags are text. `auto`: the tag decides. `native`:
    upstream separates the two."""
    dialect: Literal[
        "auto", "vllm", "sglang", "llamacpp", "ollama", "tgi", "transformers", "dashscope", "openrouter", "openai"
    ] = "auto"
    """What kind of server it is, which decides whether and how an answer can be repaired. `auto`: it is asked when the
    guard starts; until it has answered, and if it cannot be told, nothing is repaired there."""
    chat_template: Path | None = None
    """The model's own chat template, for repairs: a Jinja file, or its tokenizer_config.json. Only needed where the
    server does not render prompts itself and the model is not QwQ or Qwen2.5."""
    native: Native = Native()
    """What the server itself is asked to do against overlong thinking and loops."""
    timeouts: Timeouts = Timeouts()
    """How long it may take."""

    @field_validator("url")
    @classmethod
    def _base_url(cls, url: str) -> str:
        if any(char.isspace() or not char.isprintable() for char in url.strip()):
            raise ValueError("there is white space or a control character within the URL; take it out")
        parts = urlsplit(url.strip())
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("give a URL that begins with http:// or https://, for example http://127.0.0.1:8000")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "no credentials in the URL, please: it ends up in logs. Set GUARD_UPSTREAM__API_KEY instead"
            )
        if parts.query or parts.fragment:
            raise ValueError("give the base URL only, without `?` or `#`")
        if parts.path.rstrip("/").endswith("/completions"):
            raise ValueError("give the base URL only: the guard adds /v1/chat/completions and the like by itself")
        _ = parts.port  # raises ValueError for a port that is none
        return url.strip().rstrip("/")

    @field_validator("api_key")
    @classmethod
    def _one_line(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and not re.fullmatch(r"[\x21-\x7e]+", key.get_secret_value()):
            raise ValueError("a key is printable ASCII without spaces or line breaks; check how it was copied")
        return key

    @model_validator(mode="before")
    @classmethod
    def _default_auth(cls, data: Any) -> Any:
        if isinstance(data, Mapping) and data.get("api_key") and "auth" not in data:
            return {**data, "auth": "replace"}
        return data

    @model_validator(mode="after")
    def _key_fits_auth(self) -> Self:
        if self.auth == "replace" and self.api_key is None:
            raise ValueError("`auth: replace` needs a key: set GUARD_UPSTREAM__API_KEY, or use `auth: pass_through`")
        if self.auth == "pass_through" and self.api_key is not None:
            raise ValueError("`auth: pass_through` would never send the `api_key`: remove one of the two")
        return self


class InProcess(Section):
    """The Hugging Face model in this process: what answers where there is no upstream, or upstream cannot."""

    model: str = EMBEDDED
    """A folder, a hub id, or `embedded` (SmolLM2-135M-Instruct)."""
    trust_remote_code: bool = False
    """Run code that comes with the model. Only for models whose code you have read."""
    torch_threads: Count | None = None
    """Processor threads for the model; without it PyTorch decides."""
    max_tokens: Count = 1024
    """Longest answer where the client sets no limit."""
    queue: Count = 8
    """Requests that may wait for the model; more are answered with 429."""


class Fallback(Section):
    """What happens while upstream cannot be reached or answers 5xx or 429 before its first event."""

    enabled: bool = True
    """Let the in-process model answer instead."""
    model: str | None = None
    """Another model than `in_process.model` for that."""
    failures: Count = 5
    """After so many failures in a row upstream is left alone ..."""
    cool_down: Seconds = 30.0
    """... for this long, before one request tries it again."""


class Limits(Section):
    """What a client or an upstream may ask of the guard. Sizes can be written as 16MiB."""

    body_bytes: ByteSize = Field(default=ByteSize(16 * _MIB), ge=1024)
    """Longest request body; more is answered with 413."""
    max_streams: Count = 512
    """Streams at a time; more are answered with 503."""
    max_choices: Count = 4
    """Largest `n` of a request."""
    sse_line_bytes: ByteSize = Field(default=ByteSize(_MIB), ge=1024)
    """Longest line of upstream's stream."""
    sse_event_bytes: ByteSize = Field(default=ByteSize(_MIB), ge=1024)
    """Longest event of upstream's stream."""
    sse_total_bytes: ByteSize = Field(default=ByteSize(64 * _MIB), ge=1024)
    """Longest stream of upstream."""


class Log(Section):
    """What goes to standard error. Never model text."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least important level that is written."""
    format: Literal["auto", "console", "json"] = "auto"
    """`auto`: for people on a terminal, JSON else."""
    request_ids: Literal["accept", "own"] = "accept"
    """`accept`: keep a well-formed `x-request-id` that comes with a request. `own`: always make one."""


class Tracing(Section):
    """A span for each request, sent by OTLP over HTTP. Never model text."""

    enabled: bool | None = None
    """Unset: on where OTEL_EXPORTER_OTLP_ENDPOINT or OTEL_EXPORTER_OTLP_TRACES_ENDPOINT is set."""
    accept: bool = True
    """Continue the traces of clients that send a W3C `traceparent`."""


class Audit(Section):
    """The record of every decision, in files that show whether they were changed."""

    folder: Path | None = None
    """Where its files are; without it nothing is recorded."""
    on_error: Literal["fail_closed", "drop"] = "fail_closed"
    """What a full disk means. `fail_closed`: streams with a decision end, new ones are answered with 503 until it can
    be written again. `drop`: decisions are lost, and counted."""
    fsync: bool = False
    """Wait until the disk has each decision, not only the operating system."""
    max_bytes: ByteSize = Field(default=ByteSize(64 * _MIB), ge=4096)
    """Where the next file begins. Can be written as 64MiB."""
    excerpt_chars: int = Field(default=0, ge=0, le=2000)
    """Characters of text around each finding, with masks applied and secrets hidden. 0: no text."""
    hmac_key: SecretStr | None = None
    """Makes the hashes ones that only its owner can compute. Set it as GUARD_AUDIT__HMAC_KEY, not in a file."""

    @field_validator("hmac_key")
    @classmethod
    def _long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(key.get_secret_value().encode()) < 16:
            raise ValueError("a key of fewer than 16 bytes can be guessed; make one with `openssl rand -hex 32`")
        return key

    @property
    def key(self) -> bytes | None:
        return self.hmac_key.get_secret_value().encode() if self.hmac_key is not None else None


class Settings(BaseSettings):
    """Everything that can be configured. Build it with `load`."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
    )

    host: str = "127.0.0.1"
    """Address that clients reach; 0.0.0.0 for every one of this machine's."""
    port: Port = 8080
    """Port that clients reach; 0 takes a free one."""
    admin_host: str = "127.0.0.1"
    """Address of health, readiness and metrics. They know no password: keep it private."""
    admin_port: Port = 8081
    """Port of health, readiness and metrics; 0 takes a free one."""
    policy: str = "default"
    """A built-in policy's name, or the path of a policy file."""
    upstream: Upstream | None = None
    """Who generates. Without it the in-process model does."""
    in_process: InProcess = InProcess()
    """The Hugging Face model in this process."""
    fallback: Fallback = Fallback()
    """What happens while upstream is down."""
    limits: Limits = Limits()
    """What may be asked of the guard."""
    keep_alive: Seconds = 10.0
    """After so long without anything to send, a comment keeps the connection open."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Processes that serve clients, each on a processor core of its own; the limits are for all of them together."""
    watch: bool = False
    """Reload the policy when its files change, a second or two later, besides on SIGHUP and POST /reload."""
    drain: Seconds = 30.0
    """How long streams may go on after SIGTERM before they are ended properly."""
    reasoning_field: Literal["upstream", "reasoning", "reasoning_content"] = "upstream"
    """What clients find the reasoning under; `upstream`: as upstream spells it."""
    allow_response_fields: tuple[FieldName, ...] = ()
    """Names of upstream's response fields to forward although the guard cannot review them."""
    strip_request_fields: bool = True
    """Remove request fields that would switch off the review or harm the backend."""
    log: Log = Log()
    """What goes to standard error."""
    audit: Audit = Audit()
    """The record of every decision."""
    tracing: Tracing = Tracing()
    """OpenTelemetry; where spans go is said by the standard OTEL_* variables."""

    @model_validator(mode="after")
    def _addresses_differ(self) -> Self:
        if self.port and (self.port, self.host) == (self.admin_port, self.admin_host):
            raise ValueError(f"`port` and `admin_port` are both {self.port}: they need to differ")
        if self.upstream is not None:
            there = urlsplit(self.upstream.url)
            if there.port == self.port and self.port and there.hostname in (self.host, "127.0.0.1", "localhost", "::1"):
                raise ValueError(f"upstream {self.upstream.url} is this guard itself: change `port` or `upstream.url`")
        return self

    @property
    def fallback_model(self) -> str:
        """Which in-process model stands in for upstream."""
        return self.fallback.model or self.in_process.model

    def effective(self) -> dict[str, Any]:
        """All settings as plain data, secrets hidden."""
        data = self.model_dump(mode="json")
        if self.upstream is not None and self.upstream.api_key is not None:
            data["upstream"]["api_key"] = HIDDEN
        if self.audit.hmac_key is not None:
            data["audit"]["hmac_key"] = HIDDEN
        return data

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        overrides: Mapping[str, Any] | None = None,
    ) -> Self:
        """Settings from a file (`path`, or what GUARD_CONFIG names), the environment and `overrides` (nested like the
        file), the later before the earlier. Raises `SettingsError` with every problem."""
        env = os.environ if env is None else env
        path = path or env.get(CONFIG_VARIABLE)
        ours = {name: value for name, value in env.items() if name != CONFIG_VARIABLE}
        return read(cls, Path(path) if path else None, ours, overrides or {})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing is read but what `load` was given."""
        return (init_settings,)
