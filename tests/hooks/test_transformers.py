from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.contract import Channel, Context
from guard.engine.plan import Plan
from guard.engine.stream import StreamGuard
from guard.events import ChoiceFinished, Cut, Flag, Mask, SendNotice, TextReceived
from guard.wire.think import ThinkStart
from tests.support.engine import CONTENT, Custom, Words, finishes, plan_of, play, records, said
from tests.support.looping_prompts import LOOPING_PROMPTS, MAX_TOKENS
from tests.support.tiny_model import save_tiny_model
from tests.support.tokenizers import CharacterTokenizer

pytest.importorskip("torch", reason="the hook needs pip install 'qwq-guard[transformers]'")

import torch
import transformers

from guard.backends.base import UpstreamError
from guard.backends.smollm2 import embedded_model
from guard.hooks.transformers import GuardHook, Piece

TOKENIZER = CharacterTokenizer()
CUT = Cut(notice="Stopped.")
NO_DETECTORS = plan_of()


def words(action: Any, *texts: str) -> Plan:
    return plan_of(Words("words", texts or ("bad",)), actions={"words": action})


def generate(guard: GuardHook, text: str, *, prompt: str = "Hello", at_once: int = 1) -> int:
    """What `model.generate()` does with a streamer and a criterion; returns how many tokens it made."""
    sequence = [ord(character) for character in prompt]
    guard.put(torch.tensor([sequence]))
    made = 0
    for start in range(0, len(text), at_once):
        new = [ord(character) for character in text[start : start + at_once]]
        sequence += new
        made += len(new)
        done = bool(guard.stop(torch.tensor([sequence]), None).all())
        guard.put(torch.tensor(new))
        if done:
            break
    guard.end()
    return made


def test_clean_text_passes_whole() -> None:
    guard = GuardHook(words(CUT), tokenizer=TOKENIZER)
    generate(guard, "<think>so, so</think>All is well.\x03")
    assert (guard.reasoning, guard.text) == ("so, so", "All is well.")
    assert (guard.outcome, guard.finish_reason, guard.decisions) == ("passed", "stop", [])


def test_an_answer_without_an_end_token_ended_by_length() -> None:
    guard = GuardHook(NO_DETECTORS, tokenizer=TOKENIZER)
    generate(guard, "and so")
    assert guard.finish_reason == "length"
    other = GuardHook(NO_DETECTORS, tokenizer=TOKENIZER, eos_token_id=[3, ord(";")])
    generate(other, "and so;")
    assert (other.text, other.finish_reason) == ("and so", "stop")


def test_a_cut_stops_the_model_and_leaves_the_notice() -> None:
    guard = GuardHook(words(CUT), tokenizer=TOKENIZER)
    made = generate(guard, "This is a bad word. " * 20)
    assert guard.text == "This is a \n\nStopped."
    assert (guard.outcome, guard.finish_reason) == ("cut", "content_filter")
    assert guard.intervention is not None
    assert guard.intervention.detector == "words"
    assert made == 17  # fed at 16 code points, stopped one token later


@pytest.mark.parametrize(
    ("action", "outcome", "text"),
    [(Flag(), "flagged", "a bad word"), (Mask("***"), "masked", "a *** word"), (CUT, "cut", "a \n\nStopped.")],
)
def test_outcomes(action: Any, outcome: str, text: str) -> None:
    guard = GuardHook(words(action), tokenizer=TOKENIZER)
    generate(guard, "a bad word\x03")
    assert (guard.outcome, guard.text) == (outcome, text)
    assert [record.finding.label for record in guard.decisions] == ["hit"]


def test_pieces_are_emitted_as_they_are_released() -> None:
    pieces: list[tuple[Channel, str]] = []
    guard = GuardHook(words(CUT), tokenizer=TOKENIZER, emit=lambda channel, text: pieces.append((channel, text)))
    generate(guard, "<think>hm</think>" + "so be it, " * 4 + "bad")
    assert len(pieces) > 3
    assert "".join(text for channel, text in pieces if channel is Channel.CONTENT) == guard.text
    assert "".join(text for channel, text in pieces if channel is Channel.REASONING) == guard.reasoning == "hm"


def test_the_prompt_is_known_to_detectors_and_is_no_output() -> None:
    contexts: list[Context] = []
    plan = plan_of(Custom(opening=lambda _lane, context: contexts.append(context)))
    for told, expected in ((None, "Hello"), ("What the user said", "What the user said")):
        guard = GuardHook(plan, tokenizer=TOKENIZER, prompt=told, model="m", max_tokens=9)
        generate(guard, "yes")
        assert guard.text == "yes"
        context = contexts.pop()
        assert (context.prompt, context.model, context.max_tokens) == (expected, "m", 9)


@pytest.mark.parametrize(
    ("model", "prompt", "reasoning"), [("", "Hi<think>\n", "hm"), ("Qwen/QwQ-32B", "Hi", "hm"), ("", "Hi", "")]
)
def test_where_the_output_begins(model: str, prompt: str, reasoning: str) -> None:
    guard = GuardHook(NO_DETECTORS, tokenizer=TOKENIZER, model=model)
    generate(guard, "hm</think>so", prompt=prompt)
    assert guard.reasoning == reasoning


def test_a_batch_is_refused() -> None:
    guard = GuardHook(NO_DETECTORS, tokenizer=TOKENIZER)
    with pytest.raises(ValueError, match="one sequence at a time, not a batch of 2"):
        guard.put(torch.tensor([[1, 2], [1, 2]]))


