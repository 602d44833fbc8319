"""Chat templates: messages as the text that the model was trained on.

Jinja in a sandbox, with what Hugging Face tokenizers offer a template. A template is the operator's, the messages are a
client's: every turn of a loop and every macro call is counted against a budget of steps and of time, and the text
against a length, so that no pair of them can hold the process up.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

LONGEST_FILE: Final = 4 << 20
"""Bytes of a template file; a tokenizer's configuration with many added tokens has half a megabyte."""
LONGEST_PROMPT: Final = 8 << 20
"""Code points of a rendered prompt."""
MOST_STEPS: Final = 1_000_000
"""Turns of loops and calls of macros in one rendering."""
MOST_SECONDS: Final = 0.5
"""Of one rendering. An ordinary one takes a millisecond."""
_STEP: Final = "guard_step"


class TemplateFault(Exception):
    """A template cannot be read, or refuses these messages. Says why, in words for the operator."""


class _Generation(Extension):
    """`{% generation %}`, with which some templates mark the model's own words; it changes nothing here."""

    tags: frozenset[str] = frozenset({"generation"})  # type: ignore[assignment]

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        sizes = [len(side) for side in (left, right) if isinstance(side, str | list | tuple)]
        counts = [side for side in (left, right) if isinstance(side, int)]
        if operator == "**" or (sizes and counts and sizes[0] * counts[0] > LONGEST_PROMPT):
            raise SecurityError("a template may not compute that")
        return super().call_binop(context, operator, left, right)


class ChatTemplate:
    """One template, compiled. `given` are what it may use beside the messages: `bos_token` and the like."""

    def __init__(self, source: str, name: str = "template", *, given: Mapping[str, Any] | None = None) -> None:
        """Raises `TemplateFault` if `source` is not a template."""
        self.name = name
        environment = _Environment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation])
        environment.filters["tojson"] = _tojson
        environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
        try:
            self._template = environment.from_string(_counted(environment.parse(source)))
        except TemplateError as error:
            line = getattr(error, "lineno", 0)
            raise TemplateFault(f"{name}, line {line}: {error}") from error
        self._given = dict(given or {})

    def render(self, messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any] | None = None) -> str:
        """The prompt, with the beginning of the model's turn. `options` are the request's `chat_template_kwargs`.

        Raises `TemplateFault` if the template refuses the messages, or takes too long over them.
        """
        said = [_plain(message) for message in messages]
        given = {**self._given, **(options or {}), "messages": said, "tools": None, "add_generation_prompt": True}
        pieces: list[str] = []
        size = 0
        try:
            for piece in self._template.generate({**given, _STEP: _budget()}):
                size += len(piece)
                if size > LONGEST_PROMPT:
                    raise SecurityError(f"the prompt is longer than {LONGEST_PROMPT} characters")
                pieces.append(piece)
        except RecursionError:
            raise TemplateFault(f"{self.name}: it calls itself without end") from None
        except Exception as error:  # a template can raise whatever Python can
            raise TemplateFault(f"{self.name}: {str(error)[:200]}") from error
        return "".join(pieces)


def load_template(path: Path) -> ChatTemplate:
    """The template in a Jinja file, or in a tokenizer's configuration (`tokenizer_config.json`). It is tried out.

    Raises `TemplateFault` if there is none, or it does not render a plain conversation.
    """
    try:
        if path.stat().st_size > LONGEST_FILE:
            raise TemplateFault(f"{path}: is longer than {LONGEST_FILE} bytes, so it is no chat template")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise TemplateFault(f"{path}: cannot be read ({getattr(error, 'strerror', None) or 'not UTF-8'})") from error
    given: dict[str, Any] = {}
    if path.suffix == ".json":
        text, given = _of_tokenizer(path, text)
    template = ChatTemplate(text, str(path), given=given)
    probe = "What is a canary?"
    if probe not in template.render([{"role": "user", "content": probe}]):
        raise TemplateFault(f"{path}: does not show the messages; is it a chat template?")
    return template


def _of_tokenizer(path: Path, text: str) -> tuple[str, dict[str, Any]]:
    try:
        config = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise TemplateFault(f"{path}: is not JSON") from error
    found = config.get("chat_template") if isinstance(config, dict) else None
    if isinstance(found, list):
        by_name = {each.get("name"): each.get("template") for each in found if isinstance(each, dict)}
        found = by_name.get("default")
    if not isinstance(found, str):
        raise TemplateFault(f"{path}: has no `chat_template`; give the file that has, often chat_template.jinja")
    tokens = {name: config.get(name) for name in ("bos_token", "eos_token", "pad_token", "unk_token")}
    return found, {
        name: value.get("content") if isinstance(value, dict) else value for name, value in tokens.items() if value
    }


def _counted(template: nodes.Template) -> nodes.Template:
    """`template` with a step counted in every loop and macro."""
    for node in template.find_all((nodes.For, nodes.Macro)):
        call = nodes.Call(nodes.Name(_STEP, "load"), [], [], None, None)
        assert isinstance(node, nodes.For | nodes.Macro)
        node.body.insert(0, nodes.ExprStmt(call).set_lineno(node.lineno, override=True))
    return template


def _budget() -> Callable[[], None]:
    left, deadline = MOST_STEPS, time.monotonic() + MOST_SECONDS

    def step() -> None:
        nonlocal left
        left -= 1
        if left < 0 or (left % 1_000 == 0 and time.monotonic() > deadline):
            raise SecurityError("it takes too long over these messages")

    return step


def _tojson(value: Any, indent: int | None = None, **_more: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _now(form: str) -> str:
    return datetime.now().strftime(form)


def _refuse(message: object) -> None:
    raise TemplateError(str(message))


def _plain(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message with its text as one string, as templates of text models expect it."""
    content = message.get("content")
    if isinstance(content, list):
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, Mapping))
    role = message.get("role")
    return {**message, "role": "system" if role == "developer" else role, "content": content or ""}


def _chatml(system: str = "", opening: str = "", *, keeps_thinking: bool = True) -> str:
    """ChatML as Qwen's models have it: a system message of their own, the beginning of the model's turn, and whether
    earlier thinking stays in the conversation."""
    default = "{{ '<|im_start|>system\\n" + system + "<|im_end|>\\n' }}"
    said = "message.content" if keeps_thinking else "message.content.split('</think>')[-1].lstrip('\\n')"
    return (
        ("{% if messages and messages[0].role != 'system' %}" + default + "{% endif %}" if system else "")
        + "{% for message in messages %}"
        + "{% set said = " + said + " if message.role == 'assistant' else message.content %}"
        + "{{ '<|im_start|>' + message.role + '\\n' + said + '<|im_end|>\\n' }}"
        + "{% endfor %}"
        + "{{ '<|im_start|>assistant\\n" + opening + "' }}"
    )  # fmt: skip


BUILT_IN: Final[Mapping[str, str]] = MappingProxyType(
    {
        "*qwq*preview*": _chatml(
            "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. "
            "You should think step-by-step."
        ),
        "*qwq*": _chatml(opening="<think>\\n", keeps_thinking=False),
        "*qwen2.5*": _chatml("You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
    }
)
"""Templates of models without tools, by glob of the lower-cased model name; the first that matches counts."""


@lru_cache(maxsize=64)
def built_in(model: str) -> ChatTemplate | None:
    """The template known for `model`, if its name tells."""
    name = model.lower()
    found = next((source for glob, source in BUILT_IN.items() if fnmatchcase(name, glob)), None)
    return ChatTemplate(found, model) if found is not None else None
