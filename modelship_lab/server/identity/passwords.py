"""Passwords: hashed and checked with argon2id on threads of their own."""

import asyncio
import base64
import secrets
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError

from modelship_lab.records.errors import TooManyRequests, Unavailable
from modelship_lab.server.identity.limits import address_owner

Result = TypeVar("Result")

MAX_WAITING = 64
"""Hashes that wait or are worked on; more are refused, so that logins cannot take the memory of the lab."""


MAX_WAITING_OF_ONE = MAX_WAITING // 4
"""Of one address, so that nobody fills the queue alone and locks everybody else out."""


class Passwords:
    """Hashes with the second recommended parameters of RFC 9106 (64 MiB, 3 passes).

    Hashing is slow on purpose, so it has two threads and nothing else has to wait for them.
    """

    def __init__(self) -> None:
        self._hasher = PasswordHasher()
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="mlship-password")
        self._free = threading.BoundedSemaphore(MAX_WAITING)
        # Changed on the event loop only.
        self._waiting: Counter[str] = Counter()
        # What nobody's password has, made of the same parameters: checking against it takes as long.
        self._nobodys = f"$argon2id$v=19$m={self._hasher.memory_cost},t={self._hasher.time_cost},p={self._hasher.parallelism}${_unpadded(secrets.token_bytes(self._hasher.salt_len))}${_unpadded(secrets.token_bytes(self._hasher.hash_len))}"

    async def run(self, work: Callable[[], Result], address: str) -> Result:
        """Run what hashes or checks on the threads for that.

        Args:
            address: who has to share their turns.

        Raises:
            TooManyRequests: too many are waiting.
            Unavailable: the server is stopping.
        """
        place = address_owner(address)
        if self._waiting[place] >= MAX_WAITING_OF_ONE or not self._free.acquire(blocking=False):
            raise TooManyRequests("Too many passwords are being checked. Try again in a moment.")
        try:
            running = self._threads.submit(work)
        except RuntimeError:
            self._free.release()
            raise Unavailable("The lab server is stopping.") from None
        running.add_done_callback(lambda _: self._free.release())
        self._waiting[place] += 1
        try:
            return await asyncio.wrap_future(running)
        finally:
            self._waiting[place] -= 1
            if not self._waiting[place]:
                del self._waiting[place]

    def hash(self, password: str) -> str:
        """The hash to keep; for use within `run`."""
        return self._hasher.hash(password)

    def matches(self, password: str, kept: str | None) -> bool:
        """Whether a password has the kept hash; for use within `run`. Takes as long when there is none."""
        try:
            return self._hasher.verify(kept or self._nobodys, password) and kept is not None
        except (Argon2Error, InvalidHashError):
            return False

    def is_outdated(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than are used now."""
        return self._hasher.check_needs_rehash(kept)

    def close(self) -> None:
        """Take no more, and forget what waits."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
