"""What the machine does while a run goes on: processor, memory, disk, network and GPUs."""

import logging
import shutil
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import psutil

from modelship_lab.client import gpus

log = logging.getLogger(__name__)

INTERVAL_S = 10.0
_FIRST_S = 1.0
"""Over so long the first figures are measured: use of a processor is use over a time."""
_MB = 1e6
PREFIX = "system/"


class Log(Protocol):
    """Where the figures go."""

    def log(
        self, metrics: Mapping[str, Any], step: int, context: Mapping[str, str] | None, *, counts: bool
    ) -> None: ...


class SystemMetrics:
    """Samples the machine for a run every `interval_s`, and once at its start, until `stop`.

    The metrics are called `system/...`; those of a GPU have its number as context. Their step counts the
    intervals since the run's start, so that a run that is resumed goes on counting.

    Args:
        log: of the run.
        started_at: when the run started.
        interval_s: seconds between two samples.
    """

    def __init__(self, log: Log, started_at: datetime, interval_s: float = INTERVAL_S) -> None:
        self._log = log
        self._started_at = started_at
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._sample_forever, name="mlship-system", daemon=True)

    def start(self) -> None:
        """Begin, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples."""
        self._ended.set()
        self._thread.join(1.0)

    def _sample_forever(self) -> None:
        try:
            meter = Meter()
            wait_s = min(_FIRST_S, self._interval_s)
            while not self._ended.wait(wait_s):
                self._sample(meter)
                wait_s = self._interval_s
        except Exception as error:
            # Whatever a machine cannot tell, the run goes on.
            log.warning("The machine is not sampled any more: %s", error)

    def _sample(self, meter: "Meter") -> None:
        step = int((datetime.now(UTC) - self._started_at).total_seconds() / self._interval_s)
        figures = {f"{PREFIX}{name}": value for name, value in meter.read().items()}
        self._log.log(figures, step, None, counts=False)
        for gpu in gpus.samples():
            figures = {f"{PREFIX}{name}": value for name, value in gpu.figures.items()}
            self._log.log(figures, step, {"gpu": str(gpu.number)}, counts=False)


class Meter:
    """The use of processor, memory, disk and network, of which some is use since the last reading."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._before = _Counts()

    def read(self) -> dict[str, float]:
        """The figures by name, in percent, MB (of a million bytes) and MB/s."""
        before, now = self._before, _Counts()
        self._before = now
        seconds = max(now.time_s - before.time_s, 1e-6)
        figures = {
            "cpu_percent": 100 * (now.busy_s - before.busy_s) / max(now.cpu_s - before.cpu_s, 1e-6),
            "memory_percent": psutil.virtual_memory().percent,
            "process_cpu_percent": self._process.cpu_percent(),
            "process_memory_mb": self._process.memory_info().rss / _MB,
        }
        disk = shutil.disk_usage(Path.cwd())
        figures["disk_percent"] = 100 * disk.used / disk.total
        for name, count in now.bytes.items():
            figures[f"{name}_mb_s"] = (count - before.bytes.get(name, count)) / _MB / seconds
        return figures


class _Counts:
    """What the system has counted up to now."""

    def __init__(self) -> None:
        self.time_s = time.monotonic()
        times = psutil.cpu_times()
        # A guest's time is within the user's.
        waiting_s = times.idle + getattr(times, "iowait", 0.0)
        guest_s = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        self.cpu_s = sum(times) - guest_s
        self.busy_s = self.cpu_s - waiting_s
        self.bytes: dict[str, int] = {}
        # Containers may see neither.
        if (disk := psutil.disk_io_counters()) is not None:
            self.bytes |= {"disk_read": disk.read_bytes, "disk_write": disk.write_bytes}
        if (network := psutil.net_io_counters()) is not None:
            self.bytes |= {"network_received": network.bytes_recv, "network_sent": network.bytes_sent}
