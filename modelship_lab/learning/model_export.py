"""A run's model as files for other programs, each of them compared with the model that was trained."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from modelship_lab.bundles.optimize import optimize as optimize_graph
from modelship_lab.bundles.optimize import quantize
from modelship_lab.bundles.pack import MODEL, from_tar
from modelship_lab.bundles.parity import Model, check_agreement
from modelship_lab.bundles.preprocessing import Arrays
from modelship_lab.bundles.reading import Reading
from modelship_lab.bundles.session import open_session, run_session
from modelship_lab.bundles.triton import MODEL_FILE, write_repository
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.learning.export import (
    BATCH_SIZES,
    PARITY_ROWS,
    TOLERANCE,
    answers_of,
    export,
    held_out,
    origin,
    to_torchscript,
    torchscript_model,
    upload,
    write_bundle,
)
from modelship_lab.records.base import utc_now
from modelship_lab.records.bundle import BundleManifest, Lineage
from modelship_lab.records.errors import Conflict, InvalidInput
from modelship_lab.records.model_export import REPORT, ExportedFile, ModelExport, ModelFormat
from modelship_lab.records.recipes import OWN_MODULE

if TYPE_CHECKING:
    from modelship_lab.client import RunHandle, SnapshotData

__all__ = ["export_run", "write_export"]

TORCHSCRIPT = "model.torchscript.pt"
OPTIMIZED = "model.optimized.onnx"
INT8 = "model.int8.onnx"
TRITON = "triton"

MEASURED_ROWS = 2000
_BATCH = 64
_ROUNDS = 3
"""The fastest of them tells how fast a model is: the first takes longer, and other processes interfere."""
_WORSE = 0.01
"""A loss of accuracy that is told of."""


def export_run(
    run: "RunHandle",
    formats: Sequence[ModelFormat],
    target: Path | None = None,
    *,
    optimize: bool = False,
    validate: bool = True,
    checkpoint: Checkpoint | None = None,
) -> BundleManifest | ModelExport:
    """Export the model of a run: its bundle, which is stored with the run, and what else is wanted.

    Args:
        target: a folder for files. Default: none for a bundle alone, else `exported/run-N`.
        checkpoint: the model, if it is not the one that the run has.

    Raises:
        Conflict: the run has no model, or no snapshot.
        ExportFailed: what was exported disagrees with its source.
        InvalidInput: the module is somebody's own, of which there is a bundle at most.
    """
    if run.record.recipe == OWN_MODULE:
        return _own_bundle(run, formats, target, optimize)
    if target is None and not optimize and checkpoint is None and tuple(formats) == ("onnx",):
        return export(run.lab, run.id)
    found = checkpoint or Checkpoint.of_run(run)
    snapshot, lineage = origin(run.lab, run.record, found)
    return write_export(
        target or Path("exported") / f"run-{run.id}",
        found,
        snapshot,
        lineage,
        run.record.summary,
        formats,
        optimize=optimize,
        validate=validate,
        keep_bundle=lambda bundle: upload(run, bundle),
    )


def _own_bundle(
    run: "RunHandle", formats: Sequence[ModelFormat], target: Path | None, optimize: bool
) -> BundleManifest:
    """The bundle of somebody's own module: it was made when it was trained, as only its class can make it anew."""
    if tuple(formats) != ("onnx",) or optimize:
        raise InvalidInput(
            f"Run {run.id} has trained somebody's own module: its bundle is all there is, as ONNX and as it is. "
            "Other forms are made where its class is, from `load_from_checkpoint`."
        )
    if run.record.bundle is None:
        why = str(run.record.params.get("bundle", "none: the training did not come so far")).removeprefix(
            "none: "
        )
        raise Conflict(f"The module of run {run.id} has no bundle: {why}.")
    with tempfile.TemporaryDirectory(prefix="mlship-export-") as folder:
        with run.download_bundle(Path(folder) / "bundle.tar").open("rb") as tar:
            manifest = from_tar(tar, Path(folder) / "bundle")
        if target is not None:
            target.mkdir(parents=True, exist_ok=True)
            for entry in (Path(folder) / "bundle").iterdir():
                shutil.copyfile(entry, target / entry.name)
    return manifest


