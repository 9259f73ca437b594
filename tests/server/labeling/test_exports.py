"""Labels of every kind go out in every format that can hold them, and come back the same."""

import csv
import io
import json
import struct
import zipfile
from xml.etree import ElementTree

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from modelship_lab.client.exchange.event_file import records
from modelship_lab.records.labeling import Project
from modelship_lab.records.protobuf import fields, varint
from modelship_lab.server.labeling.formats import open_writer
from modelship_lab.server.labeling.formats.outgoing import ColumnWriter, LabeledSample, Outgoing


def png(color, size=(8, 6)):
    sink = io.BytesIO()
    Image.new("RGB", size, color).save(sink, "PNG")
    return sink.getvalue()


TEXTS = ["Ada met Bob in Rome.", 'say "hi",\n🎉 <b>now</b>', "nothing here", "left alone"]
SPANS = [
    [{"start": 0, "end": 3, "label": "PER"}, {"start": 15, "end": 19, "label": "LOC"}],
    [{"start": 10, "end": 11, "label": "LOC"}],
    [],
    None,
]
PICTURES = [png("red"), png("blue", (20, 10)), png("green"), png("white")]
BOXES = [
    [
        {"x": 0.125, "y": 0.5, "width": 0.25, "height": 0.5, "label": "cat"},
        {"x": 0.0, "y": 0.0, "width": 1.0, "height": 1.0, "label": "dog"},
    ],
    [{"x": 0.5, "y": 0.2, "width": 0.05, "height": 0.3, "label": "dog"}],
    [],
    None,
]
NAMES = ["a.png", "sub/b.png", "a.jpg", None]

KINDS = {
    "label": ("text_classification", False, ("ham", "spam"), "text", TEXTS, ["ham", "spam", "ham", None]),
    "labels": (
        "text_classification",
        True,
        ("new", "old", "odd"),
        "text",
        TEXTS,
        [["new", "old"], ["odd"], [], None],
    ),
    "barred": (
        "text_classification",
        True,
        ("new", "old|er"),
        "text",
        TEXTS,
        [["new", "old|er"], ["old|er"], [], None],
    ),
    "spans": ("token_classification", False, ("PER", "LOC"), "text", TEXTS, SPANS),
    "image": (
        "image_classification",
        False,
        ("red", "blue"),
        "image",
        PICTURES,
        ["red", "blue", "red", None],
    ),
    "boxes": ("object_detection", False, ("cat", "dog"), "image", PICTURES, BOXES),
    "number": ("text_regression", False, (), "text", TEXTS, [215000.5, -0.25, 0.0, None]),
}


@pytest.fixture(scope="module")
def labeled(lab_server):
    """A labeled project of each kind, made when it is first asked for."""
    from tests.server.labeling.conftest import LabeledProject, ipc

    made = {}

    def get(kind):
        if kind not in made:
            task, multilabel, classes, content, samples, values = KINDS[kind]
            body = {"name": f"out-{kind}", "task": task, "classes": classes, "multilabel": multilabel}
            project = LabeledProject(lab_server.client, lab_server.client.post("projects", json=body).json())
            table = pa.table(
                {
                    content: samples,
                    "said": values,
                    "name": NAMES,
                    "split": ["train", "train", "test", None],
                    "group": ["g", None, "g", None],
                }
            )
            done = project.import_file(
                ipc(table), format="arrow", label="said", name="name", split="split", group="group"
            )
            assert (done.get("samples_added"), done.get("labels_added")) == (4, 3), done
            made[kind] = project
        return made[kind]

    return get


def export(project, format, **query):
    answer = project.client.get(f"{project.path}/export", params={"format": format, **query})
    assert answer.status_code == 200, answer.text
    return answer.content


OWN = {"own": True}
"""The format says itself what its columns are."""

