"""Files of every format become samples, and what cannot is listed."""

import datetime
import gzip
import io
import json
import socket
import time

import httpx
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

TABULAR = "tabular_classification"
IMAGES = "image_classification"


def parquet(table):
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def arrow_file(table):
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def png(color, size=(9, 7), kind="PNG"):
    sink = io.BytesIO()
    Image.new("RGB", size, color).save(sink, kind)
    return sink.getvalue()


ROWS = [
    {"body": "hello, you", "label": "ham"},
    {"body": 'say "hi"\nagain', "label": "spam"},
    {"body": "ünï 🎉", "label": None},
]
TABLE = pa.Table.from_pylist(ROWS)
CSV = 'body,label\n"hello, you",ham\n"say ""hi""\nagain",spam\nünï 🎉,\n'


@pytest.mark.parametrize(
    ("format", "content"),
    [
        ("csv", CSV.encode()),
        ("csv", b"\xef\xbb\xbf" + CSV.encode()),
        ("csv", CSV.replace("\n", "\r\n").replace('hi""\r\n', 'hi""\n').encode()),
        ("csv", 'body;label\n"hello, you";ham\n"say ""hi""\nagain";spam\nünï 🎉;\n'.encode()),
        ("csv", gzip.compress(CSV.encode())),
        ("csv", CSV.encode("utf-16")),
        ("tsv", 'body\tlabel\nhello, you\tham\n"say ""hi""\nagain"\tspam\nünï 🎉\t\n'.encode()),
        ("json", json.dumps(ROWS).encode()),
        ("jsonl", "\n".join(json.dumps(row) for row in ROWS).encode()),
        (
            "jsonl",
            b"\xef\xbb\xbf" + "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode(),
        ),
        ("parquet", parquet(TABLE)),
        ("arrow", arrow_file(TABLE)),
    ],
)
def test_the_same_texts_come_out_of_every_format(project, format, content):
    done = project.import_file(content, format=format, text="body", label="label")
    assert (done["status"], done["samples_added"], done["labels_added"]) == ("finished", 3, 2), done
    assert [(one["text"], one["label"]) for one in project.samples()] == [
        (row["body"], row["label"]) for row in ROWS
    ]
    progress = project.progress()
    assert (progress["total"], progress["labeled"], progress["by_class"]) == (3, 2, {"ham": 1, "spam": 1})


def test_an_arrow_stream_is_taken_too(project, arrow_bytes):
    assert project.import_file(arrow_bytes(TABLE), format="arrow", text="body")["samples_added"] == 3


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16-le"])
def test_other_encodings_are_read_when_named(project, encoding):
    content = "text\ncafé crème\n".encode(encoding)
    assert project.import_file(content, format="csv", encoding=encoding)["samples_added"] == 1
    assert project.samples()[0]["text"] == "café crème"


def test_the_format_is_told_by_the_file_name(project):
    assert project.import_file(b'{"text": "one"}\n', filename="mails.JSONL")["samples_added"] == 1
    answer = project.send(b"x", filename="mails.doc")
    assert answer.status_code == 422
    assert "csv, tsv, json" in answer.json()["error"]["message"]


def test_the_text_column_is_found_when_there_is_no_doubt(project):
    assert (
        project.import_file(b"id,body,label\n1,one,ham\n", format="csv", label="label")["samples_added"] == 1
    )
    assert project.samples()[0]["text"] == "one"
    failed = project.import_file(b"a,b\n1,2\n", format="csv")
    assert failed["status"] == "failed"
    assert "a, b" in failed["error"]


def test_bad_rows_are_listed_with_their_number_and_reason(project):
    content = (
        b"body,label\n"
        b"good,ham\n"  # 1
        b"only\n"  # 2
        b"x,y,z\n"  # 3
        b'"two\nlines",spam\n'  # 4
        b"\n"
        b"good,spam\n"  # 5: the same text
        b"other,eggs\n"  # 6
        b"caf\xe9,ham\n"  # 7
        b'"  ",ham\n'  # 8
        b"nul\x00byte,ham\n"  # 9
        b'"quoted"badly,ham\n'  # 10
        b"last,\n"  # 11
    )
    done = project.import_file(content, format="csv", text="body", label="label")
    assert (done["samples_added"], done["duplicates"], done["bad_rows"], done["rows_read"]) == (3, 1, 7, 11)
    reasons = {problem["row"]: problem["reason"] for problem in done["problems"]}
    expected = {
        2: "2 columns expected, 1 found",
        3: "2 columns expected, 3 found",
        5: "duplicate of an earlier row",
        6: "label: 'eggs' is not a class of this project; classes: ham, spam",
        7: "encoding: the byte 0xe9",
        8: "empty",
        9: "NUL",
        10: "quotes",
    }
    assert list(reasons) == list(expected)
    for row, part in expected.items():
        assert part in reasons[row]
    assert [one["text"] for one in project.samples()] == ["good", "two\nlines", "last"]


