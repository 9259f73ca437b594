"""Thresholds and audits of automatic labels as bars and intervals, which need no color theme of their own."""

from collections.abc import Sequence
from html import escape

from modelship_lab.commands.description.labeling import share_with_interval
from modelship_lab.commands.description.model_help import title_of_thresholds
from modelship_lab.records.labeling import AuditReport, Rate, ThresholdChoice, Thresholds

_LINE = "border-bottom:1px solid rgba(128,128,128,.25)"
_CELL = f"text-align:left;padding:3px 14px 3px 0;white-space:nowrap;{_LINE}"
_TRACK = (
    "display:inline-block;position:relative;vertical-align:middle;width:140px;height:10px;margin-right:8px;"
    "border-radius:2px;background:rgba(128,128,128,.22)"
)
_ACCEPTED, _GOOD, _DOUBTFUL = "#2a7de1", "#16a06a", "#d98e04"


def thresholds_html(value: Thresholds) -> str:
    """From which confidence on the suggestions of each class would be accepted, and how often those were right."""
    rows = [
        (
            _name(one),
            f"{one.known:,}",
            _accepted(one),
            _interval(one.precision, _GOOD if _holds(one, value.precision) else _DOUBTFUL, value.precision)
            + escape(share_with_interval(one.precision)),
            f"{one.accepted:,}",
            f"{one.review:,}",
        )
        for one in (value.overall, *value.classes)
    ]
    green = (
        ""
        if value.precision is None
        else "it is green where all of it is beyond what was wanted (the mark). "
    )
    note = (
        "Blue: accepted from there on. Dot and line: how many of those whose answer is known were right, with the 95 % "
        f"interval; {green}Automatic: how many samples would get a label; the rest would wait for review. "
        "Nothing is changed: <code>mlship threshold PROJECT CONFIDENCE</code> sets one."
    )
    columns = ("class", "known answers", "confidence", "right from there on", "automatic", "for review")
    return _table(title_of_thresholds(value), columns, rows, note)


def audit_html(value: AuditReport) -> str:
    """How many automatic labels there are of each model version or rule, and how many were wrong in blind audits."""
    most = max((one.errors.high or 0.0 for one in value.origins), default=0.0)
    # Small rates fill the line, too: it ends at the next tenth.
    end = min(1.0, max(0.1, -(-most // 0.1) * 0.1))
    rows = [
        (
            escape(one.origin),
            f"{one.labels:,}",
            f"{one.audited:,}",
            _interval(one.errors, _DOUBTFUL, None, end) + escape(share_with_interval(one.errors)),
        )
        for one in value.origins
    ]
    note = (
        f"Dot: how many of the audited ones were wrong; line: where the rate among all of them lies with 95 % "
        f"confidence. The track ends at {end:.0%}."
    )
    columns = ("origin", "labels now", "audited", "wrong")
    return _table("Automatic labels, and how many were wrong in blind audits", columns, rows, note)


def _name(one: ThresholdChoice) -> str:
    return "<i>all</i>" if one.name is None else escape(one.name)


def _holds(one: ThresholdChoice, wanted: float | None) -> bool:
    return wanted is not None and one.precision.low is not None and one.precision.low >= wanted


def _accepted(one: ThresholdChoice) -> str:
    if one.threshold is None:
        return f"<span style='{_TRACK}'></span>none"
    bar = f"<span style='{_part(one.threshold, 1.0)};top:0;bottom:0;background:{_ACCEPTED};border-radius:2px'></span>"
    return f"<span style='{_TRACK}'>{bar}</span>from {one.threshold:.4f}"


def _interval(rate: Rate, color: str, wanted: float | None, end: float = 1.0) -> str:
    """A rate on a line from 0 to `end`, with its interval; `wanted` is marked on it."""
    parts = []
    if rate.rate is not None and rate.low is not None and rate.high is not None:
        parts.append(
            f"<span style='{_part(rate.low / end, rate.high / end)};top:4px;height:2px;background:{color}'></span>"
            f"<span style='position:absolute;left:{rate.rate / end:.2%};top:1px;width:8px;height:8px;"
            f"margin-left:-4px;border-radius:50%;background:{color}'></span>"
        )
    if wanted is not None:
        parts.append(
            f"<span style='position:absolute;left:{wanted / end:.2%};top:-3px;height:16px;width:0;"
            "border-left:2px dotted currentColor'></span>"
        )
    return f"<span style='{_TRACK}'>{''.join(parts)}</span>"


def _part(start: float, end: float) -> str:
    return f"position:absolute;left:{start:.2%};right:{1 - min(end, 1.0):.2%}"


def _table(title: str, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]], note: str) -> str:
    head = "".join(f"<th style='{_CELL}'>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr style='background:none'>{''.join(f'<td style={_CELL!r}>{cell}</td>' for cell in row)}</tr>"
        for row in rows
    )
    return (
        f"<div><div style='font-weight:600;margin:2px 0 4px'>{escape(title)}</div>"
        f"<div style='overflow-x:auto;padding:3px 0'><table style='margin:0'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        f"<div style='opacity:.75;max-width:80ch;white-space:normal'>{note}</div></div>"
    )
