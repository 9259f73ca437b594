import json
import shutil

import numpy as np
import pytest
import torch
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from modelship_lab.bundles.run import BundleModel
from modelship_lab.learning import model_export
from modelship_lab.learning.fit import fit
from modelship_lab.learning.model_export import write_export
from modelship_lab.records.bundle import Lineage
from modelship_lab.records.errors import ExportFailed, InvalidInput
from modelship_lab.records.model_export import ModelExport, model_formats
from tests.learning.snapshots import Recorder, table


@pytest.fixture(scope="module")
def trained():
    data = table("breast_cancer")
    return fit(Recorder(), data, "tabular-mlp", {"epochs": 3}).checkpoint, data


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """Everything that can be had of one model, in a folder where an earlier export lies."""
    folder = tmp_path_factory.mktemp("exported")
    (folder / "triton" / "old").mkdir(parents=True)
    (folder / "model.onnx").write_bytes(b"old")
    checkpoint, data = trained
    lineage = Lineage(run_id=1, project="Is it benign?")
    formats = model_formats("triton,both")
    return folder, write_export(folder, checkpoint, data, lineage, {}, formats, optimize=True)


def test_every_file_is_there_and_answers_as_its_source_does(exported):
    folder, report = exported
    assert report.formats == ("triton", "onnx", "torchscript")
    assert report.main.path == "triton/Is_it_benign_/1/model.onnx"
    assert report.rows > 50 and report.source_accuracy > 0.9
    by_format = {one.format: one for one in report.files}
    assert set(by_format) == {"onnx", "torchscript", "triton", "onnx-optimized", "onnx-int8"}
    for one in report.files:
        assert (folder / one.path).stat().st_size == one.bytes
        assert one.accuracy == pytest.approx(report.source_accuracy, abs=0.03)
        if one.format != "onnx-int8":
            assert one.changed_answers == 0 and one.max_difference < 1e-5
    small = by_format["onnx-int8"]
    assert small.bytes < 0.6 * by_format["onnx"].bytes and small.max_difference > 0
    assert "8 bits" in report.notes[0] and "%" in report.notes[0]
    assert ModelExport.model_validate_json((folder / "export_report.json").read_bytes()) == report
    assert not (folder / "triton" / "old").exists()


def test_what_lies_there_is_a_bundle_and_a_module_of_torch(exported, trained, tmp_path):
    folder, _ = exported
    rows = trained[1].content.drop(["sample_id", "label", "source"]).to_pylist()[:5]
    for name in ("bundle.json", "model.onnx"):
        shutil.copy(folder / name, tmp_path / name)
    expected = BundleModel(tmp_path).probabilities(rows)
    module = torch.jit.load(folder / "model.torchscript.pt")
    numbers = torch.tensor([list(row.values()) for row in rows], dtype=torch.float32)
    np.testing.assert_allclose(module(numbers).numpy(), expected, atol=1e-5)


def test_triton_can_read_the_configuration(exported):
    folder, report = exported
    place = (folder / report.main.path).parent.parent
    config = text_format.Parse((place / "config.pbtxt").read_text(), _model_config()())
    assert (config.name, config.backend, config.max_batch_size) == ("Is_it_benign_", "onnxruntime", 64)
    numbers, probabilities = config.input[0], config.output[0]
    assert (numbers.name, list(numbers.dims)) == ("numeric", [30])
    assert numbers.DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number[11].name == "TYPE_FP32"
    assert numbers.data_type == probabilities.data_type == 11
    assert (probabilities.name, list(probabilities.dims)) == ("probabilities", [2])
    assert len((place / probabilities.label_filename).read_text().split()) == 2
    assert json.loads((place / "bundle.json").read_text())["preprocessing"]["kind"] == "table_encoding"


def test_what_disagrees_with_its_source_is_not_written(trained, tmp_path, monkeypatch):
    checkpoint, data = trained

    def spoil(model, target):
        target.write_bytes(model.read_bytes()[:-2000] + bytes(2000))

    monkeypatch.setattr(model_export, "optimize_graph", spoil)
    with pytest.raises((ExportFailed, InvalidInput)):
        write_export(tmp_path / "out", checkpoint, data, Lineage(), {}, ("onnx",), optimize=True)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_estimator_has_no_torchscript_and_leaves_no_files(tmp_path):
    data = table("wine")
    options = {"estimator": "linear", "iterations": 50}
    checkpoint = fit(Recorder(), data, "tabular-sklearn", options).checkpoint
    with pytest.raises(ExportFailed, match="scikit-learn has no form in TorchScript"):
        write_export(tmp_path, checkpoint, data, Lineage(), {}, ("onnx", "torchscript"))
    assert list(tmp_path.iterdir()) == []


def test_words_that_are_no_formats():
    assert model_formats("both,onnx") == ("onnx", "torchscript")
    with pytest.raises(InvalidInput, match="choose onnx, torchscript, triton or both"):
        model_formats("onnx,coreml")


def _model_config():
    """What is used of Triton's `model_config.proto`: its names are the text format, its numbers do not matter."""
    file = descriptor_pb2.FileDescriptorProto(name="model_config.proto", package="inference", syntax="proto3")
    enum = file.enum_type.add(name="DataType")
    for number, name in enumerate(
        [
            "INVALID",
            "BOOL",
            "UINT8",
            "UINT16",
            "UINT32",
            "UINT64",
            "INT8",
            "INT16",
            "INT32",
            "INT64",
            "FP16",
            "FP32",
            "FP64",
            "STRING",
            "BF16",
        ]
    ):
        enum.value.add(name=f"TYPE_{name}", number=number)
    tensors = (("ModelInput", ()), ("ModelOutput", ("label_filename",)))
    for message, further in tensors:
        tensor = file.message_type.add(name=message)
        tensor.field.add(name="name", number=1, type=9, label=1)
        tensor.field.add(name="data_type", number=2, type=14, label=1, type_name=".inference.DataType")
        tensor.field.add(name="dims", number=3, type=3, label=3)
        for place, name in enumerate(further, start=4):
            tensor.field.add(name=name, number=place, type=9, label=1)
    file.message_type.add(name="ModelDynamicBatching").field.add(
        name="max_queue_delay_microseconds", number=2, type=4, label=1
    )
    group = file.message_type.add(name="ModelInstanceGroup")
    kind = group.enum_type.add(name="Kind")
    for number, name in enumerate(("KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL")):
        kind.value.add(name=name, number=number)
    group.field.add(name="kind", number=4, type=14, label=1, type_name=".inference.ModelInstanceGroup.Kind")
    group.field.add(name="count", number=2, type=5, label=1)
    config = file.message_type.add(name="ModelConfig")
    config.field.add(name="name", number=1, type=9, label=1)
    config.field.add(name="max_batch_size", number=4, type=5, label=1)
    config.field.add(name="backend", number=17, type=9, label=1)
    config.field.add(name="input", number=5, type=11, label=3, type_name=".inference.ModelInput")
    config.field.add(name="output", number=6, type=11, label=3, type_name=".inference.ModelOutput")
    config.field.add(
        name="instance_group", number=7, type=11, label=3, type_name=".inference.ModelInstanceGroup"
    )
    config.field.add(
        name="dynamic_batching", number=11, type=11, label=1, type_name=".inference.ModelDynamicBatching"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))
