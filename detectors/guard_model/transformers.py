"""Guard models in this process: sequence classifiers, and Qwen3Guard-Stream. The only module here that knows torch.

    Qwen3Guard-Stream: a Qwen3 backbone, and after its last layer two heads each for the user's turn and the answer

    <|im_start|>user ... <|im_end|>   <|im_start|>assistant   t1 t2 t3 t4 | t5 t6 t7 ...
                              ^ query heads                   ^^ heads at every token, 32 tokens a pass
    keys and values           |---------- kept, never computed twice ---->|

The published `stream_generate` computes the whole sequence anew for each token (QwenLM/Qwen3Guard issue 22); here
`forward` is called on what is new, with the kept keys and values. The heads are built here from the weights' names, so
that no code of the model need run (transformers 5 has moved what that code imports). As its authors do, a token counts
only if the one before it is harmful as well.

The file is long because everything of the detector that needs torch is here, and nothing of it anywhere else.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NamedTuple

import torch
import transformers
from transformers.models.qwen3.modeling_qwen3 import Qwen3RMSNorm

from detectors.guard_model.adapter import GuardAdapter, Judge, Judgement, Level, Reason, Unavailable
from detectors.guard_model.categories import labels_of
from detectors.guard_model.settings import SAFE, TransformersGuard
from detectors.guard_model.settled import settled_end
from guard.contract import WARN, Channel, DetectorError

CHUNK: Final = 32
"""Tokens of an answer in one pass."""
_PREFILL: Final = 512
"""Tokens of context in one pass."""
_NO_THOUGHT: Final = "<think>\n\n</think>\n\n"
"""Before an answer whose thinking is judged by itself, as in the authors' evaluation."""
_LEVELS: Final = tuple(Level)
_NOTHING: Final = Judgement(0.0, Level.SAFE, (), 0)


def transformers_adapter(settings: TransformersGuard, controversial: float) -> GuardAdapter:
    """The adapter for the kind of model that is set."""
    if settings.kind == "qwen3guard_stream":
        return StreamAdapter(settings, controversial)
    return ClassifierAdapter(settings)


class _Place(NamedTuple):
    """Where a model is, in `from_pretrained`'s words."""

    source: str
    options: Mapping[str, Any]
    device: str


def _find(settings: TransformersGuard) -> _Place:
    folder = Path(settings.model).expanduser()
    local = folder.is_dir()
    if not local and settings.model.startswith(("/", "./", "../", "~")):
        raise DetectorError(f"transformers: model: there is no folder {folder}")
    if settings.threads:
        torch.set_num_threads(settings.threads)
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    options = {"local_files_only": local, "trust_remote_code": settings.trust_remote_code}
    auto = "cuda" if torch.cuda.is_available() else "cpu"
    device = auto if settings.device == "auto" else settings.device
    return _Place(str(folder) if local else settings.model, options, device)


def _cannot(settings: TransformersGuard, error: Exception) -> DetectorError:
    what = str(error).strip().partition("\n")[0][:300]
    return DetectorError(f"transformers: {settings.model} cannot be loaded: {type(error).__name__}: {what}")


# --- sequence classifiers


