from __future__ import annotations

from typing import Any

import pytest

from detectors.guard_model.settings import EndpointGuard, GuardModelSettings, Limits, TransformersGuard
from guard.registry import SettingsError, build


@pytest.mark.parametrize(
    ("make", "settings", "told"),
    [
        (Limits, {"deadline": 0}, "deadline"),
        (Limits, {"deadline": 601}, "600 seconds, not 601"),
        (Limits, {"breaker_seconds": -1}, "breaker_seconds"),
        (Limits, {"retries": -1}, "retries must be 0 or more"),
        (Limits, {"concurrency": 0}, "concurrency must be 1 or more"),
        (Limits, {"breaker_failures": 0}, "breaker_failures"),
        (Limits, {"calls_per_second": -0.5}, "calls_per_second"),
        (TransformersGuard, {"labels": {"LABEL_1": "toxicity"}}, "labels: LABEL_1: `toxicity` is neither `safe` nor"),
        (TransformersGuard, {"context_tokens": 100}, "context_tokens"),
        (EndpointGuard, {"format": "shieldgemma", "ask": {"bad": "Nothing bad."}}, "ask: `bad` is not one of"),
        (EndpointGuard, {"format": "llama_guard", "ask": {"hate": "hate"}}, "leave it out"),
        (GuardModelSettings, {"escalate": 0}, "escalate"),
        (GuardModelSettings, {"report": 1.5}, "report"),
        (GuardModelSettings, {"controversial": 2}, "controversial"),
        (GuardModelSettings, {"every": 8}, "every"),
        (GuardModelSettings, {"tail": -1}, "tail"),
    ],
)
def test_what_cannot_be_meant_is_said(make: Any, settings: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        make(**settings)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({}, "one of transformers.model, endpoint.url, moderations.url must be given"),
        (
            {"endpoint": {"url": "http://h/v1"}, "moderations": {"url": "http://h/v1"}},
            "not endpoint.url and moderations",
        ),
        ({"endpoint": {"url": "http://h/v1", "format": "wildguard"}}, "endpoint.format: must be"),
        ({"endpoint": {"url": "http://h/v1", "limits": {"deadline": "soon"}}}, "endpoint.limits.deadline"),
        ({"endpoint": {"url": "http://h/v1", "api_key": "x"}}, "endpoint.api_key: there is no such setting"),
        (
            {"unavailable": "pass", "endpoint": {"url": "http://h/v1"}},
            "unavailable: must be 'error' or 'pass_embedded'",
        ),
    ],
)
def test_a_policy_is_told_where(values: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        build("judge", "guard_model", values)


def test_a_policy_can_set_all_of_it() -> None:
    detector = build(
        "judge",
        "guard_model",
        {
            "endpoint": {
                "url": "http://127.0.0.1:8001/v1",
                "model": "guardian",
                "format": "granite_guardian",
                "ask": {"jailbreak": "jailbreak"},
                "limits": {"deadline": 2, "concurrency": 4},
            },
            "cascade": False,
            "every": 200,
            "embedded": {"sure": 0.99},
        },
    )
    assert detector.slow
    assert detector.name == "judge"
