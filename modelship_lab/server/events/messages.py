"""What is told to those who listen. A message is made once and serialized once, however many hear it."""

import math
import struct
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic_core import to_json

from modelship_lab.records.events import Event
from modelship_lab.records.metrics import context_of
from modelship_lab.records.serving import WindowMetrics

MAX_POINTS = 5000
"""Metric points of one run that wait for one client; beyond that it is told to fetch them."""

COLUMNS = ("steps", "times", "values", "nonfinite")
"""What of a series grows."""

Series = dict[tuple[str, str], dict[str, Any]]
"""What is told of each series, by its name and context."""


class Message:
    """Something to be told, shared by all who hear it; nobody changes it."""

    def __init__(self, content: dict[str, Any]) -> None:
        self.content = content

    @cached_property
    def frame(self) -> bytes:
        """The message as a whole WebSocket frame, as a server sends it."""
        return text_frame(to_json(self.content))


class MetricDelta(Message):
    """New metric points of one run, from after batch `before` up to batch `sequence`.

    Args:
        series: the points; None: the client has to fetch them.
    """

    def __init__(self, topic: str, before: int, sequence: int, series: Series | None) -> None:
        self._series = series or {}
        super().__init__(
            {
                "type": "metrics",
                "topic": topic,
                "from": before,
                "sequence": sequence,
                "series": list(self._series.values()),
                # A gap that the client will notice and fill by asking for the run's metrics.
                "gap": series is None,
            }
        )
        self._points = sum(len(one["steps"]) for one in self._series.values())
        self._is_shared = True

    def and_then(self, later: "MetricDelta") -> "MetricDelta":
        """Both as one, for a client that has taken neither."""
        merged = self._copy() if self._is_shared else self
        mine, others = merged.content, later.content
        mine["sequence"] = others["sequence"]
        merged._points += later._points
        if mine["gap"] or others["gap"] or merged._points > MAX_POINTS:
            mine["gap"], mine["series"] = True, []
            return merged
        for key, one in later._series.items():
            known = merged._series.get(key)
            if known is None:
                merged._series[key] = known = _copy_of(one)
                mine["series"].append(known)
            else:
                for column in COLUMNS:
                    known[column].extend(one[column])
        return merged

    def _copy(self) -> "MetricDelta":
        content = self.content
        series = {key: _copy_of(one) for key, one in self._series.items()}
        copy = MetricDelta(
            content["topic"], content["from"], content["sequence"], None if content["gap"] else series
        )
        copy._is_shared = False
        return copy


def event_message(event: Event) -> Message:
    """An event, to be told."""
    return Message({"type": "event", "event": event})


def metric_message(run_id: int, before: int, sequence: int, points: pa.Table | None) -> MetricDelta:
    """The points of batch `sequence` of a run, which follows batch `before`.

    Args:
        points: None when the batch changed points that were told before.
    """
    series = _series_of(points) if points is not None and points.num_rows <= MAX_POINTS else None
    return MetricDelta(f"run:{run_id}", before, sequence, series)


def deployment_message(deployment_id: int, window: WindowMetrics) -> Message:
    """The figures of one second of a deployment."""
    return Message({"type": "deployment", "topic": f"deployment:{deployment_id}", "window": window})


def text_frame(text: bytes) -> bytes:
    """One unmasked, uncompressed text message (RFC 6455, section 5.2): the same bytes for every client."""
    size = len(text)
    if size < 126:
        head = struct.pack("!BB", 0x81, size)
    elif size <= 0xFFFF:
        head = struct.pack("!BBH", 0x81, 126, size)
    else:
        head = struct.pack("!BBQ", 0x81, 127, size)
    return head + text


def _copy_of(series: dict[str, Any]) -> dict[str, Any]:
    return {**series, **{column: list(series[column]) for column in COLUMNS}}


def _series_of(points: pa.Table) -> Series:
    """Metric points by name and context; what JSON cannot say (NaN, infinity) is None, and named apart."""
    found: Series = {}
    columns = (points[name].to_pylist() for name in ("name", "context", "step", "value"))
    times = points["time"].cast(pa.int64()).to_pylist()
    for name, context, step, value, time in zip(*columns, times, strict=True):
        one = found.get((name, context))
        if one is None:
            one = {"name": name, "context": context_of(context), **{column: [] for column in COLUMNS}}
            found[name, context] = one
        one["steps"].append(step)
        one["times"].append(time / 1e6)
        if math.isfinite(value):
            one["values"].append(value)
        else:
            one["values"].append(None)
            one["nonfinite"].append({"step": step, "time": time / 1e6, "kind": str(value)})
    return found
