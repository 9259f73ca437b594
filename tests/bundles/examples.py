"""Small real bundles, built with onnx.helper, one for each task."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from modelship_lab.bundles.pack import pack
from modelship_lab.bundles.reading import Reading
from modelship_lab.records.base import Task
from modelship_lab.records.bundle import ImageScaling, Lineage, Preprocessing, TableEncoding, TextHashing

CLASSES = ("ham", "spam", "other")
TEXT = TextHashing(buckets=512, max_ngram=2, max_length=256)


def table(features: int) -> TableEncoding:
    """A table of plain numbers; what is typical of each is 0.5."""
    names = tuple(f"f{index}" for index in range(features))
    return TableEncoding(features=names, numeric=names, categories={}, typical=dict.fromkeys(names, 0.5))


MIXED = TableEncoding(
    features=("age", "city", "income"),
    numeric=("age", "income"),
    categories={"city": ("Bern", "Oslo")},
    typical={"age": 40.0, "city": "Oslo", "income": None},
)


def build(inputs: list, nodes: list, weights: dict[str, np.ndarray], classes: int = 3) -> bytes:
    output = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", classes])
    graph = helper.make_graph(
        nodes,
        "model",
        inputs,
        [output],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return model.SerializeToString()


def text_model(spec: TextHashing = TEXT, seed: int = 0) -> bytes:
    """The sum of each token's class scores, then softmax; token 0 scores nothing."""
    scores = np.random.default_rng(seed).normal(0, 1, (spec.buckets, 3)).astype(np.float32)
    scores[0] = 0
    nodes = [
        helper.make_node("Gather", ["scores", "tokens"], ["each"]),
        helper.make_node("ReduceSum", ["each", "axis"], ["sum"], keepdims=0),
        helper.make_node("Softmax", ["sum"], ["probabilities"], axis=1),
    ]
    tokens = helper.make_tensor_value_info("tokens", TensorProto.INT64, ["rows", "length"])
    return build([tokens], nodes, {"scores": scores, "axis": np.array([1])})


def image_model(spec: ImageScaling, seed: int = 0) -> bytes:
    """A small convolutional network with pooling over the whole image."""
    random = np.random.default_rng(seed)
    weights = {
        "scale": np.float32(1 / 255),
        "kernel": random.normal(0, 0.5, (8, spec.channels, 3, 3)).astype(np.float32),
        "dense": random.normal(0, 1, (8 * 49, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Cast", ["pixels"], ["floats"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["floats", "scale"], ["scaled"]),
        helper.make_node("Transpose", ["scaled"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["map"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["map"], ["active"]),
        helper.make_node(
            "AveragePool",
            ["active"],
            ["pooled"],
            kernel_shape=[spec.height // 7] * 2,
            strides=[spec.height // 7] * 2,
        ),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "dense"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    shape = ["rows", spec.height, spec.width, spec.channels]
    return build([helper.make_tensor_value_info("pixels", TensorProto.UINT8, shape)], nodes, weights)


def table_model(spec: TableEncoding, seed: int = 0, hidden: int = 6) -> bytes:
    """Missing numbers become 0, each category has its scores, then a hidden layer with tanh and softmax."""
    random = np.random.default_rng(seed)
    weights: dict[str, np.ndarray] = {
        "zero": np.float32(0),
        "first": random.normal(0, 1, (len(spec.numeric), hidden)).astype(np.float32),
        "second": random.normal(0, 1.5, (hidden, 3)).astype(np.float32),
    }
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["missing"]),
        helper.make_node("Where", ["missing", "zero", "numeric"], ["filled"]),
        helper.make_node("MatMul", ["filled", "first"], ["numbers"]),
    ]
    inputs = [helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["rows", len(spec.numeric)])]
    total = "numbers"
    if spec.categories:
        columns = len(spec.categories)
        inputs.append(helper.make_tensor_value_info("categories", TensorProto.INT64, ["rows", columns]))
        weights |= {"codes": random.normal(0, 1, (10, hidden)).astype(np.float32), "axis": np.array([1])}
        nodes += [
            helper.make_node("Gather", ["codes", "categories"], ["found"]),
            helper.make_node("ReduceSum", ["found", "axis"], ["known"], keepdims=0),
            helper.make_node("Add", ["numbers", "known"], ["all"]),
        ]
        total = "all"
    nodes += [
        helper.make_node("Tanh", [total], ["active"]),
        helper.make_node("MatMul", ["active", "second"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
    ]
    return build(inputs, nodes, weights)


def write(folder: Path, task: Task, preprocessing: Preprocessing, model: bytes) -> Path:
    pack(
        folder,
        task=task,
        reading=Reading("label", CLASSES),
        preprocessing=preprocessing,
        lineage=Lineage(run_id=12, project="mails", snapshot_id=3, recipe="by-hand"),
        metrics={"test_accuracy": 0.9},
        parity=None,
        onnx=model,
    )
    return folder
