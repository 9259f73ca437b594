"""The Open Inference Protocol v2 over HTTP, with its binary tensor data extension.

https://github.com/open-inference/open-inference-protocol: tensors in and out are those of the ONNX model.
"""

from math import prod
from typing import Any, NamedTuple

import numpy as np
import orjson

from modelship_lab.bundles.preprocessing import Arrays
from modelship_lab.bundles.reading import reading_of
from modelship_lab.bundles.session import OUTPUT, expected_inputs
from modelship_lab.records.bundle import BundleManifest, ImageScaling, TextHashing, TextTokens
from modelship_lab.records.errors import InvalidInput
from modelship_lab.version import __version__
from modelship_lab.worker.inputs import MAX_INPUTS, load_json

__all__ = ["Inference", "model_metadata", "read_inference", "server_metadata", "write_inference"]

_DATATYPES = {"tensor(float)": "FP32", "tensor(int64)": "INT64", "tensor(uint8)": "UINT8"}
_DTYPES: dict[str, np.dtype[Any]] = {
    "FP32": np.dtype("<f4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("u1"),
}


class Inference(NamedTuple):
    """A request that was read."""

    arrays: Arrays
    id: str | None
    binary: bool
    """The output is wanted as binary data."""


def server_metadata() -> dict[str, Any]:
    """Name, version and extensions of the worker."""
    return {"name": "modelship-lab", "version": __version__, "extensions": ["binary_tensor_data"]}


def model_metadata(name: str, model_version: str, manifest: BundleManifest) -> dict[str, Any]:
    """Name, version and tensors of the model; -1 is an axis of any length."""
    return {
        "name": name,
        "versions": [model_version],
        "platform": "onnxruntime_onnx",
        "inputs": [
            {"name": tensor, "datatype": datatype, "shape": list(shape)}
            for tensor, (datatype, shape) in _tensors(manifest).items()
        ],
        "outputs": [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, reading_of(manifest).width]}],
    }


def read_inference(manifest: BundleManifest, body: bytes, json_length: str | None) -> Inference:
    """Read an inference request.

    Args:
        manifest: of the bundle.
        body: JSON, followed by binary tensors if there are any.
        json_length: the header `Inference-Header-Content-Length`, which says how long the JSON is.

    Raises:
        InvalidInput: the request is not well-formed, or not what the model takes; says what and where.
    """
    binary = b""
    if json_length is not None:
        if not json_length.isascii() or not json_length.isdigit() or int(json_length) > len(body):
            raise InvalidInput("the header Inference-Header-Content-Length is not a length within the body")
        body, binary = body[: int(json_length)], body[int(json_length) :]
    request = load_json(body)
    if not isinstance(request, dict) or not isinstance(request.get("inputs"), list):
        raise InvalidInput("an inference request is an object with a list of tensors in `inputs`")
    id = request.get("id")
    if id is not None and not isinstance(id, str):
        raise InvalidInput("`id` is a text")
    arrays: Arrays = {}
    tensors = _tensors(manifest)
    for tensor in request["inputs"]:
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str) or name not in tensors or name in arrays:
            raise InvalidInput(f"`inputs` has each of the tensors {', '.join(tensors)} once, by its `name`")
        arrays[name], binary = _read_tensor(tensor, name, *tensors[name], binary)
    if len(arrays) != len(tensors):
        raise InvalidInput(f"missing in `inputs`: {', '.join(sorted(set(tensors) - set(arrays)))}")
    if binary:
        raise InvalidInput(f"{len(binary)} bytes after the last tensor belong to none")
    if len({len(array) for array in arrays.values()}) != 1:
        raise InvalidInput("the tensors in `inputs` differ in their number of rows")
    _check_codes(manifest, arrays)
    return Inference(arrays, id, _wants_binary(request))


def write_inference(
    name: str, model_version: str, inference: Inference, probabilities: np.ndarray
) -> tuple[bytes, list[tuple[bytes, bytes]]]:
    """The answer's body and headers."""
    output: dict[str, Any] = {"name": OUTPUT, "shape": probabilities.shape, "datatype": "FP32"}
    answer: dict[str, Any] = {"model_name": name, "model_version": model_version, "outputs": [output]}
    if inference.id is not None:
        answer["id"] = inference.id
    if not inference.binary:
        output["data"] = np.ascontiguousarray(probabilities).ravel()
        body = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
        return body, [(b"content-type", b"application/json")]
    data = probabilities.astype("<f4").tobytes()
    output["parameters"] = {"binary_data_size": len(data)}
    head = orjson.dumps(answer)
    return head + data, [
        (b"content-type", b"application/octet-stream"),
        (b"inference-header-content-length", str(len(head)).encode()),
    ]


