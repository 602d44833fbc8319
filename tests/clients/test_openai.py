"""The official OpenAI client for Python, as any app uses it, through the proxy over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import openai
import pytest

from guard.backends.base import ModelRequest, UpstreamError
from guard.contract import REFUSAL, Channel, Lane
from guard.events import (
    ChoiceFinished,
    ChoiceOpened,
    TextReceived,
    ToolCallOpened,
    UpstreamEnded,
    UpstreamFailed,
    Usage,
    UsageReported,
)
from guard.proxy.gateway import Gateway
from guard.wire.record import RecordedEvent
from tests.support.proxy import answer_of, by_prompt, content, gateway_of, script, serving, thought

ARGUMENTS = Lane(0, Channel.TOOL, 0)
TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}


def refusing(status: int, code: str) -> Any:
    def script(_request: ModelRequest) -> Iterable[RecordedEvent]:
        raise UpstreamError("The model server says no.", code=code, status=status)

    return script


ANSWERS: dict[str, list[RecordedEvent]] = {
    "plain": answer_of(content("Hello, "), content("world.")),
    "thinking": answer_of(thought("Let me see. "), content("Hello.")),
    "cut": script(ChoiceOpened(0), content("Well, "), content("STOP! "), content("never seen")),
    "cut while thinking": script(ChoiceOpened(0), thought("Well, "), thought("STOP! never seen")),
    "too long": script(ChoiceOpened(0), content("Well, LONG! never seen")),
    "masked": answer_of(content("The SECRET is out.")),
    "fails": script(ChoiceOpened(0), content("Half of it. "), UpstreamFailed("upstream_reset", "It broke.")),
    "tool": script(
        ChoiceOpened(0),
        ToolCallOpened(0, 0, "call_1", "lookup"),
        *(TextReceived(ARGUMENTS, char) for char in '{"q": 1}'),
        ChoiceFinished(0, "tool_calls"),
        UpstreamEnded(),
    ),
    "bad tool": script(
        ChoiceOpened(0),
        ToolCallOpened(0, 0, "call_1", "lookup"),
        TextReceived(ARGUMENTS, '{"q": "STOP!"}'),
        ChoiceFinished(0, "tool_calls"),
        UpstreamEnded(),
    ),
    "two": script(
        ChoiceOpened(0),
        ChoiceOpened(1),
        content("Zero.", 0),
        content("One. STOP! never seen", 1),
        ChoiceFinished(0, "stop"),
        UpstreamEnded(),
    ),
    "usage": script(
        ChoiceOpened(0),
        content("Hello."),
        ChoiceFinished(0, "stop"),
        UsageReported(Usage(9, 5, reasoning_tokens=2, cached_tokens=4)),
        UpstreamEnded(),
    ),
    "refusal": answer_of(TextReceived(Lane(0, Channel.CONTENT, REFUSAL), "I will not.")),
}
SCRIPTS: dict[str, Any] = {
    **{name: lambda _request, events=events: events for name, events in ANSWERS.items()},
    "refused": refusing(400, "invalid_request"),
    "down": refusing(502, "upstream_unreachable"),
    "busy": refusing(429, "rate_limit"),
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with serving(lambda: gateway_of(by_prompt(SCRIPTS))) as url:
        yield f"{url}/v1"


@pytest.fixture(params=["sync", "async"])
def app(request: pytest.FixtureRequest, url: str) -> App:
    return SyncApp(url) if request.param == "sync" else AsyncApp(url)


class App:
    """An app that talks to a model: sync and async clients behind one door."""

    def __init__(self, url: str) -> None:
        self.options: dict[str, Any] = {"base_url": url, "api_key": "none", "max_retries": 0}

    def whole(self, prompt: str, **fields: Any) -> Any:
        raise NotImplementedError

    def chunks(self, prompt: str, **fields: Any) -> list[Any]:
        """Every chunk of a stream; where the client raises, the exception is the last."""
        raise NotImplementedError


def body(prompt: str, fields: dict[str, Any]) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": prompt}], **fields}


class SyncApp(App):
    def whole(self, prompt: str, **fields: Any) -> Any:
        with openai.OpenAI(**self.options) as client:
            return client.chat.completions.create(**body(prompt, fields))

    def chunks(self, prompt: str, **fields: Any) -> list[Any]:
        found: list[Any] = []
        with openai.OpenAI(**self.options) as client:
            try:
                found.extend(client.chat.completions.create(**body(prompt, fields), stream=True))
            except openai.APIError as error:
                found.append(error)
        return found


class AsyncApp(App):
    def whole(self, prompt: str, **fields: Any) -> Any:
        async def run() -> Any:
            async with openai.AsyncOpenAI(**self.options) as client:
                return await client.chat.completions.create(**body(prompt, fields))

        return asyncio.run(run())

    def chunks(self, prompt: str, **fields: Any) -> list[Any]:
        async def run() -> list[Any]:
            found: list[Any] = []
            async with openai.AsyncOpenAI(**self.options) as client:
                try:
                    stream: AsyncIterator[Any] = await client.chat.completions.create(
                        **body(prompt, fields), stream=True
                    )
                    async for chunk in stream:
                        found.append(chunk)
                except openai.APIError as error:
                    found.append(error)
            return found

        return asyncio.run(run())


def text(chunks: Iterable[Any], name: str = "content", choice: int = 0) -> str:
    return "".join(
        getattr(each.delta, name, None) or "" for chunk in chunks for each in chunk.choices if each.index == choice
    )


def finish(chunks: Iterable[Any], choice: int = 0) -> str:
    (reason,) = [
        each.finish_reason for chunk in chunks for each in chunk.choices if each.index == choice and each.finish_reason
    ]
    return str(reason)


# --- answers


def test_a_plain_answer(app: App) -> None:
    chunks = app.chunks("plain")
    assert text(chunks) == "Hello, world."
    assert finish(chunks) == "stop"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert len({chunk.id for chunk in chunks}) == 1
    answer = app.whole("plain")
    assert answer.choices[0].message.content == "Hello, world."
    assert answer.choices[0].message.role == "assistant"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.object == "chat.completion"
    assert answer.guard == {"v": 1, "usage_estimated": True}
    assert not hasattr(app.whole("usage"), "guard")


def test_reasoning(app: App) -> None:
    chunks = app.chunks("thinking")
    assert (text(chunks, "reasoning_content"), text(chunks)) == ("Let me see. ", "Hello.")
    message = app.whole("thinking").choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me see. ", "Hello.")


@pytest.mark.parametrize(
    ("prompt", "reads", "reason", "channel"),
    [
        ("cut", "Well, \n\nStopped here.", "content_filter", "content"),
        ("cut while thinking", "Stopped here.", "content_filter", "reasoning"),
        ("too long", "Well, \n\nToo long.", "length", "content"),
        ("bad tool", "Stopped here.", "content_filter", "tool"),
    ],
)
def test_a_cut_is_an_answer_that_ends(app: App, prompt: str, reads: str, reason: str, channel: str) -> None:
    chunks = app.chunks(prompt, stream_options={"include_usage": True})
    assert text(chunks) == reads
    assert finish(chunks) == reason
    assert chunks[-1].usage.completion_tokens > 0
    assert chunks[-2].guard["channel"] == channel
    answer = app.whole(prompt)
    assert answer.choices[0].message.content == reads
    assert answer.choices[0].finish_reason == reason
    assert not answer.choices[0].message.tool_calls
    assert answer.guard["action"] == "cut"
    if prompt == "cut while thinking":
        assert text(chunks, "reasoning_content") == answer.choices[0].message.reasoning_content == "Well, "


def test_a_mask(app: App) -> None:
    chunks = app.chunks("masked")
    assert text(chunks) == app.whole("masked").choices[0].message.content == "The <hidden> is out."
    assert finish(chunks) == "stop"


def test_a_tool_call(app: App) -> None:
    chunks = app.chunks("tool", tools=[TOOL])
    (call,) = [call for chunk in chunks for each in chunk.choices for call in each.delta.tool_calls or ()]
    assert (call.index, call.id, call.function.name) == (0, "call_1", "lookup")
    assert json.loads(call.function.arguments) == {"q": 1}
    assert finish(chunks) == "tool_calls"
    (call,) = app.whole("tool", tools=[TOOL]).choices[0].message.tool_calls
    assert (call.id, call.function.name, call.function.arguments) == ("call_1", "lookup", '{"q": 1}')


def test_two_choices(app: App) -> None:
    chunks = app.chunks("two", n=2)
    assert (text(chunks), text(chunks, choice=1)) == ("Zero.", "One. \n\nStopped here.")
    assert (finish(chunks), finish(chunks, 1)) == ("stop", "content_filter")
    answer = app.whole("two", n=2)
    assert [choice.message.content for choice in answer.choices] == ["Zero.", "One. \n\nStopped here."]


def test_a_refusal(app: App) -> None:
    assert text(app.chunks("refusal"), "refusal") == "I will not."
    assert app.whole("refusal").choices[0].message.refusal == "I will not."


def test_usage(app: App) -> None:
    chunks = app.chunks("usage", stream_options={"include_usage": True})
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    for usage in (chunks[-1].usage, app.whole("usage").usage):
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (9, 5, 14)
        assert usage.completion_tokens_details.reasoning_tokens == 2
        assert usage.prompt_tokens_details.cached_tokens == 4
    assert all(chunk.usage is None for chunk in app.chunks("usage"))


# --- errors


@pytest.mark.parametrize(
    ("prompt", "fields", "kind", "code"),
    [
        ("refused", {}, openai.BadRequestError, "invalid_request"),
        ("busy", {}, openai.RateLimitError, "rate_limit"),
        ("down", {}, openai.InternalServerError, "upstream_unreachable"),
        ("plain", {"n": 99}, openai.BadRequestError, "invalid_request"),
        ("plain", {"extra_body": {"api_base": "http://x"}}, openai.BadRequestError, "invalid_request"),
    ],
)
def test_an_error_before_the_first_byte(
    app: App, prompt: str, fields: dict[str, Any], kind: type[openai.APIStatusError], code: str
) -> None:
    (error,) = app.chunks(prompt, **fields)
    assert isinstance(error, kind)
    assert error.code == code
    with pytest.raises(kind) as caught:
        app.whole(prompt, **fields)
    assert caught.value.code == code
    assert isinstance(caught.value.body, dict)
    assert caught.value.body["message"].endswith(".")


def test_an_error_after_the_first_byte(app: App) -> None:
    *chunks, error = app.chunks("fails")
    assert text(chunks) == "Half of it. "
    assert isinstance(error, openai.APIError)
    assert not isinstance(error, openai.APIStatusError)
    assert (error.message, error.code) == ("It broke.", "upstream_reset")
    with pytest.raises(openai.InternalServerError) as caught:
        app.whole("fails")
    assert caught.value.status_code == 502


# --- what only one client is needed for


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        yield client


def test_raw_headers(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(**body("plain", {}))
    assert raw.headers["x-guard-policy"] == "house@v1"
    assert raw.headers["x-guard-backend"] == "scripted"
    parsed = raw.parse()
    assert parsed.id == f"chatcmpl-{raw.headers['x-guard-request-id']}"
    assert parsed._request_id == raw.headers["x-request-id"]


def test_the_stream_helper_calls_a_cut_what_it_is(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "plain"}]) as stream:
        assert stream.get_final_completion().choices[0].message.content == "Hello, world."
    with client.chat.completions.stream(model="m", messages=[{"role": "user", "content": "cut"}]) as stream:
        said = [event.delta for event in stream if event.type == "content.delta"]
        with pytest.raises(openai.ContentFilterFinishReasonError):
            stream.get_final_completion()
    assert "".join(said) == "Well, \n\nStopped here."


def test_models(client: openai.OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["scripted"]
    assert client.models.retrieve("scripted").id == "scripted"
    with pytest.raises(openai.NotFoundError, match="does not exist"):
        client.models.retrieve("other")


def test_text_completions(client: openai.OpenAI) -> None:
    answer = client.completions.create(model="m", prompt="cut")
    assert answer.choices[0].text == "Well, \n\nStopped here."
    assert answer.choices[0].finish_reason == "content_filter"
    chunks = list(client.completions.create(model="m", prompt="plain", stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "Hello, world."
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_what_is_not_guarded_is_not_found(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="not guarded yet"):
        client.responses.create(model="m", input="plain")
    with pytest.raises(openai.NotFoundError, match="not guarded yet"):
        client.audio.speech.create(model="m", input="plain", voice="alloy")
    with pytest.raises(openai.NotFoundError, match="no embeddings"):
        client.embeddings.create(model="m", input="plain")


def test_embeddings_come_through() -> None:
    class Embedding(type(by_prompt(SCRIPTS))):  # type: ignore[misc]
        async def embeddings(self, given: dict[str, Any], _authorization: str | None, _request_id: str) -> bytes:
            data = [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}]
            usage = {"prompt_tokens": 1, "total_tokens": 1}
            return json.dumps({"object": "list", "data": data, "model": given["model"], "usage": usage}).encode()

    def make() -> Gateway:
        return gateway_of(Embedding(lambda _request: []))

    with serving(make) as url, openai.OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0) as client:
        answer = client.embeddings.create(model="m", input="plain", encoding_format="float")
    assert answer.data[0].embedding == [0.5, 0.25]
    assert answer.model == "m"
