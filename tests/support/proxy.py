"""What tests of the proxy share: a policy of fakes, a gateway around it, and a real server on loopback.

with serving(gateway_of) as url:                      # a uvicorn server in a thread of its own
    answer = exchange(url, "/v1/chat/completions", {...})     # a plain socket: status, headers, bytes
    answer.events                                     # the stream's JSON objects, checked for their framing
"""

from __future__ import annotations

import asyncio
import http.client
import json
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import urlsplit

import uvicorn

from guard.backends.base import Backend, ModelRequest
from guard.backends.scripted import ScriptedBackend
from guard.contract import Channel, Detector, Lane
from guard.engine.plan import Plan
from guard.events import Action, ChoiceFinished, ChoiceOpened, Cut, Event, Logprob, Mask, TextReceived, UpstreamEnded
from guard.observe.metrics import Known, Metrics
from guard.policy import CompiledPolicy
from guard.policy.schema import Policy
from guard.proxy.app import create_app
from guard.proxy.gateway import Gateway
from guard.wire.record import RecordedEvent
from tests.support.engine import Words, plan_of
from tests.support.metrics import total

PATIENCE = 20.0
"""Seconds after which a test that waits for something has failed."""
CHAT = "/v1/chat/completions"
MESSAGES = [{"role": "user", "content": "Hello"}]


class FixedPolicy(CompiledPolicy):
    """A policy whose plan a test has made by hand."""

    def __init__(self, plan: Plan, rules: Sequence[str] = ()) -> None:
        self.name = "house"
        self.version = "v1"
        self.description = ""
        self.policy = Policy(policy_version=1, name="house")
        self.rules = ()
        self._fixed = plan
        self._rules = tuple(rules)
        self.detectors = tuple(next(iter(plan.watch.values()), ()))

    @property
    def rule_ids(self) -> tuple[str, ...]:
        return self._rules

    @property
    def mode(self) -> Literal["enforce", "observe"]:
        return "enforce"

    def named(self, use: str) -> frozenset[str]:
        return frozenset({use})

    def load(self) -> None:
        return None

    def plan(self, model: str) -> Plan:
        return self._fixed


def words_policy(*, channels: Iterable[Channel] = (Channel.REASONING, Channel.CONTENT, Channel.TOOL)) -> FixedPolicy:
    """`STOP!` cuts, `LONG!` cuts for its length, `SECRET` is masked."""
    detectors: Sequence[Detector] = (
        Words("stopper", ["STOP!"]),
        Words("budget", ["LONG!"]),
        Words("masker", ["SECRET"]),
    )
    actions: Mapping[str, Action] = {
        "stopper": Cut("Stopped here."),
        "budget": Cut("Too long.", "length"),
        "masker": Mask("<hidden>"),
    }
    return FixedPolicy(plan_of(*detectors, actions=actions, channels=channels), list(actions))


def nothing_policy() -> FixedPolicy:
    """Watches nothing."""
    return FixedPolicy(plan_of(channels=()))


def content(text: str, choice: int = 0, logprobs: Sequence[Logprob] = ()) -> TextReceived:
    return TextReceived(Lane(choice, Channel.CONTENT), text, logprobs)


def thought(text: str, choice: int = 0) -> TextReceived:
    return TextReceived(Lane(choice, Channel.REASONING), text)


def script(*events: Event, after: float | None = None) -> list[RecordedEvent]:
    """A recording of `events`; the first comes `after` so many seconds."""
    return [RecordedEvent(event, None if index else after) for index, event in enumerate(events)]


def answer_of(*texts: TextReceived, reason: str = "stop") -> list[RecordedEvent]:
    """One choice, whole."""
    return script(ChoiceOpened(0), *texts, ChoiceFinished(0, reason), UpstreamEnded())


def scripted(*events: RecordedEvent, name: str = "scripted") -> ScriptedBackend:
    """A backend that always answers with `events`, by default with "Hello."."""
    recording = list(events) or answer_of(content("Hello."))
    return ScriptedBackend(lambda _request: recording, name=name)


def by_prompt(answers: Mapping[str, Callable[[ModelRequest], Iterable[RecordedEvent]]]) -> ScriptedBackend:
    """A backend that answers by the last message, or by the prompt of a text completion."""

    def choose(request: ModelRequest) -> Iterable[RecordedEvent]:
        body = request.body
        asked = body["messages"][-1]["content"] if request.route == "chat" else body["prompt"]
        return answers[asked](request)

    return ScriptedBackend(choose)


