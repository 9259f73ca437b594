"""The live socket of the native API: a client says what it wants to hear of."""

from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from modelship_lab.records.base import Id, Record
from modelship_lab.records.errors import InvalidInput, LabError
from modelship_lab.server.api.socket import HubSocket
from modelship_lab.server.api.topics import require_topic

MAX_TOPICS = 1000


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
