"""What can be configured, its defaults, and what is refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from guard.backends.dialects import DIALECTS
from guard.settings import Native, Section, Settings, SettingsError, Upstream
from guard.settings_source import HIDDEN

KEY = "sk-very-secret"
URL = {"GUARD_UPSTREAM__URL": "http://model.example:8000"}


def load(env: Mapping[str, str] | None = None, **overrides: Any) -> Settings:
    return Settings.load(None, env or {}, overrides)


def test_defaults() -> None:
    settings = load()
    assert (settings.host, settings.port) == ("127.0.0.1", 8080)
    assert (settings.admin_host, settings.admin_port) == ("127.0.0.1", 8081)
    assert settings.policy == "default"
    assert settings.upstream is None
    assert settings.in_process.model == settings.fallback_model == "embedded"
    assert settings.fallback.enabled
    assert not settings.in_process.trust_remote_code
    assert settings.limits.body_bytes == 16 * 1024 * 1024
    assert (settings.limits.max_streams, settings.limits.max_choices) == (512, 4)
    assert (settings.keep_alive, settings.drain) == (10, 30)


def test_upstream_defaults() -> None:
    upstream = load(URL).upstream
    assert upstream is not None
    assert (upstream.name, upstream.models) == ("upstream", ())
    timeouts = upstream.timeouts
    assert (timeouts.connect, timeouts.first_byte, timeouts.between_events, timeouts.total) == (5, 120, 60, 1800)


@pytest.mark.parametrize(
    ("env", "auth"),
    [
        ({}, "pass_through"),
        ({"GUARD_UPSTREAM__API_KEY": KEY}, "replace"),
        ({"GUARD_UPSTREAM__API_KEY": KEY, "GUARD_UPSTREAM__AUTH": "replace"}, "replace"),
        ({"GUARD_UPSTREAM__API_KEY": ""}, "pass_through"),
    ],
)
def test_credentials_are_replaced_where_a_key_is_set(env: Mapping[str, str], auth: str) -> None:
    upstream = load({**URL, **env}).upstream
    assert upstream is not None
    assert upstream.auth == auth


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000"),
        (" https://models.example/v1/ ", "https://models.example/v1"),
        ("http://[::1]:8000/v1", "http://[::1]:8000/v1"),
        ("https://models.example/openai/v1", "https://models.example/openai/v1"),
    ],
)
def test_good_urls(url: str, base: str) -> None:
    upstream = load(upstream={"url": url}).upstream
    assert upstream is not None
    assert upstream.url == base


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("127.0.0.1:8000", "begins with http://"),
        ("ftp://host/", "begins with http://"),
        ("http:///v1", "begins with http://"),
        ("", "begins with http://"),
        ("http://user:pass@host/", "no credentials in the URL"),
        ("http://host/?key=1", "without `?`"),
        ("http://host/v1/chat/completions", "the guard adds"),
        ("http://host:99999/", "Port out of range"),
        ("http://my host:8000", "white space"),
        ("http://host\n:8000", "white space"),
        ("http://host\0:8000", "white space"),
        ("http://127.0.0.1:8080", "is this guard itself"),
    ],
)
def test_bad_urls(url: str, says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(upstream={"url": url})
    assert len(refused.value.problems) == 1
    assert says in refused.value.problems[0]


def test_a_port_that_is_this_guards_elsewhere_is_fine() -> None:
    assert load(upstream={"url": "http://model.example:8080"}).upstream is not None


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ({"upstream": {"url": "http://host", "auth": "replace"}}, "set GUARD_UPSTREAM__API_KEY"),
        ({"upstream": {"url": "http://host", "auth": "pass_through", "api_key": KEY}}, "remove one of the two"),
        ({"upstream": {"url": "http://host", "api_key": KEY + "\n"}}, "check how it was copied"),
        ({"upstream": {"name": "mine"}}, "upstream.url: is missing"),
        ({"upstream": {"url": "http://host", "start_state": {"qwq*": "thinking"}}}, "'thinking' should be 'reasoning'"),
        ({"upstream": {"url": "http://host", "timeouts": {"total": 0}}}, "0 should be greater than 0"),
        ({"upstream": {"url": "http://host", "dialect": "vlm"}}, "'vlm' should be 'auto', 'vllm'"),
        ({"upstream": {"url": "http://host", "native": {"thinking_tokens": 5}}}, "native.thinking_tokens"),
        ({"upstream": {"url": "http://host", "native": {"repetition_detection": {}}}}, "max_pattern_size: is missing"),
        (
            {
                "upstream": {
                    "url": "http://host",
                    "native": {"repetition_detection": {"max_pattern_size": 2, "min_pattern_size": 3}},
                }
            },
            "is larger than",
        ),
        ({"port": 70000}, "70000 should be less than or equal to 65535"),
        ({"port": 9000, "admin_port": 9000}, "both 9000"),
        ({"limits": {"body_bytes": "sixteen"}}, "limits.body_bytes: 'sixteen'"),
        ({"limits": {"max_streams": 0}}, "limits.max_streams: 0 should be"),
        ({"reasoning_field": "thoughts"}, "'thoughts' should be 'upstream', 'reasoning' or 'reasoning_content'"),
        ({"allow_response_fields": ["x y"]}, "allow_response_fields.0: 'x y'"),
        ({"log": {"level": "loud"}}, "'loud' should be 'debug'"),
    ],
)
def test_what_does_not_fit_is_refused_with_key_value_and_way_out(overrides: dict[str, Any], says: str) -> None:
    with pytest.raises(SettingsError) as refused:
        load(**overrides)
    assert len(refused.value.problems) == 1
    assert says in str(refused.value)
    assert KEY not in str(refused.value)


def test_the_dialects_are_those_of_the_table() -> None:
    names = get_args(Upstream.model_fields["dialect"].annotation)
    assert set(names) == {"auto", *DIALECTS}


def test_native_settings_belong_to_a_dialect_and_go_along_only_if_set() -> None:
    assert {name for row in DIALECTS.values() for name in row.native} == set(Native.model_fields)
    upstream = load(upstream={"url": "http://host", "native": {"thinking_token_budget": 0}}).upstream
    assert upstream is not None
    assert upstream.native.asked_for() == {"thinking_token_budget": 0}
    detection = {"max_pattern_size": 20, "min_pattern_size": 1, "min_count": 4}
    given = {"reasoning_control": True, "repetition_detection": {"max_pattern_size": 20}}
    upstream = load(upstream={"url": "http://host", "native": given}).upstream
    assert upstream is not None
    assert upstream.native.asked_for() == {"reasoning_control": True, "repetition_detection": detection}


def test_sizes_can_be_written_with_a_unit() -> None:
    assert load(limits={"body_bytes": "2MiB"}).limits.body_bytes == 2 * 1024 * 1024


def test_both_ports_may_be_picked_by_the_system() -> None:
    assert load(port=0, admin_port=0).port == 0


def test_the_fallback_may_be_another_model() -> None:
    settings = load(in_process={"model": "big"}, fallback={"model": "small"})
    assert (settings.in_process.model, settings.fallback_model) == ("big", "small")


def test_effective_settings_hide_secrets_and_load_again() -> None:
    settings = load({**URL, "GUARD_UPSTREAM__API_KEY": KEY, "GUARD_UPSTREAM__MODELS": '["qwq-32b"]'})
    shown = settings.effective()
    assert KEY not in str(shown)
    assert KEY not in repr(settings)
    assert shown["upstream"]["api_key"] == HIDDEN
    assert shown["upstream"]["models"] == ["qwq-32b"]
    again = Settings.load(None, {}, shown)
    assert again.effective() == shown


def test_the_process_environment_is_read_only_by_load(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GUARD_PORT", "9001")
    assert Settings().port == 8080
    assert Settings.load().port == 9001


def test_the_file_can_be_named_by_a_variable(tmp_path: Path) -> None:
    file = tmp_path / "guard.yaml"
    file.write_text("port: 9002\n", encoding="utf-8")
    assert load({"GUARD_CONFIG": str(file)}).port == 9002
    other = tmp_path / "other.yaml"
    other.write_text("port: 9003\n", encoding="utf-8")
    assert Settings.load(other, {"GUARD_CONFIG": str(file)}).port == 9003


def test_settings_do_not_change() -> None:
    settings = load()
    with pytest.raises(ValueError, match="frozen"):
        settings.port = 1
    with pytest.raises(ValueError, match="frozen"):
        settings.limits.max_streams = 1


@pytest.mark.parametrize("section", [Settings, *Section.__subclasses__()], ids=lambda section: str(section.__name__))
def test_every_setting_says_what_it_is(section: type[BaseModel]) -> None:
    undescribed = [name for name, field in section.model_fields.items() if not field.description]
    assert undescribed == []
