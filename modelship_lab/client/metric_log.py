"""From `run.log()` in a training loop to the lab server, without holding up the loop.

`log()` only packs its numbers behind those of earlier calls. One thread makes an Arrow stream of them, at
most twice a second, and writes that to the spool; another sends what is in the spool and deletes
what the server has acknowledged. So a server that is slow or away costs disk, never time or points.
"""

import atexit
import logging
import numbers
import os
import struct
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client.connection import ARROW, Connection
from modelship_lab.client.metric_columns import (
    DeviceScalar,
    Layout,
    as_step,
    as_stream,
    as_table,
    checked_context,
    checked_names,
    is_on_device,
)
from modelship_lab.client.spool import RunOwner, Spool
from modelship_lab.client.spooled_request import SpooledRequest, deliver
from modelship_lab.records.errors import InvalidInput, LabError
from modelship_lab.records.metrics import LoggedMetrics
from modelship_lab.records.tracking import Heartbeat

if TYPE_CHECKING:
    import pyarrow as pa

log = logging.getLogger(__name__)

FLUSH_INTERVAL_S = 0.5
"""Each time costs about 4 ms of the interpreter, which a training loop in the same process waits for."""
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
_MOST_LAYOUTS = 1000
_PLAIN: set[type] = {float, int, bool}
"""What is packed as it is; NumPy's scalars are added when it is loaded."""