ROUND_TRIPS = [
    *[
        (kind, format, {})
        for kind in ("label", "labels", "barred", "spans", "number")
        for format in ("csv", "tsv", "json", "jsonl", "parquet", "arrow")
    ],
    *[(kind, format, {}) for kind in ("image", "boxes") for format in ("parquet", "arrow")],
    *[(kind, format, OWN) for kind in KINDS for format in ("label_studio", "hf")],
    *[(kind, "zip", {"made": format}) for kind in ("image", "boxes") for format in ("csv", "jsonl")],
    *[("boxes", format, OWN) for format in ("coco", "yolo", "voc")],
    *[("boxes", "zip", {"made": format, **OWN}) for format in ("coco", "yolo", "voc", "hf", "label_studio")],
    *[(kind, "tfrecord", OWN) for kind in KINDS],
    ("spans", "conll", OWN),
    ("image", "image_folder", OWN),
    ("image", "zip", {"made": "image_folder", **OWN}),
]


@pytest.mark.parametrize(("kind", "format", "options"), ROUND_TRIPS)
def test_a_round_trip_keeps_every_label(labeled, new_project, kind, format, options):
    task, multilabel, classes, content, _, _ = KINDS[kind]
    source = labeled(kind)
    back = new_project(task, classes, multilabel=multilabel)
    field = {"barred": "labels", "image": "label"}.get(kind, kind)
    named = {"label": field, "name": "name", "split": "split", "group": "group", content: content}
    file = export(source, options.get("made", format))
    done = back.import_file(file, format=format, **({} if options.get("own") else named))
    assert (done.get("samples_added"), done.get("labels_added"), done.get("bad_rows")) == (3, 3, 0), done
    # Folders come in the order of their files.
    expected = {one[content]: one for one in source.samples()[:3]}
    for one in back.samples():
        before = expected.pop(one[content])
        assert one["split"] == before["split"]
        if field == "boxes":
            assert [box["label"] for box in one["boxes"]] == [box["label"] for box in before["boxes"]]
            for box, earlier in zip(one["boxes"], before["boxes"], strict=True):
                # The floats of TFRecord have 32 bits.
                assert box == pytest.approx(earlier, abs=1e-6 if format == "tfrecord" else 1e-9)
        else:
            assert one[field] == before[field]
    assert not expected


ROWS = pa.table(
    {
        "age": pa.array([1, None, 3, 4]),
        "height": [1.5, 2.25, None, 0.5],
        "town": ["Rome", "Köln", None, 'say "hi"'],
        "said": ["yes", "no", "yes", None],
        "split": ["train", "test", None, None],
    }
)


@pytest.mark.parametrize(
    "format", ["csv", "tsv", "json", "jsonl", "parquet", "arrow", "label_studio", "hf", "tfrecord"]
)
def test_rows_of_tables_come_back_from_every_format(new_project, format, arrow_bytes):
    source = new_project("tabular_classification", ("yes", "no"))
    source.import_file(arrow_bytes(ROWS), format="arrow", label="said", split="split")
    back = new_project("tabular_classification", ("yes", "no"))
    named = {"label": "label", "split": "split", "features": ["age", "height", "town"]}
    if format == "label_studio":
        named = {}
    if format == "tfrecord":
        del named["label"]
    done = back.import_file(export(source, format), format=format, **named)
    assert (done.get("samples_added"), done.get("labels_added"), done.get("bad_rows")) == (3, 3, 0), done
    said = [(one["label"], one["split"], one["row"]) for one in source.samples()[:3]]
    found = [(one["label"], one["split"], one["row"]) for one in back.samples()]
    key = lambda one: str(one[2].get("height"))  # noqa: E731
    for before, after in zip(sorted(said, key=key), sorted(found, key=key), strict=True):
        assert after[:2] == before[:2]
        assert {name: value for name, value in after[2].items() if value is not None} == {
            name: value for name, value in before[2].items() if value is not None
        }


