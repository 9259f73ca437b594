"""Which addresses may be called by a webhook, and the HTTP sessions that call no other.

A webhook's address is chosen by whoever makes it, while the request is sent from this machine, which
reaches more than they do: itself, its network, a cloud's metadata service. So only what is routable
in the whole world may be called, unless an administrator made the webhook or the lab's
configuration names the target.

A name is looked up once for each connection and the connection goes to the very address that was
checked: a name server that changes its answer in between gains nothing.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import aiohttp
import psutil
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from modelship_lab.records.errors import InvalidInput

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

Lookup = Callable[[str, int], list[Any]]
"""Like `socket.getaddrinfo` of a host and a port."""

TIMEOUT_S = 10
"""For a whole delivery, from the look-up of the name to the end of the answer."""

LOOKUP_TIMEOUT_S = 5
"""At registration; afterwards a delivery's own limit holds."""

# Shorter than the time after which most servers close an idle connection.
_KEEP_ALIVE_S = 4

# Looking up a name blocks a thread; these are not the threads that requests are answered with.
_LOOKUP_THREADS = 16

_WORLD = ipaddress.ip_network("2000::/3")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class TargetRefused(OSError):
    """A connection would have gone to an address that this webhook may not call."""


class Targets:
    """Decides which addresses may be called.

    Args:
        allowed: hosts and networks that everybody's webhooks may call, e.g. `hooks.internal` or `10.1.0.0/16`.
        lookup: finds the addresses of a host.
    """

    def __init__(self, allowed: Sequence[str] = (), lookup: Lookup | None = None) -> None:
        self._hosts: set[str] = set()
        self._networks: list[ipaddress.IPv4Network | ipaddress.IPv6Network] = []
        for one in allowed:
            try:
                self._networks.append(ipaddress.ip_network(one, strict=False))
            except ValueError:
                self._hosts.add(_plain(one))
        self._lookup = lookup or _getaddrinfo
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="mlship-lookup")
        self._sessions: dict[bool, aiohttp.ClientSession] = {}

    async def check(self, url: str, may_be_private: bool) -> None:
        """Whether a webhook may be registered for this address.

        A name that is not found now is accepted: every connection checks again.

        Raises:
            InvalidInput: it is no address for a webhook, or one that may not be called.
        """
        host, port = _parts(url)
        if self._is_free(host, may_be_private):
            return
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                addresses = await self._find(host, port)
        except (OSError, UnicodeError):
            return
        for address in addresses:
            if not self._may_be_called(address):
                raise _invalid(
                    "leads to an address that is not public, which only an administrator's webhook may call"
                )

    def session(self, url: str, may_be_private: bool) -> aiohttp.ClientSession:
        """The session to call this address with. It connects to no address that may not be called."""
        # Two of them: a kept-alive connection must serve nobody who could not have opened it.
        free = self._is_free(_plain(URL(url).host or ""), may_be_private)
        if free not in self._sessions:
            self._sessions[free] = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    resolver=_Resolver(self, free),
                    socket_factory=None if free else self._socket,
                    # A receiver that does not answer must take no place of another.
                    limit=0,
                    keepalive_timeout=_KEEP_ALIVE_S,
                ),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
            )
        return self._sessions[free]

    async def close(self) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _is_free(self, host: str, may_be_private: bool) -> bool:
        return may_be_private or host in self._hosts

    async def _find(self, host: str, port: int) -> list[str]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        return list(dict.fromkeys(one[4][0] for one in found))

    def _may_be_called(self, address: str) -> bool:
        try:
            parsed = ipaddress.ip_address(address)
        except ValueError:
            # Also the short, octal and decimal spellings, which a connection would understand.
            return False
        if any(parsed in network for network in self._networks):
            return True
        return is_public(parsed) and parsed not in _own_addresses()

    def _socket(self, info: Any) -> socket.socket:
        """The last gate: called with the address that is about to be connected to, however it was found."""
        family, kind, protocol, _, address = info
        if not self._may_be_called(address[0]):
            raise TargetRefused("the address is not public")
        return socket.socket(family, kind, protocol)


def is_public(address: Address) -> bool:
    """Whether an address is routable in the whole world, also when it carries another one inside."""
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not (address.is_multicast or address.is_reserved)
    if address.scope_id is not None:
        return False
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    if address.sixtofour is not None:
        return is_public(address.sixtofour)
    return address in _WORLD and address.is_global and address.teredo is None


class _Resolver(AbstractResolver):
    """Finds a host's addresses and hands on those that may be called."""

    def __init__(self, targets: Targets, free: bool) -> None:
        self._targets = targets
        self._free = free

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._targets._find(host, port)
        fine = [one for one in found if self._free or self._targets._may_be_called(one)]
        if found and not fine:
            raise TargetRefused("the address is not public")
        return [
            ResolveResult(
                hostname=host,
                host=one,
                port=port,
                family=socket.AF_INET6 if ":" in one else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for one in fine
        ]

    async def close(self) -> None:
        """Nothing: the threads belong to the targets."""


def _parts(url: str) -> tuple[str, int]:
    """Host and port, read by the same parser that will read them when a delivery is sent.

    Raises:
        InvalidInput: it is no address for a webhook.
    """
    if any(character <= " " or character in "\\\x7f" for character in url):
        raise _invalid("has spaces, backslashes or control characters")
    try:
        parsed = URL(url)
        host, port = parsed.host, parsed.port
    except ValueError:
        raise _invalid("is not understood") from None
    if parsed.scheme not in ("http", "https"):
        raise _invalid("must begin with http:// or https://")
    if parsed.user is not None or parsed.password is not None:
        raise _invalid("must not carry a username or password")
    if "#" in url:
        raise _invalid("must not have a fragment")
    if not host or not port:
        raise _invalid("names no host")
    return _plain(host), port


def _plain(host: str) -> str:
    return host.lower().rstrip(".")


def _invalid(reason: str) -> InvalidInput:
    return InvalidInput(f"The webhook's address {reason}.", [{"field": "url", "reason": f"it {reason}"}])


def _getaddrinfo(host: str, port: int) -> list[Any]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _own_addresses() -> set[Address]:
    """This machine's own addresses: what listens only for it may listen on a public one."""
    found = set()
    for addresses in psutil.net_if_addrs().values():
        for one in addresses:
            if one.family in (socket.AF_INET, socket.AF_INET6):
                found.add(ipaddress.ip_address(one.address.partition("%")[0]))
    return found