def test_a_hook_is_for_one_generation() -> None:
    guard = GuardHook(NO_DETECTORS, tokenizer=TOKENIZER)
    generate(guard, "once")
    with pytest.raises(RuntimeError, match="guards one generation"):
        generate(guard, "twice")
    assert guard.text == "once"


def test_a_detector_that_breaks_is_a_cut() -> None:
    def fail(_text: str) -> None:
        raise RuntimeError

    guard = GuardHook(plan_of(Custom(feed=fail), actions={"custom": CUT}), tokenizer=TOKENIZER)
    generate(guard, "some text that is long enough")
    assert guard.outcome == "cut"
    assert "some text" not in guard.text


TEXTS = st.lists(st.sampled_from(["bad ", "ba", "d", "so it is. ", "</think>", "<think>", "🙂", "\n"]), max_size=30)


@given(TEXTS, st.sampled_from([Flag(), Mask(), CUT]), st.sampled_from([1, 3, 50]))
def test_the_hook_says_what_the_engine_says(texts: Sequence[str], action: Any, at_once: int) -> None:
    text = "".join(texts)
    engine = StreamGuard(words(action), Context())
    commands = play(engine, [TextReceived(CONTENT, text), ChoiceFinished(0, "length")])
    guard = GuardHook(words(action), tokenizer=TOKENIZER, think_start=ThinkStart.CONTENT)
    generate(guard, text, at_once=at_once)
    notice = "".join(command.text for command in commands if isinstance(command, SendNotice))
    assert guard.text == said(commands).get(CONTENT, "") + notice
    assert guard.finish_reason == finishes(commands)[0].reason
    assert guard.decisions == records(commands)


# --- with a model


@pytest.fixture(scope="module")
def model_and_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    folder = save_tiny_model(tmp_path_factory.mktemp("tiny"))
    return (
        transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True),
        transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True),
    )


def test_it_is_the_text_that_generate_makes(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    inputs = tokenizer("The fox", return_tensors="pt")
    guard = GuardHook(NO_DETECTORS, tokenizer=tokenizer, think_start=ThinkStart.CONTENT)
    ids = model.generate(**inputs, max_new_tokens=60, do_sample=False, streamer=guard, stopping_criteria=[guard.stop])
    assert guard.text == tokenizer.decode(ids[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)


def test_streaming_gives_the_pieces_and_stops_at_a_cut(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    inputs = tokenizer("The fox", return_tensors="pt")
    free = GuardHook(NO_DETECTORS, tokenizer=tokenizer, think_start=ThinkStart.CONTENT)
    pieces = list(free.stream(model, **inputs, max_new_tokens=60, do_sample=False))
    assert all(isinstance(piece, Piece) for piece in pieces)
    assert "".join(piece.text for piece in pieces) == free.text
    guard = GuardHook(words(CUT, free.text[30:36]), tokenizer=tokenizer, think_start=ThinkStart.CONTENT)
    text = "".join(piece.text for piece in guard.stream(model, **inputs, max_new_tokens=60, do_sample=False))
    assert guard.outcome == "cut"
    assert text == guard.text
    assert text.endswith("\n\nStopped.")
    assert free.text.startswith(text.removesuffix("\n\nStopped."))


def test_leaving_the_stream_stops_the_model(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    passes = 0

    def count(*_args: Any) -> None:
        nonlocal passes
        passes += 1

    hook = model.register_forward_pre_hook(count)
    guard = GuardHook(NO_DETECTORS, tokenizer=tokenizer)
    stream = guard.stream(model, **tokenizer("The fox", return_tensors="pt"), max_new_tokens=200, do_sample=False)
    next(stream)
    stream.close()
    hook.remove()
    assert passes < 200


def test_what_generate_raises_is_raised_where_the_pieces_are_read(model_and_tokenizer: tuple[Any, Any]) -> None:
    model, tokenizer = model_and_tokenizer
    inputs = tokenizer(["The fox", "The fox"], return_tensors="pt")
    with pytest.raises(ValueError, match="not a batch of 2"):
        list(GuardHook(NO_DETECTORS, tokenizer=tokenizer).stream(model, **inputs, max_new_tokens=4))


def test_a_policy_is_loaded_by_name_or_path(tmp_path: Path) -> None:
    path = tmp_path / "house.yaml"
    path.write_text("policy_version: 1\nname: house\ndescription: nothing\ndetectors: {}\nrules: []\n")
    guard = GuardHook(path, tokenizer=TOKENIZER)
    generate(guard, "well")
    assert guard.text == "well"
    assert guard.outcome == "passed"


@pytest.mark.real
def test_a_live_loop_is_cut_by_the_default_policy() -> None:
    try:
        folder = embedded_model()
    except UpstreamError as error:
        pytest.skip(error.message)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype="auto", local_files_only=True)
    prompt = min(LOOPING_PROMPTS, key=lambda prompt: LOOPING_PROMPTS[prompt])
    messages = [{"role": "user", "content": prompt}]
    inputs = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    guard = GuardHook("default", tokenizer=tokenizer, prompt=prompt)
    torch.set_num_threads(1)  # a second one costs more than it brings on a machine that is busy
    ids = model.generate(
        **inputs, max_new_tokens=MAX_TOKENS, do_sample=False, streamer=guard, stopping_criteria=[guard.stop]
    )
    assert guard.outcome == "cut"
    assert guard.intervention is not None
    assert guard.intervention.detector == "loop"
    assert ids.shape[1] - inputs["input_ids"].shape[1] < MAX_TOKENS / 2