@pytest.mark.parametrize(
    ("kind", "format"),
    [("label", "csv"), ("barred", "tsv"), ("spans", "parquet"), ("image", "zip"), ("boxes", "arrow")],
)
def test_a_table_that_a_lab_has_written_needs_no_word_about_its_columns(labeled, new_project, kind, format):
    task, multilabel, classes, content, _, _ = KINDS[kind]
    back = new_project(task, classes, multilabel=multilabel)
    done = back.import_file(export(labeled(kind), "csv" if format == "zip" else format), format=format)
    assert (done["samples_added"], done["labels_added"], done["bad_rows"]) == (3, 3, 0), done
    told = ("name", "split", "label", "labels", "spans", "boxes", content)
    said = [[one.get(name) for name in told] for one in (*labeled(kind).samples()[:3], *back.samples())]
    assert sorted(map(str, said[:3])) == sorted(map(str, said[3:]))


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet", "hf"])
def test_rows_come_back_without_what_the_lab_says_of_them(new_project, format, arrow_bytes):
    source = new_project("tabular_classification", ("yes", "no"))
    source.import_file(arrow_bytes(ROWS), format="arrow", label="said", split="split")
    first = source.samples()[0]["id"]
    source.suggest({"sample_id": first, "label": "no", "confidence": 0.75})
    back = new_project("tabular_classification", ("yes", "no"))
    done = back.import_file(export(source, format, suggestions=True), format=format)
    assert (done["samples_added"], done["labels_added"]) == (3, 3), done
    for one in back.samples():
        assert {name for name, value in one["row"].items() if value is not None} <= {"age", "height", "town"}
    said = [
        {(one["label"], one["row"].get("height")) for one in project.samples()} for project in (source, back)
    ]
    assert said[0] - said[1] == {(None, 0.5)}


def test_a_number_is_one_for_the_library_datasets_too(labeled, tmp_path):
    import datasets

    with zipfile.ZipFile(io.BytesIO(export(labeled("number"), "hf"))) as archive:
        archive.extractall(tmp_path)
    found = [row["number"] for part in datasets.load_from_disk(str(tmp_path)).values() for row in part]
    assert sorted(found) == [-0.25, 0.0, 215000.5]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "number"])
def test_the_library_datasets_opens_what_is_written_for_it(labeled, tmp_path, kind):
    import datasets

    with zipfile.ZipFile(io.BytesIO(export(labeled(kind), "hf"))) as archive:
        archive.extractall(tmp_path)
    found = datasets.load_from_disk(str(tmp_path))
    rows = {row["id"]: row for part in found.values() for row in part}
    field = {"barred": "labels", "image": "label"}.get(kind, kind)
    features = next(iter(found.values())).features
    _, _, classes, content, _, _ = KINDS[kind]
    for sample in labeled(kind).samples()[:3]:
        row = rows[sample["id"]]
        said = {
            "label": lambda value: classes[value],
            "labels": lambda value: [classes[code] for code in value],
        }.get(field, lambda value: [{**part, "label": classes[part["label"]]} for part in value])
        assert said(row[field]) == sample[field]
        if content == "image":
            assert row["image"].size in ((8, 6), (20, 10))
        else:
            assert row["text"] == sample["text"]
    assert list(classes) in (
        getattr(features[field], "names", None),
        getattr(getattr(features[field], "feature", None), "names", None),
        (getattr(features[field], "feature", None) or {}).get("label", features[field]).names
        if kind in ("spans", "boxes")
        else None,
    )


