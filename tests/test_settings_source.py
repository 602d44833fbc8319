"""File, environment and flags become one configuration; every problem is one line that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from guard.settings import Settings
from guard.settings_source import SettingsError


def write(tmp_path: Path, text: str | bytes) -> Path:
    file = tmp_path / "guard.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def problems(path: Path | None = None, env: dict[str, str] | None = None) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        Settings.load(path, env or {}, {})
    told = [line.removeprefix(f"{path.parent}/") if path else line for line in refused.value.problems]
    assert all("\n" not in line for line in told)
    assert str(refused.value).count("\n") == len(told) - 1
    return told


def test_flags_win_over_variables_and_variables_over_the_file(tmp_path: Path) -> None:
    file = write(tmp_path, "port: 1001\nhost: a\npolicy: strict\nupstream: {url: 'http://file', name: file}\n")
    env = {"GUARD_PORT": "1002", "guard_host": "b", "GUARD_UPSTREAM__URL": "http://env"}
    settings = Settings.load(file, env, {"port": 1003, "upstream": {"name": "flag"}})
    assert (settings.port, settings.host, settings.policy) == (1003, "b", "strict")
    assert settings.upstream is not None
    assert (settings.upstream.url, settings.upstream.name) == ("http://env", "flag")


@pytest.mark.parametrize("text", ["", "# nothing\n", "limits:\nupstream:\n  url: http://h\n", "{}"])
def test_empty_files_and_sections_mean_defaults(tmp_path: Path, text: str) -> None:
    assert Settings.load(write(tmp_path, text), {}, {}).limits == Settings().limits


def test_lists_and_maps_in_variables_are_json() -> None:
    env = {
        "GUARD_UPSTREAM__URL": "http://h",
        "GUARD_UPSTREAM__MODELS": '["a", "b"]',
        "GUARD_UPSTREAM__START_STATE": '{"qwq*": "reasoning"}',
        "GUARD_FALLBACK__ENABLED": "false",
        "GUARD_UPSTREAM__TIMEOUTS__TOTAL": "12.5",
    }
    settings = Settings.load(None, env, {})
    assert settings.upstream is not None
    assert settings.upstream.models == ("a", "b")
    assert settings.upstream.start_state == {"qwq*": "reasoning"}
    assert settings.upstream.timeouts.total == 12.5
    assert not settings.fallback.enabled


def test_all_problems_of_a_file_at_once_with_their_lines(tmp_path: Path) -> None:
    text = "port: 99999\nhots: here\nupstream:\n  url: http://h\n  urll: x\n  timeouts: {connect: -1}\nlimits: 7\n"
    assert sorted(problems(write(tmp_path, text))) == [
        "guard.yaml:1: port: 99999 should be less than or equal to 65535",
        "guard.yaml:2: hots: no such setting; did you mean `host`?",
        "guard.yaml:5: upstream.urll: no such setting; did you mean `url`?",
        "guard.yaml:6: upstream.timeouts.connect: -1 should be greater than 0",
        "guard.yaml:7: limits: 7 is no section: write its keys one by one",
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("port: [1", "guard.yaml:1: is not YAML"),
        ("a: b: c", "guard.yaml:1: is not YAML"),
        ("\tport: 1", "guard.yaml:1: is not YAML"),
        ("port: 1\nport: 2\n", "guard.yaml:2: port: is set twice"),
        ("- port", "guard.yaml: holds no settings"),
        ("just words", "guard.yaml: holds no settings"),
        ("log: &log {level: info}\nlimits: *log\n", "guard.yaml:2: aliases"),
        ("a: &a [*a]", "guard.yaml:1: aliases"),
        ("port: !!python/object/apply:os.system ['true']", "guard.yaml:1: is not YAML"),
        ("? [1, 2]\n: 3\n", "guard.yaml:1: is not YAML"),
        ("1: 2", "guard.yaml:1: 1: no such setting"),
        ("[" * 600 + "]" * 600, "guard.yaml: is nested too deeply"),
        (b"port: \xff\n", "guard.yaml: is not UTF-8 text (byte 6)"),
        (b"port: \x00\n", "guard.yaml: is not YAML"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, text: str | bytes, says: str) -> None:
    told = problems(write(tmp_path, text))
    assert told[0].startswith(says)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert problems(tmp_path / "guard.yaml") == [
        "guard.yaml: cannot be read (No such file or directory); give the path of a guard.yaml"
    ]


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("GUARD_PROT", "1", "GUARD_PROT: no such setting; did you mean `port`?"),
        ("GUARD_LIMITS__MAX_STREAM", "1", "limits.max_stream: no such setting; did you mean `max_streams`?"),
        ("GUARD_LIMITS__XYZ", "1", "no such setting; there are body_bytes, max_streams"),
        ("GUARD_PORT", "http", "GUARD_PORT: port: 'http' should be a valid integer"),
        ("GUARD_PORT", "tcp://10.0.0.1:80", "use `enableServiceLinks: false`"),
        ("GUARD_UPSTREAM", "http://h", "GUARD_UPSTREAM: upstream: 'http://h' is no section: set its keys one by one"),
        ("GUARD_ALLOW_RESPONSE_FIELDS", "a,b", "'a,b' is no list; in a variable write it as JSON"),
        ("GUARD_FALLBACK__ENABLED", "perhaps", "'perhaps' should be a valid boolean"),
    ],
)
def test_variables_that_do_not_fit(name: str, value: str, says: str) -> None:
    told = problems(env={name: value})
    assert len(told) == 1
    assert told[0].startswith(name)
    assert says in told[0]


def test_a_map_in_a_variable_must_be_one() -> None:
    told = problems(env={"GUARD_UPSTREAM__URL": "http://h", "GUARD_UPSTREAM__START_STATE": "qwq"})
    assert told == [
        "GUARD_UPSTREAM__START_STATE: upstream.start_state: 'qwq' is no map; in a variable write it as JSON: "
        '{"a": "b"}'
    ]


def test_variables_of_a_kubernetes_service_named_guard_are_none_of_ours() -> None:
    env = {
        "GUARD_SERVICE_HOST": "10.0.0.1",
        "GUARD_SERVICE_PORT_HTTP": "80",
        "GUARD_PORT_80_TCP_ADDR": "10.0.0.1",
        "HOME": "/nowhere",
    }
    assert Settings.load(None, env, {}) == Settings()


def test_secrets_are_never_repeated(tmp_path: Path) -> None:
    text = "upstream: {url: 'http://h', api_key: [hush, hush]}\n"
    told = problems(write(tmp_path, text), {"GUARD_UPSTREAM__AUTH": "sometimes"})
    assert "hush" not in str(told)
    assert any("(hidden)" in line for line in told)


def test_long_values_are_shortened() -> None:
    told = problems(env={"GUARD_LOG__LEVEL": "x" * 500})
    assert len(told[0]) < 200
