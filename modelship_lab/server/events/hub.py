"""Who listens to what: events, metric deltas and deployment figures for those who subscribed.

Publishing never waits. Each client has a bounded outbox of its own: events are queued in order,
while metric deltas of one run and figures of one deployment that the client has not taken yet are
merged into one message. A client that falls further behind loses its place and is told so, which
costs nobody else anything.

Outboxes are emptied in rounds, many in one turn of the event loop, instead of a task for each that
would have to be woken: with a thousand clients that is most of what an event costs.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Collection, Iterator
from itertools import chain
from typing import Any

import pyarrow as pa

from modelship_lab.records.events import Event
from modelship_lab.records.serving import WindowMetrics
from modelship_lab.server.events.messages import (
    Message,
    MetricDelta,
    deployment_message,
    event_message,
    metric_message,
)

log = logging.getLogger(__name__)

MAX_EVENTS = 2000
"""Events that wait for one client; one more and it is cut off, to come back and name the last it saw."""

PAUSE_S = 0.05
"""Between two rounds for one client, so that what arrives meanwhile travels together."""

ROUND = 100
"""Outboxes that are emptied before requests get their turn."""

EVERYTHING = "*"


class Hub:
    """Knows who is subscribed to what. Publishing may be done from any thread, the rest on the event loop."""

    def __init__(self) -> None:
        self._by_topic: dict[str, dict[Outbox, None]] = {}
        # Who listens to all that belongs to one account.
        self._by_owner: dict[int, dict[Outbox, None]] = {}
        self._ready: deque[Outbox] = deque()
        self._resting: list[Outbox] = []
        self._is_scheduled = False
        self._timer_runs = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Bind to the running event loop."""
        self._loop = asyncio.get_running_loop()

    def publish_event(self, event: Event) -> None:
        """Tell of an event."""
        self._soon(self._event, event)

    def publish_metrics(
        self, run_id: int, owner_id: int, before: int, sequence: int, points: pa.Table | None
    ) -> None:
        """Tell of the points of batch `sequence`, which follows batch `before`; None: ask for them."""
        self._soon(self._metrics, run_id, owner_id, before, sequence, points)

    def publish_deployment(self, deployment_id: int, owner_id: int, window: WindowMetrics) -> None:
        """Tell of the figures of a deployment's last second."""
        self._soon(self._deployment, deployment_id, owner_id, window)

    def subscribe(self, outbox: "Outbox", topics: Collection[str]) -> None:
        """Have an outbox hear of these topics, too.

        Args:
            topics: `*` is everything that the outbox's owner may hear of.
        """
        for topic in topics:
            index, key = self._place(outbox, topic)
            index.setdefault(key, {})[outbox] = None
        outbox.topics |= set(topics)

    def unsubscribe(self, outbox: "Outbox", topics: Collection[str]) -> None:
        """Have an outbox hear no more of these topics; of others it never heard."""
        for topic in outbox.topics & set(topics):
            index, key = self._place(outbox, topic)
            listeners = index[key]
            del listeners[outbox]
            if not listeners:
                del index[key]
        outbox.topics -= set(topics)

    def remove(self, outbox: "Outbox") -> None:
        """Tell it nothing more."""
        self.unsubscribe(outbox, set(outbox.topics))

    def is_heard(self, topic: str) -> bool:
        """Whether anybody is subscribed to a topic by its name."""
        return topic in self._by_topic

    def _place(self, outbox: "Outbox", topic: str) -> tuple[dict[Any, dict["Outbox", None]], str | int]:
        if topic == EVERYTHING and outbox.owner_id is not None:
            return self._by_owner, outbox.owner_id
        return self._by_topic, topic

    def _who_hears(self, topic: str, owner_id: int) -> Iterator["Outbox"]:
        topical: dict[Outbox, None] = self._by_topic.get(topic, {})
        wide = chain(self._by_topic.get(EVERYTHING, ()), self._by_owner.get(owner_id, ()))
        return chain(topical, (one for one in wide if one not in topical))

    def _soon(self, call: Any, *arguments: Any) -> None:
        # Before the start and after the end of the loop there is nobody to tell.
        if (self._by_topic or self._by_owner) and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)

    def _event(self, event: Event) -> None:
        message = event_message(event)
        for outbox in self._who_hears(event.topic, event.owner_id):
            outbox.add_event(message)

    def _metrics(
        self, run_id: int, owner_id: int, before: int, sequence: int, points: pa.Table | None
    ) -> None:
        topic = f"run:{run_id}"
        listeners = list(self._who_hears(topic, owner_id))
        if listeners:
            message = metric_message(run_id, before, sequence, points)
            for outbox in listeners:
                outbox.add_metrics(topic, message)

    def _deployment(self, deployment_id: int, owner_id: int, window: WindowMetrics) -> None:
        topic = f"deployment:{deployment_id}"
        message = deployment_message(deployment_id, window)
        for outbox in self._who_hears(topic, owner_id):
            outbox.add_deployment(topic, message)

    def touched(self, outbox: "Outbox") -> None:
        """Have an outbox emptied in the next round that it may take part in."""
        if outbox.is_waiting or self._loop is None:
            return
        outbox.is_waiting = True
        if self._loop.time() >= outbox.rests_until:
            self._ready.append(outbox)
            self._schedule()
        else:
            self._resting.append(outbox)
            if not self._timer_runs:
                self._timer_runs = True
                self._loop.call_later(PAUSE_S, self._end_rest)

    def _end_rest(self) -> None:
        self._timer_runs = False
        self._ready.extend(self._resting)
        self._resting.clear()
        self._schedule()

    def _schedule(self) -> None:
        if not self._is_scheduled and self._ready and self._loop is not None:
            self._is_scheduled = True
            self._loop.call_soon(self._round)

    def _round(self) -> None:
        self._is_scheduled = False
        assert self._loop is not None
        rests_until = self._loop.time() + PAUSE_S
        for _ in range(min(ROUND, len(self._ready))):
            outbox = self._ready.popleft()
            outbox.is_waiting = False
            outbox.rests_until = rests_until
            try:
                outbox.empty()
            except Exception:
                # One client's trouble is nobody else's.
                log.exception("What waits for a client could not be sent")
        self._schedule()


