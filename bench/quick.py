"""CPU time per streamed event, the guard's proxy against nginx, interleaved in one run. See README.md beside this file.

client ──> nginx or guard ──> fake upstream        client and upstream share a core, the proxy has the other
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from statistics import median
from typing import Any

from bench.cpu import nanoseconds
from bench.servers import CannotStart, cores, free_port, guard, nginx, running
from bench.text import SENTENCES, tokens

EVENTS_BESIDE_TOKENS = 4
"""The role, the finish, the usage and the end mark."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one repetition puts on a proxy."""

    streams: int = 64
    tokens: int = 200
    rate: float = 40.0

    @property
    def events(self) -> int:
        """Events that the upstream sends, over all streams."""
        return self.streams * (self.tokens + EVENTS_BESIDE_TOKENS)

    @property
    def seconds(self) -> float:
        """What a repetition takes if nothing is late."""
        return (self.tokens + EVENTS_BESIDE_TOKENS + 2) / self.rate


@dataclass(frozen=True, slots=True)
class Server:
    """A proxy under measurement."""

    name: str
    pid: int
    port: int


class RunFailed(Exception):
    """A repetition did not go as it should, so its figure would mean nothing."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = _options(arguments)
    load = Load(options.streams, options.tokens, options.rate)
    try:
        figures = measure(load, options.repetitions, options.contestants, options.policy, profile=options.profile)
    except (CannotStart, RunFailed) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    summary = summarise(figures)
    print(json.dumps(summary, indent=2) if options.json else table(summary, load))
    return 0


def measure(
    load: Load, repetitions: int, contestants: Sequence[str], policy: str = "default", *, profile: bool = False
) -> list[tuple[str, float]]:
    """Microseconds per event, by contestant, in the order measured. Raises `CannotStart` or `RunFailed`."""
    proxy_core, other_core = cores()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        upstream = free_port()
        command = [sys.executable, "-m", "bench.upstream", str(upstream), str(load.tokens), str(load.rate)]
        stack.enter_context(running(command, folder, upstream, other_core))
        servers = []
        for name in contestants:
            port, admin_port = free_port(), free_port()
            if name == "nginx":
                command, ready = nginx(folder, port, upstream), ""
            else:
                command, ready = guard(port, admin_port, upstream, policy), f"http://127.0.0.1:{admin_port}/readyz"
            pid = stack.enter_context(running(command, folder, port, proxy_core, ready))
            servers.append(Server(name, pid, port))
        _say(f"warming up, then {repetitions} times {' and '.join(contestants)}, {load.seconds:.0f} s each")
        for server in servers:
            repetition(server, load, other_core)
        figures = []
        for number in range(repetitions):
            for server in servers if number % 2 == 0 else servers[::-1]:
                figures.append((server.name, repetition(server, load, other_core)))
                _say(f"{server.name}: {figures[-1][1]:.1f} us/event")
        if profile:
            profile_one(servers[-1], load, folder, other_core)
        return figures


def repetition(server: Server, load: Load, core: set[int]) -> float:
    """Microseconds of CPU that the server's process tree spends per event that upstream sends."""
    before = nanoseconds(server.pid)
    said = _client(server.port, load, core).communicate()[0]
    spent = nanoseconds(server.pid) - before
    if not said:
        raise RunFailed(f"{server.name}: the client could not talk to it; what it said is above")
    check(json.loads(said), load, server.name)
    return spent / load.events / 1000


def check(result: Mapping[str, Any], load: Load, name: str) -> None:
    """Raise `RunFailed` unless every stream came through whole and to its end."""
    streams = result["streams"]
    whole = {"".join(tokens(load.tokens, start)) for start in range(len(SENTENCES))}
    if result["late"] or len(streams) != load.streams:
        raise RunFailed(f"{name}: {result['late']} of {load.streams} streams did not end in time")
    if broken := sum(not stream["ended"] for stream in streams):
        raise RunFailed(f"{name}: {broken} of {load.streams} streams did not end with a single [DONE]")
    if changed := [stream["text"] for stream in streams if stream["text"] not in whole]:
        raise RunFailed(f"{name}: {len(changed)} streams lost or changed text, one ends in {changed[0][-80:]!r}")


