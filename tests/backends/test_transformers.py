"""The in-process backend: on a tiny random model for its promises, on the embedded one (`real`) for its text."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from guard.backends.base import Backend, Continuation, Decoding, ModelRequest, UpstreamError
from guard.contract import Channel
from guard.events import ChoiceFinished, ChoiceOpened, Event, TextReceived, Usage, UsageReported
from guard.wire.think import ThinkStart
from tests.support.tiny_model import CONTEXT, save_tiny_model
from tests.support.tokenizers import byte_level

pytest.importorskip("torch", reason="the in-process model needs pip install 'qwq-guard[transformers]'")

from guard.backends.smollm2 import MODEL_NAME, embedded_model
from guard.backends.transformers import TransformersBackend

pytestmark = pytest.mark.anyio

HELLO = [{"role": "user", "content": "Hello"}]


class Played(NamedTuple):
    """What a stream brought, added up."""

    texts: dict[int, str]
    reasoning: dict[int, str]
    finishes: dict[int, str]
    usage: Usage
    events: list[Event]


def chat(**body: Any) -> ModelRequest:
    return ModelRequest("chat", {"messages": HELLO, "max_tokens": 24, "temperature": 0, **body})


async def play(backend: Backend, request: ModelRequest) -> Played:
    played = Played({}, {}, {}, Usage(), [])
    async with backend.stream(request) as model:
        async for batch in model.events:
            played.events.extend(batch)
    usage = Usage()
    for event in played.events:
        match event:
            case TextReceived(lane, text):
                texts = played.reasoning if lane.channel is Channel.REASONING else played.texts
                texts[lane.choice] = texts.get(lane.choice, "") + text
            case ChoiceFinished(choice, reason):
                played.finishes[choice] = reason
            case UsageReported(usage):
                pass
    return played._replace(usage=usage)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_model(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
async def tiny(tiny_folder: Path) -> AsyncIterator[TransformersBackend]:
    backend = TransformersBackend(tiny_folder, name="tiny", queue_limit=1)
    yield backend
    await backend.aclose()


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    try:
        return embedded_model()
    except UpstreamError as error:
        pytest.skip(error.message)


@pytest.fixture
async def smollm2(smollm2_folder: Path) -> AsyncIterator[TransformersBackend]:
    backend = TransformersBackend(smollm2_folder, name="embedded", model_name=MODEL_NAME, threads=1)
    yield backend
    await backend.aclose()


class Gate:
    """Lets a model make one forward pass per permit, and counts them."""

    def __init__(self, backend: TransformersBackend) -> None:
        self.passes = 0
        self.open = False
        self._permits = threading.Semaphore(0)
        loading = backend._loading
        assert loading is not None
        loading.result().model.register_forward_pre_hook(self._pass)

    def allow(self, passes: int = 1) -> None:
        self._permits.release(passes)

    def _pass(self, *_args: Any) -> None:
        if not self.open:
            assert self._permits.acquire(timeout=60)
        self.passes += 1

    def open_wide(self) -> None:
        self.open = True
        self._permits.release(1)


@contextmanager
def no_network() -> Iterator[None]:
    def refuse(*_args: Any) -> Any:
        raise AssertionError("the network was tried")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        yield


# --- the life of a backend


async def test_a_local_folder_is_loaded_without_the_network(tiny: TransformersBackend) -> None:
    told: list[str] = []
    before = tiny.ready
    with no_network():
        await tiny.start(lambda sentence, _fraction: told.append(sentence))
    assert (before, tiny.ready) == (False, True)
    assert told == [f"loading the model {tiny.model_name}"]
    assert await tiny.models() == (tiny.model_name,)


async def test_the_first_request_loads_the_model(tiny: TransformersBackend) -> None:
    assert (await play(tiny, chat())).finishes
    assert tiny.ready


@pytest.mark.parametrize("source", ["/nowhere/at/all", Path("nowhere"), "./nowhere"])
async def test_a_folder_that_is_not_there_is_named_and_start_may_be_tried_again(source: str | Path) -> None:
    backend = TransformersBackend(source, model_name="lost")
    with no_network():
        for attempt in (backend.start(), play(backend, chat()), backend.start()):
            with pytest.raises(
                UpstreamError, match=r"The model lost could not be loaded: .*no folder .*nowhere"
            ) as caught:
                await attempt
            assert caught.value.status == 503
    await backend.aclose()


async def test_a_source_may_be_a_function_that_takes_its_time(tiny_folder: Path) -> None:
    def find(progress: Any) -> Path:
        progress("looking", 0.5)
        return tiny_folder

    told: list[tuple[str, float | None]] = []
    backend = TransformersBackend(find, model_name="found")
    await backend.start(lambda sentence, fraction: told.append((sentence, fraction)))
    assert told == [("looking", 0.5), ("loading the model found", None)]
    await backend.aclose()


async def test_a_closed_backend_refuses_and_ends_what_is_running(tiny: TransformersBackend) -> None:
    await tiny.start()
    gate = Gate(tiny)
    async with tiny.stream(chat()) as running, tiny.stream(chat()) as waiting:
        gate.allow(2)
        assert ChoiceOpened(0) in await anext(running.events)
        closing = asyncio.create_task(tiny.aclose())
        await asyncio.sleep(0)
        gate.open_wide()
        for stream in (running, waiting):
            with pytest.raises(UpstreamError, match="has been shut down"):
                async for _ in stream.events:
                    pass
        await closing
    with pytest.raises(UpstreamError, match="has been shut down"):
        await play(tiny, chat())
    assert not tiny.ready


# --- the queue


async def test_a_full_queue_is_429_and_a_slot_is_free_again_afterwards(tiny: TransformersBackend) -> None:
    await tiny.start()
    gate = Gate(tiny)
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(tiny.stream(chat())) for _ in range(2)]
        with pytest.raises(UpstreamError) as caught:
            await stack.enter_async_context(tiny.stream(chat()))
        error = caught.value
        assert (error.status, error.code, error.retry_after) == (429, "queue_full", "1")
        gate.open_wide()
        for stream in streams:
            assert [event async for batch in stream.events for event in batch if isinstance(event, ChoiceFinished)]
    assert (await play(tiny, chat())).finishes


async def test_requests_that_wait_for_the_model_count_as_waiting(tiny_folder: Path) -> None:
    found = threading.Event()

    def find(_progress: Any) -> Path:
        assert found.wait(60)
        return tiny_folder

    backend = TransformersBackend(find, queue_limit=1)
    waiting = [asyncio.create_task(play(backend, chat())) for _ in range(3)]
    done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    assert isinstance(done.pop().exception(), UpstreamError)
    found.set()
    played = await asyncio.gather(*waiting, return_exceptions=True)
    assert [isinstance(each, Played) for each in played] == [True, True, False]
    await backend.aclose()


async def test_leaving_stops_the_model_within_one_token(tiny: TransformersBackend) -> None:
    await tiny.start()
    gate = Gate(tiny)
    async with tiny.stream(chat(max_tokens=100)) as model:
        gate.allow(3)
        usage = 0
        while usage < 3:
            usage = max(
                event.usage.completion_tokens for event in await anext(model.events) if isinstance(event, UsageReported)
            )
    gate.open_wide()  # a fourth pass may have begun, and is then the last one
    await asyncio.to_thread(tiny._thread.submit(lambda: None).result)
    assert gate.passes <= 4


async def test_leaving_while_queued_never_reaches_the_model(tiny: TransformersBackend) -> None:
    await tiny.start()
    gate = Gate(tiny)
    async with tiny.stream(chat(max_tokens=2)) as running:
        async with tiny.stream(chat()):
            pass
        gate.open_wide()
        async for _ in running.events:
            pass
    await asyncio.to_thread(tiny._thread.submit(lambda: None).result)
    assert gate.passes == 2


async def test_a_cancelled_request_gives_its_slot_back(tiny_folder: Path) -> None:
    backend = TransformersBackend(tiny_folder, queue_limit=0)
    first = asyncio.create_task(play(backend, chat()))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert (await play(backend, chat())).finishes
    await backend.aclose()


async def test_a_failure_in_the_model_is_one_sentence_and_the_thread_lives_on(tiny: TransformersBackend) -> None:
    await tiny.start()
    loading = tiny._loading
    assert loading is not None

    def fail(*_args: Any) -> None:
        raise RuntimeError("text of the prompt")

    hook = loading.result().model.register_forward_pre_hook(fail)
    with pytest.raises(UpstreamError) as caught:
        await play(tiny, chat())
    assert caught.value.message == "The in-process model failed while it was generating (RuntimeError)."
    hook.remove()
    assert (await play(tiny, chat())).finishes


# --- continued requests


async def broken_off(backend: TransformersBackend, request: ModelRequest, tokens: int) -> None:
    """Leave an answer after so many tokens, as a repair does."""
    async with backend.stream(request) as model:
        async for batch in model.events:
            for event in batch:
                if isinstance(event, UsageReported) and event.usage.completion_tokens >= tokens:
                    return


def as_continued(request: ModelRequest, kept: str, tokens: int) -> ModelRequest:
    continuation = Continuation("resample", Channel.CONTENT, content=kept, max_tokens=tokens)
    return replace(request, continuation=continuation)


async def test_what_has_been_read_is_not_read_again_by_the_continued_answer(tiny: TransformersBackend) -> None:
    body = {"prompt": "Hello fox " * 8, "max_tokens": 60, "temperature": 0}
    request = ModelRequest("completions", body, request_id="r")
    whole = (await play(tiny, request)).texts[0]
    kept = whole[: len(whole) // 2]
    fresh = await play(tiny, as_continued(request, kept, 60))
    assert fresh.usage.cached_tokens is None
    await broken_off(tiny, request, 50)
    reused = await play(tiny, as_continued(request, kept, 60))
    assert reused.texts == fresh.texts
    assert reused.usage.cached_tokens is not None
    assert reused.usage.prompt_tokens > reused.usage.cached_tokens > len(kept) // 2


async def test_only_a_repair_finds_what_has_been_read(tiny: TransformersBackend) -> None:
    request = ModelRequest("completions", {"prompt": "Hello fox " * 4, "max_tokens": 60}, request_id="r")
    await broken_off(tiny, request, 10)
    assert (await play(tiny, request)).usage.cached_tokens is None
    await broken_off(tiny, request, 10)
    stranger = replace(as_continued(request, "Hello fox", 5), request_id="other")
    assert (await play(tiny, stranger)).usage.cached_tokens is None


async def test_a_continuation_changes_the_sampling_and_ends_with_its_own_limit(tiny: TransformersBackend) -> None:
    request = chat(max_tokens=60)
    continuation = Continuation("resample", Channel.CONTENT, content="x", sampling={"temperature": 2}, max_tokens=7)
    greedy = await play(tiny, replace(request, continuation=replace(continuation, sampling={})))
    drawn = await play(tiny, replace(request, continuation=continuation))
    assert drawn.texts != greedy.texts
    assert greedy.usage.completion_tokens == 7


async def test_a_conclusion_goes_on_in_the_answer(tiny_folder: Path) -> None:
    backend = TransformersBackend(tiny_folder, think_start=ThinkStart.REASONING)
    kept = Continuation("conclude", Channel.CONTENT, reasoning="It is 4.", phrase="Enough.", max_tokens=8)
    try:
        assert backend.capabilities.repairs == {"conclude", "resample"}
        played = await play(backend, replace(chat(), continuation=kept))
    finally:
        await backend.aclose()
    assert played.texts[0]
    assert not played.reasoning


# --- what a policy keeps it from writing


async def test_a_banned_script_is_not_written_unless_it_was_asked_in(tiny: TransformersBackend) -> None:
    latin = Decoding(ban_scripts=frozenset({"Latin"}))
    request = ModelRequest("completions", {"prompt": "1 2 3", "max_tokens": 60, "temperature": 1, "seed": 3})
    free = (await play(tiny, request)).texts[0]
    assert any(letter.isascii() and letter.isalpha() for letter in free)
    banned = (await play(tiny, replace(request, decoding=latin))).texts[0]
    assert len(banned) > 20
    assert not any(letter.isascii() and letter.isalpha() for letter in banned)
    asked_in = replace(request, body={**request.body, "prompt": "one 2 3"})
    allowed = (await play(tiny, replace(asked_in, decoding=latin))).texts[0]
    assert allowed == (await play(tiny, asked_in)).texts[0]


# --- what a request asks for


async def test_max_tokens_and_usage_are_exact(tiny: TransformersBackend) -> None:
    played = await play(tiny, ModelRequest("completions", {"prompt": "Hello fox", "max_tokens": 5, "temperature": 0}))
    assert played.usage == Usage(len(byte_level()[0].encode("Hello fox").ids), 5)
    assert played.finishes == {0: "length"}


async def test_an_answer_ends_with_the_context(tiny: TransformersBackend) -> None:
    played = await play(tiny, ModelRequest("completions", {"prompt": "x" * (CONTEXT - 3), "temperature": 0}))
    assert played.usage == Usage(CONTEXT - 3, 3)


async def test_a_prompt_longer_than_the_context_is_refused(tiny: TransformersBackend) -> None:
    with pytest.raises(
        UpstreamError, match=f"The prompt has {CONTEXT} tokens, and this model's context is {CONTEXT}"
    ) as caught:
        await play(tiny, ModelRequest("completions", {"prompt": "x" * CONTEXT}))
    assert (caught.value.status, caught.value.code, caught.value.retry) == (400, "context_length_exceeded", False)


async def test_seeds_reproduce_and_differ(tiny: TransformersBackend) -> None:
    texts = [(await play(tiny, chat(temperature=2, seed=seed))).texts[0] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    "sampling",
    [{"top_k": 1}, {"top_p": 0.0001}, {"min_p": 1.0}, {"temperature": 1e-9}],
    ids=lambda sampling: next(iter(sampling)),
)
async def test_each_way_of_truncation_reaches_the_greedy_text(
    tiny: TransformersBackend, sampling: dict[str, float]
) -> None:
    greedy = await play(tiny, chat())
    assert (await play(tiny, chat(**{"temperature": 1, **sampling}))).texts == greedy.texts


@pytest.mark.parametrize("penalty", [{"repetition_penalty": 50}, {"frequency_penalty": 2, "presence_penalty": 2}])
async def test_penalties_change_the_text(tiny: TransformersBackend, penalty: dict[str, float]) -> None:
    plain = await play(tiny, chat(max_tokens=60))
    assert (await play(tiny, chat(max_tokens=60, **penalty))).texts != plain.texts


async def test_choices_are_written_one_after_the_other(tiny: TransformersBackend) -> None:
    played = await play(tiny, chat(n=3, temperature=2, seed=4))
    assert list(played.finishes) == [0, 1, 2]
    assert len(set(played.texts.values())) == 3
    assert played.usage.completion_tokens <= 72


async def test_a_stop_string_over_token_borders_ends_the_text(tiny: TransformersBackend) -> None:
    whole = (await play(tiny, chat(max_tokens=40))).texts[0]
    stop = whole[10:16]
    played = await play(tiny, chat(max_tokens=40, stop=[stop, "never said"]))
    assert played.texts[0] == whole[: whole.index(stop)]
    assert played.finishes == {0: "stop"}


async def test_events_come_in_order_and_end(tiny: TransformersBackend) -> None:
    events = (await play(tiny, chat())).events
    assert events[0] == ChoiceOpened(0)
    assert isinstance(events[-2], ChoiceFinished)
    assert isinstance(events[-1], UsageReported)


@pytest.mark.parametrize("start", [ThinkStart.REASONING, ThinkStart.CONTENT])
async def test_where_outputs_begin_can_be_set(tiny_folder: Path, start: ThinkStart) -> None:
    backend = TransformersBackend(tiny_folder, think_start=start)
    played = await play(backend, chat())
    assert bool(played.reasoning) == (start is ThinkStart.REASONING)
    raw = await play(backend, ModelRequest("completions", {"prompt": "x", "max_tokens": 8}))
    assert not raw.reasoning
    await backend.aclose()


async def test_what_is_refused_does_not_wait_for_the_model(tiny: TransformersBackend) -> None:
    with pytest.raises(UpstreamError, match="`tools`"):
        await play(tiny, chat(tools=[{"type": "function"}]))
    assert not tiny.ready


# --- the embedded model


@pytest.mark.real
async def test_streaming_gives_the_text_of_a_plain_generate(smollm2: TransformersBackend, smollm2_folder: Path) -> None:
    import torch
    import transformers

    question = [{"role": "user", "content": "What is the capital of France? Answer with an emoji too."}]
    tokenizer = transformers.AutoTokenizer.from_pretrained(smollm2_folder, local_files_only=True)
    model = transformers.AutoModelForCausalLM.from_pretrained(smollm2_folder, dtype="auto", local_files_only=True)
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    torch.set_num_threads(1)  # as in the backend: more threads may round differently
    with torch.inference_mode():
        ids = model.generate(**inputs, max_new_tokens=40, do_sample=False, temperature=None, top_p=None)
    generated = ids[0, inputs["input_ids"].shape[1] :]
    played = await play(smollm2, chat(messages=question, max_tokens=40))
    assert played.texts[0] == tokenizer.decode(generated, skip_special_tokens=True)
    assert played.usage == Usage(inputs["input_ids"].shape[1], len(generated))


@pytest.mark.real
async def test_the_embedded_model_answers_and_stops(smollm2: TransformersBackend) -> None:
    question = [{"role": "user", "content": "What is the capital of France?"}]
    played = await play(smollm2, chat(messages=question))
    assert "Paris" in played.texts[0]
    assert played.finishes == {0: "stop"}
    stopped = await play(smollm2, chat(messages=question, stop="aris"))
    assert stopped.texts[0] == played.texts[0].partition("aris")[0]


@pytest.mark.real
async def test_the_embedded_model_follows_a_seed(smollm2: TransformersBackend) -> None:
    one, same, other = [(await play(smollm2, chat(temperature=1.5, seed=seed))).texts for seed in (1, 1, 2)]
    assert one == same != other


@pytest.mark.real
async def test_a_continued_answer_is_the_one_that_was_never_interrupted(smollm2: TransformersBackend) -> None:
    messages = [{"role": "user", "content": "Name the planets of the solar system, in order."}]
    request = ModelRequest("chat", {"messages": messages, "max_tokens": 40, "temperature": 0}, request_id="r")
    whole = (await play(smollm2, request)).texts[0]
    kept = whole[: whole.index(" ", len(whole) // 2)]
    await broken_off(smollm2, request, 25)
    continued = await play(smollm2, as_continued(request, kept, 30))
    assert (kept + continued.texts[0]).startswith(whole)
    assert continued.usage.cached_tokens


@pytest.mark.real
async def test_a_cycle_is_broken(smollm2: TransformersBackend) -> None:
    messages = [{"role": "user", "content": "Write a poem that has no end."}]
    request = chat(messages=messages, max_tokens=110)
    cycle = (await play(smollm2, request)).texts[0]
    line = cycle.splitlines(keepends=True)[-2]
    assert line * 5 in cycle
    broken = (await play(smollm2, replace(request, decoding=Decoding(break_cycles=True)))).texts[0]
    assert line * 3 in broken
    assert line * 5 not in broken
    assert len(broken) > len(cycle) // 2