class Outbox:
    """What waits to be sent to one client. Touched on the event loop only.

    Args:
        hub: who fills it.
        owner_id: the account whose things `*` stands for; None: everybody's.
        empty: called when something waits: it calls `take`, or `Hub.touched` once it can.
    """

    def __init__(self, hub: Hub, owner_id: int | None, empty: Callable[[], None]) -> None:
        self.owner_id = owner_id
        self.topics: set[str] = set()
        self.overflowed = False
        self.empty = empty
        self.is_waiting = False
        self.rests_until = 0.0
        self._hub = hub
        # In the order of their coming: no event overtakes the metrics that were there before it. What is
        # merged keeps the place of what came first.
        self._waiting: dict[int | tuple[str, str], Message] = {}
        self._direct = 0
        self._events = 0
        self._number = 0

    def add(self, content: dict[str, Any]) -> None:
        """Say something to this client alone."""
        # A client may ask more than it listens.
        self._direct += 1
        self._put(Message(content), self._direct)

    def add_event(self, message: Message) -> None:
        """Queue an event behind what waits already."""
        self._events += 1
        self._put(message, self._events)

    def _put(self, message: Message, count: int) -> None:
        if count > MAX_EVENTS:
            self.overflowed = True
        else:
            self._number += 1
            self._waiting[self._number] = message
        self._hub.touched(self)

    def add_metrics(self, topic: str, message: MetricDelta) -> None:
        """Queue metrics of a run, merged into those that wait."""
        key = ("metrics", topic)
        waiting = self._waiting.get(key)
        self._waiting[key] = waiting.and_then(message) if isinstance(waiting, MetricDelta) else message
        self._hub.touched(self)

    def add_deployment(self, topic: str, message: Message) -> None:
        """Queue figures of a deployment in place of older ones that wait."""
        self._waiting["deployment", topic] = message
        self._hub.touched(self)

    def cut_off(self) -> None:
        """Have the client sent away after what waits, to come back and name the last event it saw."""
        self.overflowed = True
        self._hub.touched(self)

    def take(self) -> list[Message]:
        """Everything that waits."""
        messages = list(self._waiting.values())
        self._waiting.clear()
        self._direct = self._events = 0
        return messages
