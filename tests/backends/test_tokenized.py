from __future__ import annotations

from typing import Any

import pytest

from guard.backends.base import Continuation, ModelRequest, UpstreamError
from guard.backends.sampling import Sampling
from guard.contract import Channel
from guard.wire.think import ThinkStart
from tests.support.tiny_model import TURN_END
from tests.support.tokenizers import byte_level

pytest.importorskip("transformers", reason="needs pip install 'qwq-guard[transformers]'")

import transformers

from guard.backends.tokenized import CHATML_END, Prompt, Tokenized, decoder

HELLO = [{"role": "user", "content": "Hello"}]
THINKING = "{{ messages[0].content }}{% if enable_thinking is not defined or enable_thinking %}<think>\n{% endif %}"


def make(template: str | None = None, added: tuple[str, ...] = ()) -> Any:
    tokenizer, _ = byte_level()
    tokenizer.add_special_tokens([TURN_END, *added])
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=TURN_END)
    fast.chat_template = template
    return fast


def prompt(template: str | None, start: ThinkStart = ThinkStart.AUTO, **body: Any) -> tuple[str, Prompt]:
    """The rendered text, and what was made of it."""
    tokenizer = make(template)
    request = ModelRequest("chat", {"messages": HELLO, **body})
    made = Tokenized(tokenizer, 100).prompt(request, Sampling(), start, 50)
    return tokenizer.decode(made.ids), made


def test_messages_go_through_the_models_own_template() -> None:
    text, made = prompt("{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}")
    assert text == "[user]Hello"
    assert made.sampling.stop == ()


def test_without_a_template_it_is_chatml() -> None:
    text, made = prompt(None)
    assert text == "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    assert made.sampling.stop == (CHATML_END,)


@pytest.mark.parametrize(
    ("start", "body", "expected"),
    [
        (ThinkStart.AUTO, {}, ThinkStart.REASONING),
        (ThinkStart.AUTO, {"chat_template_kwargs": {"enable_thinking": False}}, ThinkStart.AUTO),
        (ThinkStart.AUTO, {"chat_template_kwargs": {"enable_thinking": "no", "tokenize": True}}, ThinkStart.REASONING),
        (ThinkStart.CONTENT, {}, ThinkStart.CONTENT),
    ],
)
def test_a_template_that_opens_the_thinking_is_noticed(
    start: ThinkStart, body: dict[str, Any], expected: ThinkStart
) -> None:
    assert prompt(THINKING, start, **body)[1].start is expected


def test_a_template_that_refuses_is_one_sentence() -> None:
    with pytest.raises(UpstreamError, match="chat template refuses these messages: roles must alternate") as caught:
        prompt("{{ raise_exception('roles must alternate') }}")
    assert (caught.value.status, caught.value.retry) == (400, False)


def test_a_completion_is_its_prompt_and_nothing_else() -> None:
    tokenizer = make(THINKING)
    made = Tokenized(tokenizer, 100).prompt(
        ModelRequest("completions", {"prompt": "Once <think>"}), Sampling(max_tokens=7), ThinkStart.REASONING, 50
    )
    assert tokenizer.decode(made.ids) == "Once <think>"
    assert (made.start, made.sampling.max_tokens) == (ThinkStart.CONTENT, 7)


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(UpstreamError, match="The prompt is empty"):
        Tokenized(make(), 100).prompt(ModelRequest("completions", {"prompt": ""}), Sampling(), ThinkStart.AUTO, 50)


@pytest.mark.parametrize(("asked", "expected"), [(None, 50), (10, 10), (1_000, 97)])
def test_the_answer_gets_what_was_asked_for_as_far_as_it_fits(asked: int | None, expected: int) -> None:
    made = Tokenized(make("xyz"), 100).prompt(
        ModelRequest("chat", {"messages": HELLO}), Sampling(max_tokens=asked), ThinkStart.AUTO, 50
    )
    assert (len(made.ids), made.sampling.max_tokens) == (3, expected)


def test_special_tokens_are_left_out_but_not_the_tags_of_the_thinking() -> None:
    tokenizer = make(added=("<think>", "</think>", "<|other|>"))
    ids = tokenizer("<think>hm</think>so<|other|> on<|im_end|>")["input_ids"]
    assert decoder(tokenizer)(ids) == "<think>hm</think>so on"


PLAIN = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}:"
IN_THOUGHT = Continuation("resample", Channel.REASONING, reasoning="Two and two ")
IN_ANSWER = Continuation("resample", Channel.CONTENT, reasoning="It is 4.\n", content="The answer ")
CONCLUDED = Continuation("conclude", Channel.CONTENT, reasoning="It is 4.", phrase="Enough.")


@pytest.mark.parametrize(
    ("template", "start", "kept", "text", "then"),
    [
        (THINKING, ThinkStart.AUTO, IN_THOUGHT, "Hello<think>\nTwo and two ", ThinkStart.REASONING),
        (THINKING, ThinkStart.AUTO, CONCLUDED, "Hello<think>\nIt is 4.\n\nEnough.\n</think>\n\n", ThinkStart.CONTENT),
        (
            THINKING,
            ThinkStart.AUTO,
            IN_ANSWER,
            "Hello<think>\nIt is 4.\n</think>\n\nThe answer ",
            ThinkStart.CONTENT,
        ),
        (PLAIN, ThinkStart.AUTO, IN_THOUGHT, "[user]Hello:<think>\nTwo and two ", ThinkStart.REASONING),
        (PLAIN, ThinkStart.REASONING, IN_THOUGHT, "[user]Hello:Two and two ", ThinkStart.REASONING),
        (
            PLAIN,
            ThinkStart.CONTENT,
            Continuation("resample", Channel.CONTENT, content="The answer "),
            "[user]Hello:The answer ",
            ThinkStart.CONTENT,
        ),
        (
            PLAIN,
            ThinkStart.CONTENT,
            Continuation("resample", Channel.CONTENT, content="Yes", instruction="In English."),
            "[system]In English.[user]Hello:Yes",
            ThinkStart.CONTENT,
        ),
    ],
)
def test_a_continued_request_ends_with_what_is_kept(
    template: str, start: ThinkStart, kept: Continuation, text: str, then: ThinkStart
) -> None:
    tokenizer = make(template)
    request = ModelRequest("chat", {"messages": HELLO}, continuation=kept)
    made = Tokenized(tokenizer, 200).prompt(request, Sampling(), start, 50)
    assert (tokenizer.decode(made.ids), made.start) == (text, then)


def test_a_continued_completion_goes_on_after_its_prompt() -> None:
    tokenizer = make()
    kept = Continuation("resample", Channel.CONTENT, content=" upon")
    request = ModelRequest("completions", {"prompt": "Once"}, continuation=kept)
    made = Tokenized(tokenizer, 100).prompt(request, Sampling(), ThinkStart.AUTO, 50)
    assert (tokenizer.decode(made.ids), made.start) == ("Once upon", ThinkStart.CONTENT)