def _tensors(manifest: BundleManifest) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Input name to its datatype and shape."""
    spec = manifest.preprocessing
    shapes: dict[str, tuple[int, ...]]
    if isinstance(spec, TextHashing | TextTokens):
        shapes = {"tokens": (-1, -1)}
    elif isinstance(spec, ImageScaling):
        shapes = {"pixels": (-1, spec.height, spec.width, spec.channels)}
    else:
        shapes = {"numeric": (-1, len(spec.numeric)), "categories": (-1, len(spec.categories))}
    return {name: (_DATATYPES[type], shapes[name]) for name, type in expected_inputs(spec).items()}


def _read_tensor(
    tensor: dict[str, Any], name: str, datatype: str, expected: tuple[int, ...], binary: bytes
) -> tuple[np.ndarray, bytes]:
    """One tensor, and the binary data that is left for the others."""
    where = f"tensor {name!r}"
    if tensor.get("datatype") != datatype:
        raise InvalidInput(f"{where}: its `datatype` is {datatype}")
    shape = tensor.get("shape")
    if (
        not isinstance(shape, list)
        or not all(type(length) is int and length > 0 for length in shape)
        or len(shape) != len(expected)
        or any(wanted not in (-1, length) for wanted, length in zip(expected, shape, strict=True))
    ):
        raise InvalidInput(f"{where}: its `shape` is {list(expected)}, where -1 stands for any length from 1")
    if shape[0] > MAX_INPUTS:
        raise InvalidInput(
            f"{where}: {shape[0]} rows are too many for one request; at most {MAX_INPUTS} are taken"
        )
    dtype = _DTYPES[datatype]
    parameters = tensor.get("parameters")
    if isinstance(parameters, dict) and "binary_data_size" in parameters:
        size = parameters["binary_data_size"]
        if type(size) is not int or size != prod(shape) * dtype.itemsize or size > len(binary):
            raise InvalidInput(
                f"{where}: shape {shape} takes {prod(shape) * dtype.itemsize} bytes of binary data; "
                f"`binary_data_size` and the body must have as many"
            )
        array = np.frombuffer(binary, dtype, prod(shape))
        binary = binary[size:]
    else:
        array = _from_list(tensor.get("data"), dtype, where)
        if array.size != prod(shape):
            raise InvalidInput(f"{where}: `data` has {array.size} values; shape {shape} takes {prod(shape)}")
    if datatype == "FP32" and np.isinf(array).any():
        raise InvalidInput(f"{where}: a value is infinite or too large")
    return array.reshape(shape), binary


def _from_list(data: Any, dtype: np.dtype[Any], where: str) -> np.ndarray:
    """A flat or nested list of numbers as a flat array; null is a missing number."""
    if not isinstance(data, list):
        raise InvalidInput(f"{where}: `data` is a list of numbers")
    try:
        array = np.array(data)
        if (
            dtype.kind == "f"
            and array.dtype.kind == "O"
            and {type(value) for value in array.flat}
            <= {
                int,
                float,
                type(None),
            }
        ):
            array = array.astype(np.float64)
    except (ValueError, OverflowError):  # lists of different lengths or depths
        raise InvalidInput(f"{where}: `data` is not a list of numbers in the tensor's shape") from None
    if array.dtype.kind not in ("iuf" if dtype.kind == "f" else "iu"):
        raise InvalidInput(
            f"{where}: `data` has values that are not {'numbers' if dtype.kind == 'f' else 'integers'}"
        )
    if dtype.kind != "f" and array.size:
        limits = np.iinfo(dtype)
        if int(array.min()) < limits.min or int(array.max()) > limits.max:
            raise InvalidInput(f"{where}: a value does not fit the datatype")
    with np.errstate(over="ignore"):  # becomes infinite, which is refused by the caller
        return array.astype(dtype).ravel()


def _check_codes(manifest: BundleManifest, arrays: Arrays) -> None:
    """Token ids and category codes index tables inside the model; beyond their ends it would fail."""
    spec = manifest.preprocessing
    if isinstance(spec, TextHashing | TextTokens):
        tokens = arrays["tokens"]
        largest = spec.buckets - 1 if isinstance(spec, TextHashing) else spec.vocabulary
        if tokens.min() < 0 or tokens.max() > largest:
            raise InvalidInput(f"tensor 'tokens': token ids are from 0 to {largest}")
        if tokens.shape[1] > spec.max_length:
            raise InvalidInput(f"tensor 'tokens': a text has at most {spec.max_length} token ids")
    elif not isinstance(spec, ImageScaling) and spec.categories:
        known = np.array([len(values) for values in spec.categories.values()])
        if (arrays["categories"] < 0).any() or (arrays["categories"] > known).any():
            raise InvalidInput(f"tensor 'categories': the codes are from 0 to {known.tolist()}")


def _wants_binary(request: dict[str, Any]) -> bool:
    """What the request says of the one output there is; what is said of the output itself counts first."""
    outputs = request.get("outputs")
    if outputs is not None:
        if not isinstance(outputs, list) or not all(isinstance(output, dict) for output in outputs):
            raise InvalidInput("`outputs` is a list of objects")
        unknown = [output.get("name") for output in outputs if output.get("name") != OUTPUT]
        if unknown:
            raise InvalidInput(f"the model has one output, {OUTPUT!r}")
        for output in outputs:
            parameters = output.get("parameters")
            if isinstance(parameters, dict) and "binary_data" in parameters:
                return parameters["binary_data"] is True
    parameters = request.get("parameters")
    return isinstance(parameters, dict) and parameters.get("binary_data_output") is True
