"""Failed logins, and how long the next try must wait."""

import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from modelship_lab.records.errors import RateLimitExceeded
from modelship_lab.server.identity.limits import address_owner

MAX_KEPT = 30_000
"""Accounts, addresses and pairs of them that are remembered; the longest quiet ones are forgotten."""

HALF_LIFE_S = 2 * 3600
"""After this time a failure counts half."""


@dataclass(frozen=True)
class _Rule:
    """After `free` failures each further try waits twice as long, up to `max_wait_s`."""

    free: int
    max_wait_s: float


_PAIR = _Rule(5, 15 * 60)
# Many people can share one address.
_ADDRESS = _Rule(20, 15 * 60)
# Short, so that nobody can lock somebody else out of their account.
_ACCOUNT = _Rule(5, 30)


@dataclass
class _Failures:
    count: float = 0.0
    """Of failures, each fading with time."""
    at: float = 0.0
    blocked_until: float = 0.0

    def faded(self, moment: float) -> float:
        return self.count * math.exp2(-(moment - self.at) / HALF_LIFE_S)


class Attempts:
    """Slows down who guesses passwords: at one account from one address, from one address, at one account.

    In memory and bounded. Any thread may call it.
    """

    def __init__(self) -> None:
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._lock = threading.Lock()

    def require_allowed(self, account: str, address: str) -> None:
        """Let a try pass, if it may be made now.

        Args:
            account: the account, or what stands for the name of one that does not exist.
            address: where the try comes from.

        Raises:
            RateLimitExceeded: it must wait; how long is in the details.
        """
        moment = time.monotonic()
        with self._lock:
            wait, rule = max(
                (
                    (found.blocked_until - moment, rule)
                    for key, rule in _keys(account, address)
                    if (found := self._failures.get(key)) is not None
                ),
                key=lambda one: one[0],
                default=(0.0, _PAIR),
            )
        if wait > 0:
            seconds = math.ceil(wait)
            raise RateLimitExceeded(
                f"Too many failed logins. Try again in {seconds} s.",
                [{"limit": rule.free, "window": "failed logins", "retry_after": seconds}],
            )

    def failed(self, account: str, address: str) -> None:
        """Count a failure."""
        moment = time.monotonic()
        with self._lock:
            for key, rule in _keys(account, address):
                found = self._failures.setdefault(key, _Failures())
                found.count, found.at = found.faded(moment) + 1, moment
                if found.count > rule.free - 0.5:
                    wait = min(2.0 ** min(found.count - rule.free, 30), rule.max_wait_s)
                    found.blocked_until = moment + wait
                self._failures.move_to_end(key)
            while len(self._failures) > MAX_KEPT:
                self._failures.popitem(last=False)

    def succeeded(self, account: str, address: str) -> None:
        """Forget the failures at this account from this address.

        They are taken from the address's and the account's, and no others: whoever guesses at other
        accounts must not be able to clear that with a login to their own.
        """
        moment = time.monotonic()
        with self._lock:
            (pair, _), *others = _keys(account, address)
            forgotten = self._failures.pop(pair, None)
            if forgotten is None:
                return
            for key, _ in others:
                if (found := self._failures.get(key)) is not None:
                    found.count = max(found.faded(moment) - forgotten.faded(moment), 0.0)
                    found.at = moment


def _keys(account: str, address: str) -> tuple[tuple[tuple[str, str], _Rule], ...]:
    place = address_owner(address)
    return (((account, place), _PAIR), (("", place), _ADDRESS), ((account, ""), _ACCOUNT))
