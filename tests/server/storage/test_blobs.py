"""Content-addressed files."""

import hashlib

import pytest

from modelship_lab.records.errors import NotFound
from modelship_lab.server.storage.blobs import Blobs


def test_content_is_found_by_its_digest_and_stored_once(tmp_path):
    blobs = Blobs(tmp_path)
    digest = blobs.put(b"picture")
    assert digest == hashlib.sha256(b"picture").hexdigest()
    assert blobs.put(b"picture") == digest
    assert blobs.put_many([b"picture", b"other"])[0] == digest
    assert blobs.read(digest) == b"picture"
    assert sum(1 for path in tmp_path.rglob("*") if path.is_file()) == 2


def test_a_finished_file_is_moved_in(tmp_path):
    blobs = Blobs(tmp_path / "blobs")
    upload = tmp_path / "upload"
    upload.write_bytes(b"x" * 3_000_000)
    digest = blobs.adopt(upload)
    assert not upload.exists()
    assert blobs.path(digest).stat().st_size == 3_000_000


@pytest.mark.parametrize(
    "digest", ["../../etc/passwd", "", "a" * 64, "A" * 64, "/etc/passwd", "a" * 63 + "/"]
)
def test_nothing_outside_the_folder_is_reached(tmp_path, digest):
    with pytest.raises(NotFound):
        Blobs(tmp_path).path(digest)
