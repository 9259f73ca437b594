"""Smaller and faster ONNX models: their graph optimized, their weights of 8 bits."""

import logging
import os
from pathlib import Path

import onnxruntime

from modelship_lab.records.errors import ExportFailed

__all__ = ["optimize", "quantize"]


def optimize(model: Path, target: Path) -> None:
    """Write a model with its graph as ONNX Runtime would optimize it at every start, for any CPU.

    Raises:
        ExportFailed: ONNX Runtime cannot.
    """
    options = onnxruntime.SessionOptions()
    # Beyond this level lie layouts that other processors than this one may not have.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = os.fspath(target)
    options.log_severity_level = 3
    try:
        onnxruntime.InferenceSession(os.fspath(model), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's own exceptions have no common root below Exception
        raise ExportFailed(
            f"the graph cannot be optimized: {type(error).__name__}: {error!s:.300}"
        ) from error


def quantize(model: Path, target: Path) -> None:
    """Write a model whose weights are of 8 bits; what flows between its layers is quantized as it comes.

    Raises:
        ExportFailed: ONNX Runtime cannot.
    """
    # Imported here because it loads the whole of `onnx`, which serving does not need.
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    root = logging.getLogger()
    level = root.level
    # It warns in the root logger that a model was not prepared for it.
    root.setLevel(logging.ERROR)
    try:
        graph = onnx.load(model)
        # The shapes that an exporter writes down of what lies between layers need not fit any more.
        del graph.graph.value_info[:]
        quantize_dynamic(graph, target, weight_type=QuantType.QInt8, per_channel=True)
    except Exception as error:  # it raises nearly anything
        raise ExportFailed(
            f"the weights cannot be quantized: {type(error).__name__}: {error!s:.300}"
        ) from error
    finally:
        root.setLevel(level)
