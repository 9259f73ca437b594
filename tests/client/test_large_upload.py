"""A large file goes on where it was, whatever breaks on its way."""

import socket
import threading
from pathlib import Path

import pytest

from modelship_lab import client
from modelship_lab.client.imports import ImportProgress
from modelship_lab.records.labeling import PART_SIZE
from tests.conftest import LabServer

ROWS = 2000


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A file of two and a half parts."""
    path = tmp_path / "large.csv"
    filler = "x" * (PART_SIZE * 5 // 2 // ROWS)
    path.write_text("text\n" + "".join(f"{row} {filler}\n" for row in range(ROWS)))
    return path


class CuttingLine:
    """Passes bytes on to a server, and cuts each of its first connections after so many of them."""

    def __init__(self, host: str, port: int, cuts: list[int]) -> None:
        self.passed = 0
        self._target, self._cuts = (host, port), cuts
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                line, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._pass_on, args=(line,), daemon=True).start()

    def _pass_on(self, line: socket.socket) -> None:
        with line, socket.create_connection(self._target) as server:
            threading.Thread(target=self._answer, args=(server, line), daemon=True).start()
            passed = 0
            while data := line.recv(1 << 16):
                server.sendall(data)
                passed += len(data)
                self.passed += len(data)
                if self._cuts and passed > self._cuts[0]:
                    self._cuts.pop(0)
                    return

    def _answer(self, server: socket.socket, line: socket.socket) -> None:
        try:
            while data := server.recv(1 << 16):
                line.sendall(data)
        except OSError:
            # One of the two is gone.
            pass


def test_what_has_arrived_is_not_sent_again_when_the_connection_breaks(
    lab_server: LabServer, large: Path
) -> None:
    port = int(lab_server.url.rstrip("/").rpartition(":")[2])
    # Within the second part, and within the one that is sent again for that.
    cuts = [PART_SIZE * 3 // 2, PART_SIZE // 2]
    line = CuttingLine("127.0.0.1", port, cuts)
    lab = client.connect(f"http://127.0.0.1:{line.port}/", token=lab_server.token)
    project = lab.new_project("cut off", "text_classification", ["a", "b"])
    assert project.import_file(large).samples_added == ROWS
    line.close()
    assert cuts == []
    assert line.passed < large.stat().st_size + PART_SIZE * 5 // 4


def test_it_goes_on_where_it_was_when_the_server_is_killed(start_server, large: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "lab"
    server = start_server(data_dir)
    lab = client.connect(data_dir=data_dir, start=False)
    project = lab.new_project("server gone", "text_classification", ["a", "b"])
    told: list[int] = []
    again = threading.Thread(target=start_server, args=(data_dir,))

    def kill(progress: ImportProgress) -> None:
        told.append(progress.bytes_sent)
        if len(told) == 1:
            server.kill()
            again.start()

    assert project.import_file(large, on_progress=kill).samples_added == ROWS
    again.join()
    assert told[:3] == [PART_SIZE, 2 * PART_SIZE, large.stat().st_size]
    assert list((data_dir / "partial_uploads").iterdir()) == []
