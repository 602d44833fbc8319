"""The guard inside your own `model.generate()` call: a streamer that reviews, and a stopping criterion that ends.

    generate ──ids──► put ──► Answer ──events──► StreamGuard ──commands──► text, reasoning, emit(channel, text)
        ▲                                            │ cut
        └──────────────────────── stop ◄─────────────┘  true from the next token on

    guard = GuardHook("default", tokenizer=tokenizer)
    model.generate(**inputs, streamer=guard, stopping_criteria=[guard.stop])
    guard.text, guard.reasoning, guard.outcome, guard.decisions

or, piece by piece, `for piece in guard.stream(model, **inputs): print(piece.text)`.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers.generation.streamers import BaseStreamer

from guard.backends.answer import Answer
from guard.backends.tokenized import decoder
from guard.contract import Channel, Context
from guard.engine.plan import Plan
from guard.engine.stream import StreamGuard
from guard.events import (
    CancelUpstream,
    Command,
    Cut,
    Event,
    FailStream,
    FinishChoice,
    Intervention,
    Mask,
    RecordDecision,
    SendNotice,
    SendText,
    UpstreamEnded,
)
from guard.policy import CompiledPolicy, load_policy
from guard.wire.think import OPENING_TAG, ThinkStart, start_state


class Piece(NamedTuple):
    """Text that has passed the review."""

    channel: Channel
    text: str


class GuardHook(BaseStreamer):  # type: ignore[misc]
    """Guards one `generate()` of one sequence (batch size 1, no beams; `ValueError` otherwise).

    `policy` is a policy's name, its path, or a compiled policy or plan. `prompt` is what the user asked, which
    detectors treat as expected; by default it is read off the first tokens. `model` is the name that rules match on; it
    tells where the output begins unless `think_start` does. `eos_token_id` is for a model that ends its turn with other
    tokens than the tokenizer's; an answer without one counts as ended by length. Each piece goes to
    `emit(channel, text)` as it is released. The prompt itself is not reviewed, and a policy's repairs fall back to
    their cut: both need a driver around `generate()`.
    """

    def __init__(
        self,
        policy: str | Path | CompiledPolicy | Plan = "default",
        *,
        tokenizer: Any,
        prompt: str | None = None,
        model: str = "",
        max_tokens: int | None = None,
        eos_token_id: int | Sequence[int] | None = None,
        think_start: ThinkStart | None = None,
        emit: Callable[[Channel, str], None] | None = None,
    ) -> None:
        self.text = ""
        """Content released so far, with the guard's notice if it cut."""
        self.reasoning = ""
        self.decisions: list[RecordDecision] = []
        self.finish_reason = ""
        """As a client would see it; empty until the answer is over."""
        self.intervention: Intervention | None = None
        self.failed = False
        self._plan = policy if isinstance(policy, Plan) else _loaded(policy).plan(model)
        self._decode = decoder(tokenizer)
        ends = tokenizer.eos_token_id if eos_token_id is None else eos_token_id
        self._ends = frozenset([ends] if isinstance(ends, int) else ends or ())
        self._prompt = prompt
        self._model = model
        self._max_tokens = max_tokens
        self._think_start = start_state(model) if think_start is None else think_start
        self._emit = emit or (lambda _channel, _text: None)
        self._guard: StreamGuard | None = None
        self._answer: Answer | None = None
        self._wanted = True
        self._over = False

    @property
    def outcome(self) -> str:
        """`passed`, `flagged`, `masked`, `cut` or `error`: the most severe thing that happened so far."""
        if self.failed:
            return "error"
        actions = [record.decision.action for record in self.decisions]
        if any(isinstance(action, Cut) for action in actions):
            return "cut"
        if any(isinstance(action, Mask) for action in actions):
            return "masked"
        return "flagged" if actions else "passed"

    def stop(self, sequences: Any, _scores: Any = None, **_options: Any) -> Any:
        """The stopping criterion: true once no more text is wanted."""
        return torch.full((sequences.shape[0],), not self._wanted, dtype=torch.bool, device=sequences.device)

    def put(self, value: Any) -> None:
        """Called by `generate()` with the prompt's ids, then with each new one."""
        if self._over:
            raise RuntimeError("a GuardHook guards one generation; make a new one for the next")
        if value.dim() > 1:
            if value.shape[0] != 1:
                raise ValueError(f"GuardHook guards one sequence at a time, not a batch of {value.shape[0]}")
            value = value[0]
        ids = [int(id) for id in value.tolist()]
        if self._answer is None:
            self._begin(ids)
            return
        for id in ids:
            self._receive(*self._answer.token(id))

    def end(self) -> None:
        """Called by `generate()` when it is done: everything is settled, and what is clean leaves."""
        if self._answer is not None:
            self._receive(*self._answer.finish(), UpstreamEnded())
        self._wanted, self._over = False, True

    def stream(self, model: Any, **inputs: Any) -> Generator[Piece, None, None]:
        """Run `model.generate(**inputs)` in a thread and give each piece as it is released.

        Raises what `generate()` raised. Leaving the loop early stops the model at its next token.
        """
        pieces: queue.SimpleQueue[Piece | BaseException | None] = queue.SimpleQueue()
        emit = self._emit

        def deliver(channel: Channel, text: str) -> None:
            emit(channel, text)
            pieces.put(Piece(channel, text))

        def generate() -> None:
            end: BaseException | None = None
            try:
                model.generate(**inputs, streamer=self, stopping_criteria=[self.stop])
            except BaseException as error:  # noqa: BLE001 - raised again where the pieces are read
                end = error
            pieces.put(end)

        self._emit = deliver
        thread = threading.Thread(target=generate, name="guarded-generation")
        thread.start()
        try:
            while isinstance(piece := pieces.get(), Piece):
                yield piece
            if piece is not None:
                raise piece
        finally:
            self._wanted = False
            thread.join()

    def _begin(self, ids: list[int]) -> None:
        if self._prompt is None or self._think_start is ThinkStart.AUTO:
            text = self._decode(ids)
            self._prompt = text if self._prompt is None else self._prompt
            if self._think_start is ThinkStart.AUTO and text.rstrip().endswith(OPENING_TAG):
                self._think_start = ThinkStart.REASONING
        context = Context(prompt=self._prompt, model=self._model, max_tokens=self._max_tokens)
        self._guard = StreamGuard(self._plan, context)
        self._answer = Answer(0, self._decode, ends=self._ends, start=self._think_start)

    def _receive(self, *events: Event) -> None:
        assert self._guard is not None
        for event in events:
            for command in self._guard.receive(event):
                self._carry_out(command)

    def _carry_out(self, command: Command) -> None:
        match command:
            case SendText(lane, text):
                self._release(lane.channel, text)
            case SendNotice(_, text):
                self._release(Channel.CONTENT, text)
            case RecordDecision():
                self.decisions.append(command)
            case FinishChoice(_, reason, intervention):
                self.finish_reason, self.intervention = reason, intervention
            case CancelUpstream():
                self._wanted = False
            case FailStream():
                self.failed, self._wanted = True, False
            case _:
                pass

    def _release(self, channel: Channel, text: str) -> None:
        if channel is Channel.REASONING:
            self.reasoning += text
        else:
            self.text += text
        self._emit(channel, text)


def _loaded(policy: str | Path | CompiledPolicy) -> CompiledPolicy:
    compiled = policy if isinstance(policy, CompiledPolicy) else load_policy(policy)
    compiled.load()
    return compiled
