"""Importing TensorBoard's event files, written by torch and by TensorBoard itself."""

import io
import math
import shutil
from datetime import UTC
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from modelship_lab.client import Lab
from modelship_lab.client.exchange.event_file import records
from modelship_lab.records.tracking import Run

START = 1_700_000_000.25


def write(folder: Path, points: int = 300) -> None:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder / "base"))
    for step in range(points):
        writer.add_scalar("train/loss", 1 / (step + 1), step, walltime=START + step / 8)
    for step, value in enumerate((math.nan, math.inf, -math.inf, -0.0)):
        writer.add_scalar("odd", value, step * 1000, walltime=START + step)
    writer.add_scalar("größe " + "x" * 120, 3.0, 7, walltime=START)
    writer.add_scalar("new style", 2.5, 3, walltime=START, new_style=True)
    writer.add_scalar("precise", 0.1, 1, walltime=START, new_style=True, double_precision=True)
    writer.add_histogram("weights", np.arange(100_000.0), 1, walltime=START)
    writer.add_image("picture", np.random.default_rng(1).random((3, 64, 64)), 1, walltime=START)
    writer.add_text("words", "hello", 1, walltime=START)
    writer.add_audio("deep//sound", np.zeros((1, 100), np.float32), 2, walltime=START)
    writer.add_hparams(
        {"lr": 0.5, "depth": 3, "name": "wide", "amsgrad": True}, {"best": 0.25}, run_name="tuned"
    )
    writer.close()


def rounded(seconds: float) -> int:
    """Microseconds, as the lab keeps them."""
    return round(seconds * 1e6)


def imported(lab: Lab, project: str) -> dict[str, Run]:
    return {run.name: run for run in lab.run_records(project)}


def points_of(lab: Lab, run: Run) -> dict[str, list[list[Any]]]:
    found: dict[str, list[list[Any]]] = {}
    for name, _, step, when, value in lab.run(run.id).metrics_frame().iter_rows():
        found.setdefault(name, []).append([step, rounded(when.replace(tzinfo=UTC).timestamp()), repr(value)])
    return found


def tensorboards(folder: Path) -> dict[str, list[list[Any]]]:
    """The scalars of a run as TensorBoard itself reads them."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.util.tensor_util import make_ndarray

    accumulator = EventAccumulator(str(folder), {"scalars": 0, "tensors": 0})
    accumulator.Reload()
    found = {
        tag: [[one.step, rounded(one.wall_time), repr(one.value)] for one in accumulator.Scalars(tag)]
        for tag in accumulator.Tags()["scalars"]
    }
    for tag in accumulator.Tags()["tensors"]:
        tensors = [(one, make_ndarray(one.tensor_proto)) for one in accumulator.Tensors(tag)]
        if tensors and tensors[0][1].dtype.kind in "fi":
            found[tag] = [[one.step, rounded(one.wall_time), repr(float(value))] for one, value in tensors]
    return found


def test_every_scalar_of_tensorboard_arrives_once(lab: Lab, tmp_path: Path) -> None:
    write(tmp_path / "logs")
    project = lab.new_project("tensorboard").name
    transfer = lab.import_runs(tmp_path / "logs", project)
    assert transfer.problems == ()
    runs = imported(lab, project)
    assert runs.keys() == {"base", "base/tuned"}
    for name, run in runs.items():
        expected = tensorboards(tmp_path / "logs" / name)
        assert expected
        assert points_of(lab, run) == expected
    base = runs["base"]
    assert base.status == "finished"
    assert base.started_at.timestamp() <= START
    assert runs["base/tuned"].params == {"lr": 0.5, "depth": 3, "name": "wide", "amsgrad": True}
    assert transfer.left_out == {"histograms": 1}
    shown = {(one.name, one.step): one for one in lab.run(base.id).artifacts()}
    assert shown.keys() == {("picture.png", 1), ("words/text_summary.txt", 1), ("deep/sound.wav", 2)}
    assert shown["picture.png", 1].kind == "image" and shown["words/text_summary.txt", 1].kind == "text"
    picture = Image.open(io.BytesIO(lab.run(base.id).artifact("picture.png")))
    assert picture.size == (64, 64)
    assert lab.run(base.id).artifact("words/text_summary.txt") == b"hello"
    again = lab.import_runs(tmp_path / "logs", project)
    assert (again.runs, again.unchanged, again.points) == (0, 2, 0)
    # A folder that was moved holds the same runs, and what was written to it since is new.
    moved = tmp_path / "elsewhere"
    shutil.move(tmp_path / "logs", moved)
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(moved / "base"), filename_suffix=".later")
    writer.add_scalar("train/loss", 0.5, 300, walltime=START + 100)
    writer.close()
    later = lab.import_runs(moved, project)
    assert (later.runs, later.unchanged, later.points) == (1, 1, 1)
    assert points_of(lab, base)["train/loss"][-1] == [300, rounded(START + 100), "0.5"]


def test_damage_is_told_with_its_place_and_the_rest_arrives(lab: Lab, tmp_path: Path) -> None:
    write(tmp_path / "logs")
    (file,) = (tmp_path / "logs" / "base").glob("*tfevents*")
    content = bytearray(file.read_bytes())
    places = []
    position = 0
    while position < len(content):
        places.append(position)
        position += 16 + int.from_bytes(content[position : position + 8], "little")
    content[places[20] + 12 + 3] ^= 1  # the time of one
    content[places[40]] ^= 255  # the length of another
    picture = max(range(len(places) - 1), key=lambda index: places[index + 1] - places[index])
    content[places[picture] + 2000] ^= 1
    file.write_bytes(content[: places[-1] + 20])
    for other in (tmp_path / "logs" / "base").glob("*/"):
        shutil.rmtree(other)
    project = lab.new_project("damaged events").name
    transfer = lab.import_runs(tmp_path / "logs", project)
    (run,) = imported(lab, project).values()
    assert [step for step, _, _ in points_of(lab, run)["train/loss"]] == [
        step for step in range(300) if step not in (19, 39)
    ]
    told = {problem.place: problem.reason for problem in transfer.problems}
    assert told.keys() == {f"{file}, byte {places[at]:,}" for at in (20, 40, picture, len(places) - 1)}
    assert f"the next one is at byte {places[41]:,}" in told[f"{file}, byte {places[40]:,}"]
    assert [one.name for one in lab.run(run.id).artifacts()] == ["words/text_summary.txt"]


def test_random_bytes_are_no_event_file(tmp_path: Path) -> None:
    told: list[tuple[int, str]] = []
    noise = np.random.default_rng(7).bytes(300_000)
    assert list(records(noise, lambda place, reason: told.append((place, reason)))) == []
    assert told == [(0, "the length of a record is damaged; and no other follows")]
    assert list(records(b"\0" * 50_000, lambda place, reason: told.append((place, reason)))) == []
