"""What is told to those who listen. A message is made once and serialized once, however many hear it."""

import math
import struct
from functools import cached_property
from typing import Any

import pyarrow as pa
from pydantic_core import to_json

from modelship_lab.records.events import Event
from modelship_lab.records.serving import WindowMetrics

MAX_POINTS = 5000
"""Metric points of one run that wait for one client; beyond that it is told to fetch them."""

Points = dict[str, dict[str, list[Any]]]


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
        series: the points by name; None: too many to be told, the client has to fetch them.
    """

    def __init__(self, topic: str, before: int, sequence: int, series: Points | None) -> None:
        super().__init__(
            {
                "type": "metrics",
                "topic": topic,
                "from": before,
                "sequence": sequence,
                "series": series or {},
                # A gap that the client will notice and fill by asking for the run's metrics.
                "gap": series is None,
            }
        )
        self._points = sum(len(one["steps"]) for one in (series or {}).values())
        self._is_shared = True

    def and_then(self, later: "MetricDelta") -> "MetricDelta":
        """Both as one, for a client that has taken neither."""
        merged = self._copy() if self._is_shared else self
        mine, others = merged.content, later.content
        mine["sequence"] = others["sequence"]
        merged._points += later._points
        if mine["gap"] or others["gap"] or merged._points > MAX_POINTS:
            mine["gap"], mine["series"] = True, {}
        else:
            for name, one in others["series"].items():
                target = mine["series"].setdefault(name, {"steps": [], "values": [], "times": []})
                for key, of in one.items():
                    target[key].extend(of)
        return merged

    def _copy(self) -> "MetricDelta":
        content = self.content
        series = {name: {key: list(of) for key, of in one.items()} for name, one in content["series"].items()}
        copy = MetricDelta(
            content["topic"], content["from"], content["sequence"], None if content["gap"] else series
        )
        copy._is_shared = False
        return copy


def event_message(event: Event) -> Message:
    """An event, to be told."""
    return Message({"type": "event", "event": event})


def metric_message(run_id: int, before: int, sequence: int, points: pa.Table) -> MetricDelta:
    """The points of batch `sequence` of a run, which follows batch `before`."""
    series = _series_of(points) if points.num_rows <= MAX_POINTS else None
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


def _series_of(points: pa.Table) -> Points:
    """Metric points as lists by name; what JSON cannot say (NaN, infinity) is None."""
    series: Points = {}
    columns = (points[name].to_pylist() for name in ("name", "step", "value"))
    times = points["time"].cast(pa.int64()).to_pylist()
    for name, step, value, time in zip(*columns, times, strict=True):
        one = series.setdefault(name, {"steps": [], "values": [], "times": []})
        one["steps"].append(step)
        one["values"].append(value if math.isfinite(value) else None)
        one["times"].append(time / 1e6)
    return series
