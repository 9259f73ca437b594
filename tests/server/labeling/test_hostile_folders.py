"""Zip files that are damaged, enormous or meant to do harm: what is bad is listed, and everything else comes in."""

import io
import json
import struct
import subprocess
import sys
import zipfile

import pytest

from tests.server.labeling.test_exports import png
from tests.server.labeling.test_foreign_files import packed_files, problems
from tests.server.labeling.test_hostile_files import bomb_png


def link(name, target):
    info = zipfile.ZipInfo(name)
    info.external_attr = 0o120777 << 16
    return info, target


def test_bad_files_of_a_folder_are_listed_and_the_others_come_in(new_project, lab_server):
    project = new_project("image_classification", ("<b>red</b>", "blue"))
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {
            "blue/good.png": png("blue"),
            "%3Cb%3Ered%3C%2Fb%3E/inert.png": png("red"),
            "blue/cut.png": png("green")[:40],
            "blue/text.png": b"<script>alert(1)</script>",
            "blue/bomb.png": bomb_png(),
            "blue/zeros.png": bytes(80 << 20),
            "purple/other.png": png("purple"),
            "../../evil.png": png("gray"),
            "/etc/evil.png": png("gray"),
            "C:/evil.png": png("gray"),
            "blue\\..\\..\\evil.png": png("gray"),
            "blue/.hidden.png": png("gray"),
        }.items():
            archive.writestr(name, content)
        archive.writestr(*link("blue/link.png", "/etc/passwd"))
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("blue/good.png", png("black"))
    done = project.import_file(sink.getvalue(), format="zip")
    assert (done["samples_added"], done["labels_added"], done["bad_rows"]) == (2, 2, 11), done
    assert [one["label"] for one in project.samples()] == ["<b>red</b>", "blue"]
    for part in ("pixels", "more than 64 MiB", "'purple' is not a class", "leads out", "is a link", "twice"):
        assert any(part in reason for reason in problems(done)), part
    assert sum("leads out" in reason for reason in problems(done)) == 4
    assert not list(lab_server.data_dir.parent.rglob("evil*"))


def lying_zip():
    """A zip file whose end says that there are a thousand million files in it."""
    content = bytearray(packed_files({"a.png": png("red")}))
    end = content.rfind(b"PK\5\6")
    place = len(content[:end])
    record = struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, 10**9, 10**9, 10**9 * 50, 0)
    locator = struct.pack("<4sIQI", b"PK\6\7", 0, place, 1)
    struct.pack_into("<HHLL", content, end + 8, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
    return bytes(content[:end]) + record + locator + bytes(content[end:])


@pytest.mark.parametrize(
    ("format", "content", "said"),
    [
        ("zip", b"no zip file", "not a zip file"),
        ("zip", packed_files({"a.png": png("red")})[:-30], "not a zip file"),
        ("zip", packed_files({"a.txt": "text"}), "no images"),
        ("zip", packed_files({}), "no images"),
        ("zip", lying_zip(), "more than 500,000 files"),
        ("coco", packed_files({"a.png": png("red")}), "no JSON"),
        ("yolo", packed_files({"a.png": png("red")}), "names the classes"),
        ("yolo", packed_files({"a.png": png("red"), "data.yaml": "names: [" + "[" * 5000}), "not YAML"),
        ("hf", packed_files({"state.json": "{}", "dataset_info.json": "{"}), "damaged"),
        (
            "hf",
            packed_files(
                {"state.json": '{"_data_files": [{"filename": "../x"}]}', "dataset_info.json": "{}"}
            ),
            "missing",
        ),
        ("image_folder", packed_files({"a.txt": "x"}), "no image"),
        ("label_studio", json.dumps({"images": []}).encode(), "no image"),
    ],
)
def test_an_unreadable_folder_fails_with_a_reason(new_project, format, content, said):
    project = new_project("object_detection", ("cat", "dog"))
    done = project.import_file(content, format=format)
    assert (done["status"], done["samples_added"]) == ("failed", 0), done
    assert said in done["error"] or format == "label_studio", done["error"]


MEMORY = 256 << 20

READS_IN_LITTLE_MEMORY = f"""
import sys, zipfile
from pathlib import Path
from modelship_lab.records.base import utc_now
from modelship_lab.records.labeling import ImportOptions, Project
from modelship_lab.server.labeling.candidates import Candidates
from modelship_lab.server.labeling.formats import open_reader

format, path = sys.argv[1], Path(sys.argv[2])
line = b'{{"text": "' + b"many words " * 90000 + b'%d"}}'
with path.open("wb") as file:
    if format == "csv":
        file.write(b"text\\n")
    for row in range(290):
        text = line % row
        file.write((text[10:-2] if format == "csv" else text) + b"\\n")
assert path.stat().st_size > {MEMORY}
project = Project(
    id=1, name="x", task="text_classification", classes=("a", "b"), description="", owner_id=1, is_public=False,
    created_at=utc_now(), updated_at=utc_now(),
)
def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

before = peak()
reader = open_reader(path, format, "utf-8", project)
candidates = Candidates(project, ImportOptions(format=format, text="text"), reader, None)
assert sum(batch.num_rows for batch in candidates.batches()) == 290, candidates.bad
print(peak() - before)
"""


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_a_file_that_is_larger_than_the_memory_is_read(tmp_path, format):
    done = subprocess.run(
        [sys.executable, "-c", READS_IN_LITTLE_MEMORY, format, str(tmp_path / "large")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) < MEMORY
