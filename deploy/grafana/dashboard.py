"""The Grafana dashboard, as code: `python -m deploy.grafana.dashboard` writes `dashboard.json` beside it.

Five rows, from "is it up" to "what does each policy do". Every query is over `$job`; shares are over streams opened, as
in the alerts, and by channel where a stream is counted once per channel: their sum could be more than all streams. A
panel is one line of `ROWS`: what it is called, what it shows, its unit, why one looks at it. Alerts that fire and
changes of the policy are marked on every panel.

More than 300 lines: most of them are the table of panels.

The file is long because it is a list: every panel, in the order in which they are seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from grafana_foundation_sdk.builders.common import VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import Dashboard, DatasourceVariable, QueryVariable, Row
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Timeseries
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import LegendDisplayMode, LegendPlacement
from grafana_foundation_sdk.models.dashboard import AnnotationQuery, DashboardCursorSync, DataSourceRef, VariableRefresh

OUTPUT: Final = Path(__file__).with_name("dashboard.json")
DATASOURCE: Final = DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression and how its series are called."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Panel:
    """One picture. `unit` is Grafana's id of a unit; `span` counts columns."""

    title: str
    unit: str
    why: str
    queries: Sequence[Query]
    kind: Literal["stat", "timeseries"] = "timeseries"
    span: int = 8


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, as a line over every time series."""

    name: str
    expr: str
    title: str
    text: str
    colour: str


MARKS: Final[Sequence[Mark]] = [
    Mark(
        "Alerts",
        # GuardAbsent is about a job that is not there, so it has none
        'ALERTS{alertname=~"Guard.+",alertstate="firing",job=~"$job|"}',
        "{{alertname}}",
        "{{severity}} {{channel}}",
        "red",
    ),
    Mark(
        "Policy changes",
        'max by (name, version) (guard_policy_info{job="$job"}) == 1 '
        'unless max by (name, version) (guard_policy_info{job="$job"} offset 1m) == 1',
        "{{name}}@{{version}} is in force",
        "",
        "blue",
    ),
]
STEP: Final = "60s"
"""How often marks are looked for: a policy that came into force is new for one such step."""


def _rate(metric: str, *by: str, where: str = "") -> str:
    """Per second, summed by labels."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return f'sum{grouped} (rate(guard_{metric}{{job="$job"{where}}}[$__rate_interval]))'


def _share(metric: str, *by: str, where: str = "") -> str:
    """Of the streams opened meanwhile."""
    return f"{_rate(metric, *by, where=where)} / scalar({_rate('streams_total')} > 0)"


def _quantile(quantile: float, metric: str, *by: str) -> str:
    return f"histogram_quantile({quantile}, {_rate(f'{metric}_bucket', 'le', *by)})"


def _quantiles(metric: str) -> Sequence[Query]:
    return [Query(_quantile(quantile, metric), f"p{quantile * 100:g}") for quantile in (0.5, 0.95, 0.99)]


def _now(metric: str, how: str = "sum") -> Query:
    return Query(f'{how}(guard_{metric}{{job="$job"}})')