class ClassifierAdapter:
    """Any model for sequence classification. It is shown the end of the text so far and the new text, no request."""

    every = 400

    def __init__(self, settings: TransformersGuard) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._model: Any = None
        self._labels: Sequence[str] = ()
        """What each class means, by its number."""
        self._limit = 0

    def load(self) -> None:
        settings = self._settings
        place = _find(settings)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(place.source, **place.options)
            model = transformers.AutoModelForSequenceClassification.from_pretrained(
                place.source, dtype=settings.dtype, **place.options
            )
            self._model = model.to(place.device).eval()
        except Exception as error:
            raise _cannot(settings, error) from error
        names = [str(model.config.id2label[number]) for number in range(model.config.num_labels)]
        if unnamed := [name for name in names if name not in settings.labels]:
            raise DetectorError(
                f"transformers: labels: {settings.model} has the classes {', '.join(names)}; say what "
                f"{', '.join(unnamed)} mean, each as a label of guard_model or `safe`"
            )
        self._labels = [settings.labels[name] for name in names]
        positions = getattr(model.config, "max_position_embeddings", None) or 512
        self._limit = min(int(self._tokenizer.model_max_length), int(positions))

    def open(self, channel: Channel) -> Judge:
        return _ClassifierJudge(self)

    def judge(self, text_so_far: str, new_text: str) -> Judgement:
        """The worst of the pieces that cover the new text. Raises `Unavailable`."""
        try:
            found = [self._opinion(text) for text in self._pieces(text_so_far, new_text)]
        except Exception as error:
            raise Unavailable(Reason.MODEL_FAILED) from error
        return max(found, key=lambda each: each.risk)._replace(consumed=len(new_text))

    def _pieces(self, text_so_far: str, new_text: str) -> list[str]:
        """Texts that the model can read whole: context is left out first, then the new text is cut in two, which share
        the quarter of it in the middle."""
        while text_so_far and not self._fits(text_so_far + new_text):
            text_so_far = text_so_far[(len(text_so_far) + 1) // 2 :]
        length = len(new_text)
        if length < 8 or self._fits(text_so_far + new_text):
            return [text_so_far + new_text]
        return [*self._pieces("", new_text[: length * 5 // 8]), *self._pieces("", new_text[length * 3 // 8 :])]

    def _fits(self, text: str) -> bool:
        return len(self._tokenizer(text, split_special_tokens=True, verbose=False)["input_ids"]) <= self._limit

    def _opinion(self, text: str) -> Judgement:
        encoded = self._tokenizer(
            text, split_special_tokens=True, truncation=True, max_length=self._limit, return_tensors="pt"
        )
        with self._lock, torch.inference_mode():
            logits = self._model(**encoded.to(self._model.device)).logits[0].float()
        several = self._model.config.problem_type == "multi_label_classification" or len(self._labels) == 1
        chances: list[float] = (logits.sigmoid() if several else logits.softmax(-1)).tolist()
        by_label: dict[str, float] = {}
        for label, chance in zip(self._labels, chances, strict=True):
            by_label[label] = max(by_label.get(label, 0.0), chance) if several else by_label.get(label, 0.0) + chance
        by_label.pop(SAFE, None)
        if not by_label:
            return Judgement(0.0, Level.SAFE, (), 0)
        risk = min(1.0, max(by_label.values()) if several else sum(by_label.values()))
        likely = [label for label, chance in by_label.items() if chance >= WARN]
        named = labels_of(likely or [max(by_label, key=by_label.__getitem__)])
        return Judgement(risk, Level.UNSAFE if risk >= WARN else Level.SAFE, named, 0)


class _ClassifierJudge:
    def __init__(self, adapter: ClassifierAdapter) -> None:
        self._adapter = adapter

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        return self._adapter.judge(text_so_far, new_text)


# --- Qwen3Guard-Stream


class Qwen3GuardStream(transformers.Qwen3PreTrainedModel):  # type: ignore[misc]
    """Qwen3 with the four heads of Qwen3Guard-Stream, by the names that its weights have."""

    def __init__(self, config: Any) -> None:
        super().__init__(config)
        inner, eps = config.guard_inner_size, config.rms_norm_eps
        self.model = transformers.Qwen3Model(config)
        for side in ("", "query_"):
            self.add_module(f"{side}risk_level_category_pre", torch.nn.Linear(config.hidden_size, inner, bias=False))
            self.add_module(f"{side}risk_level_category_layernorm", Qwen3RMSNorm(inner, eps=eps))
            for head in ("risk_level", "category"):
                size = getattr(config, f"num_{side}{head}")
                self.add_module(f"{side}{head}_head", torch.nn.Linear(inner, size, bias=False))
        self.post_init()

    def forward(self, input_ids: Any, past_key_values: Any = None, use_cache: bool = True) -> Any:
        """The logits of every position, and the keys and values with those of `input_ids`."""
        out = self.model(input_ids=input_ids, past_key_values=past_key_values, use_cache=use_cache)
        logits: dict[str, Any] = {}
        for side in ("", "query_"):
            inner = self.get_submodule(f"{side}risk_level_category_pre")(out.last_hidden_state)
            inner = self.get_submodule(f"{side}risk_level_category_layernorm")(inner)
            for head in ("risk_level", "category"):
                logits[f"{side}{head}_logits"] = self.get_submodule(f"{side}{head}_head")(inner)
        return SimpleNamespace(**logits, past_key_values=out.past_key_values)


class _Names(NamedTuple):
    """What the numbers of a side's classes mean."""

    levels: Sequence[Level]
    categories: Sequence[str]


class StreamAdapter:
    """Qwen3Guard-Stream 0.6B, 4B, 8B."""

    every = 96
    """About 24 tokens."""

    def __init__(self, settings: TransformersGuard, controversial: float) -> None:
        self.limit = settings.context_tokens
        """Tokens in one context."""
        self.answer_names = self.query_names = _Names((), ())
        self._settings = settings
        self._weights = {Level.SAFE: 0.0, Level.CONTROVERSIAL: controversial, Level.UNSAFE: 1.0}
        self._lock = threading.Lock()
        self._tokenizer: Any = None
        self._model: Any = None

    def load(self) -> None:
        settings = self._settings
        place = _find(settings)
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(place.source, **place.options)
            model, missing = self._load_model(place)
        except Exception as error:
            raise _cannot(settings, error) from error
        if missing:
            raise DetectorError(f"transformers: {settings.model} has no weights {', '.join(sorted(missing)[:3])}")
        self._model = model.to(place.device).eval()
        self.limit = min(self.limit, getattr(model.config, "max_position_embeddings", None) or self.limit)
        self.answer_names = self._names("response")
        self.query_names = self._names("query")

    def open(self, channel: Channel) -> Judge:
        return _QueryJudge(self) if channel is Channel.PROMPT else _StreamJudge(self, channel)

    # --- what the judges use

    def ids(self, text: str) -> tuple[list[int], list[int]]:
        """The tokens of a text and where each starts. What looks like a control token in it is text."""
        encoded = self._tokenizer(
            text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True, verbose=False
        )
        return list(encoded["input_ids"]), [start for start, _ in encoded["offset_mapping"]]

    def control(self, text: str) -> list[int]:
        """The tokens of a template's own words."""
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def forward(self, ids: Sequence[int], cache: Any) -> Any:
        """One pass over new tokens. Raises `Unavailable`."""
        try:
            with self._lock, torch.inference_mode():
                return self._model(
                    input_ids=torch.tensor([ids], device=self._model.device), past_key_values=cache, use_cache=True
                )
        except Exception as error:
            raise Unavailable(Reason.MODEL_FAILED) from error

    def risks(self, logits: Any, names: _Names) -> list[tuple[float, Level]]:
        """The risk and the likeliest level at each position of one pass."""
        weights = torch.tensor([self._weights[level] for level in names.levels])
        chances = logits[0].float().cpu().softmax(-1)
        return [
            (min(1.0, risk), names.levels[level])
            for risk, level in zip((chances @ weights).tolist(), chances.argmax(-1).tolist(), strict=True)
        ]

    # --- inside

    def _load_model(self, place: _Place) -> tuple[Any, Iterable[str]]:
        """The model, and what of its weights is not there."""
        load = {"dtype": self._settings.dtype, "output_loading_info": True, **place.options}
        if self._settings.trust_remote_code:
            model, told = transformers.AutoModel.from_pretrained(place.source, **load)
            return model, told["missing_keys"]
        fields, _ = transformers.Qwen3Config.get_config_dict(place.source, local_files_only=load["local_files_only"])
        config = transformers.Qwen3Config.from_dict(
            {name: value for name, value in fields.items() if name not in ("auto_map", "model_type", "architectures")}
        )
        del load["trust_remote_code"]
        model, told = Qwen3GuardStream.from_pretrained(place.source, config=config, **load)
        return model, told["missing_keys"]

    def _names(self, side: str) -> _Names:
        config = self._model.config
        try:
            levels = {int(number): Level(name.lower()) for number, name in _map(config, f"{side}_risk_level_map")}
            categories = {int(number): str(name) for number, name in _map(config, f"{side}_category_map")}
            named = _Names([levels[at] for at in range(len(levels))], [categories[at] for at in range(len(categories))])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DetectorError(
                f"transformers: {self._settings.model} is no Qwen3Guard-Stream: its configuration does not name its "
                f"{side} levels (safe, unsafe, controversial) and categories"
            ) from error
        if Level.UNSAFE not in named.levels:
            raise DetectorError(f"transformers: {self._settings.model} does not know the level `unsafe`")
        return named


def _map(config: Any, name: str) -> Iterable[tuple[Any, Any]]:
    pairs: Iterable[tuple[Any, Any]] = getattr(config, name).items()
    return pairs


class _QueryJudge:
    """The user's turn, judged at its end: each call is a pass of its own."""

    def __init__(self, adapter: StreamAdapter) -> None:
        self._adapter = adapter

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        adapter = self._adapter
        before, after = adapter.control("<|im_start|>user\n"), adapter.control("<|im_end|>")
        room = adapter.limit - len(before) - len(after)
        new, _ = adapter.ids(new_text)
        context = adapter.ids(text_so_far)[0][-max(1, room - len(new)) :] if len(new) < room else []
        worst = _NOTHING
        for at in range(0, max(1, len(new)), room * 3 // 4):
            out = adapter.forward([*before, *context, *new[at : at + room], *after], None)
            risk, level = adapter.risks(out.query_risk_level_logits[:, -1:], adapter.query_names)[0]
            if risk >= worst.risk:
                category = adapter.query_names.categories[int(out.query_category_logits[0, -1].argmax())]
                worst = Judgement(risk, level, labels_of([category]), 0)
        return worst._replace(consumed=len(new_text))


class _StreamJudge:
    """An answer or a thought, judged at every token. Its keys and values go when it goes."""

    def __init__(self, adapter: StreamAdapter, channel: Channel) -> None:
        self._adapter = adapter
        self._channel = channel
        self._cache: Any = None
        self._tokens = 0
        """In the cache."""
        self._header: list[int] = []
        self._recent: list[int] = []
        """The last tokens of the text, to go on with when the context is full."""
        self._ahead = 0
        """Code points that have been read but not consumed: a harmful token that waits for the one after it."""
        self._last = (0.0, Level.SAFE)
        """The risk and the level of the last token."""

    def score(self, prompt: str, text_so_far: str, new_text: str, *, final: bool = False) -> Judgement:
        if not self._header:
            self._begin(prompt, text_so_far)
        unread = new_text[self._ahead :]
        end = len(unread) if final else settled_end(unread)
        ids, starts = self._adapter.ids(unread[:end])
        worst = _NOTHING
        for at in range(0, len(ids), CHUNK):
            judgement = self._read(ids[at : at + CHUNK])
            worst = judgement if judgement.risk >= worst.risk else worst
        read = self._ahead + end
        consumed = read
        if ids and self._last[0] >= WARN and not final:
            consumed = self._ahead + starts[-1]
        self._ahead = read - consumed
        return worst._replace(consumed=consumed)

    def _begin(self, prompt: str, text_so_far: str) -> None:
        adapter = self._adapter
        asked = adapter.ids(prompt)[0][-adapter.limit // 2 :]
        between = "<|im_end|>\n<|im_start|>assistant\n" + ("" if self._channel is Channel.REASONING else _NO_THOUGHT)
        self._header = [*adapter.control("<|im_start|>user\n"), *asked, *adapter.control(between)]
        self._recent = adapter.ids(text_so_far)[0]
        self._restart()

    def _restart(self) -> None:
        """Read the header and the end of the text into an empty cache."""
        self._recent = self._recent[-self._adapter.limit // 4 :]
        ids = [*self._header, *self._recent]
        self._cache, self._tokens = None, len(ids)
        for at in range(0, len(ids), _PREFILL):
            self._cache = self._adapter.forward(ids[at : at + _PREFILL], self._cache).past_key_values

    def _read(self, ids: Sequence[int]) -> Judgement:
        """One pass over new tokens; the worst of them, each no worse than the one before it."""
        adapter = self._adapter
        if self._tokens + len(ids) > adapter.limit:
            self._restart()
        out = adapter.forward(ids, self._cache)
        self._cache = out.past_key_values
        self._tokens += len(ids)
        self._recent = [*self._recent, *ids][-adapter.limit // 4 :]
        worst = _NOTHING
        for at, (risk, level) in enumerate(adapter.risks(out.risk_level_logits, adapter.answer_names)):
            both = min(self._last[0], risk)
            if both >= worst.risk:
                category = adapter.answer_names.categories[int(out.category_logits[0, at].argmax())]
                worst = Judgement(both, min(self._last[1], level, key=_LEVELS.index), labels_of([category]), 0)
            self._last = risk, level
        return worst
