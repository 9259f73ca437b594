"""The live socket: what the hub has for a client, sent over its WebSocket."""

import asyncio
from collections.abc import Collection
from typing import Annotated, Any, Literal

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.websocket import WebSocketMixin
from pydantic import Field, ValidationError
from pydantic_core import to_json
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from modelship_lab.records.base import Id, Record
from modelship_lab.records.errors import LabError
from modelship_lab.records.events import Event
from modelship_lab.server.api.handler import LabHandler
from modelship_lab.server.events.hub import MAX_EVENTS, Outbox

MAX_TOPICS = 1000

PAUSE_S = 0.05
"""Between two sends to one client, so that what arrives meanwhile travels together."""


class ClientMessage(Record):
    """What a client may say."""

    op: Literal["subscribe", "unsubscribe", "ping"]
    topics: tuple[Annotated[str, Field(max_length=100)], ...] = Field(default=(), max_length=MAX_TOPICS)
    after: Id | None = None
    """With `subscribe`: send the events after this id too, so that none is missed over a reconnection."""


class LiveSocket(WebSocketMixin, WebSocketHandler, LabHandler):
    """`{base}/mlship/live`."""

    @property
    def ping_timeout(self) -> float:
        # Tornado takes no longer time-out than the interval, and says so at every connection.
        return float(self.ping_interval)

    @allow_unauthenticated  # LabHandler.prepare has the lab's own check, with an answer in its error shape
    async def get(self, *args: Any, **kwargs: Any) -> None:
        await WebSocketHandler.get(self, *args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        self.outbox = Outbox()
        self.services.hub.add(self.outbox)
        self._sender = asyncio.create_task(self._send_forever())
        super().open(*args, **kwargs)

    async def on_message(self, message: str | bytes) -> None:
        try:
            said = ClientMessage.model_validate_json(message)
        except ValidationError:
            self.outbox.add(
                {
                    "type": "error",
                    "error": {
                        "code": "INVALID_INPUT",
                        "message": 'Say {"op": "subscribe", "topics": ["run:1"]}, "unsubscribe" or "ping".',
                    },
                }
            )
            return
        if said.op == "ping":
            self.outbox.add({"type": "pong"})
        elif said.op == "unsubscribe":
            self.outbox.topics -= set(said.topics)
        else:
            await self._subscribe(said)

    async def _subscribe(self, said: ClientMessage) -> None:
        new = set(said.topics) - self.outbox.topics
        if len(new) + len(self.outbox.topics) > MAX_TOPICS:
            self.outbox.add(
                {"type": "error", "error": {"code": "INVALID_INPUT", "message": "Too many topics."}}
            )
            return
        if said.after is not None:
            missed = await self._missed(said.after, said.topics)
            if len(missed) > MAX_EVENTS:
                # Nothing newer must come before what is still missing.
                for event in missed[:MAX_EVENTS]:
                    self.outbox.add_event(event)
                self.outbox.cut_off()
                return
        # First listen, then look back: an event in between comes twice rather than never, and has an id.
        self.outbox.topics |= new
        self.outbox.add({"type": "subscribed", "topics": sorted(self.outbox.topics)})
        if said.after is not None:
            for event in await self._missed(said.after, said.topics):
                self.outbox.add_event(event)

    async def _missed(self, after: int, topics: Collection[str]) -> list[Event]:
        found: list[Event] = await self.services.events.since(after, topics, MAX_EVENTS + 1, self.caller)
        return found

    async def _send_forever(self) -> None:
        try:
            while True:
                for message in await self.outbox.take():
                    # Waits when the client is slow; meanwhile its outbox merges.
                    await self.write_message(to_json(message))
                if self.outbox.overflowed:
                    self.close(1013, "too slow: reconnect and name the last event you saw")
                    return
                await asyncio.sleep(PAUSE_S)
        except WebSocketClosedError:
            return
        except LabError as error:
            self.close(1011, error.code)

    def on_close(self) -> None:
        if hasattr(self, "outbox"):
            self.services.hub.remove(self.outbox)
            self._sender.cancel()
        super().on_close()
