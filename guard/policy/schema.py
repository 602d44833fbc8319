"""The policy file, version 1, as pydantic models. Its JSON Schema is `policies/policy.schema.json`.

Types are strict: `"0.9"` is text, not a number. Where a list is meant, a single word will do.

The file is long because it is a list: every key of the policy file with its sentence.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from guard.contract import Channel
from guard.engine.plan import DEFAULT_HOLD, Hold
from guard.events import Action, Cut, Flag, Mask, Repair

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
"""A name of the policy's own: it becomes a metric label, hence short and plain."""
ChannelName = Literal["prompt", "reasoning", "content", "tool"]
Sampling = Literal[
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "typical_p",
    "frequency_penalty",
    "presence_penalty",
    "repetition_penalty",
    "seed",
]


SEVERITY: Final[Mapping[type[Action], int]] = {Flag: 0, Mask: 1, Repair: 2, Cut: 3}
"""How much an action takes from the answer. A repair still gives one, so a cut is more."""


def _as_list(value: Any) -> Any:
    return value if isinstance(value, list) else [value]


def _or_nothing(value: Any) -> Any:
    return {} if value is None else value


def _as_mapping(value: Any) -> Any:
    return {value: {}} if isinstance(value, str) else value


Words = Annotated[list[str], BeforeValidator(_as_list, json_schema_input_type=str | list[str]), Field(min_length=1)]
Ids = Annotated[list[Id], BeforeValidator(_as_list, json_schema_input_type=Id | list[Id]), Field(min_length=1)]
Channels = Annotated[
    list[ChannelName],
    BeforeValidator(_as_list, json_schema_input_type=ChannelName | list[ChannelName]),
    Field(min_length=1),
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, use_attribute_docstrings=True)


class When(_Strict):
    """What a rule speaks of. What is left out matches anything; lists match any of their members."""

    detector: Ids | None = None
    """Names from `detectors:`."""
    label: Words | None = None
    """The detector's labels (`guard detectors NAME` lists them). The label `error` must be named to be matched."""
    channel: Channels | None = None
    """Left out: reasoning, content and tool. `prompt` must be named."""
    score: float = Field(default=0.0, ge=0, le=1, allow_inf_nan=False)
    """At least. A detector's own warning is 0.5, its own stop 0.9."""
    model: Words | None = None
    """Globs over the model's name as the client gives it, such as `qwq*`, in upper or lower case. A server that answers
    to any name lets clients choose which of these rules they are under."""

    @model_validator(mode="after")
    def _says_something(self) -> When:
        if not self.model_fields_set - {"score", "model"}:
            raise ValueError("would match every finding; name a detector, a label or a channel")
        return self


class FlagSettings(_Strict):
    """On the record only."""


class MaskSettings(_Strict):
    """Replace the span."""

    replacement: str = Field(default=Mask().replacement, max_length=200)
    """`{label}` in it becomes the finding's label, and `{n}` a number that is the same for the same value throughout a
    response: "<{label}_{n}>"."""


class CutSettings(_Strict):
    """End the answer at the start of the span."""

    notice: str = Field(default="", max_length=2_000)
    """What the user reads instead; empty for none, unless nothing visible was sent."""
    finish: Literal["content_filter", "length", "stop"] = "content_filter"
    """The `finish_reason` that the client is given."""

    def action(self) -> Cut:
        return Cut(notice=self.notice, finish=self.finish)