def gateway_of(backend: Backend | None = None, policy: CompiledPolicy | None = None, **options: Any) -> Gateway:
    """A gateway for tests; `options` are `Gateway`'s."""
    policy = policy or words_policy()
    metrics = Metrics(
        Known(
            detectors={detector.name: detector.labels for detector in policy.detectors},
            loops=("stopper",),
            rules=policy.rule_ids,
            backends=("scripted", "upstream"),
            fields=("logprobs", "store"),
            reasons=("invalid_json", "overloaded", "shutting_down", "model_not_found"),
            upstream_codes=("upstream_reset", "deadline_first_byte"),
        )
    )
    return Gateway(policy, backend or scripted(), metrics, **options)


# --- servers


@contextmanager
def serving(make: Callable[[], Gateway]) -> Iterator[str]:
    """The base URL of the public app, served by uvicorn in a thread. `make` is called in that thread's event loop."""
    server: uvicorn.Server | None = None
    port = 0
    failure: BaseException | None = None
    ready = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            nonlocal port
            await super().startup(sockets)
            port = self.servers[0].sockets[0].getsockname()[1]
            ready.set()

    async def run() -> None:
        nonlocal server
        app = create_app(gateway=make())
        config = uvicorn.Config(app, port=0, log_config=None, lifespan="on", ws="none", http="httptools", loop="none")
        server = Server(config)
        await server.serve()

    def target() -> None:
        nonlocal failure
        try:
            asyncio.run(run())
        except BaseException as error:  # noqa: BLE001 - told in the test's thread
            failure = error
            ready.set()

    thread = threading.Thread(target=target)
    thread.start()
    try:
        assert ready.wait(PATIENCE)
        if failure is not None:
            raise failure
        yield f"http://127.0.0.1:{port}"
    finally:
        if server is not None:
            server.should_exit = True
        thread.join(PATIENCE)
        assert not thread.is_alive()


@dataclass(slots=True)
class Exchange:
    """An HTTP answer as it came."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    comments: int = field(init=False, default=0)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The error of a body that is one and nothing else."""
        body = self.json
        assert list(body) == ["error"]
        error: dict[str, Any] = body["error"]
        assert set(error) - {"guard"} == {"message", "type", "param", "code"}
        return error

    @property
    def events(self) -> list[dict[str, Any]]:
        """The stream's objects. Every event is one `data:` line of JSON, and the last and only the last is the end
        mark."""
        assert self.headers["content-type"] == "text/event-stream; charset=utf-8"
        return read_stream(self.body)


def read_stream(body: bytes) -> list[dict[str, Any]]:
    """The objects of an event stream that ends as it should."""
    assert body.endswith(b"\n\n")
    blocks = [block for block in body[:-2].split(b"\n\n") if not block.startswith(b":")]
    assert blocks[-1] == b"data: [DONE]"
    assert blocks.count(b"data: [DONE]") == 1
    for block in blocks:
        assert block.startswith(b"data: ")
        assert b"\n" not in block
        assert b"\r" not in block
    return [json.loads(block.removeprefix(b"data: ")) for block in blocks[:-1]]


def exchange(
    url: str, path: str, body: Any = None, *, method: str = "", headers: Mapping[str, str] | None = None
) -> Exchange:
    """One request over a connection of its own. `body` is sent as JSON unless it is bytes."""
    there = urlsplit(url)
    connection = http.client.HTTPConnection(there.hostname or "", there.port, timeout=PATIENCE)
    try:
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        connection.request(method or ("GET" if data is None else "POST"), path, data, dict(headers or {}))
        response = connection.getresponse()
        fields = [(name.lower(), value) for name, value in response.getheaders()]
        assert len({name for name, _ in fields}) == len(fields), f"a header came twice: {fields}"
        return Exchange(response.status, dict(fields), response.read())
    finally:
        connection.close()


def ask(**fields: Any) -> dict[str, Any]:
    """The body of a chat request."""
    return {"model": "scripted", "messages": MESSAGES, **fields}


def metric(gateway: Gateway, name: str, **labels: str) -> float:
    """The sum of the samples with these labels, 0 where there is none."""
    return total(gateway.metrics.registry, name, **labels)


def wait_for(condition: Callable[[], bool], what: str = "it") -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen"
        time.sleep(0.005)
