"""Snapshots: what training works on, and nothing that is labeled later changes it."""

import concurrent.futures
import hashlib
import io

import pyarrow as pa
import pytest
from PIL import Image


def take(project, **fields):
    answer = project.client.post(f"{project.path}/snapshots", json=fields)
    assert answer.status_code == 201, answer.text
    return answer.json()


def content(project, snapshot):
    answer = project.client.get(f"snapshots/{snapshot['id']}/data")
    assert hashlib.sha256(answer.content).hexdigest() == snapshot["digest"]
    return pa.ipc.open_file(answer.content).read_all()


def test_a_snapshot_holds_what_is_labeled_and_nothing_else(project):
    one, two, three, four = project.import_texts("one", "two", "three", "four")
    project.label(one, "spam")
    project.label(three, "ham", source="import")
    project.save({"sample_id": two, "action": "skip"}, {"sample_id": four, "action": "flag"})
    snapshot = take(project, description="first")
    assert (snapshot["number"], snapshot["rows"], snapshot["by_class"]) == (1, 2, {"ham": 1, "spam": 1})
    assert snapshot["features"] == []
    table = content(project, snapshot)
    assert table.schema.names == ["sample_id", "label", "source", "split", "text"]
    assert table.schema.types == [pa.int64(), pa.int32(), pa.string(), pa.string(), pa.string()]
    assert table.to_pylist() == [
        {"sample_id": one, "label": 1, "source": "human", "split": None, "text": "one"},
        {"sample_id": three, "label": 0, "source": "import", "split": None, "text": "three"},
    ]


def test_a_snapshot_stays_as_it_is_while_labeling_goes_on(project):
    one, two = project.import_texts("one", "two")
    project.label(one, "spam")
    first = take(project)
    project.label(one, "ham")
    project.label(two, "ham")
    second = take(project)
    assert content(project, first)["label"].to_pylist() == [1]
    assert content(project, second)["label"].to_pylist() == [0, 0]
    listed = project.client.get(f"{project.path}/snapshots").json()
    assert listed["items"] == [second, first]
    assert project.client.get(f"snapshots/{first['id']}").json() == first


def test_the_same_labels_give_the_same_file(project):
    (one,) = project.import_texts("one")
    project.label(one, "ham")
    first, second = take(project), take(project)
    assert first["digest"] == second["digest"]
    assert (first["number"], second["number"]) == (1, 2)


def test_snapshots_taken_at_once_have_numbers_of_their_own(project):
    (one,) = project.import_texts("one")
    project.label(one, "ham")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: take(project), range(6)))
    assert sorted(snapshot["number"] for snapshot in taken) == [1, 2, 3, 4, 5, 6]


def test_an_undone_label_is_not_in_a_snapshot(project):
    one, two = project.import_texts("one", "two")
    project.label(one, "ham")
    project.label(two, "ham")
    project.undo()
    assert content(project, take(project))["sample_id"].to_pylist() == [one]


def test_without_labels_there_is_no_snapshot(project):
    project.import_texts("one")
    answer = project.client.post(f"{project.path}/snapshots", json={})
    assert answer.status_code == 409
    assert "labeled" in answer.json()["error"]["message"]


def test_features_are_typed_columns(new_project):
    project = new_project("tabular_classification")
    rows = b"age,height,city,y\n1,1.5,Bern,ham\n,2,,spam\n3,,Rome,\n"
    project.import_file(rows, format="csv", label="y")
    snapshot = take(project)
    assert snapshot["features"] == ["age", "height", "city"]
    table = content(project, snapshot)
    assert table.schema.field("age").type == pa.int64()
    assert table.schema.field("height").type == pa.float64()
    assert table.schema.field("city").type == pa.string()
    assert table.select(["age", "height", "city"]).to_pylist() == [
        {"age": 1, "height": 1.5, "city": "Bern"},
        {"age": None, "height": 2.0, "city": None},
    ]
    assert table["source"].to_pylist() == ["import", "import"]


def test_the_images_of_a_snapshot_come_as_one_stream(new_project, arrow_bytes):
    project = new_project("image_classification")

    def png(shade):
        sink = io.BytesIO()
        Image.new("L", (8, 8), shade).save(sink, "PNG")
        return sink.getvalue()

    images = [png(shade) for shade in (0, 100, 200)]
    table = pa.table({"image": images, "label": ["ham", "spam", None]})
    project.import_file(arrow_bytes(table), format="arrow", label="label")
    snapshot = take(project)
    digests = content(project, snapshot)["image"].to_pylist()
    answer = project.client.get(f"snapshots/{snapshot['id']}/blobs")
    stream = pa.ipc.open_stream(answer.content).read_all()
    assert stream.schema.names == ["digest", "data"]
    assert dict(zip(stream["digest"].to_pylist(), stream["data"].to_pylist(), strict=True)) == dict(
        zip(digests, images[:2], strict=True)
    )