def write_export(
    target: Path,
    checkpoint: Checkpoint,
    snapshot: "SnapshotData",
    lineage: Lineage,
    metrics: Mapping[str, float],
    formats: Sequence[ModelFormat],
    *,
    optimize: bool = False,
    validate: bool = True,
    keep_bundle: Callable[[Path], object] = lambda bundle: None,
) -> ModelExport:
    """Export a checkpoint to a folder, in which files of the same names are replaced.

    The bundle (`model.onnx` and `bundle.json`) is always among the files: it says how inputs become arrays.

    Args:
        target: the folder; it is made.
        formats: what is wanted besides; the first one is the export's main file.
        optimize: also write a model with an optimized graph, and one with weights of 8 bits. The first has to
            agree with its source; of the second, the report says how far it does.
        validate: load each file anew and have it answer held-out rows.
        keep_bundle: is handed the bundle's folder.

    Raises:
        ExportFailed: what was exported disagrees with its source; nothing is written then.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=target) as folder:
        draft = Path(folder) / "files"
        manifest = write_bundle(draft, checkpoint, snapshot, lineage, metrics)
        keep_bundle(draft)
        inputs, targets = held_out(checkpoint, snapshot, MEASURED_ROWS)
        some: Arrays = {name: array[:PARITY_ROWS] for name, array in inputs.items()}
        network = checkpoint.network()
        activation = checkpoint.objective.activation
        source = answers_of(network, activation)
        written: list[tuple[ExportedFile, Callable[[Path], Model]]] = [(_file(draft, MODEL, "onnx"), _onnx)]
        if "torchscript" in formats:
            (draft / TORCHSCRIPT).write_bytes(to_torchscript(network, some, checkpoint.objective))
            written.append((_file(draft, TORCHSCRIPT, "torchscript"), _torchscript))
        if "triton" in formats:
            session = open_session(draft / MODEL, threads=1)
            name = lineage.project or "model"
            place = write_repository(draft / TRITON, name, manifest, draft / MODEL, session)
            path = str((place / MODEL_FILE).relative_to(draft))
            written.append((_file(draft, path, "triton"), _onnx))
        if optimize:
            optimize_graph(draft / MODEL, draft / OPTIMIZED)
            objective = checkpoint.objective
            check_agreement(
                source,
                _onnx(draft / OPTIMIZED),
                some,
                BATCH_SIZES,
                TOLERANCE * objective.answer_scale,
                objective.reading,
            )
            quantize(draft / MODEL, draft / INT8)
            written.append((_file(draft, OPTIMIZED, "onnx-optimized"), _onnx))
            written.append((_file(draft, INT8, "onnx-int8"), _onnx))
        files = tuple(one for one, _ in written)
        accuracy = None
        if validate:
            expected = np.concatenate([source(batch) for batch in _batches(inputs)])
            accuracy = _accuracy(checkpoint.objective.reading, expected, targets)
            files = tuple(
                _measured(one, opened(draft / one.path), checkpoint, inputs, targets, expected)
                for one, opened in written
            )
        report = ModelExport(
            run_id=lineage.run_id,
            formats=tuple(formats),
            validated=validate,
            rows=len(targets) if validate else len(next(iter(some.values()))),
            source_accuracy=accuracy,
            files=files,
            notes=tuple(_notes(files, accuracy)),
            created_at=utc_now(),
        )
        (draft / REPORT).write_text(report.model_dump_json(indent=2), "utf-8")
        for entry in draft.iterdir():
            _put(entry, target / entry.name)
    return report


def _file(folder: Path, path: str, format: str) -> ExportedFile:
    return ExportedFile.model_validate(
        {"path": path, "format": format, "bytes": (folder / path).stat().st_size}
    )


def _onnx(file: Path) -> Model:
    session = open_session(file, threads=1)
    return lambda batch: run_session(session, batch)


def _torchscript(file: Path) -> Model:
    return torchscript_model(file.read_bytes())


def _measured(
    file: ExportedFile,
    model: Model,
    checkpoint: Checkpoint,
    inputs: Arrays,
    targets: np.ndarray,
    expected: np.ndarray,
) -> ExportedFile:
    """What a model answers for held-out rows, compared with the labels and with its source."""
    reading, took_s = checkpoint.objective.reading, []
    for _ in range(_ROUNDS):
        started_s = time.perf_counter()
        answers = np.concatenate([model(batch) for batch in _batches(inputs)])
        took_s.append(time.perf_counter() - started_s)
    return file.model_copy(
        update={
            "max_difference": float(np.abs(answers - expected).max()),
            "changed_answers": _changed(reading, answers, expected),
            "accuracy": _accuracy(reading, answers, targets),
            "rows_per_s": len(targets) / min(took_s),
        }
    )


def _batches(inputs: Arrays) -> list[Arrays]:
    rows = len(next(iter(inputs.values())))
    return [
        {name: array[start : start + _BATCH] for name, array in inputs.items()}
        for start in range(0, rows, _BATCH)
    ]


def _changed(reading: Reading, answers: np.ndarray, expected: np.ndarray) -> float | None:
    """Part of the rows of which something else is said; of numbers the difference says it."""
    return None if reading.kind == "number" else float(reading.differing(answers, expected).mean())


def _accuracy(reading: Reading, answers: np.ndarray, targets: np.ndarray) -> float | None:
    """Share of the rows of which all that is said is right."""
    if reading.kind == "number":
        return None
    if reading.kind == "labels":
        return float((reading.applying(answers) == (targets > 0)).all(1).mean())
    return float((answers.argmax(1) == targets).mean())


def _notes(files: Sequence[ExportedFile], accuracy: float | None) -> list[str]:
    notes = []
    whole = next(one for one in files if one.format == "onnx")
    for one in files:
        if one.format == "onnx-int8":
            told = f"With weights of 8 bits the model has {one.bytes / whole.bytes:.0%} of its size"
            if accuracy is not None and one.accuracy is not None:
                lost = accuracy - one.accuracy
                told += f", and {one.accuracy:.1%} of its answers are right instead of {accuracy:.1%}"
                if lost > _WORSE:
                    told += ": look whether that is good enough before you use it"
            notes.append(f"{told}.")
    return notes


def _put(source: Path, target: Path) -> None:
    """Put a file or folder in its place, over one that is there."""
    if target.is_dir() and not target.is_symlink():
        shutil.rmtree(target)
    os.replace(source, target)
