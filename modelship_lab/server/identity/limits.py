"""How many requests somebody may make: token buckets in memory, refilled at intervals.

A bucket has all its tokens at the first request of a window and all again when the window, which
starts with that request, is over. A request passes only if every bucket of its class has a token,
and takes one of each or none.
"""

import ipaddress
import math
import re
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from modelship_lab.records.errors import InvalidInput, RateLimitExceeded

DEFAULT = "default"
"""The class of all endpoints for whose own class nothing is set."""

MAX_BUCKETS = 100_000
"""More are never held: then the oldest window starts anew."""

_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}

_FORM = re.compile(r"([1-9]\d{0,8})/(second|minute|hour|day)")


@dataclass(frozen=True)
class Limit:
    """At most `requests` in `window_s` seconds."""

    requests: int
    window_s: int

    @classmethod
    def parse(cls, text: str) -> "Limit":
        """Read e.g. `100/minute`.

        Raises:
            InvalidInput: it has not this form.
        """
        found = _FORM.fullmatch(text.strip()) if isinstance(text, str) else None
        if found is None:
            raise InvalidInput(f"{text!r} is no limit: write e.g. '100/minute' ({', '.join(_SECONDS)}).")
        return cls(int(found[1]), _SECONDS[found[2]])

    @property
    def window(self) -> str:
        """The length of the window in words, e.g. `1 minute`."""
        for word, seconds in reversed(_SECONDS.items()):
            if self.window_s % seconds == 0:
                count = self.window_s // seconds
                return f"{count} {word}{'s' if count > 1 else ''}"
        raise AssertionError("every whole number is so many seconds")


@dataclass(frozen=True)
class Window:
    """How one bucket stands after a request."""

    limit: Limit
    remaining: int
    resets_at: int
    """When it is full again, in seconds since 1970."""


class LimitReached(RateLimitExceeded):
    """`window` is the one that lets nothing more through."""

    def __init__(self, window: Window, wait_s: int) -> None:
        limit = window.limit
        super().__init__(
            f"At most {limit.requests} requests in {limit.window} are answered here: "
            f"try again in {wait_s} seconds.",
            [{"limit": limit.requests, "window": limit.window, "retry_after": wait_s}],
        )
        self.window = window


class _Bucket:
    __slots__ = ("ends", "left")

    def __init__(self, ends: float, left: int) -> None:
        self.ends = ends
        self.left = left


class Limits:
    """The buckets of all callers. Used on the event loop's thread alone, which makes it exact.

    Args:
        by_api: for each API the limits of its classes.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        by_api: Mapping[str, Mapping[str, tuple[Limit, ...]]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._by_api = by_api
        self._clock = clock
        # In the order in which their windows began.
        self._buckets: dict[tuple[str, str, int | str, Limit], _Bucket] = {}

    def take(self, api: str, kind: str, owner: int | str) -> Window | None:
        """Count a request.

        Args:
            api: the name of the API that was asked.
            kind: the class of the endpoint.
            owner: the account's id, or the address (see `address_owner`) of who has none yet.

        Returns:
            The window that is nearest to its end of tokens; None when nothing limits this.

        Raises:
            LimitReached: a bucket is empty; nothing was taken from the others.
        """
        classes = self._by_api.get(api, {})
        if kind not in classes:
            kind = DEFAULT
        limits = classes.get(kind, ())
        if not limits:
            return None
        now = self._clock()
        buckets = [self._bucket((api, kind, owner, limit), now) for limit in limits]
        found = list(zip(limits, buckets, strict=True))
        empty = [one for one in found if one[1].left <= 0]
        if empty:
            limit, bucket = max(empty, key=lambda one: one[1].ends)
            wait = max(math.ceil(bucket.ends - now), 1)
            raise LimitReached(Window(limit, 0, math.ceil(time.time()) + wait), wait)
        for bucket in buckets:
            bucket.left -= 1
        limit, bucket = min(found, key=lambda one: one[1].left)
        return Window(limit, bucket.left, math.ceil(time.time() + bucket.ends - now))

    def _bucket(self, key: tuple[str, str, int | str, Limit], now: float) -> _Bucket:
        bucket = self._buckets.get(key)
        if bucket is None or bucket.ends <= now:
            # Taken out first, so that it comes behind all that began before.
            self._buckets.pop(key, None)
            if len(self._buckets) >= MAX_BUCKETS:
                self._make_room(now)
            limit = key[3]
            bucket = self._buckets[key] = _Bucket(now + limit.window_s, limit.requests)
        return bucket

    def _make_room(self, now: float) -> None:
        """Forget the windows that are over, and of the others the oldest tenth if that was not enough."""
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if bucket.ends > now}
        excess = len(self._buckets) - MAX_BUCKETS * 9 // 10
        for key in list(self._buckets)[: max(excess, 0)]:
            del self._buckets[key]


def address_owner(address: str) -> str:
    """Who an address stands for: an IPv6 host has a whole /64 to choose from."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    if parsed.version == 6 and parsed.ipv4_mapped is None:
        return str(ipaddress.ip_network((parsed, 64), strict=False))
    return address


def configured_limits(
    declared: Mapping[str, Mapping[str, tuple[Limit, ...]]],
    classes: Mapping[str, Collection[str]],
    settings: Mapping[str, Mapping[str, Sequence[str]]],
) -> dict[str, dict[str, tuple[Limit, ...]]]:
    """The limits that APIs declare, with what an administrator set instead of them.

    Args:
        declared: for each API the limits of its classes.
        classes: for each API the classes that its endpoints name.
        settings: for each API and class limits as text; an empty list lifts the limit.

    Raises:
        InvalidInput: a setting names no API or class, or has no limits in it.
    """
    found = {api: dict(limits) for api, limits in declared.items()}
    for api, by_class in settings.items():
        if api not in found:
            raise InvalidInput(f"ModelShipLab.limits: there is no API {api!r}; there are {', '.join(found)}.")
        if not isinstance(by_class, Mapping):
            raise InvalidInput(
                f"ModelShipLab.limits[{api!r}] must be a mapping from classes to lists of limits."
            )
        known = {DEFAULT, *declared[api], *classes.get(api, ())}
        for kind, limits in by_class.items():
            if kind not in known:
                raise InvalidInput(
                    f"ModelShipLab.limits[{api!r}]: there is no class {kind!r}; there are {', '.join(sorted(known))}."
                )
            if isinstance(limits, str) or not isinstance(limits, Sequence):
                raise InvalidInput(
                    f"ModelShipLab.limits[{api!r}][{kind!r}] must be a list, e.g. ['100/minute']."
                )
            try:
                found[api][kind] = tuple(Limit.parse(limit) for limit in limits)
            except InvalidInput as error:
                raise InvalidInput(f"ModelShipLab.limits[{api!r}][{kind!r}]: {error.message}") from None
    return found
