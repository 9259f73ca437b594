"""A bundle predicts from raw inputs with ONNX Runtime alone."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from modelship_lab.bundles.run import BundleModel
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidInput, PredictionFailed
from tests.bundles.conftest import MakeModel
from tests.bundles.examples import CLASSES, MIXED, TEXT, build, table, write

GRAY = ImageScaling(height=28, width=28, channels=1)


def png(seed: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 30), np.uint8)).save(file, "PNG")
    return file.getvalue()


@pytest.mark.parametrize(
    "spec, inputs",
    [
        (TEXT, ["you won a prize", "hi", ""]),
        (GRAY, [png(1), png(2), png(3)]),
        (MIXED, [[1, "Bern", 2], {"age": 3}, [None, "?", -1]]),
    ],
)
def test_predictions_do_not_depend_on_the_batch(make_model: MakeModel, spec, inputs) -> None:
    model = make_model(spec)
    together = model.probabilities(inputs)
    assert together.shape == (3, 3) and together.dtype == np.float32
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    alone = np.concatenate([model.probabilities([one]) for one in inputs])
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_prediction_names_the_likeliest_class(make_model: MakeModel) -> None:
    model = make_model(TEXT)
    prediction = model.predict(["you won a prize"])[0]
    best = int(np.argmax(prediction.probabilities))
    assert prediction.prediction == CLASSES[best]
    assert prediction.confidence == prediction.probabilities[best]


def test_more_inputs_than_one_chunk(make_model: MakeModel) -> None:
    model = make_model(TEXT)
    texts = [f"text {number}" for number in range(600)]
    np.testing.assert_allclose(model.probabilities(texts)[-1:], model.probabilities(texts[-1:]), atol=1e-6)
    assert model.probabilities([]).shape == (0, 3)


def test_bad_input_is_the_callers_error(make_model: MakeModel) -> None:
    with pytest.raises(InvalidInput):
        make_model(MIXED).predict([["old", "Bern", 1]])


def test_answer_that_is_no_number_is_an_error(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("IsNaN", ["numeric"], ["missing"]),
        helper.make_node("Where", ["missing", "one", "numeric"], ["filled"]),
        helper.make_node("Log", ["filled"], ["probabilities"]),
    ]
    numeric = helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["rows", 3])
    onnx = build([numeric], nodes, {"one": np.float32(1)})
    folder = write(tmp_path / "b", "tabular_classification", table(3), onnx)
    model = BundleModel(folder)
    assert model.probabilities([[1, 1, 1]]).tolist() == [[0, 0, 0]]
    with pytest.raises(PredictionFailed, match="row 1"):
        model.probabilities([[1, 1, 1], [-1, 1, 1]])


def test_running_a_bundle_loads_no_training_library() -> None:
    code = (
        "import sys, modelship_lab.bundles.run, modelship_lab.bundles.explain, modelship_lab.bundles.parity;"
        "heavy = {'torch', 'duckdb', 'polars', 'pyarrow', 'sklearn', 'scipy', 'pandas', 'tornado'};"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
