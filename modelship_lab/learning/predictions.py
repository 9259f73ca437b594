"""What a model said of its held-out rows, kept with the run: two runs are compared row by row."""

import io
import json
from typing import Any

import numpy as np
import pyarrow as pa

from modelship_lab.learning.objectives import Number, Objective, OneClass

__all__ = ["PREDICTIONS", "predictions_file"]

PREDICTIONS = "predictions.arrow"
"""The artifact of a run with its file."""


def predictions_file(
    objective: Objective, outputs: np.ndarray, targets: np.ndarray, sample_ids: np.ndarray
) -> bytes:
    """An Arrow IPC file with `sample_id`, `actual`, `predicted` and, unless they are numbers, `probabilities`.

    A class is its name, several classes are a list, and the schema's metadata has the names in the order of the
    probabilities.

    Args:
        objective: what the model was trained for.
        outputs: float (rows, outputs).
        targets: of the same rows.
        sample_ids: int (rows).
    """
    columns: dict[str, Any] = {"sample_id": pa.array(sample_ids, pa.int64())}
    if isinstance(objective, Number):
        columns |= {"actual": pa.array(targets), "predicted": pa.array(outputs[:, 0].astype(float))}
    else:
        names = np.array(objective.classes, object)
        if isinstance(objective, OneClass):
            columns |= {
                "actual": pa.array(names[targets], pa.string()),
                "predicted": pa.array(names[outputs.argmax(1)], pa.string()),
            }
        else:
            for name, chosen in (("actual", targets > 0), ("predicted", objective.reading.applying(outputs))):
                columns[name] = pa.array([names[row].tolist() for row in chosen], pa.list_(pa.string()))
        flat = pa.array(np.ascontiguousarray(outputs, np.float32).ravel())
        columns["probabilities"] = pa.FixedSizeListArray.from_arrays(flat, outputs.shape[1])
    table = pa.table(columns).replace_schema_metadata({"classes": json.dumps(objective.classes)})
    file = io.BytesIO()
    with pa.ipc.new_file(file, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(table)
    return file.getvalue()
