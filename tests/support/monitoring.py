"""Debian's Prometheus and Alertmanager on loopback, for tests, and what they are asked.

    with Webhook() as hook, start_alertmanager(tmp_path, hook.url) as manager:
        with start_prometheus(tmp_path, [guard.admin], rules=shortened(RULES), alertmanager=manager) as prometheus:
            query(prometheus, "guard_streams_active")      # [({label: value}, value)]
            firing(prometheus)                             # names and labels of alerts
            hook.alerts                                    # what reached the webhook

`needed` skips a test with a sentence where the programs are not installed.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import yaml

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
RULES = (FOLDER / "rules.yml").read_text(encoding="utf-8")
START_SECONDS = 20.0

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 604_800.0}
_WINDOW = re.compile(r"(?<=\[)(\d+)(ms|[smhdw])(?=\])|(?<=offset )(\d+)(ms|[smhdw])")


def needed(*programs: str) -> None:
    """Skip the test if any of these programs is not installed."""
    for program in programs:
        if shutil.which(program) is None:
            package = "prometheus-alertmanager" if program in ("prometheus-alertmanager", "amtool") else "prometheus"
            pytest.skip(f"{program} is not installed, so alerting goes untested (Debian: apt-get install {package})")


def shortened(rules: str, factor: float = 30.0) -> str:
    """The same rules, with windows, offsets and `for` `factor` times shorter (windows 5 seconds at least, `for` 2), and
    groups evaluated every second. Names, bars and labels stay, so what fires is what the file says."""
    document = yaml.safe_load(rules)
    for group in document["groups"]:
        group["interval"] = "1s"
        for rule in group["rules"]:
            rule["expr"] = _WINDOW.sub(lambda match: _shorter(match, factor), rule["expr"])
            if "for" in rule:
                unit = rule["for"].lstrip("0123456789")
                rule["for"] = f"{_seconds(rule['for'].removesuffix(unit), unit, factor, 2)}s"
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _shorter(match: re.Match[str], factor: float) -> str:
    return f"{_seconds(match[1] or match[3], match[2] or match[4], factor, 5)}s"


def _seconds(amount: str, unit: str, factor: float, least: int) -> int:
    return max(round(int(amount) * _SECONDS[unit] / factor), least)


@contextlib.contextmanager
def start_prometheus(
    folder: Path, targets: Sequence[str], *, rules: str = "", alertmanager: str = "", job: str = "qwq-guard"
) -> Iterator[str]:
    """Prometheus, scraping `targets` (base URLs of admin ports) every second; yields its base URL."""
    needed("prometheus")
    config: dict[str, Any] = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [urlsplit(target).netloc for target in targets]}]}
        ],
    }
    if rules:
        (folder / "rules.yml").write_text(rules, encoding="utf-8")
        config["rule_files"] = ["rules.yml"]
    if alertmanager:
        config["alerting"] = {
            "alertmanagers": [{"static_configs": [{"targets": [urlsplit(alertmanager).netloc]}]}],
        }
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    port = free_port()
    arguments = [
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--alertmanager.notification-queue-capacity=100",
        "--log.level=warn",
    ]
    with _running("prometheus", arguments, folder, f"http://127.0.0.1:{port}") as url:
        yield url


@contextlib.contextmanager
def start_alertmanager(folder: Path, webhook: str, config: str = "") -> Iterator[str]:
    """Alertmanager, sending every alert at once to `webhook`; yields its base URL. A `config` given takes the place of
    the test's own; `WEBHOOK` in it stands for the address."""
    needed("prometheus-alertmanager")
    own = """\
route: {receiver: test, group_by: [alertname, channel], group_wait: 0s, group_interval: 1s, repeat_interval: 1h}
receivers:
  - name: test
    webhook_configs: [{url: WEBHOOK, send_resolved: true}]
"""
    file = folder / "alertmanager.yml"
    file.write_text((config or own).replace("WEBHOOK", webhook), encoding="utf-8")
    port = free_port()
    arguments = [
        f"--config.file={file}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    with _running("prometheus-alertmanager", arguments, folder, f"http://127.0.0.1:{port}") as url:
        yield url


def query(prometheus: str, expression: str) -> list[tuple[dict[str, str], float]]:
    """The labels and value of every series an instant query finds. An expression that Prometheus refuses raises
    `AssertionError` with what it says."""
    with httpx.Client(trust_env=False, timeout=10) as client:
        answer = client.get(f"{prometheus}/api/v1/query", params={"query": expression}).json()
    assert answer["status"] == "success", f"{expression}: {answer.get('error')}"
    data = answer["data"]
    if data["resultType"] == "scalar":
        return [({}, float(data["result"][1]))]
    return [(series["metric"], float(series["value"][1])) for series in data["result"]]


def firing(prometheus: str) -> list[dict[str, str]]:
    """The labels of the alerts that fire now, `alertname` among them."""
    with httpx.Client(trust_env=False, timeout=10) as client:
        alerts = client.get(f"{prometheus}/api/v1/alerts").json()["data"]["alerts"]
    return [alert["labels"] for alert in alerts if alert["state"] == "firing"]


class Webhook:
    """A receiver of Alertmanager's notifications. `alerts` are all that came, in order."""

    def __init__(self) -> None:
        alerts: list[Mapping[str, Any]] = []
        self.alerts = alerts

        class Receiver(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                alerts.extend(json.loads(body)["alerts"])
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                return None

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/"

    def __enter__(self) -> Webhook:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


def until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until `condition` holds; fail with `what` if that takes longer than `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what} did not happen in {seconds:g} s"
        time.sleep(0.2)


def free_port() -> int:
    """A port on loopback that nobody listened on just now."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port


@contextlib.contextmanager
def _running(program: str, arguments: Sequence[str], folder: Path, url: str) -> Iterator[str]:
    said = folder / f"{program}.log"
    with said.open("w", encoding="utf-8") as log:
        process = subprocess.Popen([program, *arguments], stdout=log, stderr=subprocess.STDOUT, cwd=folder)
    try:
        until(lambda: _ready(process, url, said), START_SECONDS, f"the start of {program}")
        yield url
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)


def _ready(process: subprocess.Popen[bytes], url: str, said: Path) -> bool:
    assert process.poll() is None, said.read_text(encoding="utf-8")
    with contextlib.suppress(httpx.HTTPError), httpx.Client(trust_env=False, timeout=2) as client:
        return client.get(f"{url}/-/ready").status_code == 200
    return False