class RepairSettings(_Strict):
    """End the text and answer anyway."""

    how: Literal["conclude", "resample", "hand_over"]
    """conclude: close the thinking, get the answer; resample: go on from clean text with other sampling; hand_over:
    the fallback goes on."""
    keep: Literal["first_copy", "last_sentence", "span_start"] = "first_copy"
    """How much of the text goes into the continued request. Of a thinking, first_copy: up to the end of a loop's first
    copy, at a sentence end; last_sentence: the last sentence end before the span; span_start: up to the span. An answer
    goes on where the client has it; with last_sentence it is held back to sentence ends, so that it can."""
    sampling: dict[Sampling, float] = {}
    """Sampling parameters of the continued request."""
    phrase: str = Field(default="", max_length=2_000)
    """Of conclude: ends the thinking in the model's own voice. The model reads it, the client does not."""
    instruction: str = Field(default="", max_length=2_000)
    """Of resample and hand_over: added to the system's instructions."""
    max_tokens: int = Field(default=4_096, ge=1)
    """Longest continuation, in tokens; never more than what is left of the client's own limit."""
    attempts: int = Field(default=1, ge=1, le=8)
    """Of this kind, per answer."""
    otherwise: CutSettings = CutSettings()
    """The cut that is made when the backend cannot repair, the attempts are spent, or the repair fails."""

    def action(self) -> Repair:
        values = {name: getattr(self, name) for name in type(self).model_fields if name != "otherwise"}
        return Repair(**values, otherwise=self.otherwise.action())


class Do(_Strict):
    """Exactly one action."""

    flag: FlagSettings | None = None
    mask: MaskSettings | None = None
    cut: CutSettings | None = None
    repair: RepairSettings | None = None

    @model_validator(mode="after")
    def _one(self) -> Do:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        if len(given) != 1 or len(self.model_fields_set) != 1:
            raise ValueError("must be one of flag, mask, cut and repair, alone or with settings: {cut: {notice: ...}}")
        return self

    def action(self) -> Action:
        if self.mask:
            return Mask(self.mask.replacement)
        if self.cut:
            return self.cut.action()
        return self.repair.action() if self.repair else Flag()


class Examples(_Strict):
    """Texts that show what a rule is for; `guard check` tries them."""

    hits: list[str] = []
    """The rule must match in each."""
    misses: list[str] = []
    """The rule must match in none."""


class Rule(_Strict):
    """If a finding looks like `when`, then `do`. The most severe action among the rules that match is taken."""

    id: Id
    why: str = Field(default="", max_length=2_000)
    """For the reader of the policy and of the audit."""
    when: When
    do: Annotated[
        Do,
        BeforeValidator(_as_mapping, json_schema_input_type=Literal["flag", "mask", "cut"] | Do),
    ]
    examples: Examples = Examples()
    override: bool = False
    """Replaces the rule of this id in the policy that is extended."""

    def channels(self) -> list[Channel]:
        """Where it speaks."""
        if self.when.channel is None:
            return [Channel.REASONING, Channel.CONTENT, Channel.TOOL]
        return [Channel(name) for name in self.when.channel]


