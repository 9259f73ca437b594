"""Nothing that was logged is lost, whatever happens to the server or to this process."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from modelship_lab import client
from modelship_lab.client.metric_log import MetricLog
from modelship_lab.records.errors import InvalidInput

WRITER = """
import sys, time
from pathlib import Path
from modelship_lab import client
lab = client.connect(data_dir=Path(sys.argv[1]), start=False)
run = lab.start_run("a process that dies")
print(run.id, flush=True)
sys.stdin.readline()
for step in range(1000):
    run.log({"loss": step / 2}, step)
time.sleep(1)
print("logged", flush=True)
time.sleep(60)
"""


def test_points_arrive_in_order_with_their_step_time_and_value(lab: client.Lab) -> None:
    before = time.time()
    with lab.start_run("order") as run:
        for step in range(500):
            run.log({"loss": 1 / (step + 1), "accuracy": step / 500}, step * 2)
    frame = run.metrics_frame(["loss"])
    assert frame["step"].to_list() == list(range(0, 1000, 2))
    assert frame["value"].to_list() == [1 / (step + 1) for step in range(500)]
    assert before - 1 < frame["time"][0].timestamp() <= frame["time"][-1].timestamp() < time.time() + 1
    assert run.record.status == "finished"


def test_scalars_nan_and_infinity_are_kept_and_a_missing_step_counts_on(lab: client.Lab) -> None:
    with lab.start_run("values") as run:
        run.log({"x": np.float32(0.5)}, step=7)
        run.log({"x": torch.tensor(2.5, requires_grad=True)})
        run.log({"x": np.array([3])})
        run.log({"x": float("nan")})
        run.log({"x": float("-inf")})
        run.log({"x": True})
    frame = run.metrics_frame()
    assert frame["step"].to_list() == [7, 8, 9, 10, 11, 12]
    values = frame["value"].to_list()
    assert values[:3] == [0.5, 2.5, 3.0]
    assert np.isnan(values[3])
    assert values[4:] == [float("-inf"), 1.0]


@pytest.mark.parametrize(
    ("metrics", "step", "said"),
    [
        ({"loss": "0.5"}, None, "'loss' is not one number"),
        ({"loss": None}, None, "NoneType"),
        ({"loss": np.array([1.0, 2.0])}, None, "ndarray"),
        ({"loss": torch.ones(2)}, None, "Tensor"),
        ({"loss": 1 + 2j}, None, "complex"),
        ({"loss": 10**400}, None, "not one number"),
        ({"": 1.0}, None, "name"),
        ({"a" * 251: 1.0}, None, "name"),
        ({3: 1.0}, None, "name"),
        ({"\ud800": 1.0}, None, "name"),
        ({"loss": 1.0}, 1.5, "whole number"),
        ({"loss": 1.0}, 2**63, "64 bits"),
    ],
)
def test_what_is_no_metric_is_refused_at_once_and_nothing_of_the_call_is_kept(
    lab: client.Lab, metrics: dict, step: int | None, said: str
) -> None:
    with lab.start_run("refused") as run:
        with pytest.raises(InvalidInput, match=said):
            run.log({"good": 1.0, **metrics}, step)
        run.log({"after": 1.0})
    assert run.metrics_frame()["name"].to_list() == ["after"]


def test_logging_goes_on_while_the_server_is_killed_and_catches_up_when_it_is_back(
    start_server, tmp_path: Path
) -> None:
    server = start_server(tmp_path)
    lab = client.connect(data_dir=tmp_path, start=False)
    run = lab.start_run("survivor")
    for step in range(100):
        run.log({"loss": float(step)}, step)
    assert run.flush(10)
    server.kill()
    for step in range(100, 1000):
        run.log({"loss": float(step)}, step)
        if step % 100 == 0:
            time.sleep(0.1)
    assert not run.flush(0.5)
    run.set_summary({"best": 1.0})
    start_server(tmp_path)
    assert run.flush(30)
    run.finish()
    assert run.record.status == "finished"
    assert run.record.summary == {"best": 1.0}
    assert run.metrics_frame()["value"].to_list() == [float(step) for step in range(1000)]
    assert not list(lab.spool_folder.glob("*/*.request"))


def test_what_a_killed_process_left_is_replayed_by_the_next_client(start_server, tmp_path: Path) -> None:
    server = start_server(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    ) as writer:
        run_id = int(writer.stdout.readline())
        server.kill()
        writer.stdin.write("\n")
        writer.stdin.flush()
        assert writer.stdout.readline() == "logged\n"
        start_server(tmp_path)
        # The spool of a living process is its own.
        early = client.connect(data_dir=tmp_path, start=False)
        early.wait_for_replay()
        writer.send_signal(signal.SIGKILL)
        writer.wait()
    later = client.connect(data_dir=tmp_path, start=False)
    later.wait_for_replay()
    values = later.run(run_id).metrics_frame()["value"].to_list()
    assert values == [step / 2 for step in range(1000)]
    assert not list(later.spool_folder.iterdir())


def test_a_damaged_file_in_a_spool_does_not_hold_up_the_others(start_server, tmp_path: Path) -> None:
    server = start_server(tmp_path)
    lab = client.connect(data_dir=tmp_path, start=False)
    run = lab.start_run("before")
    run.finish()
    left = lab.spool_folder / "0a"
    left.mkdir(parents=True)
    (left / "00000001.request").write_bytes(b"\0" * 100)
    path = f"runs/{run.id}/heartbeat"
    header = f'{{"method": "POST", "path": "{path}", "params": {{}}, "content_type": "application/json"}}'
    (left / "00000002.request").write_bytes(header.encode() + b"\n")
    later = client.connect(data_dir=tmp_path, start=False)
    later.wait_for_replay()
    assert [path.name for path in left.glob("0*")] == ["00000001.refused"]
    server.stop()


def test_what_is_logged_before_a_normal_exit_is_delivered(start_server, tmp_path: Path) -> None:
    start_server(tmp_path)
    program = (
        "import sys; from pathlib import Path; from modelship_lab import client\n"
        "run = client.connect(data_dir=Path(sys.argv[1]), start=False).start_run('exit')\n"
        "run.log({'loss': 1.5}); print(run.id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": "."},
        check=True,
    )
    lab = client.connect(data_dir=tmp_path, start=False)
    assert lab.run(int(done.stdout)).metrics_frame()["value"].to_list() == [1.5]


def test_a_stop_from_elsewhere_reaches_the_run(lab: client.Lab) -> None:
    run = lab.start_run("stopped")
    lab.run(run.id).stop()
    deadline = time.monotonic() + 10
    while not run.stop_requested and time.monotonic() < deadline:
        run.log({"loss": 1.0})
        time.sleep(0.05)
    assert run.stop_event.is_set()
    run.finish()
    assert lab.run(run.id).record.status == "stopped"


def test_memory_and_disk_are_bounded_and_what_is_dropped_is_counted(lab: client.Lab, tmp_path: Path) -> None:
    run = lab.start_run("bounded")
    metric_log = MetricLog(run.id, lab.connection, tmp_path / "tiny", owns_run=False, quota_bytes=100)
    for _ in range(10):
        metric_log.log({"loss": 1.0})
    metric_log.close()
    assert metric_log.dropped == 10
    run.finish()


def test_a_run_deleted_meanwhile_does_not_hold_up_the_spool(lab: client.Lab) -> None:
    run = lab.start_run("deleted")
    run.delete()
    run.log({"loss": 1.0})
    assert run.flush(10)
    run.finish()


def test_an_error_in_the_block_fails_the_run_with_its_message(lab: client.Lab) -> None:
    run = lab.start_run("broken")
    with pytest.raises(ZeroDivisionError), run:
        run.log({"loss": 1 / 0})
    record = lab.run(run.id).record
    assert record.status == "failed"
    assert record.error == "ZeroDivisionError: division by zero"


def test_a_finished_run_takes_no_more(lab: client.Lab) -> None:
    run = lab.start_run("over")
    run.finish()
    with pytest.raises(InvalidInput, match="finished"):
        run.log({"loss": 1.0})


def test_a_forked_process_logs_by_itself_and_the_parent_goes_on(lab: client.Lab) -> None:
    with lab.start_run("forked") as run:
        run.log({"loss": 1.0}, step=0)
        workers = [
            multiprocessing.get_context("fork").Process(
                target=lambda rank: run.log({"seen": float(rank)}, rank, context={"rank": str(rank)}),
                args=(rank,),
            )
            for rank in range(2)
        ]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join(30)
            assert worker.exitcode == 0
        run.log({"loss": 2.0}, step=1)
    points = run.metrics_frame().select("name", "step", "value").rows()
    assert sorted(points) == [("loss", 0, 1.0), ("loss", 1, 2.0), ("seen", 0, 0.0), ("seen", 1, 1.0)]
    assert run.record.status == "finished"


def test_calls_with_other_names_stay_in_order_and_time_never_goes_back(
    lab: client.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(range(2_000_000_000_000_000_000, 0, -3_600_000_000_000))
    with lab.start_run("order of layouts") as run:
        with monkeypatch.context() as patch:
            patch.setattr("modelship_lab.client.metric_log.time.time_ns", lambda: next(clock))
            for step in range(100):
                run.log({"loss": float(step)} if step % 3 else {"other": 0.0, "loss": float(step)})
        assert run.flush()
    frame = run.metrics_frame(["loss"])
    assert frame["value"].to_list() == [float(step) for step in range(100)]
    assert frame["time"].is_sorted()
    assert frame["time"][0].year == 2033


@pytest.mark.parametrize(
    ("context", "said"),
    [(3, "A context is"), ({"rank": None}, "names and values"), ({"": "a"}, "characters")],
)
def test_what_is_no_context_is_refused(lab: client.Lab, context: object, said: str) -> None:
    run = lab.start_run("context refused")
    with pytest.raises(InvalidInput, match=said):
        run.log({"loss": 1.0}, context=context)
    run.finish()
    assert len(run.metrics_frame()) == 0


def test_what_is_refused_by_the_disk_waits_in_memory_and_arrives(
    lab: client.Lab, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = lab.start_run("full disk")
    # A file where the folder must be refuses everything.
    (tmp_path / "full").write_text("")
    metric_log = MetricLog(run.id, lab.connection, tmp_path / "full", owns_run=False)
    for step in range(10):
        metric_log.log({"loss": 1.0}, step)
        metric_log.settle()
    assert metric_log.close()
    assert metric_log.dropped == 0
    assert len([entry for entry in caplog.records if "cannot be written" in entry.message]) == 1
    run.finish()
    assert len(run.metrics_frame()) == 10


def test_a_value_on_a_device_is_that_of_the_moment_and_read_by_another_thread(
    lab: client.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of what is asked of torch only: there is no GPU here."""

    class Event:
        def __init__(self, device: object) -> None: ...
        def record(self) -> None: ...
        def synchronize(self) -> None: ...

    class OnDevice:
        device = SimpleNamespace(type="cuda")

        def __init__(self, value: float) -> None:
            self.value = value

        def numel(self) -> int:
            return 1

        def detach(self) -> "OnDevice":
            return self

        def clone(self) -> "OnDevice":
            return OnDevice(self.value)

        def item(self) -> float:
            assert threading.current_thread() is not threading.main_thread()
            return self.value

    monkeypatch.setattr(torch, "Event", Event)
    loss = OnDevice(0.5)
    with lab.start_run("device") as run:
        for step in range(3):
            loss.value = float(step)
            run.log({"epoch": 1, "loss": loss}, step)
        # Otherwise the end of the run would be who reads it.
        deadline = time.monotonic() + 10
        while len(run.metrics_frame()) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
    frame = run.metrics_frame(["loss"])
    assert frame["value"].to_list() == [0.0, 1.0, 2.0]