def test_boxes_of_a_hugging_face_data_set_of_detection_are_read(new_project, tmp_path):
    import datasets

    features = datasets.Features(
        {
            "image": datasets.Image(),
            "objects": datasets.Sequence(
                {
                    "bbox": datasets.Sequence(datasets.Value("float32"), length=4),
                    "category": datasets.ClassLabel(names=["cat", "dog"]),
                }
            ),
        }
    )
    objects = [
        {"bbox": [[10.0, 2.0, 1.0, 3.0], [0.0, 0.0, 20.0, 10.0]], "category": [1, 0]},
        {"bbox": [], "category": []},
    ]
    images = [{"bytes": data, "path": None} for data in PICTURES[1:3]]
    datasets.Dataset.from_dict({"image": images, "objects": objects}, features).save_to_disk(
        str(tmp_path / "saved")
    )
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for file in sorted((tmp_path / "saved").iterdir()):
            archive.write(file, file.name)
    project = new_project("object_detection", ("cat", "dog"))
    done = project.import_file(sink.getvalue(), format="hf")
    assert (done.get("samples_added"), done.get("labels_added")) == (2, 2), done
    dog, cat = project.samples()[0]["boxes"]
    assert dog == {"x": 0.5, "y": 0.2, "width": 0.05, "height": 0.3, "label": "dog"}
    assert cat == {"x": 0, "y": 0, "width": 1, "height": 1, "label": "cat"}
    assert project.samples()[1]["boxes"] == []


def test_a_table_tells_where_each_label_is_from(labeled):
    rows = list(csv.DictReader(io.StringIO(export(labeled("labels"), "csv").decode())))
    assert [row["labels"] for row in rows] == ["new|old", "odd", "[]"]
    assert {(row["status"], row["source"]) for row in rows} == {("labeled", "import")}
    table = pq.read_table(io.BytesIO(export(labeled("boxes"), "parquet")))
    assert table["image"].to_pylist() == PICTURES[:3]
    assert table["boxes"].to_pylist() == BOXES[:3]


def test_predictions_become_suggestions_and_never_labels(new_project):
    project = new_project("token_classification", ("PER", "LOC"))
    lines = [
        {"text": "Ada", "guess": [[0, 3, "PER"]], "sure": 0.75},
        {"text": "Rome", "guess": [{"start": 0, "end": 4, "label": "LOC"}]},
        {"text": "x"},
        {"text": "y", "guess": [[0, 9, "PER"]]},
        {"text": "z", "guess": [[0, 1, "PER"]], "sure": 7},
    ]
    done = project.import_file(
        "\n".join(map(json.dumps, lines)).encode(),
        format="jsonl",
        text="text",
        prediction="guess",
        confidence="sure",
    )
    assert (done["samples_added"], done["labels_added"], done["suggestions_added"]) == (3, 0, 2), done
    assert [problem["row"] for problem in done["problems"]] == [4, 5]
    assert project.progress()["labeled"] == 0
    first, second, third = (one["suggestion"] for one in project.samples())
    assert (first["spans"], first["confidence"]) == ([{"start": 0, "end": 3, "label": "PER"}], 0.75)
    assert (second["confidence"], third) == (0.5, None)
    assert export(project, "jsonl") == b""
    told = export(project, "jsonl", status="unlabeled", suggestions="true").splitlines()
    assert [json.loads(line)["confidence"] for line in told] == [0.75, 0.5, None]


def test_automatic_labels_go_out_only_when_asked_for(project):
    ids = project.import_texts("one", "two", "three")
    project.label(ids[0], "ham")
    project.label(ids[1], "spam", source="model", origin="spam/1")
    assert [json.loads(line)["id"] for line in export(project, "jsonl").splitlines()] == ids[:1]
    both = [json.loads(line) for line in export(project, "jsonl", status=["labeled", "auto"]).splitlines()]
    assert [(row["status"], row["source"], row["origin"]) for row in both] == [
        ("labeled", "human", ""),
        ("auto", "model", "spam/1"),
    ]


def test_a_broken_download_goes_on_where_it_was(labeled):
    project = labeled("label")
    begun = project.client.post(f"{project.path}/exports", json={"format": "json"})
    assert begun.status_code == 202, begun.text
    made = project.client.get(f"exports/{begun.json()['id']}", params={"wait_s": 20}).json()
    assert (made["status"], made["rows_written"], made["rows_total"], made["left_out"]) == (
        "finished",
        3,
        3,
        0,
    )
    path = f"exports/{made['id']}/data"
    whole = project.client.get(path)
    assert len(whole.content) == made["bytes"]
    rest = project.client.get(path, headers={"Range": "bytes=100-", "If-Range": whole.headers["etag"]})
    assert (rest.status_code, rest.content) == (206, whole.content[100:])
    assert rest.headers["content-range"] == f"bytes 100-{made['bytes'] - 1}/{made['bytes']}"
    other = project.client.get(path, headers={"Range": "bytes=100-", "If-Range": '"other"'})
    assert (other.status_code, other.content) == (200, whole.content)
    assert project.client.get("exports/nothing/data").status_code == 404


