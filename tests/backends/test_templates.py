"""Chat templates: Qwen's, an operator's, and those that would do harm."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.backends import templates
from guard.backends.templates import ChatTemplate, TemplateFault, built_in, load_template
from tests.support.dialect_backend import MESSAGES
from tests.support.rule_server import qwq_prompt

SIMPLE = "{% for m in messages %}[{{ m.role }}] {{ m.content }}\n{% endfor %}{{ bos_token }}"
USER = [{"role": "user", "content": "Hi"}]
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
TURNS = st.lists(st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": WORDS}), max_size=4)


def rendered(model: str, messages: list[dict[str, Any]]) -> str:
    template = built_in(model)
    assert template is not None
    return template.render(messages)


def test_qwq_has_no_words_of_its_own_and_forgets_earlier_thinking() -> None:
    assert rendered("Qwen/QwQ-32B", MESSAGES) == qwq_prompt(MESSAGES)
    assert rendered("qwq:latest", USER) == "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n<think>\n"


@given(TURNS)
def test_qwq_over_any_conversation(turns: list[dict[str, str]]) -> None:
    conversation = [*turns, {"role": "user", "content": "?"}]
    assert rendered("qwq-32b", conversation) == qwq_prompt(conversation)


@pytest.mark.parametrize(
    ("model", "system"),
    [
        ("Qwen/Qwen2.5-7B-Instruct", "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."),
        (
            "Qwen/QwQ-32B-Preview",
            "You are a helpful and harmless assistant. You are Qwen developed by Alibaba. You should think "
            "step-by-step.",
        ),
    ],
)
def test_others_have_a_default_for_the_system(model: str, system: str) -> None:
    rest = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    assert rendered(model, USER) == f"<|im_start|>system\n{system}<|im_end|>\n{rest}"
    assert rendered(model, [{"role": "system", "content": "S"}, *USER]) == f"<|im_start|>system\nS<|im_end|>\n{rest}"


def test_a_model_that_is_not_known_has_no_template() -> None:
    assert built_in("llama-3-8b") is None


def test_parts_and_developers_are_what_a_text_model_knows() -> None:
    messages: list[dict[str, Any]] = [
        {"role": "developer", "content": "D"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": None},
    ]
    assert ChatTemplate(SIMPLE).render(messages) == "[system] D\n[user] ab\n[assistant] \n"


def test_a_template_file_as_it_is_or_in_a_tokenizers_configuration(tmp_path: Path) -> None:
    plain = tmp_path / "chat_template.jinja"
    plain.write_text(SIMPLE, encoding="utf-8")
    assert load_template(plain).render(USER) == "[user] Hi\n"
    config = tmp_path / "tokenizer_config.json"
    named = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": SIMPLE}]
    for found in (SIMPLE, named):
        config.write_text(json.dumps({"chat_template": found, "bos_token": {"content": "<s>"}}), encoding="utf-8")
        assert load_template(config).render(USER) == "[user] Hi\n<s>"


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("a.jinja", "{% if %}", "line 1: Expected an expression"),
        ("a.jinja", "no messages", "does not show the messages"),
        ("a.jinja", "{{ raise_exception('not so') }}", "not so"),
        ("a.json", "{", "is not JSON"),
        ("a.json", "[]", "has no `chat_template`"),
        ("a.json", '{"chat_template": [{"name": "rag", "template": "x"}]}', "has no `chat_template`"),
        ("a.jinja", "\ud800", "cannot be read"),
        ("missing.jinja", None, "cannot be read"),
    ],
)
def test_a_file_that_will_not_do_is_refused_with_the_reason(
    tmp_path: Path, name: str, text: str | None, says: str
) -> None:
    path = tmp_path / name
    if text is not None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(TemplateFault, match=says):
        load_template(path)


def test_a_giant_file_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "LONGEST_FILE", 10)
    path = tmp_path / "a.jinja"
    path.write_text("x" * 11)
    with pytest.raises(TemplateFault, match="longer than 10 bytes"):
        load_template(path)


def test_what_hugging_face_offers_is_there() -> None:
    source = (
        "{% generation %}{{ {'b': 'ü'} | tojson }}{% endgeneration %}{{ strftime_now('%Y') | length }}"
        "{% for m in messages %}{% break %}{% endfor %}{{ enable_thinking }}"
    )
    assert ChatTemplate(source).render(USER, {"enable_thinking": False}) == '{"b": "ü"}4False'


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% set x = 1 %}{% endfor %}{% endfor %}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{{ i }}{% endfor %}{% endfor %}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ 'x' * 1000000000 }}",
        "{{ 9 ** 999999 }}",
        "{{ messages.append(1) }}",
        "{{ messages.__class__.__mro__ }}",
        "{{ messages[0].content.zz.yy }}",
    ],
)
def test_a_template_that_would_do_harm_is_stopped(source: str) -> None:
    with pytest.raises(TemplateFault):
        ChatTemplate(source).render(USER)


def test_a_prompt_has_a_longest_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templates, "LONGEST_PROMPT", 1_000)
    with pytest.raises(TemplateFault, match="longer than 1000 characters"):
        ChatTemplate(SIMPLE).render([{"role": "user", "content": "x" * 2_000}])


def test_messages_are_data_and_never_template() -> None:
    message: Mapping[str, Any] = {"role": "user", "content": "{{ 7 * 7 }}{% for %}"}
    assert "{{ 7 * 7 }}{% for %}" in ChatTemplate(SIMPLE).render([message])
