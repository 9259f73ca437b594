"""Does an exported model agree with the model it was exported from?"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from modelship_lab.bundles.preprocessing import Arrays
from modelship_lab.bundles.reading import Reading
from modelship_lab.bundles.session import open_session, run_session
from modelship_lab.records.bundle import Parity
from modelship_lab.records.errors import ExportFailed, PredictionFailed

__all__ = ["Model", "check_agreement", "check_parity"]

Model = Callable[[Arrays], np.ndarray]
"""From an encoded batch to probabilities (rows, classes), or numbers (rows, 1)."""

_ONE_CLASS = Reading()


def check_parity(
    source: Model,
    model: Path | bytes,
    inputs: Arrays,
    batch_sizes: Sequence[int] = (1, 7, 64),
    tolerance: float = 1e-4,
    reading: Reading = _ONE_CLASS,
) -> Parity:
    """Compare the probabilities of an ONNX model with those of its source; see `check_agreement`.

    Raises:
        InvalidData: the ONNX model cannot be loaded.
    """
    session = open_session(model)
    return check_agreement(
        source, lambda batch: run_session(session, batch), inputs, batch_sizes, tolerance, reading
    )


def check_agreement(
    source: Model,
    exported: Model,
    inputs: Arrays,
    batch_sizes: Sequence[int] = (1, 7, 64),
    tolerance: float = 1e-4,
    reading: Reading = _ONE_CLASS,
) -> Parity:
    """Compare the probabilities of an exported model with those of its source on encoded real rows.

    Every row is predicted at every batch size; fewer rows than a batch size are repeated to fill it.

    Args:
        source: what was exported.
        exported: what has come of it.
        inputs: encoded rows, at least one.
        batch_sizes: sizes of the batches in which the rows are predicted.
        tolerance: the largest absolute difference of a probability, or number, that is taken for equal.
        reading: what the probabilities say.

    Returns:
        What was found, when it is good.

    Raises:
        ExportFailed: a probability differs by more than `tolerance`, or a label flips; says at which
            batch size, in which row, and both values.
    """
    rows = len(next(iter(inputs.values()), ()))
    if not rows:
        raise ExportFailed("there are no rows to compare the exported model on")
    largest = 0.0
    for size in batch_sizes:
        for first, batch in _batches(inputs, rows, size):
            try:
                actual = np.asarray(exported(batch))
            except PredictionFailed as error:
                raise ExportFailed(f"at batch size {size}, rows from {first}: {error.message}") from error
            expected = np.asarray(source(batch))
            largest = max(largest, _compare(expected, actual, size, first, rows, tolerance, reading))
    return Parity(
        rows=rows, batch_sizes=tuple(batch_sizes), max_difference=largest, label_flips=0, tolerance=tolerance
    )


def _batches(inputs: Arrays, rows: int, size: int) -> Iterator[tuple[int, Arrays]]:
    order = np.arange(max(rows, size)) % rows
    for first in range(0, len(order), size):
        batch = {name: array[order[first : first + size]] for name, array in inputs.items()}
        if "tokens" in batch:
            # In serving a batch is as long as its longest text, so it is here: that checks lengths too.
            used = np.flatnonzero(batch["tokens"].any(axis=0))
            batch["tokens"] = batch["tokens"][:, : used[-1] + 1 if used.size else 1]
        yield first, batch


def _compare(
    expected: np.ndarray,
    actual: np.ndarray,
    size: int,
    first: int,
    rows: int,
    tolerance: float,
    reading: Reading,
) -> float:
    if expected.shape != actual.shape:
        raise ExportFailed(
            f"at batch size {size} the exported model answers with shape {actual.shape}, "
            f"its source with {expected.shape}"
        )
    difference = np.abs(expected.astype(np.float64) - actual)
    apart = ~(difference <= tolerance)  # so that a NaN counts as apart
    if apart.any():
        worst = int(np.argmax(np.where(apart, np.nan_to_num(difference, nan=np.inf), -1.0)))
        row, column = divmod(worst, apart.shape[1])
        raise ExportFailed(
            f"at batch size {size}, row {(first + row) % rows}, class {column}: the source says "
            f"{expected[row, column]:.6g}, the exported model {actual[row, column]:.6g}; "
            f"at most {tolerance:g} apart is allowed"
        )
    flips = np.flatnonzero(reading.differing(expected, actual))
    if flips.size:
        row = int(flips[0])
        if reading.kind == "labels":
            before, after = (reading.said(outputs[row : row + 1])[0] for outputs in (expected, actual))
            raise ExportFailed(
                f"at batch size {size}, row {(first + row) % rows}: the classes flip from {', '.join(before) or 'none'} "
                f"to {', '.join(after) or 'none'}; {flips.size} flips in this batch"
            )
        raise ExportFailed(
            f"at batch size {size}, row {(first + row) % rows}: the label flips from class "
            f"{expected[row].argmax()} ({expected[row].max():.6g}) to class {actual[row].argmax()} "
            f"({actual[row].max():.6g}); {flips.size} flips in this batch",
        )
    return float(difference.max())
