"""Wrong labels are found by models that have not seen them."""

import csv
from pathlib import Path

import pyarrow as pa

from tests.server.labeling.conftest import ipc

REVIEWS = Path(__file__).parents[3] / "notebooks" / "data" / "reviews.csv"


def test_flipped_labels_are_found_far_more_often_than_by_chance(new_project):
    with REVIEWS.open(newline="", encoding="utf-8") as file:
        rows = list({row["text"]: row["label"] for row in csv.DictReader(file)}.items())[:2400]
    other = {"negative": "positive", "positive": "negative"}
    labels = [other[label] if place % 20 == 0 else label for place, (_, label) in enumerate(rows)]
    project = new_project(classes=tuple(other))
    table = pa.table({"text": [text for text, _ in rows], "label": labels})
    assert project.import_file(ipc(table), format="arrow", label="label")["labels_added"] == len(rows)
    begun = project.client.post(f"{project.path}/jobs", json={"kind": "label_errors"}).json()
    job = project.client.get(f"jobs/{begun['id']}", params={"wait_s": 60}).json()
    assert job["status"] == "finished", job["error"]
    truth = dict(rows)
    texts = {row["id"]: row["text"] for row in project.table("samples").to_pylist()}
    worst = job["result"]["errors"][:60]
    wrong = [one for one in worst if truth[texts[one["sample_id"]]] != one["label"]]
    assert len(worst) == 60
    # By chance one in twenty were wrong.
    assert len(wrong) > 15
    assert all(one["likely"] == other[one["label"]] for one in worst)
    assert [one["score"] for one in worst] == sorted(one["score"] for one in worst)
    # They go back to whoever labels.
    doubtful = {"samples": {"ids": [one["sample_id"] for one in worst[:3]]}, "purpose": "error"}
    assert project.client.post(f"{project.path}/queue/requests", json=doubtful).json()["added"] == 3
    asked = project.client.get(f"{project.path}/queue", params={"limit": 5}).json()
    errors = [one["id"] for one in asked["samples"] if one["purpose"] == "error"]
    assert sorted(errors) == sorted(doubtful["samples"]["ids"])


def test_without_two_classes_there_is_nothing_to_compare(project, new_project):
    (one,) = project.import_texts("one")
    project.label(one, "ham")
    begun = project.client.post(f"{project.path}/jobs", json={"kind": "label_errors"}).json()
    job = project.client.get(f"jobs/{begun['id']}", params={"wait_s": 60}).json()
    assert (job["status"], "the same" in job["error"]) == ("failed", True)
    sets = new_project(multilabel=True)
    assert sets.client.post(f"{sets.path}/jobs", json={"kind": "label_errors"}).status_code == 409
