"""`guard serve` without an upstream: the embedded model in the guard's own process, asked with the official client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import openai
import pytest

from tests.support.guard_process import GuardProcess, guard_serve
from tests.support.looping_prompts import LOOPING_PROMPTS, MAX_TOKENS
from tests.support.proxy import CHAT, wait_for

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

MODEL = "SmolLM2-135M-Instruct"
HELLO: Any = [{"role": "user", "content": "Say hello."}]
SOONEST = sorted(LOOPING_PROMPTS, key=lambda prompt: LOOPING_PROMPTS[prompt])[:2]
"""The model takes about 50 ms for a token; all ten are run against llama.cpp."""
LOOPS = 'guard_loops_total{channel="content"}'


@pytest.fixture(scope="module")
def guard() -> Iterator[GuardProcess]:
    pytest.importorskip("transformers")
    smollm2 = pytest.importorskip("guard.backends.smollm2")
    try:
        smollm2.gguf_file()
    except smollm2.UpstreamError as error:
        pytest.skip(error.message)
    with guard_serve("--policy", "default") as guard:
        wait_for(lambda: guard.get("/readyz").status_code == 200, "loading the model")
        yield guard
        assert guard.stop() == 0
        assert "Traceback" not in "".join(guard.logged)


@pytest.fixture
def client(guard: GuardProcess) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{guard.url}/v1", api_key="none", max_retries=0, timeout=120) as client:
        yield client


def test_an_answer_streamed_and_whole(client: openai.OpenAI, guard: GuardProcess) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, max_tokens=12, temperature=0, stream=True, stream_options={"include_usage": True}
    )
    assert raw.headers["x-guard-backend"] == "in_process"
    chunks = list(raw.parse())
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert "hello" in streamed.lower()
    assert chunks[-1].usage is not None
    assert 0 < chunks[-1].usage.completion_tokens <= 12
    whole = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=12, temperature=0)
    assert whole.choices[0].message.content == streamed
    assert whole.usage is not None
    assert whole.usage.completion_tokens == chunks[-1].usage.completion_tokens
    assert [model.id for model in client.models.list()] == [MODEL]
    assert any(f'model="{MODEL}"' in line for line in guard.said)


def test_live_loops_are_cut_and_the_generation_is_stopped(
    client: openai.OpenAI, guard: GuardProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    before = guard.sample(LOOPS)
    found = 0
    for prompt in SOONEST:
        answer = client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": prompt}], max_tokens=MAX_TOKENS, temperature=0
        )
        if answer.choices[0].finish_reason == "content_filter":
            found += 1
            assert answer.model_extra is not None
            assert answer.model_extra["guard"]["detector"] == "loop"
            # one thread generates: that the next one is answered at once shows that this one was stopped
            quick = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1, timeout=10)
            assert quick.usage is not None
    with capsys.disabled():
        print(f"\n  in process: {found} of {len(SOONEST)} live loops cut")
    assert found, "no live loop was cut"
    wait_for(lambda: guard.sample("guard_streams_active") == 0, "the end of the streams")
    assert guard.sample(LOOPS) - before == found
    assert guard.sample("guard_tokens_saved_total") > 0


def test_a_client_that_leaves_frees_the_model(client: openai.OpenAI, guard: GuardProcess) -> None:
    body = {"messages": [{"role": "user", "content": "Count to one thousand."}], "max_tokens": 1_000, "stream": True}
    with (
        httpx.Client(trust_env=False, timeout=60) as http,
        http.stream("POST", guard.url + CHAT, json=body) as response,
    ):
        next(response.iter_raw())
    quick = client.chat.completions.create(model=MODEL, messages=HELLO, max_tokens=1, timeout=10)
    assert quick.usage is not None
    wait_for(lambda: guard.sample("guard_streams_active") == 0, "the end of the streams")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"messages": [{"role": "user", "content": "word " * 10_000}]}, "context"),
        ({"temperature": -1}, "temperature"),
    ],
)
def test_what_the_model_cannot_do_is_told(client: openai.OpenAI, fields: dict[str, Any], says: str) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": MODEL, "messages": HELLO, "max_tokens": 4, **fields})
    assert says in str(caught.value)
