"""The machine is sampled beside a run and does not get in its way."""

import sys
import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from modelship_lab import client
from modelship_lab.client import gpus
from modelship_lab.client.system_metrics import Meter, SystemMetrics


def test_a_run_is_accompanied_by_what_the_machine_does(lab: client.Lab) -> None:
    with lab.start_run("sampled", system_metrics=True) as run:
        run.log({"loss": 1.0})
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and len(run.metrics_frame()) < 2:
            time.sleep(0.2)
        run.log({"loss": 0.5})
    frame = run.metrics_frame()
    values = dict(frame.filter(frame["name"] != "loss").select("name", "value").rows())
    assert 0 <= values["system/cpu_percent"] <= 100
    assert 0 < values["system/memory_percent"] < 100
    assert values["system/process_memory_mb"] > 10
    assert frame.filter(frame["name"] == "loss")["step"].to_list() == [0, 1]


def test_steps_go_on_when_a_run_is_resumed() -> None:
    logged = []

    class Log:
        def log(self, metrics, step, context, *, counts) -> None:
            logged.append((step, context, counts))

    sampler = SystemMetrics(Log(), datetime.now(UTC) - timedelta(seconds=1000), interval_s=0.01)
    sampler.start()
    deadline = time.monotonic() + 10
    while len(logged) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    sampler.stop()
    assert logged[0][0] >= 100_000
    assert logged[1][0] > logged[0][0]
    assert logged[0][1:] == (None, False)


def test_use_of_the_processor_is_measured_over_the_time_between_readings() -> None:
    meter = Meter()
    until = time.monotonic() + 0.3
    while time.monotonic() < until:
        pass
    assert meter.read()["process_cpu_percent"] > 10


def test_without_a_gpu_there_is_nothing_and_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert gpus.samples() == []
    assert gpus.described() == []


def test_what_a_gpu_tells_becomes_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of NVML's words only: no GPU is asked here."""

    class NVMLError(Exception):
        pass

    def no_power(handle: int) -> int:
        raise NVMLError

    nvml = SimpleNamespace(
        NVMLError=NVMLError,
        NVML_TEMPERATURE_GPU=0,
        nvmlInit=lambda: None,
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetName=lambda handle: f"GPU {handle}",
        nvmlDeviceGetUtilizationRates=lambda handle: SimpleNamespace(gpu=50 + handle, memory=1),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(used=2 * 2**30, total=8 * 2**30),
        nvmlDeviceGetTemperature=lambda handle, sensor: 60,
        nvmlDeviceGetPowerUsage=no_power,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    assert gpus.described() == ["GPU 0, 8 GB", "GPU 1, 8 GB"]
    first, second = gpus.samples()
    assert (first.number, second.number) == (0, 1)
    assert second.figures == {
        "gpu_percent": 51.0,
        "gpu_memory_mb": pytest.approx(2147.48, abs=0.01),
        "gpu_memory_percent": 25.0,
        "gpu_temperature_c": 60.0,
    }