def test_bad_lines_of_json_are_listed(project):
    content = b'{"text": "one"}\nnot json\n[1]\n{"text": 5}\n{"other": 1}\n{"text": "\xff"}\n{"text": "a\\u0000b"}\n'
    done = project.import_file(content, format="jsonl", text="text")
    assert (done["samples_added"], done["bad_rows"]) == (1, 6)
    reasons = [problem["reason"] for problem in done["problems"]]
    for reason, part in zip(
        reasons, ["not JSON", "object", "int, not a text", "missing", "0xff", "NUL"], strict=True
    ):
        assert part in reason


def test_a_second_import_adds_only_what_is_new(project):
    project.import_texts("one", "two")
    done = project.import_file(b"text\ntwo\nthree\nthree\n", format="csv")
    assert (done["samples_added"], done["duplicates"]) == (1, 2)
    assert [problem["reason"] for problem in done["problems"]] == [
        "duplicate of a sample that the project has already",
        "duplicate of an earlier row: row 2",
    ]
    assert [one["text"] for one in project.samples()] == ["one", "two", "three"]


def test_the_same_text_may_be_in_two_projects(project, new_project):
    other = new_project()
    assert len(project.import_texts("one")) == len(other.import_texts("one")) == 1


def test_many_problems_are_counted_and_the_first_hundred_listed(project):
    lines = b"".join(b"text %d,\n" % row if row % 2 else b"text %d\n" % row for row in range(1, 501))
    done = project.import_file(b"body,label\n" + lines, format="csv", text="body")
    assert (done["samples_added"], done["bad_rows"], len(done["problems"])) == (250, 250, 100)
    assert [problem["row"] for problem in done["problems"]] == list(range(2, 201, 2))


def test_imports_follow_each_other_without_losing_anything(project):
    begun = [
        project.send(
            b"text\n" + b"".join(b"%d-%d\n" % (number, row) for row in range(200)), format="csv"
        ).json()
        for number in range(5)
    ]
    for one in begun:
        done = project.client.get(f"imports/{one['id']}", params={"wait_s": 30}).json()
        assert (done["status"], done["samples_added"]) == ("finished", 200)
    assert project.progress()["total"] == 1000


# --- tables -------------------------------------------------------------------------------------------


def test_all_columns_but_the_label_are_fields_and_numbers_stay_numbers(new_project):
    project = new_project(TABULAR, ("0", "1"))
    content = b"age,height,zip,city,target\n31,1.75,01234,Bern,1\n,1e2,00001,,0\n-4, 2 ,99999,7,\n"
    done = project.import_file(content, format="csv", label="target")
    assert (done["samples_added"], done["labels_added"]) == (3, 2), done
    assert [one["row"] for one in project.samples()] == [
        {"age": 31, "height": 1.75, "zip": "01234", "city": "Bern"},
        {"age": None, "height": 100.0, "zip": "00001", "city": None},
        {"age": -4, "height": 2.0, "zip": "99999", "city": "7"},
    ]
    table = project.table("samples")
    assert table.column_names[:7] == ["id", "status", "age", "height", "zip", "city", "label"]
    assert table.schema.field("age").type == pa.int64()
    assert table.schema.field("height").type == pa.float64()


def test_only_the_named_features_are_taken(new_project):
    project = new_project(TABULAR)
    project.import_file(b"a,b,c\n1,2,x\n", format="csv", features=["c", "a"])
    assert project.samples()[0]["row"] == {"c": "x", "a": 1}


def test_rows_that_differ_in_their_label_only_are_duplicates(new_project):
    project = new_project(TABULAR)
    done = project.import_file(b"a,y\n1,ham\n1,spam\n,ham\n", format="csv", label="y")
    assert (done["samples_added"], done["duplicates"], done["bad_rows"]) == (1, 1, 1)


