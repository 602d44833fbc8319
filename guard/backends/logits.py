"""What happens to a model's scores between two tokens: what a request asks for, what a policy forbids, and the draw."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final, Protocol

import torch
import transformers

from guard.backends.sampling import Sampling

GREEDY_BELOW: Final = 1e-5
"""Temperatures that would overflow; the most probable token is taken instead."""


class Ban(Protocol):
    """Follows a text token by token, and says which tokens must not come next."""

    def written(self, token: int) -> None: ...

    def now(self) -> Collection[int]: ...


class _Penalties:
    """Presence and frequency penalties over what has been generated, as the OpenAI API defines them."""

    def __init__(self, prompt_tokens: int, presence: float, frequency: float) -> None:
        self._prompt_tokens = prompt_tokens
        self._presence = presence
        self._frequency = frequency

    def __call__(self, sequences: Any, scores: Any) -> Any:
        written = sequences[:, self._prompt_tokens :]
        counts = torch.zeros_like(scores).scatter_add_(1, written, torch.ones_like(written, dtype=scores.dtype))
        return scores - self._frequency * counts - self._presence * (counts > 0)


class _Draw:
    """Draws the token here, and leaves only that one possible: `generate` itself knows no generator per request."""

    def __init__(self, generator: torch.Generator) -> None:
        self._generator = generator

    def __call__(self, _sequences: Any, scores: Any) -> Any:
        drawn = torch.multinomial(scores.softmax(dim=-1), 1, generator=self._generator)
        return torch.full_like(scores, -torch.inf).scatter_(1, drawn, 0.0)


class Banned:
    """Takes away what `ban` forbids, `always` and now. Where nothing would be left, nothing is taken."""

    def __init__(self, prompt_tokens: int, ban: Ban, always: Collection[int] = ()) -> None:
        self._read = prompt_tokens
        self._ban = ban
        self._always = sorted(always)
        self._mask: torch.Tensor | None = None

    def __call__(self, sequences: Any, scores: Any) -> Any:
        for token in sequences[0, self._read :].tolist():
            self._ban.written(token)
        self._read = sequences.shape[1]
        if self._mask is None:
            self._mask = torch.zeros(scores.shape[-1], dtype=torch.bool, device=scores.device)
            self._mask[self._always] = True
        now = list(self._ban.now())
        banned = scores.masked_fill(self._mask, -torch.inf)
        banned[:, now] = -torch.inf
        return banned if bool(torch.isfinite(banned).any()) else scores


def processors(
    sampling: Sampling, choice: int, prompt: torch.Tensor, bans: Sequence[Banned] = ()
) -> transformers.LogitsProcessorList:
    """In the order vLLM and llama.cpp have: bans, penalties, temperature, truncation, draw."""
    steps: list[Any] = list(bans)
    if sampling.repetition_penalty != 1.0:
        steps.append(transformers.RepetitionPenaltyLogitsProcessor(float(sampling.repetition_penalty)))
    if sampling.presence_penalty or sampling.frequency_penalty:
        steps.append(_Penalties(prompt.shape[1], sampling.presence_penalty, sampling.frequency_penalty))
    if sampling.temperature < GREEDY_BELOW:
        return transformers.LogitsProcessorList(steps)
    if sampling.temperature != 1.0:
        steps.append(transformers.TemperatureLogitsWarper(float(sampling.temperature)))
    if sampling.top_k > 0:
        steps.append(transformers.TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1.0:
        steps.append(transformers.TopPLogitsWarper(float(sampling.top_p)))
    if sampling.min_p > 0.0:
        steps.append(transformers.MinPLogitsWarper(float(sampling.min_p)))
    generator = torch.Generator(device=prompt.device)
    if sampling.seed is None:
        generator.seed()
    else:
        generator.manual_seed((sampling.seed + choice) % 2**63)
    return transformers.LogitsProcessorList([*steps, _Draw(generator)])
