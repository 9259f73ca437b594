"""The GPUs of this machine by NVML, where there are such."""

import logging
from typing import Any, NamedTuple

log = logging.getLogger(__name__)

_MB = 1e6


class GpuSample(NamedTuple):
    """What a GPU does at a moment; what it cannot tell is left out."""

    number: int
    figures: dict[str, float]


def described() -> list[str]:
    """The name and the memory of each GPU."""
    return [
        f"{name.decode() if isinstance(name, bytes) else name}, {memory.total / 2**30:.0f} GB"
        for nvml, handle in _handles()
        if (name := _asked(nvml.nvmlDeviceGetName, handle)) is not None
        and (memory := _asked(nvml.nvmlDeviceGetMemoryInfo, handle)) is not None
    ]


def samples() -> list[GpuSample]:
    """Utilisation, memory, temperature and power of each GPU."""
    return [GpuSample(index, _figures(nvml, handle)) for index, (nvml, handle) in enumerate(_handles())]


def _figures(nvml: Any, handle: Any) -> dict[str, float]:
    figures: dict[str, float] = {}
    if (use := _asked(nvml.nvmlDeviceGetUtilizationRates, handle)) is not None:
        figures["gpu_percent"] = float(use.gpu)
    if (memory := _asked(nvml.nvmlDeviceGetMemoryInfo, handle)) is not None:
        figures["gpu_memory_mb"] = memory.used / _MB
        figures["gpu_memory_percent"] = 100 * memory.used / memory.total
    celsius = _asked(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU)
    if celsius is not None:
        figures["gpu_temperature_c"] = float(celsius)
    if (milliwatts := _asked(nvml.nvmlDeviceGetPowerUsage, handle)) is not None:
        figures["gpu_power_w"] = milliwatts / 1000
    return figures


def _handles() -> list[tuple[Any, Any]]:
    """The library and what it calls each device by; none without a driver."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        # Cheap when it is initialized; a process that was forked must do it again.
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
        return [(pynvml, pynvml.nvmlDeviceGetHandleByIndex(index)) for index in range(count)]
    except pynvml.NVMLError as error:
        log.debug("No GPU is asked: %s", error)
        return []


def _asked(question: Any, *about: Any) -> Any:
    """An answer, or None: not every GPU knows everything of itself."""
    import pynvml

    try:
        return question(*about)
    except pynvml.NVMLError:
        return None