class DetectorEntry(BaseModel):
    """Settings of one detector: the keys of its own `Settings`, and two of ours."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, use_attribute_docstrings=True)

    use: str | None = None
    """The registered detector, where it is not the one of this name."""
    override: bool = False
    """May change settings that the extended policy gives."""

    def settings(self) -> dict[str, Any]:
        return dict(self.model_extra or {})


class HoldSettings(_Strict):
    """How text of a channel waits, in code points. What is left out keeps its default."""

    step: int | None = Field(default=None, ge=1)
    """Detectors are fed at multiples of this."""
    limit: int | None = Field(default=None, ge=1)
    """Held text at which detectors must make up their mind."""
    whole: bool | None = None
    """Release only when the text ends; reaching `limit` then cuts."""

    def over(self, default: Hold) -> Hold:
        """`default` with what is given here. Raises `ValueError` if the two do not fit."""
        step, limit, whole = self.step, self.limit, self.whole
        return Hold(
            step=default.step if step is None else step,
            limit=default.limit if limit is None else limit,
            whole=default.whole if whole is None else whole,
        )


class PromptSettings(_Strict):
    """What may be asked, beyond what rules on the channel `prompt` say of its text."""

    block: Literal["answer", "error"] = "answer"
    """What a client reads when a rule cuts its prompt. `answer`: status 200, the notice, and the rule's finish reason.
    `error`: status 400 with the code `content_filter`; routers take it for a failure and may ask another deployment."""
    image: Literal["allow", "refuse"] = "allow"
    """Parts that cannot be reviewed go upstream as they are, or the request is refused with 400."""
    audio: Literal["allow", "refuse"] = "allow"
    """As `image`."""
    video: Literal["allow", "refuse"] = "allow"
    """As `image`."""
    file: Literal["allow", "refuse"] = "allow"
    """As `image`."""
    token_ids: Literal["allow", "refuse"] = "refuse"
    """Prompts given as numbers, on /v1/completions; and on /v1/embeddings, where the prompt is watched."""


Script = Literal[
    "Arabic",
    "Armenian",
    "Bengali",
    "Cyrillic",
    "Devanagari",
    "Ethiopic",
    "Georgian",
    "Greek",
    "Gujarati",
    "Gurmukhi",
    "Han",
    "Hangul",
    "Hebrew",
    "Kana",
    "Kannada",
    "Khmer",
    "Lao",
    "Latin",
    "Malayalam",
    "Myanmar",
    "Sinhala",
    "Tamil",
    "Telugu",
    "Thai",
]
"""Writing systems by their Unicode names; `Kana` is Hiragana and Katakana."""
Scripts = Annotated[list[Script], BeforeValidator(_as_list, json_schema_input_type=Script | list[Script])]


class InProcessSettings(_Strict):
    """What a model in the guard's own process is kept from writing. An upstream's decoding cannot be reached."""

    ban_scripts: Scripts = []
    """Scripts that it cannot write a character of, unless the request has some of it."""
    break_cycles: bool = False
    """Three copies in a row of up to 256 tokens, 32 tokens or more together, are not followed by a fourth."""


class Policy(_Strict):
    """A policy of QwQ Guard: which detectors watch a model's text, and what is done about what they find."""

    policy_version: Literal[1]
    """Version of this format."""
    name: Id
    """Shown in metrics, logs and answers."""
    description: str = Field(default="", max_length=2_000)
    """One line."""
    extends: str | None = None
    """A built-in policy's name or a path relative to this file. This file may add to it; it overrides a rule by id,
    or a detector's settings, with `override: true`."""
    detectors: dict[
        Id, Annotated[DetectorEntry, BeforeValidator(_or_nothing, json_schema_input_type=DetectorEntry | None)]
    ] = {}
    """Name for rules: settings."""
    hold: dict[ChannelName, HoldSettings] = {}
    """Per channel; seldom needed."""
    prompt: PromptSettings = PromptSettings()
    """How prompts are treated that are blocked, or hold what cannot be reviewed."""
    in_process: InProcessSettings = InProcessSettings()
    """For a model in the guard's own process only."""
    on_error: Literal["cut", "flag"] = "cut"
    """What is done when a detector fails."""
    rules: list[Rule] = []

    def holds(self) -> dict[Channel, Hold]:
        """The hold of every channel. Raises `ValueError` if settings and defaults do not fit."""
        given = {Channel(name): settings for name, settings in self.hold.items()}
        return {
            channel: given[channel].over(hold) if channel in given else hold for channel, hold in DEFAULT_HOLD.items()
        }


def keys_beside(path: tuple[str | int, ...]) -> list[str]:
    """The keys that could have stood at `path` of a policy file."""
    kind: Any = Policy
    for step in path[:-1]:
        kind = _inside(kind, step)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return list(kind.model_fields)
    if get_origin(kind) is dict:
        return [str(name) for name in get_args(get_args(kind)[0])]
    return []


def _inside(kind: Any, step: str | int) -> Any:
    """The type of what stands under `step` in a value of type `kind`."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        kind = kind.model_fields[str(step)].annotation if step in kind.model_fields else None
    elif get_origin(kind) in {dict, list}:
        kind = get_args(kind)[-1]
    while kind is not None and (members := [each for each in get_args(kind) if each is not type(None)]):
        if get_origin(kind) in {dict, list, Literal}:
            break
        kind = members[0]  # Annotated[X, ...] and X | None
    return kind
