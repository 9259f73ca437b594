"""Files that are damaged, enormous or meant to do harm: no import is ever half done, and none breaks the server."""

import gzip
import io
import struct
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from modelship_lab.records.errors import InvalidData
from modelship_lab.server.labeling.formats import arrow
from modelship_lab.server.labeling.formats.arrow import ArrowReader

CSV = b"text,label\n" + b"".join(b"row number %d,ham\n" % row for row in range(500))


def parquet(columns=None):
    sink = io.BytesIO()
    pq.write_table(pa.table(columns or {"text": [f"row {row}" for row in range(500)]}), sink)
    return sink.getvalue()


def bomb_png(width=60_000, height=60_000):
    """A small file that says it has 3.6 thousand million pixels."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
        + chunk(b"IEND", b"")
    )


def jpeg():
    sink = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(sink, "JPEG")
    return sink.getvalue()


@pytest.mark.parametrize(
    ("format", "content", "said"),
    [
        ("csv", b"", "empty"),
        ("csv", b"\n\n\n", "header"),
        ("csv", b"text,label\n", "no rows"),
        ("csv", b"text,text\na,b\n", "twice"),
        ("csv", bytes(range(256)) * 100, "binary"),
        ("csv", parquet(), "binary"),
        ("csv", gzip.compress(CSV)[:-20], "gzip"),
        ("csv", gzip.compress(CSV)[:40] + b"\x00" * 40, "gzip"),
        ("csv", b"body,label\na,ham\n", "no column 'text'"),
        ("jsonl", b"", "empty"),
        ("jsonl", b"not json\nnot json either\n", "no JSON object"),
        ("json", b'[{"text": "a"}', "not JSON"),
        ("json", b'{"text": "a"}', "list of objects"),
        ("json", b"[" * 200_000, "nested more than 64 deep"),
        ("json", b"[]", "empty"),
        ("parquet", b"", "not Parquet"),
        ("parquet", CSV, "not Parquet"),
        ("parquet", parquet()[:-100], "not Parquet"),
        ("parquet", b"PAR1" + b"\xff" * 500 + b"PAR1", "not Parquet"),
        ("arrow", b"", "not Arrow"),
        ("arrow", b"ARROW1\x00\x00" + b"\xff" * 300, "not Arrow"),
    ],
    ids=lambda value: value if isinstance(value, str) else f"{len(value)} bytes",
)
def test_an_unreadable_file_fails_with_a_reason_and_imports_nothing(
    project, lab_server, format, content, said
):
    done = project.import_file(
        content, format=format, text="text", label="label" if format == "csv" else None
    )
    assert done["status"] == "failed"
    assert said in done["error"]
    assert "Traceback" not in done["error"]
    assert str(lab_server.data_dir) not in done["error"]
    assert project.progress()["total"] == 0
    assert project.client.get("health").status_code == 200


def arrow_file(table, **options):
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema, options=pa.ipc.IpcWriteOptions(**options)) as writer:
        writer.write(table)
    return sink.getvalue()


def test_a_file_of_a_few_bytes_cannot_keep_all_other_imports_waiting(project, arrow_bytes):
    nulls = pa.table({"text": pa.nulls(10**9)})
    for format, content in (
        ("arrow", arrow_file(nulls)),
        ("arrow", arrow_bytes(nulls)),
        ("parquet", parquet({"text": pa.nulls(100_000_001, pa.bool_())})),
    ):
        assert len(content) < 200_000
        done = project.import_file(content, format=format, text="text")
        assert (done["status"], done["rows_read"]) == ("failed", 0)
        assert "more than 100000000 rows" in done["error"]


def test_a_batch_that_would_be_unpacked_to_very_much_is_not_unpacked(tmp_path, monkeypatch):
    packed = tmp_path / "packed.arrow"
    packed.write_bytes(arrow_file(pa.table({"text": ["x" * 3000] * 1000}), compression="zstd"))
    assert ArrowReader(packed).columns == ["text"]
    monkeypatch.setattr(arrow, "MAX_UNPACKED", 3_000_000)
    with pytest.raises(InvalidData, match="smaller ones"):
        ArrowReader(packed)


@pytest.mark.parametrize("position", [0.3, 0.6, 0.9])
def test_a_parquet_file_with_damaged_pages_is_all_or_nothing(project, position):
    content = bytearray(parquet({"text": [f"row {row} " * 50 for row in range(20_000)]}))
    start = int(len(content) * position)
    content[start : start + 64] = b"\xa5" * 64
    done = project.import_file(bytes(content), format="parquet", text="text")
    total = project.progress()["total"]
    assert total == done["samples_added"]
    if done["status"] == "failed":
        assert total == 0


def test_a_stream_that_ends_too_early_imports_nothing(project, arrow_bytes):
    whole = arrow_bytes(pa.table({"text": [f"row {row}" for row in range(5000)]}))
    done = project.import_file(whole[: len(whole) * 2 // 3], format="arrow")
    assert done["status"] == "failed"
    assert project.progress()["total"] == 0


def test_a_column_that_is_not_there_is_answered_with_those_that_are(project):
    done = project.import_file(b"id,bodies\n1,a\n", format="csv", text="body")
    assert done["status"] == "failed"
    assert "Did you mean 'bodies'" in done["error"]
    assert "id, bodies" in done["error"]


def test_a_file_in_another_encoding_than_named_fails(project):
    done = project.import_file("text\nabc\n".encode("utf-16-le")[:-1], format="csv", encoding="utf-16-le")
    assert done["status"] == "failed"
    assert "utf-16" in done["error"]


def test_a_file_of_which_no_row_is_utf8_says_what_to_do(project):
    content = "text\n" + "\n".join(f"Größe {row}" for row in range(50))
    done = project.import_file(content.encode("latin-1"), format="csv", text="text")
    assert (done["samples_added"], done["bad_rows"]) == (0, 50)
    assert "encoding" in done["problems"][0]["reason"]


@pytest.mark.parametrize("encoding", ["no-such-encoding", "rot13", "base64", "idna\x00", "../../etc/passwd"])
def test_an_encoding_that_is_none_is_refused_at_once(project, encoding):
    answer = project.send(CSV, format="csv", text="text", encoding=encoding)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"] == "encoding"


def test_a_huge_line_is_one_bad_row(project):
    content = b"text,label\nbefore,ham\n" + b"x" * (20 << 20) + b",ham\nafter,ham\n"
    done = project.import_file(content, format="csv", text="text", label="label")
    assert done["status"] == "finished"
    assert [problem["row"] for problem in done["problems"]] == [2]
    assert [one["text"] for one in project.samples()] == ["before", "after"]


def test_a_quote_that_is_never_closed_does_not_swallow_the_file_unsaid(project):
    content = b"text,label\nbefore,ham\n" + b'"opened,ham\n' + b"swallowed,ham\n" * 50
    done = project.import_file(content, format="csv", text="text", label="label")
    assert done["samples_added"] == 1
    assert "never closed" in done["problems"][0]["reason"]


def test_a_huge_line_of_json_is_one_bad_row(project):
    content = b'{"text": "before"}\n{"text": "' + b"x" * (20 << 20) + b'"}\n{"text": "after"}\n'
    done = project.import_file(content, format="jsonl", text="text")
    assert (done["samples_added"], done["bad_rows"]) == (2, 1)
    assert [one["text"] for one in project.samples()] == ["before", "after"]


def test_json_that_is_nested_too_deeply_is_one_bad_row(project):
    content = b'{"text": "good"}\n{"text": ' + b"[" * 100_000 + b"]" * 100_000 + b"}\n"
    done = project.import_file(content, format="jsonl", text="text")
    assert (done["samples_added"], done["bad_rows"]) == (1, 1)


def test_damaged_images_are_bad_rows_with_their_names(new_project, arrow_bytes):
    project = new_project("image_classification")
    good = jpeg()
    images = [good, good[:200], b"not an image", b"", bomb_png(), b"<svg onload='alert(1)'/>", None]
    table = pa.table(
        {
            "image": pa.array(images, pa.binary()),
            "filename": [
                "good.jpg",
                "../../cut.jpg",
                "text.png",
                "empty.png",
                "bomb.png",
                "script.svg",
                "none.png",
            ],
        }
    )
    done = project.import_file(arrow_bytes(table), format="arrow", image="image")
    assert (done["samples_added"], done["bad_rows"]) == (1, 6), done
    reasons = {problem["row"]: problem["reason"] for problem in done["problems"]}
    assert list(reasons) == [2, 3, 4, 5, 6, 7]
    assert "pixels" in reasons[5]
    assert "bomb.png" in reasons[5]


def test_a_file_name_leads_nowhere(project, lab_server):
    for name in ("../../../evil.csv", "..\\..\\evil.csv", "/etc/evil.csv", "C:\\evil.csv"):
        done = project.import_file(b"text\n" + name.encode() + b"\n", filename=name)
        assert (done["status"], done["filename"]) == ("finished", "evil.csv")
    assert not list(lab_server.data_dir.rglob("evil*"))
    # Uploads are gone once they are read.
    assert not [
        path for path in (lab_server.data_dir / "uploads").iterdir() if path.name.startswith("import-")
    ]


@pytest.mark.parametrize(
    "digest", ["..%2F..%2Flab.duckdb", "%2e%2e%2ftoken", "a" * 64, "A" * 64, "..", "%00", "token"]
)
def test_a_digest_leads_nowhere(lab_server, digest):
    answer = lab_server.client.get(f"blobs/{digest}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "NOT_FOUND"


def test_html_in_a_text_stays_text(project):
    text = "<script>alert(document.cookie)</script><img src=x onerror=alert(1)>"
    project.import_texts(text)
    answer = project.client.get(f"{project.path}/samples")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json()["items"][0]["text"] == text


def test_what_is_no_image_is_never_shown_as_a_page(project, lab_server):
    """A run's artifact lies among the blobs, too."""
    run = lab_server.client.post("runs", json={"name": "r"}).json()
    page = b"<html><script>alert(1)</script></html>"
    saved = lab_server.client.put(f"runs/{run['id']}/artifacts/page.html", content=page).json()
    answer = lab_server.client.get(f"blobs/{saved['digest']}")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"format": "docx"}, "format"),
        ({"format": "csv", "image": "x"}, "image"),
        ({"format": "csv", "features": ["x"]}, "features"),
        ({"format": "csv", "colour": "x"}, "colour"),
        ({}, "format"),
    ],
)
def test_wrong_options_are_refused_at_once(project, options, field):
    answer = project.send(CSV, **options)
    assert answer.status_code == 422
    assert field in [one["field"] for one in answer.json()["error"]["details"]]