ROWS: Final[Sequence[tuple[str, Sequence[Panel]]]] = [
    (
        "Health",
        [
            Panel("Guards up", "short", "Targets that Prometheus reaches.", [Query('sum(up{job="$job"})')], "stat", 4),
            Panel("Streams open", "short", "Over all workers.", [_now("streams_active")], "stat", 4),
            Panel("Streams", "reqps", "Opened per second.", [Query(_rate("streams_total"))], "stat", 4),
            Panel(
                "Interrupted",
                "percentunit",
                "Streams that ended in a cut, of those opened.",
                [Query(_share("requests_total", where=',outcome="cut"'))],
                "stat",
                4,
            ),
            Panel("Backends up", "short", "0: one of them does not answer.", [_now("backend_up", "min")], "stat", 4),
            Panel(
                "Last reload",
                "short",
                "0: the last policy did not load.",
                [_now("policy_reload_successful", "min")],
                "stat",
                4,
            ),
            Panel(
                "How streams end",
                "reqps",
                "Anything but complete, cut and repaired is somebody's trouble.",
                [Query(_rate("streams_ended_total", "state"), "{{state}}")],
            ),
            Panel(
                "Upstream errors",
                "reqps",
                "By what went wrong.",
                [Query(_rate("upstream_errors_total", "backend", "code"), "{{backend}}: {{code}}")],
            ),
            Panel(
                "Who answers",
                "reqps",
                "The fallback answers while the upstream cannot.",
                [Query(_rate("backend_answers_total", "backend"), "{{backend}}")],
            ),
            Panel(
                "Refused before a model was asked",
                "reqps",
                "By the code that the client got; `overloaded` asks for another worker.",
                [Query(_rate("requests_refused_total", "reason"), "{{reason}}")],
            ),
            Panel(
                "Breakers open",
                "short",
                "Guards in which this backend is not asked because it failed too often. Nothing without a fallback.",
                [Query('sum by (backend) (guard_breaker_open{job="$job"})', "{{backend}}")],
            ),
            Panel(
                "Workers",
                "short",
                "Those that serve, of those wanted; and how often one was started again within an hour.",
                [
                    Query('sum(guard_workers_ready{job="$job"})', "serving"),
                    Query('sum(guard_workers{job="$job"})', "wanted"),
                    Query('sum(increase(guard_worker_restarts_total{job="$job"}[1h]))', "started again"),
                ],
            ),
        ],
    ),
    (
        "Behaviour of the model",
        [
            Panel(
                "Loops",
                "percentunit",
                "Streams that went in circles, of those opened. The alert's bars are in its rule.",
                [Query(_share("loops_total", "channel"), "{{channel}}")],
            ),
            Panel(
                "Language switches",
                "percentunit",
                "Streams that slipped into a language nobody asked for.",
                [Query(_share("language_switches_total", "channel"), "{{channel}}")],
            ),
            Panel(
                "Runaway, unfinished, harmful",
                "percentunit",
                "Texts past their hard budget; thinking that never came to an answer; harm that a rule spoke of.",
                [
                    Query(_share("runaways_total", "channel"), "past the budget: {{channel}}"),
                    Query(_share("unfinished_thoughts_total"), "unfinished thinking"),
                    Query(_share("harmful_total", "channel"), "harmful: {{channel}}"),
                ],
            ),
            Panel(
                "Length of thinking",
                "short",
                "Tokens of a thought when it ended.",
                _quantiles("thinking_tokens"),
            ),
            Panel(
                "Findings",
                "reqps",
                "What detectors saw, acted upon or not.",
                [Query(_rate("findings_total", "detector", "label"), "{{detector}}: {{label}}")],
                span=16,
            ),
        ],
    ),
    (
        "Cost",
        [
            Panel(
                "Tokens spent, saved, wasted",
                "short",
                "Per second. Saved: what clients had still allowed for at a cut. Wasted: written after a loop began.",
                [
                    Query(_rate("tokens_spent_total"), "spent"),
                    Query(_rate("tokens_saved_total"), "saved"),
                    Query(_rate("tokens_wasted_total"), "wasted"),
                ],
            ),
            Panel(
                "Saved by model",
                "short",
                "Tokens per second that nobody had to pay for.",
                [Query(_rate("tokens_saved_total", "model"), "{{model}}")],
            ),
            Panel(
                "Repairs",
                "reqps",
                "Answers that were given anyway, and those that were not.",
                [Query(_rate("repairs_total", "how", "outcome"), "{{how}}: {{outcome}}")],
            ),
        ],
    ),
    (
        "Latency",
        [
            Panel("Time to first token", "s", "As the client waits.", _quantiles("time_to_first_token_seconds")),
            Panel("Added per read", "s", "What the guard's review costs.", _quantiles("added_latency_seconds")),
            Panel(
                "Detectors",
                "s",
                "Median time for one step of text, sampled.",
                [Query(_quantile(0.5, "detector_seconds", "detector"), "{{detector}}")],
            ),
            Panel(
                "Text that waits",
                "short",
                "Characters held for a verdict, the 95th of a hundred.",
                [Query(_quantile(0.95, "held_characters", "channel"), "{{channel}}")],
            ),
            Panel(
                "How long it waits",
                "s",
                "The 95th of a hundred pieces.",
                [Query(_quantile(0.95, "held_seconds", "channel"), "{{channel}}")],
            ),
            Panel(
                "Time of a repair",
                "s",
                "From the decision to the continued text, the 95th of a hundred.",
                [Query(_quantile(0.95, "repair_seconds", "how"), "{{how}}")],
            ),
        ],
    ),
    (
        "Policies",
        [
            Panel(
                "In force",
                "short",
                "Name and content hash; two while guards differ.",
                [Query('sum by (name, version) (guard_policy_info{job="$job"}) > 0', "{{name}}@{{version}}")],
            ),
            Panel(
                "Actions by rule",
                "reqps",
                "Which rules work, and which never do.",
                [Query(_rate("actions_total", "rule", "action"), "{{rule}}: {{action}}")],
            ),
            Panel(
                "Detector errors and lost records",
                "reqps",
                "Each should be zero.",
                [
                    Query(_rate("detector_errors_total", "detector"), "{{detector}} failed"),
                    Query(_rate("audit_records_total", "result", where=',result!="written"'), "audit: {{result}}"),
                    Query(_rate("policy_reloads_total", where=',result="failed"'), "reload failed"),
                ],
            ),
        ],
    ),
]


