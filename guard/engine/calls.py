"""What the requests to upstream of one answer took: one request, and one more for each repair."""

from __future__ import annotations

from guard.events import RepairUsage, Usage


class Calls:
    """Sums of what upstream reported, and estimates where it did not."""

    __slots__ = ("_before", "estimated", "generated", "number", "running", "usage")

    def __init__(self) -> None:
        self.number = 0
        self.running = True
        self.usage = Usage()
        self.estimated = False
        self.generated = 0
        self._before = (self.usage, self.estimated, self.generated, self.number)

    def add(self, reported: Usage | None, prompt: int, generated: int) -> None:
        """The running request is over. `prompt` and `generated`, which counts the tokens of all requests so far, are
        taken where upstream reported nothing."""
        self._before = (self.usage, self.estimated, self.generated, self.number)
        usage = reported or Usage(prompt, generated - self.generated)
        self.usage = usage if not self.number else _sum(self.usage, usage)
        self.estimated = self.estimated or reported is None
        self.generated = generated
        self.number += 1
        self.running = False

    def go_on(self, *, same: bool) -> None:
        """Another request runs, or the `same` one after all: then what was counted of it is taken back."""
        if same:
            self.usage, self.estimated, self.generated, self.number = self._before
        self.running = True

    def repairs(self, attempts: int, max_tokens: int | None) -> RepairUsage | None:
        """What `attempts` repairs came to; None if there were none."""
        if not attempts:
            return None
        spent = self.usage.completion_tokens
        return RepairUsage(attempts, spent, None if max_tokens is None else max(max_tokens - spent, 0))


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        _known(one.reasoning_tokens, other.reasoning_tokens),
        _known(one.cached_tokens, other.cached_tokens),
    )


def _known(one: int | None, other: int | None) -> int | None:
    """The sum of what was told; None if nothing was."""
    return None if one is None and other is None else (one or 0) + (other or 0)
