"""What becomes of answers that go in circles, by what the policy does about it: `make repair-table`.

    50 prompts ──> guard serve, one policy a row ──> llama.cpp, a small model that thinks in circles

An answer ends well if its finish reason is `stop`, there is text in it beside the guard's notice, and none of it is a
loop. Tokens are those that the models wrote, cancelled ones included, as the guard's usage tells them.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import httpx
import typer
import yaml
from rich.console import Console
from rich.progress import Progress

from bench.servers import free_port, guard_with, running
from bench.thinking_server import SLOTS
from guard.contract import STOP, Channel, Lane
from guard.registry import build
from guard.testing import scan

PROMPTS: Final = Path(__file__).with_name("looping_prompts.txt")
NOTICE: Final = "[stopped]"
TOKENS: Final = 600
"""The client's `max_tokens`. Left alone, the model fills it."""
LOOP: Final = {"detector": "loop", "score": 0.9}

LIVELIER: Final = {"temperature": 0.7, "top_p": 0.95, "repetition_penalty": 1.15}
"""Sampling of what goes on. The penalty is for a model of this size; QwQ's authors advise against one."""
CUT: Final = {"cut": {"notice": NOTICE}}
ACTIONS: Final[Mapping[str, tuple[Any, Any]]] = {
    "let it run": ("flag", "flag"),
    "cut": (CUT, CUT),
    "conclude": ("conclude", "resample"),
    "resample": ("resample", "resample"),
    "hand_over": ("hand_over", "hand_over"),
}
"""By row: what is done about a loop in the thinking, and about one in the answer."""
PHRASE: Final = "I have gone over this enough. I will answer now from what I have worked out."


def action(word: Any) -> Any:
    """What the policy file says for it."""
    if word not in ("conclude", "resample", "hand_over"):
        return word
    settings: dict[str, Any] = {"how": word, "sampling": LIVELIER, "otherwise": {"notice": NOTICE}}
    return {"repair": settings | ({"phrase": PHRASE} if word == "conclude" else {})}


