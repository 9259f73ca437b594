"""The bundle store: whole bundles or none, found by digest."""

import io
import tarfile
from pathlib import Path

import pytest

from modelship_lab.bundles.pack import MODEL, digest, from_tar
from modelship_lab.records.errors import InvalidData, NotFound
from modelship_lab.server.registry.bundles import BundleStore
from tests.server.shipping import text_bundle


@pytest.fixture
def store(tmp_path: Path) -> BundleStore:
    for name in ("bundles", "uploads"):
        (tmp_path / name).mkdir()
    return BundleStore(tmp_path / "bundles", tmp_path / "uploads")


@pytest.fixture
def tar(tmp_path: Path) -> Path:
    file = tmp_path / "bundle.tar"
    file.write_bytes(text_bundle(tmp_path / "source"))
    return file


def test_a_bundle_comes_back_as_it_went_in(store: BundleStore, tar: Path, tmp_path: Path) -> None:
    name, manifest = store.add(tar)
    assert manifest.classes == ("ham", "spam", "other")
    back = store.tar(name)
    with back.open("rb") as file:
        from_tar(file, tmp_path / "back")
    assert digest(tmp_path / "back") == name == digest(tmp_path / "source")
    assert store.folder(name).name == name


def test_the_same_bundle_is_kept_once(store: BundleStore, tar: Path) -> None:
    first, _ = store.add(tar)
    inode = store.folder(first).stat().st_ino
    again, _ = store.add(tar)
    assert again == first
    assert store.folder(first).stat().st_ino == inode
    assert [entry.name for entry in store.folder(first).parent.iterdir()] == [first]


def test_a_damaged_bundle_is_noticed_and_replaced(store: BundleStore, tar: Path) -> None:
    name, _ = store.add(tar)
    model = store.folder(name) / MODEL
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    with pytest.raises(InvalidData, match=r"model\.onnx"):
        store.manifest(name)
    assert store.add(tar)[0] == name
    assert store.manifest(name).task == "text_classification"


def test_what_is_not_a_bundle_leaves_nothing_behind(store: BundleStore, tmp_path: Path) -> None:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as hostile:
        entry = tarfile.TarInfo("../escaped")
        entry.size = 4
        hostile.addfile(entry, io.BytesIO(b"evil"))
    file = tmp_path / "hostile.tar"
    file.write_bytes(content.getvalue())
    with pytest.raises(InvalidData):
        store.add(file)
    assert not list((tmp_path / "bundles").iterdir())
    assert not list(tmp_path.rglob("escaped"))


def test_half_a_bundle_of_a_dead_process_is_cleared_away(
    store: BundleStore, tar: Path, tmp_path: Path
) -> None:
    name, _ = store.add(tar)
    half = tmp_path / "bundles" / ".new-1234"
    half.mkdir()
    (half / MODEL).write_bytes(b"half")
    again = BundleStore(tmp_path / "bundles", tmp_path / "uploads")
    assert not half.exists()
    assert again.manifest(name)


@pytest.mark.parametrize("name", ["../bundles", "", "0" * 64, "A" * 64])
def test_only_digests_find_something(store: BundleStore, name: str) -> None:
    with pytest.raises(NotFound):
        store.folder(name)
