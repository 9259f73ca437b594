"""The live socket of the native API: a client says what it wants to hear of."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError
from tornado.ioloop import IOLoop

from modelship_lab.records.base import Id, Record
from modelship_lab.records.errors import InvalidInput, LabError
from modelship_lab.server.api.socket import HubSocket
from modelship_lab.server.api.topics import HOLDER, require_topic

MAX_TOPICS = 1000


ABSENT_AFTER_S = 5.0
"""A session of labeling whose connection has gone for so long holds its samples no longer."""


class ClientMessage(Record):
    """What a client may say."""

    op: Literal["subscribe", "unsubscribe", "ping"]
    topics: tuple[Annotated[str, Field(max_length=100)], ...] = Field(default=(), max_length=MAX_TOPICS)
    after: Id | None = None
    """With `subscribe`: send the events after this id too, so that none is missed over a reconnection."""


class LiveSocket(HubSocket):
    """`{base}/mlship/live`."""

    async def on_message(self, message: str | bytes) -> None:
        if self.outbox is None:
            return
        try:
            said = ClientMessage.model_validate_json(message)
        except ValidationError:
            self._refuse(
                InvalidInput('Say {"op": "subscribe", "topics": ["run:1"]}, "unsubscribe" or "ping".')
            )
            return
        if said.op == "ping":
            self.outbox.add({"type": "pong"})
        elif said.op == "unsubscribe":
            self.services.hub.unsubscribe(self.outbox, said.topics)
        elif len(self.outbox.topics | set(said.topics)) > MAX_TOPICS:
            self._refuse(InvalidInput("Too many topics."))
        else:
            await self._subscribe(said)

    def on_close(self) -> None:
        # A browser that is killed gives nothing back.
        holders = [topic for topic in self.outbox.topics if _is_holder(topic)] if self.outbox else []
        super().on_close()
        if holders:
            IOLoop.current().call_later(ABSENT_AFTER_S, self._release, holders)

    def _release(self, holders: Collection[str]) -> None:
        for topic in holders:
            # It may have come back on another connection.
            if not self.services.hub.is_heard(topic) and self.caller is not None:
                self.services.queue.left(self.caller, topic.partition(":")[2])

    async def _subscribe(self, said: ClientMessage) -> None:
        assert self.caller is not None
        visible = []
        for topic in said.topics:
            try:
                await require_topic(self.services, self.caller, topic)
                visible.append(topic)
            except LabError as error:
                self._refuse(error, topic)
        if visible or not said.topics:
            await self.hear(visible, said.after)

    def confirm(self) -> None:
        if self.outbox is not None:
            self.outbox.add({"type": "subscribed", "topics": sorted(self.outbox.topics)})

    def _refuse(self, error: LabError, topic: str | None = None) -> None:
        content: dict[str, Any] = {"type": "error", "error": {"code": error.code, "message": error.message}}
        if topic is not None:
            content["topic"] = topic
        if self.outbox is not None:
            self.outbox.add(content)


def _is_holder(topic: str) -> bool:
    return topic.startswith(f"{HOLDER}:")