def test_a_format_that_cannot_hold_the_labels_is_refused(labeled):
    project = labeled("boxes")
    answer = project.client.get(f"{project.path}/export", params={"format": "conll"})
    assert answer.status_code == 422
    assert "parquet" in answer.json()["error"]["message"]


def examples(content):
    """The features of each `tf.train.Example` of a TFRecord file, whose checksums are right."""
    found = []

    def fail(offset, reason):
        raise AssertionError(f"{offset}: {reason}")

    for record in records(content, fail):
        ((_, features),) = fields(record)
        found.append({})
        for _, entry in fields(features):
            (_, name), (_, feature) = fields(entry)
            ((kind, values),) = fields(feature)
            if kind == 1:
                read = [bytes(value) for _, value in fields(values)]
            elif kind == 2:
                ((_, packed),) = fields(values)
                read = list(struct.unpack(f"<{len(packed) // 4}f", packed))
            else:
                ((_, packed),) = fields(values)
                read, position = [], 0
                while position < len(packed):
                    number, position = varint(packed, position)
                    read.append(number)
            found[-1][bytes(name).decode()] = read
    return found


def test_tfrecord_is_read_back(labeled):
    boxes = examples(export(labeled("boxes"), "tfrecord"))
    assert [one["image/encoded"] for one in boxes] == [[picture] for picture in PICTURES[:3]]
    assert (boxes[1]["image/width"], boxes[1]["image/height"]) == ([20], [10])
    assert boxes[0]["image/object/class/text"] == [b"cat", b"dog"]
    assert boxes[0]["image/object/class/label"] == [1, 2]
    assert boxes[0]["image/object/bbox/xmax"] == [0.375, 1.0]
    assert boxes[2]["image/object/class/text"] == []
    texts = examples(export(labeled("labels"), "tfrecord"))
    assert [one["text"] for one in texts] == [[text.encode()] for text in TEXTS[:3]]
    assert texts[0]["class/text"] == [b"new", b"old"]
    assert texts[0]["class/label"] == [0, 1]


def test_pascal_voc_has_pixels_that_count_from_one(labeled):
    with zipfile.ZipFile(io.BytesIO(export(labeled("boxes"), "voc"))) as archive:
        names = archive.namelist()
        (document,) = (name for name in names if name.endswith("sub-b.xml"))
        root = ElementTree.fromstring(archive.read(document))
        assert f"JPEGImages/{root.findtext('filename')}" in names
        assert archive.read("ImageSets/Main/test.txt").count(b"\n") == 1
    assert [root.findtext(f"size/{name}") for name in ("width", "height")] == ["20", "10"]
    (box,) = root.findall("object")
    assert box.findtext("name") == "dog"
    assert [box.findtext(f"bndbox/{name}") for name in ("xmin", "ymin", "xmax", "ymax")] == [
        "11",
        "3",
        "11",
        "5",
    ]


AWKWARD = [
    "",
    " a ",
    "a,b",
    "t\tb",
    'q"q',
    "n\nx",
    "r\rx",
    "r\r\nx",
    "é🎉\u2028",
    "\x1b\x7f\b\f",
    "\\n",
    "#x",
    "null",
    "1.5",
]


