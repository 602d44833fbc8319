from __future__ import annotations

import ast
from pathlib import Path

import pytest

from detectors.guard_model.adapter import GuardAdapter, Judge, Level, Reason, Unavailable
from detectors.guard_model.endpoint import EndpointAdapter, ModerationsAdapter
from detectors.guard_model.settings import EndpointGuard, ModerationsGuard

PACKAGE = Path(__file__).parents[3] / "detectors" / "guard_model"


def test_levels_are_in_the_order_of_harm() -> None:
    assert [*Level] == ["safe", "controversial", "unsafe"]


@pytest.mark.parametrize("reason", Reason)
def test_why_there_is_no_judgement_is_a_word(reason: Reason) -> None:
    error = Unavailable(reason)
    assert error.reason is reason
    assert str(error) == str(reason)
    assert str(reason).isidentifier()


def test_adapters_fit() -> None:
    adapters: list[GuardAdapter] = [
        EndpointAdapter(EndpointGuard(url="http://127.0.0.1:1/v1", model="m"), 0.5),
        ModerationsAdapter(ModerationsGuard(url="http://127.0.0.1:1/v1")),
    ]
    assert all(adapter.every > 0 for adapter in adapters)
    assert callable(Judge.score)


def test_only_the_server_reads_clocks_and_opens_connections() -> None:
    """So that nothing else can make a verdict depend on the time of day."""
    used: dict[str, set[str]] = {}
    for file in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in {"time", "httpx", "socket", "random", "asyncio"} & set(names):
                used.setdefault(name, set()).add(file.stem)
    assert used == {"time": {"server", "breaker"}, "httpx": {"server"}}
