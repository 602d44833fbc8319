"""Putting another policy in force while streams are running.

    files --read--> Candidate: compiled, models loaded --adopt--> in force for streams that open from now on
              '---> problems: nothing changes

The expensive part happens in a thread and before anything changes, so that a file that cannot be used leaves the last
good policy serving. A stream keeps the plan it began with.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from guard.contract import DetectorError
from guard.policy import CompiledPolicy, PolicyError, compile_policy, read_policy
from guard.policy.problems import Place
from guard.policy.source import PolicySource
from guard.policy.tree import Tree
from guard.policy.validate import validate
from guard.proxy.gateway import Gateway, log

WATCH_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy that is ready to be put in force."""

    policy: CompiledPolicy
    data: Mapping[str, Any]
    """What the merged policy says, as JSON can carry it: from it another process makes the same policy."""
    files: tuple[str, ...]
    """The files it was read from, the policy's own first."""


@dataclass(frozen=True, slots=True)
class Reloaded:
    """How a reload went, and what is in force now."""

    ok: bool
    name: str
    version: str
    says: str = ""
    """What is wrong, as `guard check` shows it."""
    problems: Sequence[Mapping[str, Any]] = ()
    at: float = field(default_factory=time.time, compare=False)
    """Unix time."""


def read_candidate(wanted: str) -> Candidate:
    """Read, compile and load the policy of a built-in name or a path. Raises `PolicyError` or `DetectorError`."""
    source = read_policy(wanted)
    policy = compile_policy(source)
    policy.load()
    data = source.tree.plain()
    data.pop("extends", None)
    return Candidate(policy, data, (source.file, *sorted(_files(source.tree) - {source.file})))


def candidate_of(data: Mapping[str, Any], files: Sequence[str]) -> Candidate:
    """The candidate that another process has read. Raises `PolicyError` or `DetectorError`."""
    file = files[0] if files else "policy"
    tree = _tree(data, Place(file))
    policy, problems = validate(tree)
    compiled = compile_policy(PolicySource(file, policy, tree, problems))
    compiled.load()
    return Candidate(compiled, data, tuple(files))


def refusal(error: PolicyError | DetectorError) -> tuple[str, list[dict[str, Any]]]:
    """What is wrong with a policy, for people and for programs."""
    if isinstance(error, PolicyError):
        return str(error), [problem.as_json() for problem in error.problems]
    return str(error), [{"code": "P111", "title": "detector cannot be used", "message": str(error)}]


class Reloader:
    """Reloads the policy of one process."""

    def __init__(self, gateway: Gateway, wanted: str, files: Sequence[str] = ()) -> None:
        """`wanted` is the configured policy, a built-in name or a path; `files` are those it was read from."""
        self.files = tuple(files)
        self.last: Reloaded | None = None
        """The last reload that was tried."""
        self._gateway = gateway
        self._wanted = wanted
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> Reloaded:
        """Read the policy again and put it in force, or say why not."""
        async with self._one_at_a_time:
            self.last = await self._reload()
            return self.last

    async def _reload(self) -> Reloaded:
        try:
            candidate = await asyncio.to_thread(read_candidate, self._wanted)
        except (PolicyError, DetectorError) as error:
            return self._refused(error)
        self.files = candidate.files
        self._gateway.adopt(candidate.policy)
        name, version = candidate.policy.name, candidate.policy.version
        self._gateway.metrics.reload_tried(True)
        log.info("policy reloaded", policy=name, version=version)
        return Reloaded(True, name, version)

    def _refused(self, error: PolicyError | DetectorError) -> Reloaded:
        in_force = self._gateway.policy
        says, problems = refusal(error)
        self._gateway.metrics.reload_tried(False)
        log.error("policy not reloaded", in_force=f"{in_force.name}@{in_force.version}", problems=says)
        return Reloaded(False, in_force.name, in_force.version, says, problems)


async def watch(
    files: Callable[[], Iterable[str]], changed: Callable[[], Awaitable[object]], seconds: float = WATCH_SECONDS
) -> None:
    """Call `changed` whenever the files are other ones than before and have stayed so for `seconds`.

    Files are looked at, not subscribed to: that sees what a Kubernetes ConfigMap or a network file system does, too.
    """
    seen = before = _look(files())
    while True:
        await asyncio.sleep(seconds)
        now = _look(files())
        if now == before and now != seen:
            await changed()
            seen = now = _look(files())
        before = now


def _look(files: Iterable[str]) -> Mapping[str, tuple[int, ...]]:
    """What tells whether a file has been written or replaced; nothing for one that is not there."""
    looks: dict[str, tuple[int, ...]] = {}
    for file in files:
        try:
            stat = os.stat(file)
        except OSError:
            continue
        looks[file] = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
    return looks


def _files(tree: Tree) -> set[str]:
    """The files that a merged policy came from."""
    files = {tree.place.file}
    if isinstance(tree.value, dict | list):
        for child in tree.value.values() if isinstance(tree.value, dict) else tree.value:
            files |= _files(child)
    return files


def _tree(value: Any, place: Place) -> Tree:
    if isinstance(value, Mapping):
        children = {key: _tree(child, place) for key, child in value.items()}
        return Tree(place, children, dict.fromkeys(children, place))
    if isinstance(value, list):
        return Tree(place, [_tree(child, place) for child in value])
    return Tree(place, value)