def test_typed_columns_of_a_frame_become_fields(new_project):
    project = new_project(TABULAR, ("0", "1"))
    table = pa.table(
        {
            "x": [1.5, float("nan"), float("inf")],
            "n": pa.array([1, None, 3], pa.int32()),
            "yes": [True, False, None],
            "day": [datetime.date(2024, 2, 29), None, None],
            # A frame with missing labels has its whole numbers as floats.
            "target": [1.0, 0.0, None],
        }
    )
    done = project.import_file(parquet(table), format="parquet", label="target")
    assert (done["samples_added"], done["labels_added"]) == (3, 2), done
    assert [one["row"] for one in project.samples()] == [
        {"x": 1.5, "n": 1, "yes": True, "day": "2024-02-29"},
        {"x": None, "n": None, "yes": False, "day": None},
        {"x": None, "n": 3, "yes": None, "day": None},
    ]
    assert [one["label"] for one in project.samples()] == ["1", "0", None]


def test_nested_values_are_bad_rows(new_project):
    project = new_project(TABULAR)
    done = project.import_file(b'[{"a": 1, "b": [1]}, {"a": 2, "b": 3}]', format="json")
    assert (done["samples_added"], done["bad_rows"]) == (1, 1)
    assert "column 'b' holds a list" in done["problems"][0]["reason"]


# --- images -------------------------------------------------------------------------------------------


def test_images_are_stored_once_and_served_as_what_they_are(new_project, arrow_bytes):
    project = new_project(IMAGES, ("red", "blue"))
    table = pa.table(
        {
            "image": [png("red"), png("blue", kind="JPEG"), png("red")],
            "label": ["red", None, "red"],
            "filename": ["a.png", "b.jpg", "again.png"],
        }
    )
    done = project.import_file(arrow_bytes(table), format="arrow", label="label")
    assert (done["samples_added"], done["labels_added"], done["duplicates"]) == (2, 1, 1), done
    first, second = project.samples()
    answer = project.client.get(f"blobs/{first['image']}")
    assert answer.content == png("red")
    assert answer.headers["content-type"] == "image/png"
    assert "immutable" in answer.headers["cache-control"]
    assert project.client.get(f"blobs/{second['image']}").headers["content-type"] == "image/jpeg"


def test_images_of_a_hugging_face_data_set_are_read(new_project):
    project = new_project(IMAGES, ("red", "blue"))
    table = pa.table({"image": [{"bytes": png("red"), "path": "a.png"}], "label": ["red"]})
    assert project.import_file(parquet(table), format="parquet", label="label")["samples_added"] == 1


# --- frames -------------------------------------------------------------------------------------------


def test_a_polars_frame_is_taken_as_it_is_sent(new_project):
    project = new_project(TABULAR, ("0", "1"))
    frame = pl.DataFrame(
        {
            "city": ["Bern", None, "Rome"],
            "kind": pl.Series(["a", "b", "a"], dtype=pl.Categorical),
            "when": [datetime.datetime(2024, 1, 2, 3, 4), None, None],
            "price": pl.Series(["1.50", "2.25", None], dtype=pl.String).cast(pl.Decimal(10, 2)),
            "small": pl.Series([1, 2, None], dtype=pl.UInt8),
            "y": [1, 0, None],
        }
    )
    sink = io.BytesIO()
    frame.write_ipc_stream(sink, compression="zstd")
    done = project.import_file(sink.getvalue(), format="arrow", label="y")
    assert (done["samples_added"], done["labels_added"]) == (3, 2), done
    assert project.samples()[0]["row"] == {
        "city": "Bern",
        "kind": "a",
        "when": "2024-01-02T03:04:00",
        "price": 1.5,
        "small": 1,
    }


def test_a_pandas_frame_with_its_index_is_taken(new_project):
    project = new_project(TABULAR)
    frame = pd.DataFrame({"x": [1.5, None], "kind": pd.Categorical(["a", "b"])}, index=[7, 9])
    done = project.import_file(frame.to_csv().encode(), format="csv")
    assert done["samples_added"] == 2, done
    assert project.samples()[1]["row"] == {"column_1": 9, "x": None, "kind": "b"}


def test_an_upload_that_breaks_off_leaves_nothing(project, lab_server):
    def kept() -> set[str]:
        return {path.name for path in (lab_server.data_dir / "uploads").iterdir()}

    before = kept()
    address = httpx.URL(lab_server.url)
    with socket.create_connection((address.host, address.port)) as line:
        head = [
            f"POST /mlship/api/{project.path}/imports?format=csv HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {lab_server.token}",
            "Content-Length: 1000000",
        ]
        line.sendall("\r\n".join(head).encode() + b"\r\n\r\ntext\n" + b"a text\n" * 10_000)
        until(lambda: kept() > before)
    until(lambda: kept() == before)
    assert project.samples() == []
    assert project.import_file(b"text\nwhole\n", format="csv")["samples_added"] == 1


def until(holds) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)
