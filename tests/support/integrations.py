"""The snippets of docs/integrations.md, and the guard that they are run against.

    snippet("LangChain", "python")          # the block under that heading
    with guarded() as guard:                # a real server, a scripted model
        pointed(snippet, guard.url, "cut")  # the snippet with this guard's address and this prompt

The scripted model answers by the last word it is asked: `thinking`, `cut`, `repaired`, `fails` (the upstream breaks
off in mid-answer), `down` (it cannot be reached).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from guard.backends.base import Capabilities, ModelRequest, UpstreamError
from guard.backends.scripted import ScriptedBackend
from guard.contract import Channel
from guard.events import ChoiceOpened, Cut, Repair, UpstreamFailed
from guard.proxy.gateway import Gateway
from guard.wire.record import RecordedEvent
from tests.support.engine import Words, plan_of
from tests.support.proxy import FixedPolicy, answer_of, content, gateway_of, script, serving, thought

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "integrations.md").read_text(encoding="utf-8")
GUARD: Final = "http://127.0.0.1:8080"
"""Where the page's guard listens."""
PROMPT: Final = "Say hello."
"""What the page's snippets ask."""
BROKE_OFF: Final = "The model server broke off."
NOT_THERE: Final = "The model server does not answer."


def section(heading: str) -> str:
    """What stands under a heading of the page, up to the next one."""
    found = re.search(rf"^##+ {re.escape(heading)}\n(.*?)(?=^##|\Z)", PAGE, re.DOTALL | re.MULTILINE)
    assert found, f"docs/integrations.md has no section {heading!r}"
    return found[1]


def snippets(heading: str, language: str) -> list[str]:
    """The blocks of a language under a heading."""
    return re.findall(rf"^```{language}\n(.*?)^```", section(heading), re.DOTALL | re.MULTILINE)


def snippet(heading: str, language: str) -> str:
    """The only block of a language under a heading."""
    (text,) = snippets(heading, language)
    return text


def pointed(text: str, url: str, prompt: str) -> str:
    """A snippet with another guard's address and another prompt, and nothing else changed."""
    assert text.count(GUARD) == 1
    assert text.count(PROMPT) == 1
    return text.replace(GUARD, url).replace(PROMPT, prompt)


@dataclass(slots=True)
class Guarded:
    """A running guard."""

    url: str = ""
    asked: list[ModelRequest] = field(default_factory=list)
    """What reached the model; a continued answer is asked for twice."""

    def requests(self) -> Counter[str]:
        """How often the model was asked each thing, from the beginning."""
        return Counter(_prompt(request) for request in self.asked if request.continuation is None)


@contextmanager
def guarded(reasoning_field: str = "") -> Iterator[Guarded]:
    """`STOP!` cuts, `LOOP!` ends the thinking and has the model answer."""
    guard = Guarded()

    def gateway() -> Gateway:
        backend = ScriptedBackend(
            _answer, models=("qwq-32b",), capabilities=Capabilities(repairs=frozenset({"conclude"}))
        )
        guard.asked = backend.requests
        plan = plan_of(
            Words("stopper", ["STOP!"]),
            Words("circling", ["LOOP!"]),
            actions={
                "stopper": Cut("Stopped here."),
                "circling": Repair("conclude", "span_start", otherwise=Cut("Stopped here.")),
            },
            channels=[Channel.REASONING, Channel.CONTENT],
            keep_text=True,
        )
        return gateway_of(backend, FixedPolicy(plan, ["stopper", "circling"]), reasoning_field=reasoning_field)

    with serving(gateway) as guard.url:
        yield guard


_ANSWERS: Final = {
    "thinking": answer_of(thought("Let me see. "), content("It is "), content("4.")),
    "cut": script(ChoiceOpened(0), thought("Let me see. "), content("Well, "), content("STOP! never seen by anyone")),
    "fails": script(
        ChoiceOpened(0),
        thought("Let me see. "),
        content("Half of it. "),
        UpstreamFailed("upstream_reset", BROKE_OFF),
    ),
}
_CIRCLES: Final = script(ChoiceOpened(0), thought("Let me see. "), thought("LOOP! round and round and round"))
_CONTINUED: Final = answer_of(content("It is "), content("4."))


def _answer(request: ModelRequest) -> Iterable[RecordedEvent]:
    case = _prompt(request).split()[-1]
    if case == "repaired":
        return _CIRCLES if request.continuation is None else _CONTINUED
    if case == "down":
        raise UpstreamError(NOT_THERE, code="upstream_unreachable", status=502)
    return _ANSWERS[case]


def _prompt(request: ModelRequest) -> str:
    said: Any = request.body["messages"][-1]["content"]
    return said if isinstance(said, str) else "".join(part["text"] for part in said)
