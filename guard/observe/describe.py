"""Writes `docs/metrics.md` from the catalogue: `python -m guard.observe.describe > docs/metrics.md`."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from guard.observe.catalogue import CATALOGUE, LABELS, Counts, Spread, State

_HEAD = """\
# Metrics

<!-- Made by `python -m guard.observe.describe > docs/metrics.md`; a test says when it is stale. -->

Served by the admin port (`http://127.0.0.1:8081/metrics`), in Prometheus' text format or as OpenMetrics, as the scraper
asks. Every value of a label comes from the configuration; what clients, models or upstreams call things is counted as
`other`. So the number of series does not depend on traffic, and no model text is in them.

- **Once per stream and channel.** Loops, language switches, runaways, unfinished thoughts and harm are counted so,
  and divided by `guard_streams_total` they are shares of streams. `guard_findings_total` counts every finding.
- **Mode.** `observe` is a policy that only flags: it measures, and changes nothing. Streamed and unstreamed answers are
  reviewed alike and are not told apart.
- **Tokens** are counted as the policy counts them: by its tokenizer, or estimated. Spent tokens are upstream's own
  count where it reports one.
- **Sampled.** `guard_detector_seconds` is measured on one stream in 16, `guard_held_characters` and
  `guard_held_seconds` at every 16th read of a stream. They show how times and lengths are spread, not how many there
  were.
- **Exemplars.** With one worker and tracing on, OpenMetrics carries the trace id of a recent stream with requests,
  actions, loops, language switches, runaways, unfinished thoughts, harm, time to first token and thinking length.
- **Several workers.** The parent adds up counters and histograms; gauges are put together as the table says. There are
  then no exemplars and no `process_…` metrics.
"""

_ACROSS = {"livesum": "sum", "livemin": "least", "livemax": "most"}


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_metrics(), "", *_labels(), "", *_buckets()]) + "\n"


def _metrics() -> Iterator[str]:
    yield "## All metrics"
    yield ""
    yield "| Name | Type | Labels | Unit | Meaning |"
    yield "|---|---|---|---|---|"
    for spec in sorted(CATALOGUE, key=lambda spec: spec.name):
        labels = ", ".join(f"`{label}`" for label in spec.labels)
        yield f"| `{spec.full_name}` | {_type(spec)} | {labels} | {spec.unit} | {spec.says} |"


def _type(spec: Counts | State | Spread) -> str:
    return f"gauge, {_ACROSS[spec.across]} of workers" if isinstance(spec, State) else spec.kind


def _labels() -> Iterator[str]:
    yield "## What labels say"
    yield ""
    yield "| Label | Values |"
    yield "|---|---|"
    for label, says in LABELS.items():
        yield f"| `{label}` | {says} |"


def _buckets() -> Iterator[str]:
    yield "## Buckets of the histograms"
    yield ""
    yield "| Name | Upper bounds |"
    yield "|---|---|"
    for spec in CATALOGUE:
        if isinstance(spec, Spread):
            yield f"| `{spec.full_name}` | {', '.join(f'{bound:g}' for bound in spec.buckets)} |"


if __name__ == "__main__":
    sys.stdout.write(page())
