"""From `run.log()` in a training loop to the lab server, without holding up the loop.

`log()` only appends to a list. One thread empties the list at most five times a second into an
Arrow table and writes that to the spool; another sends what is in the spool and deletes what the
server has acknowledged. So a server that is slow or away costs disk, never time or points.
"""

import atexit
import logging
import numbers
import operator
import threading
import time
import weakref
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.connection import ARROW, Connection
from modelship_lab.client.spool import Spool, SpooledRequest, deliver
from modelship_lab.records.errors import InvalidInput, LabError
from modelship_lab.records.metrics import LoggedMetrics
from modelship_lab.records.tracking import Heartbeat

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 0.2
HEARTBEAT_INTERVAL_S = 5.0
BATCH_POINTS = 100_000
"""Most points in one request."""
MEMORY_POINTS = 1_000_000
"""Most points in memory; beyond, `log` waits until the spool has taken some."""
QUOTA_BYTES = 4 << 30
_LONGEST_PAUSE_S = 5.0
_CLOSE_TIMEOUT_S = 10.0
_FAILURES_OF_AWAY = 3
"""After this many failed attempts in a row, nobody waits for the server any more."""
_LONGEST_NAME = 250
_MOST_KNOWN = 10_000
_NO_STEP = 2**63

_Call = tuple[int, int, dict[str, float]]
"""Time in microseconds since the epoch, step, values by name."""