def build() -> str:
    """The dashboard as JSON."""
    board = (
        Dashboard("QwQ Guard")
        .uid("qwq-guard")
        .description("What the guarded models do to their users, and what the guard does about it.")
        .tags(["qwq-guard", "llm"])
        .time("now-6h", "now")
        .refresh("30s")
        .readonly()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(
            QueryVariable("job")
            .label("Job")
            .datasource(DATASOURCE)
            .query("label_values(guard_build_info, job)")
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        )
    )
    for mark in MARKS:
        board = board.annotation(_Marked(mark))
    for title, panels in ROWS:
        board = board.with_row(Row(title))
        for panel in panels:
            board = board.with_panel(_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n"


def _panel(panel: Panel) -> Stat | Timeseries:
    made: Stat | Timeseries
    if panel.kind == "stat":
        made = Stat().height(4)
    else:
        legend = VizLegendOptions().display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
        made = Timeseries().height(8).fill_opacity(8).min(0).legend(legend.show_legend(True))
    made.title(panel.title).description(panel.why).unit(panel.unit).span(panel.span).datasource(DATASOURCE)
    for index, query in enumerate(panel.queries):
        target = Dataquery().expr(query.expr).ref_id(chr(ord("A") + index)).datasource(DATASOURCE)
        made.with_target(target.legend_format(query.legend or panel.title))
    return made


class _Annotation(AnnotationQuery):
    """With the fields that Grafana's Prometheus data source reads besides those of every annotation."""

    def __init__(self, mark: Mark) -> None:
        super().__init__(name=mark.name, datasource=DATASOURCE, expr=mark.expr, icon_color=mark.colour)
        self._read = {"step": STEP, "titleFormat": mark.title, "textFormat": mark.text}

    def to_json(self) -> dict[str, Any]:
        return {**super().to_json(), **self._read}


class _Marked(Builder[AnnotationQuery]):
    """A builder, as the SDK wants them."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark

    def build(self) -> AnnotationQuery:
        return _Annotation(self._mark)


if __name__ == "__main__":
    OUTPUT.write_text(build(), encoding="utf-8")
