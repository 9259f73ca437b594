"""The machine that the lab server runs on, and what it depends on."""

import asyncio
import os
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from modelship_lab.records.base import Record
from modelship_lab.server.tracking.mlflow import VARIABLE

_TIMEOUT_S = 2.0


class MachineState(Record):
    """What is in use at a moment."""

    gpu_percent: float | None
    """The mean of all GPUs; None: there is none."""
    memory_used: int
    memory_total: int
    disk_used: int
    disk_total: int
    """In bytes, of the disk that has the lab's data."""


class Machine:
    """Looks at the machine.

    Args:
        folder: the lab's data.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def state(self) -> MachineState:
        """What is in use now."""
        return await asyncio.to_thread(self._look)

    async def is_storage_writable(self) -> bool:
        """Whether the lab's data can be written, and the disk has some room."""

        def look() -> bool:
            return os.access(self._folder, os.W_OK) and psutil.disk_usage(str(self._folder)).free > 1 << 20

        return await asyncio.to_thread(look)

    async def has_mlflow(self) -> bool | None:
        """Whether the MLflow server answers to which runs are mirrored; None: none is named."""
        uri = os.environ.get(VARIABLE, "")
        if not uri:
            return None
        if urlsplit(uri).scheme not in ("http", "https"):
            return False
        try:
            async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False) as http:
                return (await http.get(f"{uri.rstrip('/')}/health")).status_code < 500
        except httpx.HTTPError:
            return False

    def _look(self) -> MachineState:
        memory, disk = psutil.virtual_memory(), psutil.disk_usage(str(self._folder))
        return MachineState(
            gpu_percent=_gpu_percent(),
            memory_used=memory.total - memory.available,
            memory_total=memory.total,
            disk_used=disk.used,
            disk_total=disk.total,
        )


def _gpu_percent() -> float | None:
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(place) for place in range(pynvml.nvmlDeviceGetCount())]
        used = [float(pynvml.nvmlDeviceGetUtilizationRates(handle).gpu) for handle in handles]
    except pynvml.NVMLError:
        return None
    return sum(used) / len(used) if used else None