class MetricLog:
    """The metrics of one run on their way to the server.

    Args:
        run_id: the run.
        connection: to the lab server.
        folder: where the spools of this lab lie.
        heartbeat: whether to tell the server that the run is alive when there is nothing to send.
        quota_bytes: the most that may wait on disk. What comes beyond is dropped, counted in
            `dropped` and warned about.
    """

    def __init__(
        self,
        run_id: int,
        connection: Connection,
        folder: Path,
        *,
        heartbeat: bool = True,
        quota_bytes: int = QUOTA_BYTES,
    ) -> None:
        # Here, so that the first flush in a training loop does not pay for it.
        import numpy  # noqa: F401
        import pyarrow  # noqa: F401

        self.run_id = run_id
        self.stop_event = threading.Event()
        """Set when somebody asked the run to stop."""
        self.dropped = 0
        self._connection = connection
        self._heartbeat = heartbeat
        self._spool = Spool(folder, quota_bytes)
        self._lock = threading.Lock()
        self._calls: list[_Call] = []
        self._points = 0
        self._next_step = 0
        self._spooling = threading.Lock()
        """Held while calls move from memory to disk, so that they arrive in order."""
        self._room = threading.Condition()
        self._wake = threading.Event()
        self._known: set[str] = set()
        """Names that were checked before."""
        self._failures = 0
        self._closed = False
        """Nothing more is taken."""
        self._all_spooled = False
        self._abandoned = False
        self._threads = [
            threading.Thread(target=self._spool_forever, name=f"mlship-spool-{run_id}", daemon=True),
            threading.Thread(target=self._send_forever, name=f"mlship-send-{run_id}", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        _open_logs.add(self)

    def log(self, metrics: Mapping[str, Any], step: int | None = None) -> None:
        """Take the values of one moment.

        Args:
            metrics: name to number. NumPy and torch scalars, NaN and infinities are numbers.
            step: position in the run; default: one more than the last.

        Raises:
            InvalidInput: a name or value that cannot be a metric; then nothing of this call is kept.
        """
        values = dict(metrics)
        for name, value in values.items():
            if type(value) is not float:
                values[name] = as_number(name, value)
            if name not in self._known:
                self._check_name(name)
        now_us = time.time_ns() // 1000
        if step is not None:
            step = as_step(step)
        with self._lock:
            if self._closed:
                raise InvalidInput(f"Run {self.run_id} is finished; start a new run to log more.")
            if step is None:
                step = self._next_step
            self._next_step = step + 1
            self._calls.append((now_us, step, values))
            self._points += len(values)
            points = self._points
        if points >= BATCH_POINTS:
            self._wake.set()
            if points >= MEMORY_POINTS:
                self._wait_for_room()

    def append(self, request: SpooledRequest) -> bool:
        """Put another repeatable request of this run behind what was logged before it."""
        with self._spooling:
            self._move_to_spool()
            return self._spool.append(request)

    def drain(self, timeout_s: float) -> bool:
        """Whether the server has acknowledged all that was logged, at the latest after `timeout_s`."""
        with self._spooling:
            self._move_to_spool()
        return self._spool.wait_until_empty(timeout_s)

    def close(self, timeout_s: float = _CLOSE_TIMEOUT_S) -> bool:
        """Take no more, and wait until the server has acknowledged everything.

        Returns:
            Whether it has. If not, sending goes on for as long as this process lives, and after
            that the next client replays the rest.
        """
        with self._lock:
            already = self._closed
            self._closed = True
        if not already:
            with self._spooling:
                self._move_to_spool()
            self._all_spooled = True
            self._wake.set()
        deadline = time.monotonic() + timeout_s
        self._failures = 0
        while not self._spool.wait_until_empty(0.1):
            if time.monotonic() > deadline or self._failures >= _FAILURES_OF_AWAY:
                log.warning(
                    "Run %d: the lab server is away; %d requests wait in %s and are sent when it is back.",
                    self.run_id,
                    len(self._spool),
                    self._spool.folder,
                )
                return False
        return True

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._closed

    def abandon(self) -> None:
        """Stop sending; what waits belongs to the next client."""
        self._abandoned = True
        self._spool.close()

    def _check_name(self, name: Any) -> None:
        valid = isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME
        try:
            # Half a surrogate pair is a str but no text.
            valid = valid and bool(name.encode())
        except UnicodeEncodeError:
            valid = False
        if not valid:
            raise InvalidInput(f"A metric's name is 1 to {_LONGEST_NAME} characters, not {name!r:.80}.")
        if len(self._known) < _MOST_KNOWN:
            self._known.add(name)

    def _wait_for_room(self) -> None:
        with self._room:
            self._room.wait_for(lambda: self._points < MEMORY_POINTS or self._closed)

    def _spool_forever(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_INTERVAL_S)
            self._wake.clear()
            with self._spooling:
                self._move_to_spool()

    def _move_to_spool(self) -> None:
        with self._lock:
            calls, self._calls = self._calls, []
            self._points = 0
        if not calls:
            return
        with self._room:
            self._room.notify_all()
        table = _as_table(calls)
        for start in range(0, table.num_rows, BATCH_POINTS):
            batch = table.slice(start, BATCH_POINTS)
            if not self._spool.append(self._request(batch)):
                if not self.dropped:
                    log.error("Run %d: the spool is full, the server away: metrics are lost.", self.run_id)
                self.dropped += batch.num_rows

    def _request(self, batch: "pa.Table") -> SpooledRequest:
        return SpooledRequest(
            method="POST",
            path=f"runs/{self.run_id}/metrics",
            params={"producer": self._spool.producer, "sequence": self._spool.next_sequence()},
            content_type=ARROW,
            body=_ipc_stream(batch),
        )

    def _send_forever(self) -> None:
        last_contact = time.monotonic()
        while not self._abandoned and not (self._all_spooled and len(self._spool) == 0):
            self._spool.wait_for_work(FLUSH_INTERVAL_S)
            try:
                if (entry := self._spool.oldest()) is not None:
                    self._send(*entry)
                    last_contact = time.monotonic()
                elif self._heartbeat and time.monotonic() - last_contact > HEARTBEAT_INTERVAL_S:
                    last_contact = time.monotonic()
                    self._beat()
                self._failures = 0
            except (LabError, OSError, ValueError) as error:
                # An answer that is none of ours is a server that is away: this thread must not end.
                if not self._failures:
                    log.info("Run %d: metrics wait on disk: %s", self.run_id, error)
                self._failures += 1
                self._pause(min(0.1 * 2**self._failures, _LONGEST_PAUSE_S))
        if not self._abandoned:
            self._spool.close()
            _open_logs.discard(self)

    def _pause(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._abandoned and time.monotonic() < deadline:
            time.sleep(0.05)

    def _send(self, sequence: int, request: SpooledRequest) -> None:
        def send(request: SpooledRequest) -> None:
            answer = request.send(self._connection, patience_s=0)
            if request.path.endswith("/metrics") and LoggedMetrics.model_validate_json(answer).stop:
                self.stop_event.set()

        deliver(
            request,
            send,
            on_done=lambda: self._spool.acknowledged(sequence),
            on_refused=lambda: self._spool.acknowledged(sequence, refused=True),
        )

    def _beat(self) -> None:
        answer = self._connection.record(Heartbeat, "POST", f"runs/{self.run_id}/heartbeat", patience_s=0)
        if answer.stop:
            self.stop_event.set()


def as_number(name: str, value: Any) -> float:
    """One number from a Python, NumPy or torch scalar.

    Raises:
        InvalidInput: it is something else; the message names the metric and the type.
    """
    try:
        if isinstance(value, (int, float)):
            return float(value)
        item = getattr(value, "item", None)
        number = item() if callable(item) else value
        if isinstance(number, numbers.Real):
            return float(number)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        pass
    raise InvalidInput(
        f"The metric {name!r} is not one number but {value!r:.60} ({type(value).__name__}). "
        "Log a float, an int, or a scalar of NumPy or torch."
    )


def as_step(step: Any) -> int:
    """A step as a Python int.

    Raises:
        InvalidInput: it is not a whole number.
    """
    try:
        number = operator.index(step)
    except TypeError:
        number = _NO_STEP
    if not -(2**63) <= number < 2**63:
        raise InvalidInput(f"A step is a whole number of 64 bits, not {step!r:.60}.")
    return number


def _as_table(calls: list[_Call]) -> "pa.Table":
    """One row for each point, in the order of the calls.

    Built from buffers: `pyarrow.array` would import pandas, which takes half a second and cannot
    be done at all when the interpreter is ending.
    """
    import numpy as np
    import pyarrow as pa

    lengths = np.fromiter((len(call[2]) for call in calls), dtype=np.int64, count=len(calls))
    times = np.repeat(np.fromiter((call[0] for call in calls), dtype=np.int64, count=len(calls)), lengths)
    steps = np.repeat(np.fromiter((call[1] for call in calls), dtype=np.int64, count=len(calls)), lengths)
    total = int(lengths.sum())
    values = np.fromiter(
        chain.from_iterable(call[2].values() for call in calls), dtype=np.float64, count=total
    )
    names = [name.encode() for name in chain.from_iterable(call[2] for call in calls)]
    offsets = np.zeros(total + 1, dtype=np.int32)
    np.cumsum(np.fromiter(map(len, names), dtype=np.int32, count=total), out=offsets[1:])

    def column(kind: "pa.DataType", *buffers: Any) -> "pa.Array":
        return pa.Array.from_buffers(kind, total, [None, *(pa.py_buffer(buffer) for buffer in buffers)])

    return pa.Table.from_arrays(
        [
            column(pa.string(), offsets, b"".join(names)),
            column(pa.int64(), steps),
            column(pa.timestamp("us", tz="UTC"), times),
            column(pa.float64(), values),
        ],
        names=["name", "step", "time", "value"],
    )


def _ipc_stream(table: "pa.Table") -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


_open_logs: "weakref.WeakSet[MetricLog]" = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """What is still in memory when the interpreter ends goes to the server, or at least to disk."""
    for metric_log in list(_open_logs):
        if not metric_log.close():
            metric_log.abandon()