def policy(row: str) -> str:
    """The policy file of a row."""
    thinking, answer = ACTIONS[row]
    rules = [
        {"id": "loop_in_thinking", "when": {**LOOP, "channel": "reasoning"}, "do": action(thinking)},
        {"id": "loop_in_answer", "when": {**LOOP, "channel": "content"}, "do": action(answer)},
    ]
    return json.dumps(
        {"policy_version": 1, "name": "repair_table", "detectors": {"loop": {}}, "rules": rules}, indent=1
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client got."""

    text: str
    finish: str
    tokens: int
    action: str

    @property
    def well(self) -> bool:
        said = self.text.replace(NOTICE, "").strip()
        return self.finish == "stop" and bool(said) and not loops(said)


def loops(text: str) -> bool:
    """Does the loop detector call this an answer that goes in circles?"""
    findings = scan(build("loop", "loop", {}), text, lane=Lane(0, Channel.CONTENT))
    return any(finding.score >= STOP for _, finding in findings)


def read(body: Mapping[str, Any]) -> Answer:
    """A chat completion as an answer."""
    choice = body["choices"][0]
    told = body.get("guard") or {}
    text = choice["message"].get("content") or ""
    return Answer(text, choice["finish_reason"], body["usage"]["completion_tokens"], told.get("action", ""))


async def ask_all(url: str, prompts: Sequence[str], tokens: int, tick: Any) -> list[Answer]:
    """The answers to all prompts, a few at a time."""
    turn = asyncio.Semaphore(SLOTS)

    async def ask(client: httpx.AsyncClient, prompt: str) -> Answer:
        body = {
            "model": "thinking",
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": tokens,
            "temperature": 0,
            "seed": 7,
        }
        async with turn:
            answer = await client.post(f"{url}/v1/chat/completions", json=body)
        tick()
        answer.raise_for_status()
        return read(answer.json())

    async with httpx.AsyncClient(timeout=600, trust_env=False) as client:
        return await asyncio.gather(*(ask(client, prompt) for prompt in prompts))


@dataclass(frozen=True, slots=True)
class Row:
    """All answers under one policy."""

    name: str
    answers: Sequence[Answer]

    @property
    def well(self) -> float:
        return sum(answer.well for answer in self.answers) / len(self.answers)

    @property
    def tokens(self) -> float:
        """The mean over the answers."""
        return sum(answer.tokens for answer in self.answers) / len(self.answers)

    def figures(self) -> dict[str, Any]:
        finishes = Counter(answer.finish for answer in self.answers)
        said = sum(bool(answer.text.replace(NOTICE, "").strip()) for answer in self.answers)
        return {
            "action": self.name,
            "ends_well": self.well,
            "answers": said / len(self.answers),
            "finish": dict(sorted(finishes.items())),
            "tokens": round(self.tokens),
        }


def table(rows: Sequence[Row]) -> str:
    """The rows as Markdown."""
    lines = [
        "| Action | Ends well | Some answer | Finish reasons | Tokens an answer | Against letting it run |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        said = row.figures()
        finishes = ", ".join(f"{name} {count}" for name, count in said["finish"].items())
        ratio = f"{row.tokens / rows[0].tokens:.2f}" if rows[0].tokens else ""
        lines.append(
            f"| {row.name} | {row.well:.0%} | {said['answers']:.0%} | {finishes} | {said['tokens']} | {ratio} |"
        )
    return "\n".join(lines)


def measure(prompts: Sequence[str], names: Sequence[str], console: Console, tokens: int = TOKENS) -> list[Row]:
    """Start the servers, and ask everything under each policy, for answers of at most so many tokens. Raises
    `CannotStart`."""
    from guard.backends.smollm2 import gguf_file

    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as place, Progress(console=console, transient=True) as progress:
        folder, port = Path(place), free_port()
        server = [sys.executable, "-m", "bench.thinking_server", str(port), str(gguf_file())]
        everywhere = os.sched_getaffinity(0)
        with running(server, folder, port, everywhere, f"http://127.0.0.1:{port}/health"):
            for name in names:
                bar = progress.add_task(name, total=len(prompts))
                (folder / "policy.yaml").write_text(policy(name), encoding="utf-8")
                config = {
                    "policy": str(folder / "policy.yaml"),
                    "upstream": {"url": f"http://127.0.0.1:{port}", "start_state": {"*": "reasoning"}},
                    "fallback": {"enabled": name == "hand_over"},
                }
                (folder / "guard.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
                own, admin = free_port(), free_port()
                ready = f"http://127.0.0.1:{admin}/readyz"
                with running(guard_with(folder / "guard.yaml", own, admin), folder, own, everywhere, ready):
                    tick = lambda bar=bar: progress.advance(bar)  # noqa: E731
                    rows.append(Row(name, asyncio.run(ask_all(f"http://127.0.0.1:{own}", prompts, tokens, tick))))
    return rows


def main(
    prompts: Annotated[int, typer.Option(help="How many of the 50 prompts, from the first on.")] = 50,
    only: Annotated[list[str] | None, typer.Option(help="Rows to measure; all without it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    answers: Annotated[Path | None, typer.Option(help="Write every answer here, as JSON lines.")] = None,
) -> None:
    """Measure how many looping answers end well under each action of a policy."""
    asked = PROMPTS.read_text(encoding="utf-8").splitlines()[:prompts]
    rows = measure(asked, only or list(ACTIONS), Console(stderr=True))
    if answers is not None:
        with answers.open("w", encoding="utf-8") as out:
            for row in rows:
                for prompt, answer in zip(asked, row.answers, strict=True):
                    told = {"action": row.name, "prompt": prompt, "well": answer.well, "finish": answer.finish}
                    out.write(json.dumps({**told, "tokens": answer.tokens, "text": answer.text}) + "\n")
    typer.echo(json.dumps([row.figures() for row in rows], indent=2) if as_json else table(rows))


if __name__ == "__main__":
    typer.run(main)
