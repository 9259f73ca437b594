"""What the hub has for somebody, sent over their WebSocket: the same for the live socket and the dialects'."""

import logging
from collections.abc import Collection, Iterable
from typing import Any

from jupyter_server.auth.decorator import allow_unauthenticated
from jupyter_server.base.websocket import WebSocketMixin
from pydantic_core import to_json
from tornado.iostream import StreamClosedError
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from modelship_lab.records.base import as_id
from modelship_lab.records.errors import InvalidInput, LabError
from modelship_lab.records.events import Event
from modelship_lab.server.api.dialect import Socket, Subscription
from modelship_lab.server.api.dispatch import arguments_of
from modelship_lab.server.api.handler import LabHandler
from modelship_lab.server.api.open_sockets import Verdicts
from modelship_lab.server.api.topics import require_topic
from modelship_lab.server.events.hub import MAX_EVENTS, Outbox
from modelship_lab.server.events.messages import Message, event_message, text_frame
from modelship_lab.server.identity import policy
from modelship_lab.server.identity.policy import Caller

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 256 << 10
"""What a client may say at once."""

PING_INTERVAL_S = 30.0
"""A client that does not answer a ping until the next one is due is gone."""

NOT_ALLOWED = 1008
BROKEN = 1011
TRY_LATER = 1013


class HubSocket(WebSocketMixin, WebSocketHandler, LabHandler):
    """A client's socket with an outbox of the hub."""

    outbox: Outbox | None = None

    # Tornado's own pings. Jupyter's mixin counts in milliseconds and, as soon as the event loop is a
    # little late, takes the answer to the ping before the last for too old.
    @property
    def ping_interval(self) -> float:
        return PING_INTERVAL_S

    @property
    def ping_timeout(self) -> float:
        return PING_INTERVAL_S

    @property
    def max_message_size(self) -> int:
        return MAX_MESSAGE_BYTES

    @allow_unauthenticated  # LabHandler.prepare has the lab's own check, with an answer in its error shape
    async def get(self, *args: Any, **kwargs: Any) -> None:
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            raise InvalidInput("This address takes WebSocket connections only.")
        await WebSocketHandler.get(self, *args, **kwargs)

    async def open(self, *args: Any, **kwargs: Any) -> None:
        assert self.caller is not None
        refused = self.services.sockets.enter(self)
        if refused:
            self.close(TRY_LATER, refused)
            return
        # Small messages must not wait for the client's acknowledgment of the ones before.
        self.set_nodelay(True)
        self.outbox = Outbox(self.services.hub, policy.hears_of(self.caller), self._empty)

    def on_close(self) -> None:
        if self.outbox is not None:
            self.services.hub.remove(self.outbox)
            self.outbox.take()
        self.services.sockets.leave(self)
        super().on_close()

    def frames(self, messages: Iterable[Message]) -> Iterable[bytes]:
        """What the hub has to say, as frames of the socket."""
        return (message.frame for message in messages)

    def confirm(self) -> None:
        """Called when the topics are heard, before anything that was missed."""

    async def hear(self, topics: Collection[str], after: int | None) -> None:
        """Have the client hear of topics that its caller may see.

        Args:
            after: send the events after this id too, so that none is missed over a reconnection.
        """
        if after is not None:
            missed = await self._missed(after, topics)
            if self.outbox is not None and len(missed) > MAX_EVENTS:
                # Nothing newer must come before what is still missing.
                for event in missed[:MAX_EVENTS]:
                    self.outbox.add_event(event_message(event))
                self.outbox.cut_off()
                return
        if self.outbox is None or self.ws_connection is None:
            return
        # First listen, then look back: an event in between comes twice rather than never, and has an id.
        self.services.hub.subscribe(self.outbox, topics)
        self.confirm()
        if after is not None:
            for event in await self._missed(after, topics):
                self.outbox.add_event(event_message(event))

    async def _missed(self, after: int, topics: Collection[str]) -> list[Event]:
        assert self.caller is not None
        return await self.services.events.since(after, topics, MAX_EVENTS + 1, self.caller)

    def _empty(self) -> None:
        """Send what waits, in one piece; while the client is slow nothing is sent, and its outbox merges."""
        connection, outbox = self.ws_connection, self.outbox
        stream = connection.stream if connection is not None and not connection.is_closing() else None
        if stream is None or outbox is None or stream.writing():
            return
        # Written past `write_message`, which frames each message anew and makes a task for it.
        try:
            data = b"".join(self.frames(outbox.take()))
        except Exception:
            log.exception("What waits for a client could not be put in words")
            self.close(BROKEN)
            return
        if data:
            try:
                written = stream.write(data)
            except StreamClosedError:
                return
            if stream.writing():
                written.add_done_callback(lambda _: self.services.hub.touched(outbox))
        if outbox.overflowed:
            self.close(TRY_LATER, "too slow: reconnect and name the last event you saw")

    async def look(self, verdicts: Verdicts) -> None:
        """Close the socket if its client may not listen any more.

        Args:
            verdicts: what was found for others in the same look: why an account may not hear a topic.
        """
        before = self.caller
        caller = self.caller_now()
        if self.ws_connection is None or before is None:
            return
        if caller is None:
            self.close(NOT_ALLOWED, "the credential is not valid any more")
        elif self.permission not in caller.permissions or (before.is_admin and not caller.is_admin):
            self.close(NOT_ALLOWED, "the credential may not do this any more")
        elif self.outbox is not None:
            for topic in sorted(self.outbox.topics):
                key = (caller.account_id, topic)
                if key not in verdicts:
                    verdicts[key] = await self._verdict(caller, topic)
                if verdicts[key]:
                    # At most 123 bytes are taken here.
                    self.close(NOT_ALLOWED, verdicts[key][:100])
                    return

    async def _verdict(self, caller: Caller, topic: str) -> str:
        try:
            await require_topic(self.services, caller, topic)
        except LabError as error:
            return error.message
        return ""


