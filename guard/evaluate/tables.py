"""A report for a terminal: what it comes to, per detector, and every record that was got wrong."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from guard.evaluate.labels import Subject
from guard.evaluate.report import DetectorReport, Listed, Report
from guard.evaluate.rows import Row

WIDTH: Final = 186
"""Columns that a table needs. A narrower terminal breaks the lines; cells are never squeezed."""

FIGURES: Final = (
    "labelled", "alarm", "recall", "clean", "false", "FAR", "95 % interval", "per Mtok", "agree",
    "delay p10/50/90", "copies", "early", "leaked", "saved",
)  # fmt: skip


def render(report: Report) -> Iterable[RenderableType]:
    """The whole report, piece by piece."""
    yield Text(
        f"{report.file}: {report.records} records, {report.tokens / 1e6:.2f} million tokens (estimated), "
        f"policy {report.policy} {report.policy_version}",
        style="bold",
    )
    for detector in report.detectors:
        yield from _detector(detector)
    yield from _policy(report)
    for detector in report.detectors:
        yield from _list(f"{detector.name}: missed", detector.misses)
        yield from _list(f"{detector.name}: false alarms", detector.false_alarms)
    for detector in report.detectors:
        yield from _list(f"{detector.name}: grey, counted nowhere", [each for each in detector.grey if each.reason])


def console() -> Console:
    """Standard output, wide enough for the tables."""
    plain = Console(highlight=False)
    return plain if plain.width >= WIDTH else Console(highlight=False, width=WIDTH)


def percent(share: float | None, digits: int = 1) -> str:
    return "" if share is None else f"{share * 100:.{digits}f} %"


def cells(row: Row) -> tuple[str, ...]:
    """The figures of a row, in the order of the table's columns; empty where there is none."""
    positive, clean = bool(row.positives), bool(row.clean)
    interval = row.far_interval
    return (
        str(row.positives) if positive else "",
        str(row.hits) if positive else "",
        percent(row.recall),
        str(row.clean) if clean else "",
        str(row.alarms) if clean else "",
        percent(row.far, 2),
        f"{interval.low * 100:.2f} - {interval.high * 100:.2f} %" if interval else "",
        "" if row.per_million is None else f"{row.per_million:.2f}",
        percent(row.agreement),
        _spread(row.delay, 0),
        _spread(row.copies, 1),
        percent(row.early, 0),
        _whole(row.leaked),
        percent(row.saved_share, 0),
    )


def heading(detector: DetectorReport) -> str:
    """One line: what counts as an alarm, and what the detector costs."""
    cost = detector.microseconds_per_token
    told = f"{detector.name}: alarm = a finding of {detector.bar:g} or more"
    return told if cost is None else f"{told}; {cost:.2f} us per token"


def remarks(detector: DetectorReport) -> Iterable[str]:
    """What a table does not hold."""
    for bar, rows in detector.rows.items():
        every = rows[0]
        if float(bar) != detector.bar and every.positives + every.clean:
            yield (
                f"at {bar} or more: recall {percent(every.recall) or '-'} ({every.hits} of {every.positives}), "
                f"false {percent(every.far, 2) or '-'} ({every.alarms} of {every.clean})"
            )
    every = detector.rows[f"{detector.bar:g}"][0]
    if every.timely:
        yield (
            f"delay in characters over the {every.timely} alarms at or after the onset; leaked: tokens from the onset "
            f"to where a cut would end the text, median, in all {every.leaked_total:,.0f}"
        )
    if every.hits:
        yield f"saved: share of the response after the alarm, median, in all {every.saved_total:,.0f} tokens"
    if len(detector.by_label) > 1:
        said = ", ".join(
            f"{label} {count.hits} right, {count.alarms} wrong" for label, count in detector.by_label.items()
        )
        yield f"what raised the alarm: {said}"
    if detector.subject is Subject.HARM and detector.average_precision is not None:
        best = ", ".join(f"F1 at {bar} {value:.3f}" for bar, value in detector.f1.items() if value is not None)
        yield f"AUPRC {detector.average_precision:.3f}, {best}"
    if detector.grey:
        yield f"{len(detector.grey)} grey"
    if detector.unlabelled:
        yield f"{detector.unlabelled} without a label on it, {detector.unlabelled_alarms} of them with an alarm"
    if detector.unwatched:
        yield f"{detector.unwatched} on channels where the policy does not watch"
    if detector.errors:
        yield f"{detector.errors} lanes on which it FAILED"


def _detector(detector: DetectorReport) -> Iterable[RenderableType]:
    yield Text()
    yield Text(heading(detector), style="bold")
    rows = detector.rows[f"{detector.bar:g}"]
    if rows[0].positives + rows[0].clean:
        table = Table(box=None, pad_edge=False, header_style="dim")
        table.add_column("", no_wrap=True, overflow="ellipsis", max_width=36)
        for figure in FIGURES:
            table.add_column(figure, justify="right", no_wrap=True)
        group = ""
        for row in rows:
            if row.group != group:
                group = row.group
                if group != "all":
                    table.add_row(Text(f"by {group}", style="dim"))
            table.add_row(Text(row.name if group == "all" else f"  {row.name or '(none)'}"), *cells(row))
        yield table
    for remark in remarks(detector):
        yield Text(remark, style="dim")


def _policy(report: Report) -> Iterable[RenderableType]:
    yield Text()
    yield Text(f"policy {report.policy}: what it does with the whole response", style="bold")
    yield Text("  " + ", ".join(f"{outcome} {count}" for outcome, count in report.outcomes.items()))
    for each in report.by_subject:
        yield Text(
            f"  ended by any rule: {each.positives_stopped} of {each.positives} labelled {each.subject}, "
            f"{each.clean_stopped} of {each.clean} clean of it"
        )


def _list(title: str, listed: Sequence[Listed]) -> Iterable[RenderableType]:
    if not listed:
        return
    yield Text()
    yield Text(f"{title} ({len(listed)})", style="bold")
    table = Table(box=None, pad_edge=False, show_header=False)
    for each in listed:
        kind = each.kind or each.source
        table.add_row(Text(str(each.id)), Text(kind), Text(each.how), Text(each.place), Text(each.reason))
    yield Padding(table, (0, 0, 0, 2))


def _spread(values: Sequence[float] | None, digits: int) -> str:
    return "" if values is None else "/".join(f"{value:.{digits}f}" for value in values)


def _whole(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}"
