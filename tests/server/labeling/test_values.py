"""Sets of classes, spans and boxes; notes, acts that are undone together, automatic labels and known answers."""

import io

import pyarrow as pa
import pytest
from PIL import Image

from tests.server.labeling.conftest import ipc, new_key

VALUES = {
    "labels": {"labels": ["spam", "ham"]},
    "none of them": {"labels": []},
    "spans": {"spans": [{"start": 0, "end": 2, "label": "ham"}, {"start": 1, "end": 3, "label": "ham"}]},
    "boxes": {"boxes": [{"x": 0.25, "y": 0, "width": 0.5, "height": 1, "label": "spam"}]},
}
TASKS = {
    "labels": {"multilabel": True},
    "none of them": {"multilabel": True},
    "spans": {"task": "token_classification"},
    "boxes": {"task": "object_detection"},
}


def png(color: str) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (8, 4), color).save(sink, "png")
    return sink.getvalue()


def fill(project, task):
    if task == "object_detection":
        table = pa.table({"image": [png("red"), png("blue")]})
    else:
        table = pa.table({"text": ["a😀c", "two"]})
    assert project.import_file(ipc(table), format="arrow")["samples_added"] == 2
    return [one["id"] for one in project.samples()]


@pytest.mark.parametrize("case", VALUES)
def test_a_value_is_saved_counted_filtered_and_undone(new_project, case):
    project = new_project(**TASKS[case])
    one, two = fill(project, TASKS[case].get("task"))
    value = VALUES[case]
    (kind,) = value
    saved = project.save({"sample_id": one, **value}, {"sample_id": two, **value}).json()
    same = {kind: sorted(value[kind]) if kind == "labels" else value[kind]}
    assert [label[kind] for label in saved["labels"]] == [same[kind]] * 2
    classes = {name for part in value[kind] for name in [part if kind == "labels" else part["label"]]}
    counted = {name: 2 if name in classes else 0 for name in ("ham", "spam")}
    assert saved["progress"]["by_class"] == counted
    (first, _) = project.samples(status="labeled")
    assert {kind: first[kind]} == same

    # The server counts anew what it had counted as it went.
    changed = project.save({"sample_id": one, kind: []}).json()
    assert changed["progress"]["labeled"] == 2
    assert project.samples()[0][kind] == []
    undone = project.undo().json()
    assert (undone["count"], undone["sample"][kind]) == (1, same[kind])
    assert undone["progress"]["by_class"] == counted


@pytest.mark.parametrize(
    "value",
    [
        {"spans": [{"start": 0, "end": 4, "label": "ham"}]},
        {"spans": [{"start": 2, "end": 2, "label": "ham"}]},
        {"spans": [{"start": 0, "end": 1, "label": "eggs"}]},
        {"boxes": []},
        {"label": "ham"},
    ],
)
def test_a_value_that_does_not_fit_is_refused(new_project, value):
    project = new_project(task="token_classification")
    one, _ = fill(project, "token_classification")
    # An emoji is one character.
    assert project.save({"sample_id": one, "spans": [{"start": 0, "end": 3, "label": "ham"}]}).is_success
    assert project.save({"sample_id": one, **value}).status_code == 422
    assert project.progress()["by_class"] == {"ham": 1, "spam": 0}


def test_notes_are_shown_and_undone_and_decide_nothing(project):
    (one,) = project.import_texts("one")
    project.save({"sample_id": one, "action": "skip", "note": "too short"})
    project.save({"sample_id": one, "action": "note", "note": "see above"})
    sample = project.samples()[0]
    assert (sample["status"], sample["note"]) == ("skipped", "see above")
    assert project.undo().json()["sample"]["note"] == "too short"
    after = project.undo().json()
    assert (after["sample"]["note"], after["progress"]["unlabeled"]) == (None, 1)


def test_a_bulk_is_one_act(project):
    project.import_texts(*(f"number {number}" for number in range(30)), "other")
    first = project.samples()[0]["id"]
    project.label(first, "ham")
    body = {"samples": {"search": "NUMBER"}, "label": "spam", "expected": 30, "key": new_key()}
    path = f"{project.path}/labels/bulk"
    assert project.client.post(path, json={**body, "expected": 29}).status_code == 409
    assert project.progress()["labeled"] == 1
    for _ in range(2):
        saved = project.client.post(path, json=body).json()
        assert (saved["saved"], saved["progress"]["by_class"]) == (30, {"ham": 0, "spam": 30})
    undo = {"key": new_key()}
    for _ in range(2):
        undone = project.undo(**undo).json()
        assert (undone["count"], undone["progress"]["by_class"]) == (30, {"ham": 1, "spam": 0})
    assert project.samples(status="labeled")[0]["id"] == first
    assert project.undo(batch=body["key"]).status_code == 409
    assert project.undo().json()["progress"]["unlabeled"] == 31
    assert project.client.post(path, json={**body, "label": "eggs"}).status_code == 422


def test_automatic_labels_are_told_apart_and_revoked(project):
    one, two, three = project.import_texts("one", "two", "three")
    automatic = {"label": "spam", "source": "model", "origin": "model:spam@3", "confidence": 0.98}
    saved = project.save(*({"sample_id": sample, **automatic} for sample in (one, two))).json()
    assert saved["labels"][0]["confidence"] == 0.98
    project.save({"sample_id": three, **automatic, "origin": "model:spam@2"})
    project.label(two, "ham")
    progress = project.progress()
    assert (progress["labeled"], progress["auto"], progress["unlabeled"]) == (1, 2, 0)
    assert (progress["by_class"]["spam"], progress["auto_by_class"]["spam"]) == (0, 2)
    # What a model did in somebody's name is none of their acts.
    project.undo()
    assert project.undo().status_code == 409
    path, body = f"{project.path}/labels/revoke", {"origin": "model:spam@3", "key": new_key()}
    for _ in range(2):
        revoked = project.client.post(path, json=body).json()
        assert (revoked["saved"], revoked["progress"]["auto"], revoked["progress"]["unlabeled"]) == (2, 1, 2)
    assert project.client.post(path, json={**body, "key": new_key()}).status_code == 404
    assert [sample["id"] for sample in project.samples(status="auto")] == [three]


def test_a_known_answer_counts_and_measures_change_nothing(project):
    one, two = project.import_texts("one", "two")
    path = f"{project.path}/gold"
    gold = {"gold": [{"sample_id": one, "label": "ham"}]}
    assert project.client.post(path, json=gold).json()["progress"]["by_class"]["ham"] == 1
    project.label(one, "spam", purpose="gold")
    project.label(one, "spam", purpose="repeat")
    assert project.samples()[0]["label"] == "ham"
    assert (
        project.client.post(path, json={"gold": [{"sample_id": two + 99, "label": "ham"}]}).status_code == 404
    )
    assert project.client.post(path, json={"gold": [{"sample_id": two, "label": "eggs"}]}).status_code == 422
    for _ in range(3):
        progress = project.undo().json()["progress"]
    assert progress["unlabeled"] == 2
