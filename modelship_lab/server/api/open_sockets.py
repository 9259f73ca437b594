"""All open sockets: how many there may be, and whether their clients may still listen."""

import asyncio
import logging
from collections import Counter
from typing import Protocol

from modelship_lab.records.events import Event
from modelship_lab.server.events.log import EventLog
from modelship_lab.server.identity.credentials import Credentials
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.open_files import allow_many_files

log = logging.getLogger(__name__)

MAX_PER_ACCOUNT = 2000
MAX_SOCKETS = 5000

SPARE_FILES = 1000
"""Open files that are kept for everything but sockets."""

LOOK_PAUSE_S = 60
"""How often it is looked whether everybody may still listen, also when nobody told of a change."""

CHANGE_PAUSE_S = 0.5
"""After a change, so that several of them cost one look."""

# Who may see a run depends on its project, and no change of a run changes that.
_NO_CHANGE = frozenset({"run.changed"})

Verdicts = dict[tuple[int, str], str]
"""Why an account may not hear of a topic; empty: it may. Kept for one look at all sockets."""


class OpenSocket(Protocol):
    """A socket as it is looked after."""

    caller: Caller | None

    async def look(self, verdicts: Verdicts) -> None:
        """Close it if its client may not listen any more."""

    def close(self, code: int | None = None, reason: str | None = None) -> None: ...


class Sockets:
    """Counts the sockets and looks after them."""

    def __init__(self, credentials: Credentials, events: EventLog) -> None:
        self._open: dict[OpenSocket, int] = {}
        self._by_account: Counter[int] = Counter()
        self._changed = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._limit = MAX_SOCKETS
        credentials.changed(self._change)
        events.listen(self._hear)

    def start(self) -> None:
        """Begin to look after the sockets."""
        self._loop = asyncio.get_running_loop()
        self._limit = max(100, min(MAX_SOCKETS, allow_many_files() - SPARE_FILES))
        self._task = asyncio.create_task(self._look_forever())

    async def stop(self) -> None:
        self._loop = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def enter(self, socket: OpenSocket) -> str:
        """Count a socket; or the reason why there may not be one more."""
        assert socket.caller is not None
        account_id = socket.caller.account_id
        if len(self._open) >= self._limit:
            return "the server has as many sockets as it can have"
        if self._by_account[account_id] >= MAX_PER_ACCOUNT:
            return f"an account has at most {MAX_PER_ACCOUNT} sockets"
        self._open[socket] = account_id
        self._by_account[account_id] += 1
        return ""

    def leave(self, socket: OpenSocket) -> None:
        """Count a socket no more; one that was never counted changes nothing."""
        account_id = self._open.pop(socket, None)
        if account_id is not None:
            self._by_account[account_id] -= 1

    def _hear(self, event: Event) -> None:
        """What was changed or deleted may be visible to fewer people than before."""
        if event.type.endswith((".changed", ".deleted")) and event.type not in _NO_CHANGE:
            self._change()

    def _change(self) -> None:
        loop = self._loop
        if self._open and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._changed.set)

    async def _look_forever(self) -> None:
        while True:
            try:
                async with asyncio.timeout(LOOK_PAUSE_S):
                    await self._changed.wait()
                    await asyncio.sleep(CHANGE_PAUSE_S)
            except TimeoutError:
                log.debug("Looking at %d sockets without a change", len(self._open))
            self._changed.clear()
            verdicts: Verdicts = {}
            for socket in list(self._open):
                try:
                    await socket.look(verdicts)
                except Exception:
                    log.exception("Could not find out whether a socket may stay open")
                    socket.close(1011)
                # Thousands of them must not hold up a request.
                await asyncio.sleep(0)
