"""Who listens to what: events, metric deltas and deployment figures for those who subscribed.

Publishing never waits. Each client has a bounded outbox of its own: events are queued in order,
while metric deltas of one run and figures of one deployment that the client has not taken yet are
merged into one message. A client that falls further behind loses its place and is told so, which
costs nobody else anything.
"""

import asyncio
import math
from collections import OrderedDict, deque
from typing import Any

import pyarrow as pa

from modelship_lab.records.events import Event
from modelship_lab.records.serving import WindowMetrics

MAX_EVENTS = 2000
"""Events that wait for one client; one more and it is cut off, to come back and name the last it saw."""

MAX_POINTS = 5000
"""Metric points of one run that wait for one client; beyond that it is told to fetch them."""


class Hub:
    """Knows who is subscribed to what. Publishing may be done from any thread."""

    def __init__(self) -> None:
        self._outboxes: set[Outbox] = set()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    def add(self, outbox: "Outbox") -> None:
        self._outboxes.add(outbox)

    def remove(self, outbox: "Outbox") -> None:
        self._outboxes.discard(outbox)

    def publish_event(self, event: Event) -> None:
        self._soon(self._event, event)

    def publish_metrics(self, run_id: int, before: int, sequence: int, points: pa.Table) -> None:
        """Tell of the points of batch `sequence`, which follows batch `before`."""
        self._soon(self._metrics, run_id, before, sequence, points)

    def publish_deployment(self, deployment_id: int, window: WindowMetrics) -> None:
        self._soon(self._deployment, deployment_id, window)

    def _soon(self, call: Any, *arguments: Any) -> None:
        # Before the start and after the end of the loop there is nobody to tell.
        if self._outboxes and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _event(self, event: Event) -> None:
        for outbox in [box for box in self._outboxes if box.wants(event.topic)]:
            outbox.add_event(event)

    def _metrics(self, run_id: int, before: int, sequence: int, points: pa.Table) -> None:
        topic = f"run:{run_id}"
        interested = [box for box in self._outboxes if box.wants(topic)]
        if interested:
            series = series_of(points) if points.num_rows <= MAX_POINTS else None
            for outbox in interested:
                outbox.add_metrics(topic, before, sequence, series)

    def _deployment(self, deployment_id: int, window: WindowMetrics) -> None:
        topic = f"deployment:{deployment_id}"
        for outbox in [box for box in self._outboxes if box.wants(topic)]:
            outbox.add_deployment(topic, window)


Points = dict[str, dict[str, list[Any]]]


def series_of(points: pa.Table) -> Points:
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


class Outbox:
    """What waits to be sent to one client. Touched on the event loop only."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.overflowed = False
        self._direct: deque[dict[str, Any]] = deque()
        self._events: deque[Event] = deque()
        self._metrics: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._deployments: OrderedDict[str, dict[str, Any]] = OrderedDict()
        self._filled = asyncio.Event()

    def wants(self, topic: str) -> bool:
        return topic in self.topics or "*" in self.topics

    def add(self, message: dict[str, Any]) -> None:
        # A client may ask more than it listens.
        if len(self._direct) >= MAX_EVENTS:
            self.overflowed = True
        else:
            self._direct.append(message)
        self._filled.set()

    def add_event(self, event: Event) -> None:
        if len(self._events) >= MAX_EVENTS:
            self.overflowed = True
        else:
            self._events.append(event)
        self._filled.set()

    def cut_off(self) -> None:
        """Have the client sent away after what waits, to come back and name the last event it saw."""
        self.overflowed = True
        self._filled.set()

    def add_metrics(self, topic: str, before: int, sequence: int, series: Points | None) -> None:
        waiting = self._metrics.get(topic)
        if waiting is None:
            self._metrics[topic] = {
                "type": "metrics",
                "topic": topic,
                "from": before,
                "sequence": sequence,
                # A gap that the client will notice and fill by asking for the run's metrics.
                "series": {
                    name: {key: list(of) for key, of in one.items()} for name, one in (series or {}).items()
                },
                "gap": series is None,
            }
        else:
            waiting["sequence"] = sequence
            merged = waiting["series"]
            points = sum(len(one["steps"]) for one in merged.values())
            if series is None or waiting["gap"] or points > MAX_POINTS:
                waiting["gap"], waiting["series"] = True, {}
            else:
                for name, one in series.items():
                    target = merged.setdefault(name, {"steps": [], "values": [], "times": []})
                    for key, of in one.items():
                        target[key].extend(of)
        self._filled.set()

    def add_deployment(self, topic: str, window: WindowMetrics) -> None:
        self._deployments[topic] = {"type": "deployment", "topic": topic, "window": window}
        self._filled.set()

    async def take(self) -> list[dict[str, Any]]:
        """Everything that waits, once there is something."""
        await self._filled.wait()
        self._filled.clear()
        messages = list(self._direct)
        messages += [{"type": "event", "event": event} for event in self._events]
        messages += self._metrics.values()
        messages += self._deployments.values()
        self._direct.clear()
        self._events.clear()
        self._metrics.clear()
        self._deployments.clear()
        return messages