def test_a_snapshot_of_texts_has_no_images(project):
    (one,) = project.import_texts("one")
    project.label(one, "ham")
    answer = project.client.get(f"snapshots/{take(project)['id']}/blobs")
    assert pa.ipc.open_stream(answer.content).read_all().num_rows == 0


def test_a_snapshot_that_is_not_there_is_not_found(project):
    for path in ("", "/data", "/blobs"):
        assert project.client.get(f"snapshots/{10**12}{path}").status_code == 404


def test_splits_stay_and_automatic_labels_are_left_out_unless_asked_for(project):
    project.import_texts(*(f"text {number}" for number in range(300)))
    sample_ids = project.table("samples")["id"].to_pylist()
    project.save(*({"sample_id": one, "label": "ham"} for one in sample_ids[:200]))
    project.save(*({"sample_id": one, "label": "spam", "source": "model"} for one in sample_ids[200:]))
    splits = {"train": 0.7, "test": 0.3}
    first = content(project, take(project, splits=splits))
    assert first.num_rows == 200
    assert 40 <= first["split"].to_pylist().count("test") <= 80
    all_of_them = content(project, take(project, splits=splits, include_auto=True))
    assert set(all_of_them["source"].to_pylist()) == {"human", "model"}
    # A later snapshot with more samples keeps everything where it was.
    assert all_of_them["split"].to_pylist()[:200] == first["split"].to_pylist()
    other = content(project, take(project, splits=splits, seed=1))
    assert other["split"].to_pylist() != first["split"].to_pylist()
    answer = project.client.post(f"{project.path}/snapshots", json={"splits": {"train": 0.7}})
    assert answer.status_code == 422


@pytest.mark.parametrize(
    ("task", "values", "column"),
    [
        ({"multilabel": True}, [{"labels": ["spam", "ham"]}, {"labels": []}], [[0, 1], []]),
        (
            {"task": "token_classification"},
            [{"spans": [{"start": 0, "end": 2, "label": "ham"}]}, {"spans": []}],
            [[{"start": 0, "end": 2, "label": "ham"}], []],
        ),
    ],
)
def test_a_snapshot_holds_values_of_every_kind(new_project, task, values, column):
    project = new_project(**task)
    samples = project.import_texts("one", "two")
    project.save(*({"sample_id": one, **value} for one, value in zip(samples, values, strict=True)))
    snapshot = take(project)
    (kind,) = values[0]
    assert content(project, snapshot)[kind].to_pylist() == column
    assert snapshot["by_class"]["ham"] == 1
    project.save({"sample_id": samples[1], **values[0]})
    diff = project.client.get(f"snapshots/{snapshot['id']}/diff/{take(project)['id']}").json()
    assert (diff["relabeled"], diff["same"]) == (1, 1)
    assert diff["changes"][0]["before"][kind] == []
    assert diff["changes"][0]["after"][kind] == [
        part if isinstance(part, dict) else ["ham", "spam"][part] for part in column[0]
    ]


def test_a_diff_tells_what_changed(project, new_project):
    one, two, three = project.import_texts("one", "two", "three")
    project.label(one, "ham")
    project.label(two, "ham")
    first = take(project)
    project.label(two, "spam")
    project.label(three, "spam")
    project.save({"sample_id": one, "action": "flag"})
    second = take(project)
    diff = project.client.get(f"snapshots/{first['id']}/diff/{second['id']}").json()
    assert [diff[name] for name in ("added", "removed", "relabeled", "moved", "same")] == [1, 1, 1, 0, 0]
    assert [
        (change["sample_id"], (change["before"] or {}).get("label"), (change["after"] or {}).get("label"))
        for change in diff["changes"]
    ] == [(two, "ham", "spam"), (three, None, "spam"), (one, "ham", None)]
    assert diff["changes"][0]["preview"] == "two"
    same = project.client.get(f"snapshots/{first['id']}/diff/{first['id']}").json()
    assert (same["same"], same["changes"]) == (2, [])
    other = new_project()
    (four,) = other.import_texts("four")
    other.label(four, "ham")
    assert project.client.get(f"snapshots/{first['id']}/diff/{take(other)['id']}").status_code == 409
