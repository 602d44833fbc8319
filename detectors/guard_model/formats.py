"""How each guard model behind a chat API is asked, and what its answer means.

    format              asked about           answers                                      risk from
    qwen3guard_gen      everything at once    Safety: Unsafe / Categories: Violent, PII    P of the three levels
    llama_guard         everything at once    unsafe / S1,S10                              P(unsafe)
    granite_guardian    a risk at a time      Yes, or <score> yes </score>                 P(yes)
    shieldgemma         a guideline at a time Yes                                          P(yes)

The text of the conversation goes to the server as messages, and its chat template makes the model's own prompt of them
(`chat_template_kwargs` as vLLM, SGLang and llama.cpp take them). Where the server tells no log probabilities, the
answer's word counts: safe 0, controversial 0.5, unsafe 0.9. What looks like a template's own mark in a text gets a
space, because servers read such marks wherever they stand.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from detectors.guard_model.adapter import Level
from detectors.guard_model.answers import Answer, Unreadable, word_probabilities
from detectors.guard_model.categories import OTHER, labels_of
from guard.contract import STOP, Channel

GUIDELINES: Final[Mapping[str, str]] = MappingProxyType(
    {
        OTHER: '"No Dangerous Content": no instructions, encouragement or help to hurt oneself or others, among them '
        "weapons, explosives, terrorism, suicide and eating disorders.",
        "harassment": '"No Harassment": nothing malicious, intimidating, bullying or abusive against a person.',
        "hate": '"No Hate Speech": no hatred, dehumanisation or call for violence or discrimination on account of '
        "race, ethnicity, religion, gender, disability, age, nationality or sexual orientation.",
        "sexual_content": '"No Sexually Explicit Information": no explicit description of sexual acts; medical and '
        "educational text is allowed.",
    }
)
"""ShieldGemma's four kinds of harm, in our words. The model was trained on those of its card: set `ask` to them."""
_RISKS: Final[Mapping[str, str]] = MappingProxyType({OTHER: "harm"})
_LEVELS: Final = tuple(str(level) for level in Level)
_SAFETY: Final = re.compile(r"^\s*Safety:\s*(Safe|Unsafe|Controversial)\b", re.MULTILINE | re.IGNORECASE)
_CATEGORIES: Final = re.compile(r"^\s*Categories:(.*)$", re.MULTILINE | re.IGNORECASE)
_LLAMA: Final = re.compile(r"\s*(safe|unsafe)\s*(?:\n\s*([Ss]\d+(?:\s*,\s*[Ss]\d+)*)\s*)?\Z")
_THOUGHT: Final = re.compile(r"<think>.*?</think>", re.DOTALL)
_SCORE: Final = re.compile(r"<score>\s*(yes|no)\s*(?:</score>|\Z)", re.IGNORECASE)
_YES_NO: Final = re.compile(r"\s*(yes|no)\b", re.IGNORECASE)
_CONTROL: Final = re.compile(
    r"<(?=\||/?(?:start_of_turn|end_of_turn|bos|eos|s|pad|unk|think|score)>|/?(?:BEGIN|END)\s)", re.IGNORECASE
)
"""Where a text could speak as the chat template does: to end its own message, or to begin the judge's answer."""


class Question(NamedTuple):
    """A request to the chat API. `label` is what a yes means; empty where the answer tells."""

    label: str
    body: Mapping[str, Any]


class Opinion(NamedTuple):
    """A judgement without the text it is about."""

    risk: float
    level: Level
    categories: Sequence[str]


class Format(Protocol):
    """One kind of guard model."""

    def questions(self, model: str, prompt: str, text: str, channel: Channel) -> Sequence[Question]:
        """What is asked about `text`: a message of the user on the prompt's channel, else the answer to `prompt`."""
        ...

    def read(self, asked: Sequence[tuple[Question, Answer]]) -> Opinion:
        """What the answers mean. Raises `Unreadable`."""
        ...


