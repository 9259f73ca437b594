"""ONNX Runtime sessions of bundle models."""

import os
from pathlib import Path

import numpy as np
import onnxruntime

from modelship_lab.bundles.preprocessing import Arrays
from modelship_lab.records.bundle import ImageScaling, Preprocessing, TextHashing, TextTokens
from modelship_lab.records.errors import InvalidData, PredictionFailed

__all__ = ["OUTPUT", "absent", "check_signature", "expected_inputs", "open_session", "run_session"]

OUTPUT = "probabilities"


def open_session(model: Path | bytes, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Load an ONNX model for the CPU.

    Args:
        model: the file, or its content.
        threads: how many threads one prediction may use; by default the CPUs this process may run on.

    Raises:
        InvalidData: not a model that ONNX Runtime can load.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or len(os.sched_getaffinity(0))
    options.inter_op_num_threads = 1
    # Threads that spin while they wait take the CPU from the process that feeds them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(
            model if isinstance(model, bytes) else os.fspath(model),
            options,
            providers=["CPUExecutionProvider"],
        )
    except Exception as error:  # ONNX Runtime's own exceptions have no common root below Exception
        raise InvalidData(f"the ONNX model cannot be loaded ({type(error).__name__})") from error


def run_session(session: onnxruntime.InferenceSession, arrays: Arrays) -> np.ndarray:
    """The probabilities of a batch: float32 (rows, classes).

    Raises:
        PredictionFailed: the model raised.
    """
    try:
        probabilities: np.ndarray = session.run((OUTPUT,), arrays)[0]
    except Exception as error:  # ONNX Runtime's own exceptions have no common root below Exception
        shapes = {name: array.shape for name, array in arrays.items()}
        raise PredictionFailed(f"the model failed on inputs of shape {shapes}") from error
    return probabilities


def expected_inputs(preprocessing: Preprocessing) -> dict[str, str]:
    """ONNX input name to its ONNX type, as the preprocessing gives them."""
    if isinstance(preprocessing, TextHashing | TextTokens):
        return {"tokens": "tensor(int64)"}
    if isinstance(preprocessing, ImageScaling):
        return {"pixels": "tensor(uint8)"}
    inputs = {}
    if preprocessing.numeric:
        inputs["numeric"] = "tensor(float)"
    if preprocessing.categories:
        inputs["categories"] = "tensor(int64)"
    return inputs


def absent(preprocessing: Preprocessing, rows: int) -> Arrays:
    """A batch in which everything is missing: padding, black images, rows without values."""
    if isinstance(preprocessing, TextHashing | TextTokens):
        return {"tokens": np.zeros((rows, 1), np.int64)}
    if isinstance(preprocessing, ImageScaling):
        shape = (rows, preprocessing.height, preprocessing.width, preprocessing.channels)
        return {"pixels": np.zeros(shape, np.uint8)}
    arrays: Arrays = {}
    if preprocessing.numeric:
        arrays["numeric"] = np.full((rows, len(preprocessing.numeric)), np.nan, np.float32)
    if preprocessing.categories:
        arrays["categories"] = np.zeros((rows, len(preprocessing.categories)), np.int64)
    return arrays


def check_signature(session: onnxruntime.InferenceSession, preprocessing: Preprocessing, width: int) -> None:
    """Make sure that a model takes what the preprocessing gives, and gives so many outputs: one for every class.

    Also in batches, and also where everything is missing: explanations start from there.

    Raises:
        InvalidData: names the difference.
    """
    found = {value.name: value.type for value in session.get_inputs()}
    expected = expected_inputs(preprocessing)
    if found != expected:
        raise InvalidData(f"the ONNX model takes {found}; its preprocessing gives {expected}")
    outputs = [value.name for value in session.get_outputs()]
    if OUTPUT not in outputs:
        raise InvalidData(f"the ONNX model gives {outputs}; an output named {OUTPUT!r} is needed")
    for rows in (1, 2):
        try:
            probabilities = run_session(session, absent(preprocessing, rows))
        except PredictionFailed as error:
            raise InvalidData(f"the ONNX model does not take a batch of {rows}: {error.message}") from error
        if probabilities.shape != (rows, width) or probabilities.dtype != np.float32:
            raise InvalidData(
                f"for {rows} rows the ONNX model gives {probabilities.dtype} of shape {probabilities.shape}; "
                f"float32 {(rows, width)} is needed"
            )
        if not np.isfinite(probabilities).all():
            raise InvalidData(
                "the ONNX model gives no number where everything is missing (an empty text, a row without values)"
            )
