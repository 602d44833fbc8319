"""The image's recipe, as far as it can be tried without a container engine: what is copied exists and suffices to
build, and what the finished image runs, as whom and with what, is what the guard understands."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from guard.settings import Settings
from tests.support.guard_process import guard_command
from tests.support.upstream import unused_port

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "compose"
DOCKERFILE = (ROOT / "deploy" / "docker" / "Dockerfile").read_text(encoding="utf-8")
STEPS = [
    (word, " ".join(rest.split()))
    for word, rest in re.findall(
        r"^([A-Z]+) (.*)$", re.sub(r"^#.*\n", "", DOCKERFILE, flags=re.M).replace("\\\n", " "), re.M
    )
]
COMPOSE = yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8"))


def steps(word: str) -> list[str]:
    return [rest for each, rest in STEPS if each == word]


def copied() -> list[str]:
    """What is copied from the repository."""
    return [name for rest in steps("COPY") if not rest.startswith("--from") for name in rest.split()[:-1]]


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split("\n")
    allowed = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    assert set(copied()) == set(allowed)
    for name in copied():
        assert (ROOT / name).exists(), name


@pytest.mark.xdist_group("wheel")
def test_what_is_copied_is_enough_to_build(tmp_path: Path) -> None:
    source = tmp_path / "src"
    source.mkdir()
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "--quiet", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    done = subprocess.run(
        [*command, "-w", str(tmp_path), str(source)], capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {"guard/cli/serve.py", "guard/_policies/default.yaml", "detectors/loop/detector.py"} <= set(names)


def test_the_extras_exist() -> None:
    pyproject = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    told = re.findall(r"EXTRAS=([a-z,]+)", DOCKERFILE)
    assert told
    for extra in {each for line in told for each in line.split(",")}:
        assert re.search(rf"^{extra} = \[", pyproject, re.M), extra


def test_it_runs_as_nobody_in_particular_and_is_built_in_two_stages() -> None:
    assert len(steps("FROM")) == 2
    assert all(re.fullmatch(r"python:\$\{PYTHON\}( AS build)?", rest) for rest in steps("FROM"))
    assert "latest" not in DOCKERFILE
    user = steps("USER")[-1]
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user)  # a number, so that Kubernetes can see it is not root
    final = STEPS[max(index for index, (word, _) in enumerate(STEPS) if word == "FROM") :]
    assert [word for word, _ in final].index("USER") > max(
        index for index, (word, _) in enumerate(final) if word == "RUN"
    )
    assert "ADD" not in dict(STEPS)
    assert "sudo" not in DOCKERFILE
    for run in steps("RUN"):
        if "apt-get install" in run:
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
        if "pip install" in run:
            assert "--no-cache-dir" in run


def test_what_it_runs_is_a_command_with_settings_that_exist(tmp_path: Path) -> None:
    assert (steps("ENTRYPOINT"), steps("CMD")[-1]) == (['["guard"]'], '["serve"]')
    env = dict(each.split("=", 1) for rest in steps("ENV") for each in rest.split())
    config = tmp_path / "guard.yaml"
    (written,) = re.findall(r"printf '(.*?)' > /etc/qwq-guard/guard.yaml", " ".join(steps("RUN")))
    config.write_text(written.replace("\\n", "\n"))
    settings = Settings.load(
        env={**{name: value for name, value in env.items() if name.startswith("GUARD_")}, "GUARD_CONFIG": str(config)}
    )
    assert settings.host == "0.0.0.0"
    assert steps("EXPOSE") == [str(settings.port)]
    health = steps("HEALTHCHECK")[-1]
    assert f"http://127.0.0.1:{settings.admin_port}/healthz" in health
    assert settings.admin_host == "127.0.0.1"


def test_the_health_check_is_python() -> None:
    (command,) = re.findall(r'CMD (\["python".*\])', steps("HEALTHCHECK")[-1])
    code = yaml.safe_load(command)[-1].replace("8081", str(unused_port()))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "refused" in done.stderr or "HTTPError" in done.stderr


# --- compose


def test_what_compose_mounts_is_there() -> None:
    for name, service in COMPOSE["services"].items():
        for mount in service["volumes"]:
            source = mount.split(":")[0]
            if source.startswith("."):
                assert (FOLDER / source).exists(), f"{name}: {source}"
            else:
                assert source in COMPOSE["volumes"], f"{name}: {source}"
        assert set(service["networks"]) <= set(COMPOSE["networks"])
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:"), "nothing is published beyond this machine"
        if "build" not in service:
            assert not fnmatch.fnmatch(service["image"], "*:latest")
            assert ":" in service["image"]
    build = COMPOSE["services"]["guard"]["build"]
    assert (FOLDER / build["context"] / build["dockerfile"]).samefile(ROOT / "deploy" / "docker" / "Dockerfile")


def test_compose_sets_what_the_guard_knows() -> None:
    service = COMPOSE["services"]["guard"]
    env = {
        name: re.sub(r"\$\{[^:}]+:[-?]([^}]*)\}", r"\1", value).replace("set GUARD", "http://GUARD")
        for name, value in service["environment"].items()
    }
    env["GUARD_UPSTREAM__URL"] = "http://model:8000"
    settings = Settings.load(env=env)
    assert settings.admin_host == "0.0.0.0"
    assert settings.workers == 2
    assert float(service["stop_grace_period"].removesuffix("s")) > settings.drain
    assert service["read_only"] is True
    assert service["tmpfs"] == ["/tmp"]


def test_the_policy_beside_compose_is_one() -> None:
    done = guard_command("check", str(FOLDER / "policies" / "house.yaml"))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("program", "arguments", "file", "needs"),
    [
        ("promtool", ["check", "config", "--syntax-only"], "prometheus.yml", "rules.yml"),
        ("amtool", ["check-config"], "alertmanager.yml", ""),
    ],
)
def test_the_monitoring_beside_it_is_configured_right(
    tmp_path: Path, program: str, arguments: list[str], file: str, needs: str
) -> None:
    found = shutil.which(program)
    if found is None:
        pytest.skip(
            f"{program} is not installed, so {file} goes unchecked (Debian: prometheus, prometheus-alertmanager)"
        )
    shutil.copy(FOLDER / file, tmp_path)
    if needs:
        shutil.copy(ROOT / "deploy" / "prometheus" / needs, tmp_path)
    done = subprocess.run(
        [found, *arguments, str(tmp_path / file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_the_guard_and_grafana_asks_prometheus() -> None:
    prometheus = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert prometheus["scrape_configs"][0]["static_configs"][0]["targets"] == ["guard:8081"]
    assert prometheus["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"] == ["alertmanager:9093"]
    (source,) = yaml.safe_load((FOLDER / "grafana" / "datasources" / "prometheus.yaml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((FOLDER / "grafana" / "dashboards" / "qwq-guard.yaml").read_text())["providers"]
    mounts = [mount.split(":")[1] for mount in COMPOSE["services"]["grafana"]["volumes"]]
    assert any(Path(mount).is_relative_to(provider["options"]["path"]) for mount in mounts)
