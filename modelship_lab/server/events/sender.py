"""Sends what is queued for one webhook: one delivery at a time, in their order, until each is done."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import aiohttp

from modelship_lab.records.errors import LabError
from modelship_lab.server.events.deliveries import Attempt, Deliveries, Waiting
from modelship_lab.server.events.targets import TIMEOUT_S, TargetRefused
from modelship_lab.server.storage.database import now

log = logging.getLogger(__name__)

BATCH = 200
"""Deliveries that are read at once."""

FIRST_RETRY_S = 1.0
LONGEST_RETRY_S = 3600.0
GIVE_UP_AFTER = timedelta(hours=24)

MAX_ANSWER_BYTES = 64 << 10
"""What is read of an answer so that its connection can be used again."""

_PAUSE_S = 5.0
"""Before another try when the lab itself could not go on."""

GONE = 410


@dataclass(frozen=True)
class Answer:
    """What came back from a receiver; status None: nothing did, and `error` says why."""

    status: int | None
    error: str
    duration_ms: float
    retry_after_s: float = 0.0

    @property
    def is_good(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Sender:
    """The sending of one webhook's deliveries, a task of its own.

    Args:
        webhook_id: whose deliveries are sent.
        deliveries: where they are queued.
        post: sends one.
        may_send: asked before each attempt; False holds everything back for now.
        gone: called when the receiver says that it will never come back.
    """

    def __init__(
        self,
        webhook_id: int,
        deliveries: Deliveries,
        post: Callable[[Waiting], Awaitable[Answer]],
        may_send: Callable[[], bool],
        gone: Callable[[], Awaitable[None]],
    ) -> None:
        self._webhook_id = webhook_id
        self._deliveries = deliveries
        self._post = post
        self._may_send = may_send
        self._gone = gone
        self._done = 0
        """The id of the last delivery that is done; results may not be written yet."""
        self._woken = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def wake(self) -> None:
        """There is something new in the queue, or sending is allowed again."""
        self._woken.set()

    async def _run(self) -> None:
        while True:
            try:
                self._woken.clear()
                waiting = await self._deliveries.waiting(self._webhook_id, self._done, BATCH)
                for one in waiting:
                    await self._deliver(one)
                    self._done = one.id
                if not waiting:
                    await self._woken.wait()
            except LabError as error:
                log.warning("Webhook %d waits: %s", self._webhook_id, error.message)
                await asyncio.sleep(_PAUSE_S)
            except Exception:
                log.exception("Webhook %d waits", self._webhook_id)
                await asyncio.sleep(_PAUSE_S)

    async def _deliver(self, waiting: Waiting) -> None:
        """Try until it is delivered or given up."""
        attempts, due = waiting.attempts, waiting.next_attempt_at
        until = waiting.created_at + GIVE_UP_AFTER
        while True:
            if due is not None:
                await asyncio.sleep(max(0.0, (due - now()).total_seconds()))
            while not self._may_send():
                self._woken.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_PAUSE_S):
                        await self._woken.wait()
            answer = await self._post(waiting)
            attempts += 1
            at = now()
            is_over = answer.is_good or answer.status == GONE or at >= until
            due = None if is_over else min(at + timedelta(seconds=_pause(attempts, answer)), until)
            await self._deliveries.note(
                Attempt(
                    id=waiting.id,
                    status="delivered" if answer.is_good else "failed" if is_over else "pending",
                    attempts=attempts,
                    next_attempt_at=due,
                    finished_at=at if is_over else None,
                    response_status=answer.status,
                    error=answer.error,
                    duration_ms=answer.duration_ms,
                )
            )
            if answer.status == GONE:
                self._done = waiting.id
                await self._gone()
            if is_over:
                return


def _pause(attempts: int, answer: Answer) -> float:
    """Seconds until the next attempt: doubled each time, spread so that receivers are not hit in step."""
    doubled = min(FIRST_RETRY_S * 2.0 ** min(attempts - 1, 30), LONGEST_RETRY_S)
    return max(doubled * random.uniform(0.75, 1.25), min(answer.retry_after_s, LONGEST_RETRY_S))


async def post(session: aiohttp.ClientSession, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    """Send one delivery. Never raises for what the receiver or the network does."""
    start = time.perf_counter()
    status: int | None = None
    error, retry_after_s = "", 0.0
    try:
        # A redirect is an answer like any other: it could lead where this webhook may not call.
        response = await session.post(url, data=body, headers=headers, allow_redirects=False)
        status = response.status
        if not 200 <= status < 300:
            error = f"The receiver answered {status}."
            retry_after_s = _retry_after(response.headers.get("Retry-After", ""))
        await _drain(response)
    except TargetRefused:
        error = _REFUSED
    except aiohttp.ClientConnectorError as failure:
        error = _no_connection(failure)
    except TimeoutError:
        error = f"There was no answer within {TIMEOUT_S} seconds."
    except (aiohttp.ClientError, OSError, ValueError) as failure:
        # The messages of these can hold the address, whose path may be a secret.
        error = f"The connection failed ({type(failure).__name__})."
    return Answer(status, error, (time.perf_counter() - start) * 1000, retry_after_s)


_REFUSED = "The address is not public: only an administrator's webhook may call it."


async def _drain(response: aiohttp.ClientResponse) -> None:
    """Read the answer's body, so that its connection serves again; one that is long or slow is cut."""
    try:
        read = 0
        while chunk := await response.content.read(MAX_ANSWER_BYTES):
            read += len(chunk)
            if read > MAX_ANSWER_BYTES:
                response.close()
                return
        response.release()
    except (aiohttp.ClientError, TimeoutError, OSError):
        response.close()
    except asyncio.CancelledError:
        response.close()
        raise


def _no_connection(failure: aiohttp.ClientConnectorError) -> str:
    if isinstance(failure.os_error, TargetRefused):
        return _REFUSED
    if isinstance(failure, aiohttp.ClientConnectorDNSError):
        return "The receiver's name was not found."
    if isinstance(failure, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "The receiver's TLS certificate is not valid."
    return "The receiver takes no connection."


def _retry_after(value: str) -> float:
    """Seconds that a Retry-After header asks for, in either of its forms; 0 for nonsense."""
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())
