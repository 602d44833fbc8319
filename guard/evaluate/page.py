"""A report as one page: figures, curves, and transcripts to open. It loads nothing and runs only its own script.

    page.html  <- title, figures (made here), page.css, page.js
               <- data: what the list shows, and the texts, each deflated, until the page is `TEXTS` long

Whatever comes from a record is escaped here, or enters the document as text in the script.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Final

from guard.evaluate.charts import curve_chart, delay_chart
from guard.evaluate.measure import BARS, Measured
from guard.evaluate.report import DetectorReport, Report
from guard.evaluate.rows import Row
from guard.evaluate.tables import FIGURES, cells, percent, remarks
from guard.evaluate.transcripts import Read, entries_of

TEXTS: Final = 12_000_000
"""Most bytes of deflated texts in a page, as they stand there."""


def build_page(report: Report, measured: Sequence[Measured], read: Read, *, limit: int = TEXTS) -> bytes:
    """The page, as UTF-8. Texts are taken in the order of interest, as long as there is room."""
    entries = entries_of(report, measured, read, limit)
    data = {"bars": BARS, "detectors": [each.name for each in report.detectors], "transcripts": entries}
    style, script = _asset("page.css"), _asset("page.js")
    left_out = len(measured) - len(entries)
    slots = {
        "style-hash": _hash(style),
        "script-hash": _hash(script),
        "style": style,
        "script": script,
        "title": escape(f"{report.file} under {report.policy}"),
        "summary": _summary(report),
        "nav": "".join(f'<a href="#{escape(each.name)}">{escape(each.name)}</a>' for each in report.detectors),
        "detectors": "".join(_section(each) for each in report.detectors),
        "left-out": _left_out(left_out),
        "data": json.dumps(data, ensure_ascii=True, separators=(",", ":")).replace("<", "\\u003c"),
    }
    return _fill(_asset("page.html"), slots).encode()


def _asset(name: str) -> str:
    return (files("guard.evaluate") / name).read_text(encoding="utf-8")


def _fill(template: str, slots: Mapping[str, str]) -> str:
    """The template with each `{{name}}` replaced, once: what a slot holds is not searched again."""
    head, *pieces = template.split("{{")
    filled = [head]
    for piece in pieces:
        name, _, rest = piece.partition("}}")
        filled += (slots[name], rest)
    return "".join(filled)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


# --- figures


def _summary(report: Report) -> str:
    outcomes = ", ".join(f"{count:,} {outcome}" for outcome, count in report.outcomes.items())
    ended = "".join(
        f"<li>ended by any rule: {each.positives_stopped} of {each.positives} labelled {escape(each.subject)}, "
        f"{each.clean_stopped} of {each.clean} clean of it</li>"
        for each in report.by_subject
    )
    unreadable = f", {len(report.unreadable)} unreadable" if report.unreadable else ""
    return (
        f"<h1>{escape(report.file)}</h1><p>{report.records:,} records{unreadable}, "
        f"{report.tokens / 1e6:.2f} million tokens (estimated), policy <b>{escape(report.policy)}</b> "
        f"<code>{escape(report.policy_version)}</code></p>"
        f"<details><summary>What the policy does: {escape(outcomes)}</summary><ul>{ended}</ul></details>"
    )


def _section(detector: DetectorReport) -> str:
    rows = detector.rows[f"{detector.bar:g}"]
    name, every = escape(detector.name), rows[0]
    charts = "".join(
        f"<figure><figcaption>{caption}</figcaption>{chart}</figure>"
        for caption, chart in (
            ("Recall against false alarms, as the threshold falls", curve_chart(detector.curve, every.clean, BARS)),
            ("Delay of alarms", delay_chart(detector.delays)),
        )
        if chart
    )
    said = "".join(f"<li>{escape(remark)}</li>" for remark in remarks(detector))
    table = (
        _table(rows) if every.positives + every.clean else "<p>No record has a label that this detector speaks of.</p>"
    )
    return (
        f'<section id="{name}"><h2>{name}</h2><p class="quiet">An alarm is a finding of {detector.bar:g} or more.</p>'
        f'<div class="cards">{_cards(detector, every)}</div><div class="charts">{charts}</div>{table}'
        f'<ul class="quiet">{said}</ul></section>'
    )


def _cards(detector: DetectorReport, every: Row) -> str:
    cost = detector.microseconds_per_token
    interval = every.far_interval
    found: list[tuple[str, str, str]] = []
    if every.positives:
        found.append(("recall", percent(every.recall), f"{every.hits} of {every.positives}"))
    if interval is not None:
        between = f"{every.alarms} of {every.clean}, 95 %: {interval.low * 100:.2f} to {interval.high * 100:.2f} %"
        found.append(("clean stopped", percent(every.far, 2), between))
        found.append(("false per million tokens", f"{every.per_million or 0:.2f}", "of clean responses"))
    if every.delay is not None:
        early = f", {percent(every.early, 0)} early" if every.early else ""
        found.append(("median delay", f"{every.delay[1]:,.0f}", f"characters, 90 %: {every.delay[2]:,.0f}{early}"))
    if every.saved_share is not None:
        found.append(("saved", percent(every.saved_share, 0), f"of a response, {every.saved_total:,.0f} tokens in all"))
    if cost is not None:
        found.append(("cost", f"{cost:.2f} µs", "per token"))
    return "".join(
        f"<div><span>{escape(what)}</span><b>{escape(figure)}</b><span>{escape(note)}</span></div>"
        for what, figure, note in found
    )


def _table(rows: Sequence[Row]) -> str:
    head = "".join(f"<th scope=col>{escape(figure)}</th>" for figure in FIGURES)
    body, group = [], "all"
    for row in rows:
        if row.group != group:
            group = row.group
            body.append(
                f'<tr class="group"><th scope=rowgroup colspan="{len(FIGURES) + 1}">by {escape(group)}</th></tr>'
            )
        figures = "".join(f"<td>{escape(cell)}</td>" for cell in cells(row))
        name = escape(row.name or "(none)")
        body.append(f'<tr><th scope=row title="{name}">{name}</th>{figures}</tr>')
    return (
        f'<div class="wide"><table><thead><tr><th></th>{head}</tr></thead><tbody>{"".join(body)}</tbody></table></div>'
    )


def _left_out(count: int) -> str:
    return f"{count:,} transcripts are left out, the least interesting ones, to keep the page small." if count else ""
