"""A genuine llama.cpp server behind a real `guard serve`, asked with the official client."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.support.guard_process import GuardProcess, guard_serve
from tests.support.llamacpp import llamacpp_server
from tests.support.looping_prompts import LOOPING_PROMPTS, MAX_TOKENS
from tests.support.proxy import wait_for

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

HELLO: Any = [{"role": "user", "content": "Say hello."}]
PASSED = 'guard_requests_total{model="other",outcome="passed",route="chat"}'
CUT = 'guard_requests_total{model="other",outcome="cut",route="chat"}'
LOOPS = 'guard_loops_total{channel="content"}'


@pytest.fixture(scope="module")
def upstream() -> Iterator[str]:
    with llamacpp_server() as url:
        yield url


@pytest.fixture(scope="module")
def guard(upstream: str) -> Iterator[GuardProcess]:
    with guard_serve("--upstream", upstream, "--no-fallback", "--policy", "default") as guard:
        yield guard
        assert guard.stop() == 0
        assert "Traceback" not in "".join(guard.logged)


@pytest.fixture
def client(guard: GuardProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{guard.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def busy_slots(upstream: str) -> int:
    answer = httpx.get(f"{upstream}/slots", trust_env=False, timeout=20)
    assert answer.status_code == 200
    return sum(bool(slot["is_processing"]) for slot in answer.json())


def test_an_answer_streamed_and_whole(client: openai.OpenAI, guard: GuardProcess) -> None:
    before = guard.sample(PASSED)
    raw = client.chat.completions.with_raw_response.create(
        model="m", messages=HELLO, max_tokens=12, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    assert raw.headers["x-guard-backend"] == "upstream"
    chunks = list(raw.parse())
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "hello" in streamed.lower()
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens > 0
    whole = client.chat.completions.create(model="m", messages=HELLO, max_tokens=12, temperature=0)
    assert whole.choices[0].message.content == streamed
    assert whole.usage is not None
    assert whole.usage.completion_tokens == chunks[-1].usage.completion_tokens
    wait_for(lambda: guard.sample(PASSED) == before + 2, "the count")


def test_two_choices_and_a_text_completion(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="m", messages=HELLO, max_tokens=6, n=2)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.message.content for choice in answer.choices)
    text = client.completions.create(model="m", prompt="One, two, three,", max_tokens=6, temperature=0)
    assert "four" in text.choices[0].text
    assert client.models.list().data


def test_what_llamacpp_refuses_is_the_clients_to_mend(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "word " * 6_000}], stream=True)
    assert caught.value.code == "context_length_exceeded"


def test_live_loops_are_cut_and_the_model_is_let_go(
    client: openai.OpenAI, guard: GuardProcess, upstream: str, capsys: pytest.CaptureFixture[str]
) -> None:
    loops, cuts = guard.sample(LOOPS), guard.sample(CUT)
    found: list[str] = []
    for prompt in LOOPING_PROMPTS:
        chunks = list(
            client.chat.completions.create(
                model="m",
                messages=[{"role": "user", "content": prompt}],
                max_tokens=MAX_TOKENS,
                temperature=0,
                stream=True,
            )
        )
        (reason,) = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason]
        if reason == "content_filter":
            found.append(prompt)
            extra = chunks[-1].model_extra
            assert extra is not None
            assert extra["guard"]["detector"] == "loop"
            assert chunks[-2].choices[0].delta.content == "\n\nThe answer began to repeat itself and was stopped."
            gave_up = time.monotonic() + 5
            while busy_slots(upstream) and time.monotonic() < gave_up:
                time.sleep(0.02)
            assert busy_slots(upstream) == 0, "llama.cpp still generates what nobody wants"
    wait_for(lambda: guard.sample("guard_streams_active") == 0, "the end of the streams")
    with capsys.disabled():
        print(f"\n  llama.cpp: {len(found)} of {len(LOOPING_PROMPTS)} live loops cut")
    assert found, "no live loop was cut"
    assert guard.sample(LOOPS) - loops == len(found)
    assert guard.sample(CUT) - cuts == len(found)
    assert guard.sample("guard_tokens_saved_total") > 0


def test_a_client_that_leaves_frees_the_model(guard: GuardProcess, upstream: str) -> None:
    # a prompt whose answer is known to be long: a sampled one may end at once
    messages = [{"role": "user", "content": next(iter(LOOPING_PROMPTS))}]
    body = {"messages": messages, "max_tokens": 2_000, "temperature": 0, "stream": True}
    with (
        httpx.Client(trust_env=False, timeout=60) as http,
        http.stream("POST", f"{guard.url}/v1/chat/completions", json=body) as response,
    ):
        next(response.iter_raw())
        wait_for(lambda: busy_slots(upstream) == 1, "the model to be at work")
    wait_for(lambda: busy_slots(upstream) == 0, "letting go of the model")


def test_the_embedded_model_answers_once_upstream_is_gone() -> None:
    pytest.importorskip("transformers")
    question: dict[str, Any] = {"model": "m", "messages": HELLO, "max_tokens": 8, "temperature": 0}
    with contextlib.ExitStack() as server:
        url = server.enter_context(llamacpp_server())
        with guard_serve("--upstream", url, "--policy", "default") as guard:
            with openai.OpenAI(base_url=f"{guard.url}/v1", api_key="none", max_retries=0, timeout=120) as client:
                create = client.chat.completions.with_raw_response.create
                before = create(**question)
                assert before.headers["x-guard-backend"] == "upstream"
                server.close()
                after = create(**question)
                assert after.headers["x-guard-backend"] == "in_process"
                assert after.parse().choices[0].message.content
                streamed = create(**question, stream=True)
                assert streamed.headers["x-guard-backend"] == "in_process"
                assert [chunk for chunk in streamed.parse() if chunk.choices and chunk.choices[0].finish_reason]
            assert guard.sample('guard_failovers_total{from_backend="upstream",to_backend="in_process"}') == 2
            assert guard.get("/readyz").status_code == 200
            assert guard.stop() == 0
