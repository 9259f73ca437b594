import threading
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from modelship_lab import client
from modelship_lab.bundles.run import BundleModel
from modelship_lab.learning import export
from modelship_lab.learning.fit import fit
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import Lineage
from modelship_lab.records.errors import ExportFailed
from tests.learning.snapshots import Recorder, digits, reviews, snapshot, table
from tests.server.shipping import served


def mixed():
    """Wine with a category, a truth value and missing cells."""
    wine = table("wine").content
    alcohol = wine.column("alcohol").to_pylist()
    columns = {
        "alcohol": [None if row % 7 == 0 else value for row, value in enumerate(alcohol)],
        "proline": wine.column("proline").to_numpy(),
        "tint": ["deep" if value > 5 else "pale" for value in wine.column("color_intensity").to_pylist()],
        "strong": [value > 13 for value in alcohol],
    }
    labels = wine.column("label").to_numpy()
    return snapshot("tabular_classification", ["one", "two", "three"], labels, columns)


CASES = {
    "text": (lambda: reviews(500), "text-linear", {"buckets": 4096}),
    "text with an output layer": (lambda: reviews(500), "text-linear", {"buckets": 4096, "dimensions": 8}),
    "images": (lambda: digits(400), "image-cnn", {"width": 8}),
    "images on a pretrained backbone": (lambda: digits(180), "image-backbone", {"image_size": 32}),
    "numbers": (lambda: table("breast_cancer"), "tabular-mlp", {}),
    "numbers and categories": (mixed, "tabular-mlp", {}),
}


@pytest.fixture(scope="module", params=CASES)
def exported(request, tmp_path_factory):
    """A trained checkpoint, its snapshot, and its bundle; exported from a thread, as notebooks may do."""
    load, recipe, options = CASES[request.param]
    data = load()
    checkpoint = fit(Recorder(), data, recipe, {"epochs": 3, **options}).checkpoint
    folder = tmp_path_factory.mktemp("export") / "bundle"
    done = []

    def work():
        done.append(export.write_bundle(folder, checkpoint, data, Lineage(run_id=1), {"test_accuracy": 0.9}))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(120)
    assert done, "the export did not end well"
    return checkpoint, data, folder, done[0]


def test_a_bundle_says_that_it_agrees_with_torch(exported):
    _, _, _, manifest = exported
    assert manifest.parity.batch_sizes == (1, 7, 64)
    assert manifest.parity.rows >= 25
    assert manifest.parity.label_flips == 0
    assert manifest.parity.max_difference < 1e-5
    assert manifest.metrics == {"test_accuracy": 0.9}


def test_a_bundle_predicts_from_raw_inputs_what_torch_does(exported):
    checkpoint, data, folder, _ = exported
    samples = Samples.of_snapshot(data).taken(np.arange(0, data.info.rows, 17))
    from modelship_lab.bundles.preprocessing import encode

    arrays = encode(checkpoint.preprocessing, samples.inputs())
    with torch.inference_mode():
        tensors = {name: torch.from_numpy(array) for name, array in arrays.items()}
        expected = checkpoint.objective.activation(checkpoint.network()(**tensors)).numpy()
    found = BundleModel(folder).probabilities(samples.inputs())
    assert np.abs(found - expected).max() < 1e-5
    assert np.allclose(found.sum(1), 1, atol=1e-5)


def test_rows_and_lengths_are_free_and_the_weights_inside(exported):
    _, _, folder, manifest = exported
    graph = onnx.load(folder / "model.onnx").graph
    sizes = {
        one.name: [axis.dim_param or axis.dim_value for axis in one.type.tensor_type.shape.dim]
        for one in graph.input
    }
    assert all(size[0] == "rows" for size in sizes.values())
    assert sizes.get("tokens", ["rows", "length"]) == ["rows", "length"]
    assert [output.name for output in graph.output] == ["probabilities"]
    assert list(manifest.checksums) == ["model.onnx"]


def test_extreme_inputs_have_an_answer(exported):
    checkpoint, data, folder, _ = exported
    inputs = {
        "text_classification": ["", "x", "word " * 3000, "\u0645\u0631\u062d\u0628\u0627 \U0001f600"],
        "image_classification": Samples.of_snapshot(data).inputs()[:1]
        if "image" in data.content.column_names
        else [],
        "tabular_classification": [
            dict.fromkeys(data.info.features),
            dict.fromkeys(data.info.features[:1]),
        ],
    }[checkpoint.task]
    assert np.isfinite(BundleModel(folder).probabilities(inputs)).all()


def test_a_deployment_of_a_backbone_answers_for_images(exported, lab_server, tmp_path):
    checkpoint, data, folder, _ = exported
    if checkpoint.recipe.name != "image-backbone":
        pytest.skip("the others are deployed elsewhere")
    images = Samples.of_snapshot(data).taken(np.arange(0, 60, 20)).inputs()
    lab = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    with served(lab_server.client, folder, "tiny-backbone"):
        found = lab.predict("tiny-backbone", images)
    assert np.allclose(
        [one.probabilities for one in found], BundleModel(folder).probabilities(images), atol=1e-5
    )
    assert {one.prediction for one in found} <= set(data.info.classes)


def test_a_model_that_disagrees_is_refused(exported, tmp_path, monkeypatch):
    checkpoint, data, folder, _ = exported
    biases = [name for name, weight in checkpoint.network().named_parameters() if weight.ndim == 1]
    other = checkpoint.weights[biases[-1]].clone()
    other[0] += 0.01
    changed = replace(checkpoint, weights={**checkpoint.weights, biases[-1]: other})
    monkeypatch.setattr(export, "to_onnx", lambda *given: (folder / "model.onnx").read_bytes())
    with pytest.raises(ExportFailed, match=r"batch size 1, row \d+, class"):
        export.write_bundle(tmp_path / "bundle", changed, data, Lineage(), {})
    assert not (tmp_path / "bundle").exists()


def test_a_network_that_torch_cannot_export_says_so():
    class Odd(torch.nn.Module):
        def forward(self, numeric):
            return numeric if numeric.sum() > 0 else -numeric

    with pytest.raises(ExportFailed, match="cannot export"):
        export.to_onnx(Odd(), {"numeric": np.ones((2, 3), np.float32)})
