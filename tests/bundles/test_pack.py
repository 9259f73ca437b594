"""A bundle is whole or it is refused."""

import io
import json
import tarfile
from pathlib import Path

import pytest
from onnx import TensorProto, helper

from modelship_lab.bundles.pack import digest, from_tar, pack, read, to_tar
from modelship_lab.bundles.reading import Reading
from modelship_lab.records.bundle import Lineage
from modelship_lab.records.errors import Conflict, InvalidData, LabError, PayloadTooLarge
from tests.bundles.examples import CLASSES, TEXT, build, table, table_model, text_model, write


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return write(tmp_path / "bundle", "text_classification", TEXT, text_model())


def as_tar(bundle: Path) -> io.BytesIO:
    file = io.BytesIO()
    to_tar(bundle, file)
    file.seek(0)
    return file


def test_what_was_packed_is_read(bundle: Path) -> None:
    manifest = read(bundle)
    assert manifest.classes == CLASSES
    assert manifest.preprocessing == TEXT
    assert manifest.lineage.run_id == 12
    assert set(manifest.checksums) == {"model.onnx"}


def test_figures_without_a_number_are_left_out(tmp_path: Path) -> None:
    manifest = pack(
        tmp_path / "b",
        task="text_classification",
        reading=Reading("label", CLASSES),
        preprocessing=TEXT,
        lineage=Lineage(),
        metrics={"accuracy": 0.5, "auc": float("nan")},
        parity=None,
        onnx=text_model(),
    )
    assert manifest.metrics == {"accuracy": 0.5}


def test_model_that_does_not_fit_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(InvalidData, match="numeric"):
        write(tmp_path / "b", "text_classification", TEXT, table_model(table(4)))
    with pytest.raises(InvalidData, match="cannot be loaded"):
        write(tmp_path / "b", "text_classification", TEXT, b"not a model")
    assert list(tmp_path.iterdir()) == []


def test_model_without_an_answer_to_nothing_is_not_packed(tmp_path: Path) -> None:
    numeric = helper.make_tensor_value_info("numeric", TensorProto.FLOAT, ["rows", 3])
    model = build([numeric], [helper.make_node("Softmax", ["numeric"], ["probabilities"], axis=1)], {})
    with pytest.raises(InvalidData, match="everything is missing"):
        write(tmp_path / "b", "tabular_classification", table(3), model)


def test_a_folder_with_something_in_it_is_not_overwritten(bundle: Path) -> None:
    with pytest.raises(Conflict):
        write(bundle, "text_classification", TEXT, text_model(seed=1))


def test_damage_is_found(bundle: Path) -> None:
    model = bundle / "model.onnx"
    content = bytearray(model.read_bytes())
    content[100] ^= 1
    model.write_bytes(content)
    with pytest.raises(InvalidData, match=r"model\.onnx.*damaged"):
        read(bundle)


def test_missing_strange_and_linked_files_are_found(bundle: Path, tmp_path: Path) -> None:
    (bundle / "extra.py").write_text("print()")
    with pytest.raises(InvalidData, match=r"extra\.py"):
        read(bundle)
    (bundle / "extra.py").unlink()
    (bundle / "model.onnx").rename(tmp_path / "elsewhere")
    with pytest.raises(InvalidData, match="missing"):
        read(bundle)
    (bundle / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InvalidData, match="not a plain file"):
        read(bundle)


def test_manifest_cannot_point_out_of_the_bundle(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    path = bundle / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["checksums"]["../secret"] = "0" * 64
    path.write_text(json.dumps(manifest))
    with pytest.raises(InvalidData, match="not a plain file"):
        read(bundle)


@pytest.mark.parametrize("content", ["", "{}", "[1", '{"format": 2}', "\x00" * 100])
def test_a_bad_manifest_is_refused(bundle: Path, content: str) -> None:
    (bundle / "bundle.json").write_text(content)
    with pytest.raises(InvalidData, match=r"bundle\.json"):
        read(bundle)


def test_digest_names_the_content_and_not_the_time(tmp_path: Path) -> None:
    first = write(tmp_path / "1", "text_classification", TEXT, text_model())
    again = write(tmp_path / "2", "text_classification", TEXT, text_model())
    other = write(tmp_path / "3", "text_classification", TEXT, text_model(seed=1))
    assert read(first).created_at != read(again).created_at
    assert digest(first) == digest(again) != digest(other)


def test_tar_and_back(bundle: Path, tmp_path: Path) -> None:
    assert as_tar(bundle).getvalue() == as_tar(bundle).getvalue()
    manifest = from_tar(as_tar(bundle), tmp_path / "back")
    assert manifest == read(bundle)
    assert digest(tmp_path / "back") == digest(bundle)


def entry(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"x", link: str = "") -> io.BytesIO:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname, info.size = kind, link, len(content) if kind == tarfile.REGTYPE else 0
        tar.addfile(info, io.BytesIO(content) if kind == tarfile.REGTYPE else None)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    "hostile",
    [
        entry("../outside"),
        entry("/etc/outside"),
        entry("sub/model.onnx"),
        entry("model.onnx", tarfile.SYMTYPE, link="/etc/passwd"),
        entry("model.onnx", tarfile.LNKTYPE, link="/etc/passwd"),
        entry("model.onnx", tarfile.FIFOTYPE),
        entry("model.onnx", tarfile.CHRTYPE),
        entry(".hidden"),
        entry("model.onnx"),
        io.BytesIO(b""),
        io.BytesIO(b"no tar at all" * 100),
        io.BytesIO(entry("model.onnx", content=b"y" * 5000).getvalue()[:2000]),
    ],
)
def test_hostile_tars_leave_nothing_behind(hostile: io.BytesIO, tmp_path: Path) -> None:
    hostile.seek(0)
    with pytest.raises(LabError):
        from_tar(hostile, tmp_path / "in" / "bundle")
    assert list((tmp_path / "in").iterdir()) == []
    assert list(tmp_path.iterdir()) == [tmp_path / "in"]


def test_too_large_tar_is_refused(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(PayloadTooLarge):
        from_tar(as_tar(bundle), tmp_path / "back", max_bytes=1000)
    assert not (tmp_path / "back").exists()
