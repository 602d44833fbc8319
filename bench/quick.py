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
            port = free_port()
            command = nginx(folder, port, upstream) if name == "nginx" else guard(port, upstream, policy)
            servers.append(Server(name, stack.enter_context(running(command, folder, port, proxy_core)), port))
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
    """Lines such as `12.5 %  guard/engine/lane.py feed` from py-spy's raw format, the biggest first."""
    by_place: Counter[str] = Counter()
    for line in raw.splitlines():
        stack, _, count = line.rpartition(" ")
        function, _, file = stack.rpartition(";")[2].rpartition(":")[0].partition(" (")
        by_place[f"{file} {function}"] += int(count)
    total = sum(by_place.values()) or 1
    return [f"{100 * count / total:5.1f} %  {place}" for place, count in by_place.most_common(most)]


def summarise(figures: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """Median, least and most by contestant, and the ratio of its median to that of nginx."""
    names = list(dict.fromkeys(name for name, _ in figures))
    by_name = {name: [figure for other, figure in figures if other == name] for name in names}
    base = median(by_name["nginx"]) if "nginx" in by_name else None
    return {
        name: {
            "us_per_event": round(median(values), 2),
            "least": round(min(values), 2),
            "most": round(max(values), 2),
            "repetitions": len(values),
            "times_nginx": round(median(values) / base, 2) if base else None,
        }
        for name, values in by_name.items()
    }


def table(summary: Mapping[str, Mapping[str, Any]], load: Load) -> str:
    lines = [
        f"{load.streams} streams of {load.rate:g} tokens/s, {load.tokens} tokens each; CPU of the process tree",
        "",
        "            us/event   least    most   times nginx",
    ]
    for name, row in summary.items():
        ratio = "" if row["times_nginx"] is None else f"{row['times_nginx']:.2f}"
        lines.append(f"{name:12}{row['us_per_event']:8.1f}{row['least']:8.1f}{row['most']:8.1f}{ratio:>14}")
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