class Qwen3GuardGen:
    """Qwen3Guard-Gen 0.6B, 4B, 8B."""

    def __init__(self, controversial: float) -> None:
        self._controversial = controversial

    def questions(self, model: str, prompt: str, text: str, channel: Channel) -> Sequence[Question]:
        return [Question("", _body(model, _messages(prompt, text, channel), 128))]

    def read(self, asked: Sequence[tuple[Question, Answer]]) -> Opinion:
        ((_, answer),) = asked
        said = _SAFETY.search(answer.text)
        if said is None:
            raise Unreadable("it has no line `Safety:` with a level")
        level = Level(said[1].lower())
        likely = word_probabilities(answer, _LEVELS, after="Safety:")
        if likely is None:
            risk = {Level.SAFE: 0.0, Level.CONTROVERSIAL: self._controversial, Level.UNSAFE: STOP}[level]
        else:
            risk = likely[Level.UNSAFE] + self._controversial * likely[Level.CONTROVERSIAL]
        named = _CATEGORIES.search(answer.text)
        return Opinion(min(risk, 1.0), level, labels_of(named[1].split(",")) if named else (OTHER,))


class LlamaGuard:
    """Llama Guard 3 and 4."""

    def questions(self, model: str, prompt: str, text: str, channel: Channel) -> Sequence[Question]:
        return [Question("", _body(model, _messages(prompt, text, channel), 48))]

    def read(self, asked: Sequence[tuple[Question, Answer]]) -> Opinion:
        ((_, answer),) = asked
        said = _LLAMA.match(answer.text)
        if said is None:
            raise Unreadable("it is not `safe`, or `unsafe` and a line of categories")
        likely = word_probabilities(answer, ("safe", "unsafe"))
        risk = likely["unsafe"] if likely else STOP if said[1] == "unsafe" else 0.0
        return Opinion(risk, Level(said[1]), labels_of((said[2] or "").split(",")))


class YesOrNo:
    """A model that answers whether a text does one harmful thing: Granite Guardian, ShieldGemma."""

    def __init__(self, ask: Mapping[str, str], *, granite: bool) -> None:
        self._ask = ask or (_RISKS if granite else GUIDELINES)
        self._granite = granite

    def questions(self, model: str, prompt: str, text: str, channel: Channel) -> Sequence[Question]:
        messages = _messages(prompt, text, channel)
        return [
            Question(label, {**_body(model, messages, 48), "chat_template_kwargs": self._template(asked)})
            for label, asked in self._ask.items()
        ]

    def read(self, asked: Sequence[tuple[Question, Answer]]) -> Opinion:
        risks = {question.label: self._risk(answer) for question, answer in asked}
        highest = max(risks.values())
        found = [label for label, risk in risks.items() if risk >= 0.5] or [max(risks, key=risks.__getitem__)]
        return Opinion(highest, Level.UNSAFE if highest >= 0.5 else Level.SAFE, labels_of(found))

    def _template(self, asked: str) -> Mapping[str, Any]:
        if not self._granite:
            return {"guideline": asked}
        # 3.0 to 3.2 read `risk_name`, later ones `criteria_id`
        return {"guardian_config": {"risk_name": asked, "criteria_id": asked}, "think": False}

    def _risk(self, answer: Answer) -> float:
        text = _THOUGHT.sub("", answer.text)
        scored = _SCORE.search(text)
        said = scored or _YES_NO.match(text)
        if said is None:
            raise Unreadable("it is neither yes nor no")
        likely = word_probabilities(answer, ("yes", "no"), after="<score>" if scored else "")
        return likely["yes"] if likely else STOP if said[1].lower() == "yes" else 0.0


def format_of(name: str, ask: Mapping[str, str], controversial: float) -> Format:
    """The format that a policy calls `name`."""
    match name:
        case "qwen3guard_gen":
            return Qwen3GuardGen(controversial)
        case "llama_guard":
            return LlamaGuard()
        case _:
            return YesOrNo(ask, granite=name == "granite_guardian")


def _messages(prompt: str, text: str, channel: Channel) -> list[dict[str, str]]:
    prompt, text = (_CONTROL.sub("< ", each) for each in (prompt, text))
    if channel is Channel.PROMPT:
        return [{"role": "user", "content": text}]
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": text}]


def _body(model: str, messages: Sequence[Mapping[str, str]], max_tokens: int) -> Mapping[str, Any]:
    return {
        "model": model,
        "messages": messages,
        "max_tokens": max_tokens,
        "temperature": 0,
        "logprobs": True,
        "top_logprobs": 5,
        "stream": False,
    }
