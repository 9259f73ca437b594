"""Who may have which blob: a digest is no secret, so knowing it is not enough."""

import threading
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from modelship_lab.records.errors import NotFound
from modelship_lab.records.events import Event
from modelship_lab.server.identity.policy import Caller
from modelship_lab.server.storage.blobs import Blobs

REMEMBERED = 20_000
"""Answers that are kept, each for one account and one blob."""

Holder = Callable[[str, Caller], Awaitable[bool]]
"""Whether something that the caller may see holds the blob of a digest."""


class BlobAccess:
    """The blobs, for callers.

    Args:
        holders: who may hold a blob; asked in this order.
    """

    def __init__(self, blobs: Blobs, holders: Sequence[Holder]) -> None:
        self._blobs = blobs
        self._holders = holders
        self._allowed: OrderedDict[tuple[int, str], None] = OrderedDict()
        self._lock = threading.Lock()
        self._generation = 0

    async def path(self, digest: str, caller: Caller) -> Path:
        """The file of a blob.

        Raises:
            NotFound: there is none, or nothing that the caller may see holds it.
        """
        path = self._blobs.path(digest)
        if not caller.is_admin and not await self._may_have(digest, caller):
            raise NotFound("There is no file with this digest.")
        return path

    def forget(self, event: Event) -> None:
        """What was allowed may be so no longer. Called after a commit, on the writer thread."""
        if event.type in ("project.changed", "project.deleted", "run.deleted", "artifact.deleted"):
            with self._lock:
                self._generation += 1
                self._allowed.clear()

    async def _may_have(self, digest: str, caller: Caller) -> bool:
        key = (caller.account_id, digest)
        with self._lock:
            if key in self._allowed:
                self._allowed.move_to_end(key)
                return True
            generation = self._generation
        for holds in self._holders:
            if await holds(digest, caller):
                with self._lock:
                    # What was looked up while things changed may be out of date already.
                    if generation == self._generation:
                        self._allowed[key] = None
                        if len(self._allowed) > REMEMBERED:
                            self._allowed.popitem(last=False)
                return True
        return False