class MetricLog:
    """The metrics of one run on their way to the server.

    After a fork, the child's copy is empty and opens a spool of its own when something is logged to it.

    Args:
        run_id: the run.
        connection: to the lab server.
        folder: where the spools of this lab lie.
        owns_run: whether this process executes the run: then the server is told that it is alive when there
            is nothing to send, and who finds this process dead tells the server so.
        next_step: of the first call that gives none.
        quota_bytes: the most that may wait on disk. What comes beyond is dropped, counted in
            `dropped` and warned about.
    """

    def __init__(
        self,
        run_id: int,
        connection: Connection,
        folder: Path,
        *,
        owns_run: bool = True,
        next_step: int = 0,
        quota_bytes: int = QUOTA_BYTES,
    ) -> None:
        # Here, so that the first flush in a training loop does not pay for it.
        import numpy
        import pyarrow  # noqa: F401

        _PLAIN.update((numpy.float64, numpy.float32, numpy.int64, numpy.int32))
        self.run_id = run_id
        self.stop_event = threading.Event()
        """Set when somebody asked the run to stop."""
        self._connection = connection
        self._folder = folder
        self._owns_run = owns_run
        self._quota_bytes = quota_bytes
        self._next_step = next_step
        self._open()

    def _open(self) -> None:
        """Begin with nothing logged, in this process."""
        self.dropped = 0
        """How many points are lost, because there was room for them neither on disk nor in memory."""
        self._is_dropping = False
        owner = RunOwner(run_id=self.run_id) if self._owns_run else None
        self._spool = Spool(self._folder, self._quota_bytes, owner)
        self._lock = threading.Lock()
        self._layouts: dict[tuple[Any, tuple[str, ...]], Layout] = {}
        self._packed: list[Layout] = []
        """Those that hold calls."""
        self._points = 0
        self._last_us = 0
        self._spooling = threading.Lock()
        """Held while calls move from memory to disk, so that they arrive in order."""
        self._room = threading.Condition()
        self._wake = threading.Event()
        self._failures = 0
        self._closed = False
        """Nothing more is taken."""
        self._all_spooled = False
        self._abandoned = False
        self._is_copy = False
        """Whether it is what a fork has made of that of another process."""
        for work in (self._spool_forever, self._send_forever):
            name = f"mlship-{work.__name__.split('_')[1]}-{self.run_id}"
            threading.Thread(target=work, name=name, daemon=True).start()
        _open_logs.add(self)

    def log(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        context: Mapping[str, str] | str | None = None,
        *,
        counts: bool = True,
    ) -> None:
        """Take the values of one moment.

        Args:
            metrics: name to number. NumPy and torch scalars, NaN and infinities are numbers. A torch scalar
                on a GPU is copied there and read later, so that the loop does not wait for the GPU.
            step: position in the run; default: one more than the last.
            context: what else tells these metrics from others of the same name, e.g. `{"rank": "0"}`; a word
                is a subset of the data: "val" is `{"subset": "val"}`.
            counts: whether the default step goes on from this one.

        Raises:
            InvalidInput: a name, value, step or context that is none; then nothing of this call is kept.
        """
        try:
            names = tuple(metrics)
            values = tuple(metrics.values())
            key = (context if context is None or isinstance(context, str) else tuple(context.items()), names)
            layout = self._layouts.get(key) or self._new_layout(key, context)
        except (TypeError, AttributeError):
            checked_context(context)
            raise InvalidInput(f"Metrics are numbers by name, not {metrics!r:.80}.") from None
        late: list[tuple[int, DeviceScalar]] | None = None
        if not _PLAIN.issuperset(map(type, values)):
            late = []
            values = tuple(
                as_value(name, value, late, position)
                for position, (name, value) in enumerate(zip(names, values, strict=True))
            )
        if step is not None and type(step) is not int:
            step = as_step(step)
        if self._is_copy:
            self._reopen()
        with self._lock:
            if self._closed:
                raise InvalidInput(f"Run {self.run_id} is finished; start a new run to log more.")
            if step is None:
                step = self._next_step
            is_first = not layout.used
            # A clock that is set back must not turn the order of the calls around.
            now_us = time.time_ns() // 1000
            if now_us <= self._last_us:
                now_us = self._last_us + 1
            try:
                layout.pack(now_us, step, values)
            except (OverflowError, struct.error):
                as_step(step)
                raise InvalidInput(_too_large(names, values)) from None
            self._last_us = now_us
            if counts:
                self._next_step = step + 1
            if is_first:
                self._packed.append(layout)
            if late:
                layout.pack_late(late)
            points = self._points = self._points + len(values)
        if points >= BATCH_POINTS:
            self._wake.set()
            if points >= MEMORY_POINTS:
                self._wait_for_room()

    def append(self, request: SpooledRequest, *, always: bool = False) -> bool:
        """Put another repeatable request of this run behind what was logged before it.

        Args:
            always: keep it at least in memory.
        """
        if self._is_copy:
            self._reopen()
        with self._spooling:
            self._move_to_spool()
            return self._spool.append(request, always=always)

    def settle(self) -> int:
        """Move what was logged out of memory; returns how many points are lost by now."""
        if not self._is_copy:
            with self._spooling:
                self._move_to_spool()
        return self.dropped

    def drain(self, timeout_s: float) -> bool:
        """Whether the server has acknowledged all that was logged, at the latest after `timeout_s`."""
        if self._is_copy:
            return True
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
        if self._is_copy:
            return True
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
        if self._is_copy:
            return
        if lost := self._spool.close():
            log.error("Run %d: %d requests found no room on disk and are lost.", self.run_id, lost)

    def _new_layout(self, key: tuple[Any, tuple[Any, ...]], context: Any) -> Layout:
        layout = Layout(checked_names(key[1]), checked_context(context))
        self._layouts[key] = layout
        return layout

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
            taken = [layout.take() for layout in self._packed]
            self._packed = []
            if len(self._layouts) > _MOST_LAYOUTS:
                self._layouts = {}
            self._points = 0
        if not taken:
            return
        with self._room:
            self._room.notify_all()
        try:
            table = as_table(taken)
            for start in range(0, table.num_rows, BATCH_POINTS):
                batch = table.slice(start, BATCH_POINTS)
                self._kept_or_dropped(self._spool.append(self._request(batch)), batch.num_rows)
        except Exception:
            # The thread must not end, and whoever logs must not hear of it: the points are counted as lost.
            log.exception("Run %d: points could not be packed.", self.run_id)
            self._kept_or_dropped(False, sum(calls.points for calls in taken))

    def _kept_or_dropped(self, is_kept: bool, points: int) -> None:
        if not is_kept:
            self.dropped += points
            if not self._is_dropping:
                log.error(
                    "Run %d: points are lost: there is room for them neither in %s nor in memory. Make room on "
                    "the disk, or start the lab server; the run goes on.",
                    self.run_id,
                    self._spool.folder,
                )
        elif self._is_dropping:
            log.warning("Run %d: points are kept again; %d were lost.", self.run_id, self.dropped)
        self._is_dropping = not is_kept

    def _request(self, batch: "pa.Table") -> SpooledRequest:
        return SpooledRequest(
            method="POST",
            path=f"runs/{self.run_id}/metrics",
            params={"producer": self._spool.producer, "sequence": self._spool.next_sequence()},
            content_type=ARROW,
            body=as_stream(batch),
        )

    def _send_forever(self) -> None:
        last_contact = time.monotonic()
        while not self._abandoned and not (self._all_spooled and len(self._spool) == 0):
            self._spool.wait_for_work(FLUSH_INTERVAL_S)
            try:
                if (entry := self._spool.oldest()) is not None:
                    self._send(*entry)
                    last_contact = time.monotonic()
                elif self._owns_run and time.monotonic() - last_contact > HEARTBEAT_INTERVAL_S:
                    last_contact = time.monotonic()
                    self._beat()
                self._failures = 0
            except (LabError, OSError, ValueError) as error:
                # An answer that is none of ours is a server that is away: this thread must not end.
                if not self._failures:
                    log.warning("Run %d: what is logged waits on disk: %s", self.run_id, error)
                self._failures += 1
                self._pause(min(0.1 * 2**self._failures, _LONGEST_PAUSE_S))
        if not self._abandoned:
            self._spool.close()
            _open_logs.discard(self)

    def _after_fork(self) -> None:
        """In the child: its threads, its open spool and what is in memory are the parent's alone."""
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._is_copy = not self._closed
        self._owns_run = False

    def _reopen(self) -> None:
        with self._opening:
            if self._is_copy and not self._closed:
                self._open()
                if "multiprocessing" in sys.modules:
                    # Its processes end without what `atexit` has to do.
                    from multiprocessing.util import Finalize

                    Finalize(None, _close, args=(self,), exitpriority=10)

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


def _too_large(names: tuple[str, ...], values: tuple[Any, ...]) -> str:
    largest = max(range(len(values)), key=lambda position: abs(values[position]))
    return f"The metric {names[largest]!r} is not one number of 64 bits but has more than 300 digits."


def as_value(name: str, value: Any, late: list[tuple[int, DeviceScalar]], position: int) -> float:
    """`as_number`; but of what is on a GPU a copy is put to the late values, and NaN keeps its place."""
    if is_on_device(value):
        late.append((position, DeviceScalar(value)))
        return float("nan")
    return as_number(name, value)


_open_logs: "weakref.WeakSet[MetricLog]" = weakref.WeakSet()


def _close(metric_log: MetricLog) -> None:
    if not metric_log.close():
        metric_log.abandon()


@atexit.register
def _close_all() -> None:
    """What is still in memory when the interpreter ends goes to the server, or at least to disk."""
    for metric_log in list(_open_logs):
        _close(metric_log)


def _after_fork() -> None:
    for metric_log in list(_open_logs):
        metric_log._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