def test_an_import_that_a_killed_server_was_reading_is_marked_failed(start_server, tmp_path):
    server = start_server(tmp_path)
    server.client.post("projects", json={"name": "p", "task": "text_classification", "classes": ["a", "b"]})
    content = b"text\n" + b"".join(
        b"a line of the file that is long enough number %d\n" % row for row in range(400_000)
    )
    begun = server.client.post("projects/p/imports", params={"format": "csv"}, content=content).json()
    server.kill()
    again = start_server(tmp_path)
    found = again.client.get(f"imports/{begun['id']}").json()
    assert found["status"] == "failed"
    assert "import it again" in found["error"]
    assert again.client.get("projects/p/progress").json()["total"] == 0
    assert not list((tmp_path / "uploads").iterdir())


def test_a_server_that_is_stopped_gives_the_import_up(start_server, tmp_path):
    server = start_server(tmp_path)
    server.client.post("projects", json={"name": "p", "task": "text_classification", "classes": ["a", "b"]})
    content = b"text\n" + b"".join(
        b"a line of the file that is long enough number %d\n" % row for row in range(400_000)
    )
    begun = server.client.post("projects/p/imports", params={"format": "csv"}, content=content).json()
    server.stop()
    again = start_server(tmp_path)
    found = again.client.get(f"imports/{begun['id']}").json()
    assert found["status"] == "failed"
    assert "import it again" in found["error"]
    assert again.client.get("projects/p/progress").json()["total"] == 0


def test_a_project_that_is_deleted_while_a_file_is_read_stays_deleted(project, lab_server):
    content = b"text\n" + b"".join(b"line %d\n" % row for row in range(100_000))
    begun = project.send(content, format="csv").json()
    assert lab_server.client.delete(project.path).status_code == 204
    # The import goes with its project; if it was still being read, it finds no project to store into.
    assert lab_server.client.get(f"imports/{begun['id']}", params={"wait_s": 30}).status_code == 404
    assert lab_server.client.get(f"{project.path}/progress").status_code == 404