def profile_one(server: Server, load: Load, folder: Path, core: set[int]) -> None:
    """One more repetition under py-spy; prints the share of samples by package of the innermost Python frame."""
    program = which("py-spy", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
    if program is None:
        _say("no profile: py-spy is not installed (pip install py-spy)")
        return
    raw = folder / "profile.txt"
    command = [program, "record", "--pid", str(server.pid), "--format", "raw", "--output", str(raw)]
    client = _client(server.port, load, core)
    time.sleep(1)  # the streams are open by now: what is looked for is the cost of events
    seconds = str(max(1, int(load.seconds) - 1))
    done = subprocess.run(
        [*command, "--rate", "500", "--duration", seconds], capture_output=True, text=True, check=False
    )
    client.communicate()
    if done.returncode != 0 or not raw.is_file():
        _say(f"no profile: py-spy said {done.stderr.strip()[-200:]}")
        return
    for line in shares(raw.read_text(encoding="utf-8")):
        _say(line)


def shares(raw: str, most: int = 25) -> list[str]:
    """Lines such as `12.5 %  guard/engine/lane.py feed` from py-spy's raw format, by package and then by function.

    Samples within the event loop itself are left out: they are system calls and, above all, waiting that py-spy takes
    for work.
    """
    by_place: Counter[str] = Counter()
    by_package: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        function, _, file = stack.rpartition(";")[2].rpartition(":")[0].partition(" (")
        if function.endswith("Runner.run"):
            continue
        by_place[f"{file} {function}"] += int(count)
        parts = file.split("/")
        by_package["/".join(parts[:2] if parts[0] == "guard" else parts[:1])] += int(count)
    total = sum(by_place.values()) or 1
    rows = [*by_package.most_common(16), *by_place.most_common(most)]
    return [f"{100 * count / total:5.1f} %  {place}" for place, count in rows]


def summarise(figures: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """By contestant: median, least and most, and the same of the ratios to nginx in the same repetition."""
    names = list(dict.fromkeys(name for name, _ in figures))
    by_name = {name: [figure for other, figure in figures if other == name] for name in names}
    summary: dict[str, Any] = {}
    for name, values in by_name.items():
        ratios = [value / base for value, base in zip(values, by_name.get("nginx", []), strict=False)]
        summary[name] = {"us_per_event": _spread(values), "times_nginx": _spread(ratios), "repetitions": len(values)}
    return summary


def _spread(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"median": round(median(values), 2), "least": round(min(values), 2), "most": round(max(values), 2)}


def table(summary: Mapping[str, Mapping[str, Any]], load: Load) -> str:
    lines = [
        f"{load.streams} streams of {load.rate:g} tokens/s, {load.tokens} tokens each; CPU of the process tree; "
        "median (least to most)",
        "",
        f"{'':10}{'us per event':>24}{'times nginx':>24}",
    ]
    for name, row in summary.items():
        cells = [
            f"{spread['median']:.2f} ({spread['least']:.2f} to {spread['most']:.2f})" if spread else ""
            for spread in (row["us_per_event"], row["times_nginx"])
        ]
        lines.append(f"{name:10}{cells[0]:>24}{cells[1]:>24}")
    return "\n".join(lines)


def _client(port: int, load: Load, core: set[int]) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bench.client", str(port), str(load.streams), f"{3 * load.seconds + 10:.0f}"]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, preexec_fn=lambda: os.sched_setaffinity(0, core)
    )


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench-quick", description="CPU per streamed event, against nginx.")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=200, help="tokens of each stream")
    parser.add_argument("--rate", type=float, default=40.0, help="tokens a second of each stream")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--policy", default="default", help="the guard's policy")
    parser.add_argument(
        "--contestants", nargs="+", choices=["nginx", "guard"], default=["nginx", "guard"], help="whom to measure"
    )
    parser.add_argument("--profile", action="store_true", help="then say where the last one's time goes (py-spy)")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
