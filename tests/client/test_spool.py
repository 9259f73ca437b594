"""What the disk, a file or a process does, the run goes on, and what is lost of it is said."""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from modelship_lab import client
from modelship_lab.client import replay, spool, stable_file
from modelship_lab.records.errors import InvalidData
from tests.conftest import LabServer

DYING = """
import sys, time
from pathlib import Path
from modelship_lab import client
run = client.connect(data_dir=Path(sys.argv[1]), start=False).start_run("dies")
run.log({"loss": 1.0})
run.flush()
print(run.id, flush=True)
time.sleep(60)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_costs_nothing_while_memory_and_server_take_what_is_logged(
    lab_server: LabServer, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lab = client.connect(lab_server.url, lab_server.token, data_dir=small_disk)
    with lab.start_run("full disk") as run:
        _fill(small_disk)
        for step in range(20_000):
            run.log({"loss": float(step)}, step)
        assert run.flush()
        (small_disk / "filling").unlink()
        run.log({"loss": 0.0}, 20_000)
    assert run.dropped == 0
    assert len(run.metrics_frame()) == 20_001
    assert caplog.text.count("cannot be written") == 1
    assert caplog.text.count("can be written again") == 1


def test_what_finds_no_room_is_counted_and_said_at_the_end_of_the_run(
    lab_server: LabServer,
    small_disk: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(spool, "MEMORY_BYTES", 0)
    lab = client.connect(lab_server.url, lab_server.token, data_dir=small_disk)
    with lab.start_run("no room") as run:
        run.log({"loss": 1.0}, 0)
        assert run.flush()
        _fill(small_disk)
        for step in range(1, 11):
            run.log({"loss": 1.0}, step)
            run.flush()
        run.log_text("note", "no room either")
        (small_disk / "filling").unlink()
        run.log({"loss": 1.0}, 11)
    assert run.dropped == 10
    assert "10 points lost" in repr(run)
    record = lab.run(run.id).record
    assert record.status == "finished"
    assert record.summary == {"dropped_points": 10.0}
    assert "10 points are lost" in record.notes
    assert run.metrics_frame()["step"].to_list() == [0, 11]
    assert caplog.text.count("points are lost: there is room for them neither in") == 1
    assert "the file note, which is lost" in caplog.text


def _fill(disk: Path) -> None:
    with (disk / "filling").open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            return


def test_a_file_that_is_written_while_it_is_read_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "growing"
    file.write_bytes(bytes(3 << 20))
    taken = stable_file.pieces(file)
    next(taken)
    with file.open("r+b") as other:
        other.write(b"changed")
    with pytest.raises(InvalidData, match="growing is being written"):
        list(taken)
    assert b"".join(stable_file.pieces(file)).startswith(b"changed")


def test_an_artifact_is_saved_when_its_file_has_come_to_rest_and_refused_while_it_does_not(
    lab: client.Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Longer than a busy machine keeps the writer waiting.
    monkeypatch.setattr(stable_file, "_CLOCK_NS", 300_000_000)
    file = tmp_path / "checkpoint"
    file.write_bytes(bytes(2 << 20))
    ended = threading.Event()

    def write() -> None:
        with file.open("r+b") as target:
            for number in itertools.count():
                target.seek(0)
                target.write(bytes([number % 256]))
                target.flush()
                if ended.wait(0.001):
                    return

    with lab.start_run("checkpoints") as run:
        writer = threading.Thread(target=write)
        writer.start()
        try:
            with pytest.raises(InvalidData, match="is being written"):
                run.save_artifact("checkpoint", file)
            with pytest.raises(InvalidData, match="is being written"):
                run.log_file(file)
        finally:
            ended.set()
            writer.join()
        assert run.artifacts() == []
        run.save_artifact("checkpoint", file)
        assert run.artifact("checkpoint") == file.read_bytes()


def test_who_replays_the_spool_of_a_dead_process_tells_of_its_end(
    start_server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replay, "WATCH_S", 0.5)
    start_server(tmp_path)
    with subprocess.Popen(
        [sys.executable, "-c", DYING, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    ) as process:
        run_id = int(process.stdout.readline())
        lab = client.connect(data_dir=tmp_path, start=False)
        lab.wait_for_replay()
        assert lab.run(run_id).record.status == "running"
        process.send_signal(signal.SIGKILL)
        process.wait()
    lab = client.connect(data_dir=tmp_path, start=False)
    deadline = time.monotonic() + 20
    while (run := lab.run(run_id)).record.status == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert run.record.status == "interrupted"
