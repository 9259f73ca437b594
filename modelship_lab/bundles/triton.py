"""A model repository for NVIDIA's Triton Inference Server.

https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/model_configuration.html
"""

import json
import re
import shutil
from pathlib import Path

import onnxruntime

from modelship_lab.bundles.pack import MANIFEST, MODEL
from modelship_lab.bundles.session import OUTPUT
from modelship_lab.records.bundle import BundleManifest

__all__ = ["CONFIG", "MODEL_FILE", "write_repository"]

CONFIG = "config.pbtxt"
MODEL_FILE = "1/model.onnx"
"""Of a model in a repository: the file of its first version."""

LABELS = "labels.txt"
MAX_BATCH = 64
_QUEUE_DELAY_MICROSECONDS = 500
_TYPES = {
    "tensor(float)": "TYPE_FP32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(uint8)": "TYPE_UINT8",
}
_NOT_IN_NAMES = re.compile(r"[^\w.\-]+")


def write_repository(
    folder: Path, name: str, manifest: BundleManifest, model: Path, session: onnxruntime.InferenceSession
) -> Path:
    """Write a repository with one model: `config.pbtxt`, the names of its classes, and version 1.

    Args:
        folder: of the repository.
        name: of the model; what Triton does not take in names becomes `_`.
        manifest: of the bundle: it goes along, because it says how inputs become the model's arrays.
        model: the ONNX model, in the bundle's folder.
        session: it, opened: its inputs are declared as it has them.

    Returns:
        The model's folder.
    """
    name = _NOT_IN_NAMES.sub("_", name) or "model"
    place = folder / name
    (place / MODEL_FILE).parent.mkdir(parents=True)
    shutil.copyfile(model, place / MODEL_FILE)
    if manifest.classes:
        (place / LABELS).write_text(
            "".join(f"{' '.join(one.split())}\n" for one in manifest.classes), "utf-8"
        )
    for further in manifest.checksums.keys() - {MODEL}:
        shutil.copyfile(model.with_name(further), place / further)
    (place / MANIFEST).write_text(manifest.model_dump_json(indent=2), "utf-8")
    (place / CONFIG).write_text(_config(name, session, bool(manifest.classes)), "utf-8")
    return place


def _config(name: str, session: onnxruntime.InferenceSession, has_classes: bool) -> str:
    named = (f"label_filename: {json.dumps(LABELS)}",) if has_classes else ()
    inputs = ",\n".join(_tensor(one) for one in session.get_inputs())
    outputs = ",\n".join(_tensor(one, *named) for one in session.get_outputs() if one.name == OUTPUT)
    return f"""name: {json.dumps(name)}
backend: "onnxruntime"
max_batch_size: {MAX_BATCH}
input [
{inputs}
]
output [
{outputs}
]
dynamic_batching {{
  max_queue_delay_microseconds: {_QUEUE_DELAY_MICROSECONDS}
}}
instance_group [
  {{ kind: KIND_AUTO count: 1 }}
]
"""


def _tensor(value: onnxruntime.NodeArg, *further: str) -> str:
    """One input or output. Its first size is that of the batch, which Triton adds; one that varies is -1."""
    sizes = ", ".join(str(size) if isinstance(size, int) else "-1" for size in value.shape[1:])
    fields = (
        f"name: {json.dumps(value.name)}",
        f"data_type: {_TYPES[value.type]}",
        f"dims: [ {sizes} ]",
        *further,
    )
    return "  {\n" + "\n".join(f"    {field}" for field in fields) + "\n  }"
