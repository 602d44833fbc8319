"""One choice of an in-process model, from token ids to events. Pure: no model, no tokenizer, no thread.

token -> end of turn? -> Detokenizer -> StopStrings -> ThinkSplitter -> TextReceived
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from guard.backends.detokenize import Detokenizer, StopStrings
from guard.contract import Channel, Lane
from guard.events import ChoiceFinished, Event, TextReceived
from guard.wire.think import ThinkSplitter, ThinkStart


class Answer:
    """`stops` are stop strings, looked for in everything the model writes; `ends` the ids that end its turn.

    `over` turns true at the token that ends the answer; tokens after it are ignored. `tokens` counts what the model
    generated, the end of its turn included.
    """

    def __init__(
        self,
        choice: int,
        decode: Callable[[Sequence[int]], str],
        *,
        stops: Sequence[str] = (),
        ends: Container[int] = (),
        start: ThinkStart = ThinkStart.CONTENT,
    ) -> None:
        self.tokens = 0
        self.over = False
        self._choice = choice
        self._ends = ends
        self._text = Detokenizer(decode)
        self._stops = StopStrings(stops)
        self._splitter = ThinkSplitter(start)

    def token(self, token: int) -> list[Event]:
        """Take the next token; returns the events it brings about."""
        if self.over:
            return []
        self.tokens += 1
        if token in self._ends:
            self.over = True
            return []
        text = self._stops.feed(self._text.push(token))
        self.over = self._stops.stopped
        return self._received(self._splitter.feed(text))

    def finish(self) -> list[Event]:
        """The model has stopped: what was held back, and how the choice ended (`stop` or `length`)."""
        rest = self._stops.feed(self._text.flush()) + self._stops.flush()
        reason = "stop" if self.over or self._stops.stopped else "length"
        self.over = True
        pieces = self._splitter.feed(rest) + self._splitter.flush()
        return [*self._received(pieces), ChoiceFinished(self._choice, reason)]

    def _received(self, pieces: Sequence[tuple[Channel, str]]) -> list[Event]:
        return [TextReceived(Lane(self._choice, channel), piece) for channel, piece in pieces]