class DialectSocket(HubSocket):
    """A socket of a dialect. One subclass is made for each that is declared."""

    socket: Socket
    subscription: Subscription

    async def prepare(self, **settings: Any) -> None:
        self.permission = self.socket.permission
        self.limit = self.socket.opening.limit
        await super().prepare(**settings)

    @allow_unauthenticated
    async def get(self, **path: str) -> None:
        # Who declares a parameter of this name does something else with it.
        is_ours = "after" not in self.socket.opening.parameters.model_fields
        self._after = _event_id(self.request.query_arguments.pop("after", [])) if is_ours else None
        opening = self.socket.opening
        arguments = arguments_of(self, opening, path, b"", "")
        assert self.caller is not None
        self.subscription = await opening.function(**arguments)
        for topic in self.subscription.topics:
            await require_topic(self.services, self.caller, topic)
        await super().get()

    async def open(self, *args: Any, **kwargs: Any) -> None:
        await super().open(*args, **kwargs)
        try:
            for said in self.subscription.first:
                await self.write_message(to_json(said).decode())
            await self.hear(self.subscription.topics, self._after)
        except WebSocketClosedError:
            return
        except LabError as error:
            self.close(BROKEN, error.code)

    def on_message(self, message: str | bytes) -> None:
        """Nothing: these sockets only tell."""

    def frames(self, messages: Iterable[Message]) -> Iterable[bytes]:
        return (
            text_frame(to_json(said))
            for message in messages
            for said in self.subscription.say(message.content)
        )


def _event_id(values: list[bytes]) -> int | None:
    """The id in `?after=`.

    Raises:
        InvalidInput: it is none.
    """
    if not values:
        return None
    event_id = as_id(values[-1].decode("ascii", "replace"))
    if event_id is None:
        reason = "must be the id of an event"
        raise InvalidInput(f"after: {reason}.", [{"field": "after", "reason": reason}])
    return event_id