# What is said of a sample as the database has it, and of those in between nothing.
CONTENTS = {
    "text_classification": (None, None),
    "several": ('{"labels": []}', '{"labels": ["a,b", "null"]}'),
    "token_classification": (
        '{"spans": []}',
        '{"spans": [{"start": 0, "end": 1, "label": "a,b"}, {"start": 1, "end": 3, "label": ""}]}',
    ),
    "tabular_classification": (None, None),
}
FEATURES = {"n": pa.int64(), "x": pa.float64(), "id": pa.string()}


@pytest.mark.parametrize("format", ["csv", "tsv", "json", "jsonl", "parquet", "arrow", "hf"])
@pytest.mark.parametrize("task", CONTENTS)
def test_what_is_written_column_by_column_is_the_same_as_row_by_row(task, format, tmp_path):
    project = Project.model_construct(
        name="p",
        task="text_classification" if task == "several" else task,
        classes=tuple(AWKWARD),
        multilabel=task == "several",
    )
    is_table = task.startswith("tabular")
    outgoing = Outgoing(project, lambda digest: b"", FEATURES if is_table else {}, [], frozenset(), True)
    contents = CONTENTS[task]
    samples = [
        LabeledSample(
            id=number,
            name=text or None,
            group=text[::-1],
            split=None,
            text=None if is_table else text,
            image=None,
            fields=json.dumps({"n": number, "x": number / 4, "id": text}) if is_table else None,
            width=None,
            height=None,
            status="labeled",
            source="human",
            author=text,
            origin="",
            label=text if number % 3 and contents[0] is None else None,
            content=contents[number % 2] if number % 3 else None,
            suggested=text if number % 5 and contents[0] is None else None,
            suggested_content=contents[1] if number % 5 else None,
            confidence=number / 16,
            suggested_by="model",
        )
        for number, text in enumerate(AWKWARD, 1)
    ]
    written = []
    for way in ("rows", "columns"):
        writer = open_writer(tmp_path / way, format, outgoing)
        for some in (samples[:5], samples[5:]):
            if way == "rows":
                writer.write(some)
            else:
                assert isinstance(writer, ColumnWriter)
                rows = [outgoing.row(one) for one in some]
                writer.write_table(pa.Table.from_pylist(rows, schema=outgoing.schema))
        writer.close()
        written.append((tmp_path / way).read_bytes())
    if format == "hf":
        written = [_data_of(content) for content in written]
    assert written[0] == written[1]


def _data_of(folder):
    """The rows of a data set of one part."""
    with zipfile.ZipFile(io.BytesIO(folder)) as archive:
        return pa.ipc.open_stream(archive.read("data-00000-of-00001.arrow")).read_all()


def test_features_of_any_name_and_suggestions_go_out_with_their_types(new_project, arrow_bytes):
    names = ["", 'a"b', "a'b", "a/b", "a~b", "a.b", "a[0]", "*", "$", "\\", "0", "ID", "id", "ü\n"]
    row = {name: f"value {place}" for place, name in enumerate(names)}
    numbers = [
        {"n": 1, "x": 1.5, "b": True},
        {"n": -2, "x": 3, "b": None},
        {"n": None, "x": -0.25, "b": False},
    ]
    rows = [{**row, **one, "said": "ham"} for one in numbers]
    lines = "".join(f"{json.dumps(one)}\n" for one in rows).encode()
    project = new_project("tabular_classification")
    done = project.import_file(lines, format="jsonl", label="said")
    assert done["labels_added"] == 3, done
    first = project.samples()[0]["id"]
    project.suggest({"sample_id": first, "label": "spam", "confidence": 0.75})
    table = pq.read_table(io.BytesIO(export(project, "parquet", suggestions=True)))
    kinds = {"n": pa.int64(), "x": pa.float64(), "b": pa.bool_()}
    for name in (*names, *kinds):
        column = "feature_id" if name == "id" else name
        assert table.schema.field(column).type == kinds.get(name, pa.string())
        assert table[column].to_pylist() == [one[name] for one in rows]
    assert table["suggestion"].to_pylist() == ["spam", None, None]
    assert table["confidence"].to_pylist() == [0.75, None, None]
