"""Saving and undoing decisions, and the progress that follows from them."""

import concurrent.futures
import uuid

import pytest


def key():
    return uuid.uuid4().hex


def error(answer):
    return answer.json()["error"]


def test_a_saved_label_is_the_samples_label(project):
    one, two = project.import_texts("one", "two")
    saved = project.label(one, "spam", duration_ms=1200)
    assert saved["saved"] == 1
    assert saved["labels"][0]["author"] == "owner"
    assert saved["progress"]["labeled"] == 1
    assert saved["progress"]["by_class"] == {"ham": 0, "spam": 1}
    assert [(s["id"], s["status"], s["label"]) for s in project.samples()] == [
        (one, "labeled", "spam"),
        (two, "unlabeled", None),
    ]


def test_the_same_key_saves_once(project):
    (one,) = project.import_texts("one")
    label = {"sample_id": one, "label": "ham", "key": key()}
    first, second = project.save(label).json(), project.save(label).json()
    assert (first["saved"], first["duplicates"]) == (1, 0)
    assert (second["saved"], second["duplicates"]) == (0, 1)
    assert second["labels"] == first["labels"]
    assert project.client.get(f"{project.path}/labels").json()["total"] == 1


def test_the_same_key_twice_in_one_request_saves_once(project):
    (one,) = project.import_texts("one")
    label = {"sample_id": one, "label": "ham", "key": key()}
    answer = project.save(label, label).json()
    assert (answer["saved"], answer["duplicates"]) == (1, 1)
    assert answer["progress"]["labeled"] == 1


def test_the_same_key_sent_by_many_at_once_saves_once(project):
    (one,) = project.import_texts("one")
    label = {"sample_id": one, "label": "ham", "key": key()}
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: project.save(label).json(), range(16)))
    assert sum(answer["saved"] for answer in answers) == 1
    assert len({answer["labels"][0]["id"] for answer in answers}) == 1
    assert project.progress()["labeled"] == 1


def test_a_key_belongs_to_one_sample(project):
    one, two = project.import_texts("one", "two")
    label = {"sample_id": one, "label": "ham", "key": key()}
    project.save(label)
    answer = project.save({**label, "sample_id": two})
    assert answer.status_code == 409
    assert project.progress()["labeled"] == 1


def test_the_newest_decision_counts(project):
    one, _ = project.import_texts("one", "two")
    project.label(one, "ham")
    project.label(one, "spam")
    assert project.samples()[0]["label"] == "spam"
    assert project.progress()["by_class"] == {"ham": 0, "spam": 1}
    project.save({"sample_id": one, "action": "flag"})
    progress = project.progress()
    assert (progress["labeled"], progress["flagged"], progress["unlabeled"]) == (0, 1, 1)
    assert project.samples(status="flagged")[0]["label"] is None


def test_of_two_decisions_in_one_request_the_last_counts(project):
    (one,) = project.import_texts("one")
    answer = project.save({"sample_id": one, "label": "ham"}, {"sample_id": one, "label": "spam"})
    assert answer.json()["saved"] == 2
    assert project.samples()[0]["label"] == "spam"
    assert project.progress()["labeled"] == 1


def test_thousands_are_saved_in_one_request(project):
    project.import_texts(*(f"text {number}" for number in range(1500)))
    ids = project.table("samples")["id"].to_pylist()
    assert len(ids) == 1500
    labels = [{"sample_id": one, "label": "ham" if one % 3 else "spam", "key": key()} for one in ids]
    answer = project.save(*labels).json()
    assert answer["saved"] == 1500
    assert [one["sample_id"] for one in answer["labels"]] == ids
    assert answer["progress"]["labeled"] == 1500
    again = project.save(*labels).json()
    assert (again["saved"], again["duplicates"]) == (0, 1500)
    assert sum(again["progress"]["by_class"].values()) == 1500
    assert project.table("labels").num_rows == 1500


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": "eggs"},
        {"label": None},
        {"label": ""},
        {"action": "skip", "label": "ham"},
        {"action": "shout"},
        {"label": "ham", "duration_ms": -1},
        {"label": "ham", "key": "short"},
        {"label": "ham", "key": "k" * 65},
        {"label": "ham", "source": "oracle"},
        {"label": 7},
        {"label": "ham", "sample_id": "one"},
        {"label": "ham", "sample_id": 2**70},
        {"label": "ham", "remark": "?"},
        {"labels": ["ham"]},
        {"label": None, "spans": []},
        {"action": "note"},
        {"label": "ham", "source": "gold"},
    ],
)
def test_a_wrong_decision_is_refused_and_nothing_of_its_request_is_saved(project, wrong):
    one, two = project.import_texts("one", "two")
    answer = project.save({"sample_id": one, "label": "ham"}, {"sample_id": two, **wrong})
    assert answer.status_code == 422
    assert error(answer)["details"][0]["field"].startswith("labels.1")
    assert project.progress()["labeled"] == 0


def test_an_unknown_class_is_answered_with_the_classes(project):
    (one,) = project.import_texts("one")
    message = error(project.save({"sample_id": one, "label": "Ham"}))["message"]
    assert "'Ham'" in message
    assert "ham, spam" in message


def test_a_sample_of_another_project_is_not_found(project, new_project):
    other = new_project()
    (mine,), (theirs,) = project.import_texts("one"), other.import_texts("one")
    answer = project.save({"sample_id": mine, "label": "ham"}, {"sample_id": theirs, "label": "ham"})
    assert answer.status_code == 404
    assert str(theirs) in error(answer)["message"]
    assert project.progress()["labeled"] == other.progress()["labeled"] == 0


def test_undo_walks_back_decision_by_decision(project):
    one, two = project.import_texts("one", "two")
    project.label(one, "ham")
    project.label(two, "ham")
    project.label(one, "spam")

    first = project.undo().json()
    assert (first["label"]["sample_id"], first["label"]["label"], first["label"]["undone"]) == (
        one,
        "spam",
        True,
    )
    assert (first["sample"]["status"], first["sample"]["label"]) == ("labeled", "ham")
    second = project.undo().json()
    assert second["sample"]["id"] == two
    assert second["sample"]["status"] == "unlabeled"
    third = project.undo().json()
    assert third["sample"]["id"] == one
    assert third["sample"]["status"] == "unlabeled"
    assert third["progress"] == {**third["progress"], "labeled": 0, "unlabeled": 2}
    nothing = project.undo()
    assert nothing.status_code == 409
    assert "nothing to undo" in error(nothing)["message"]
    # Nothing was erased.
    listed = project.client.get(f"{project.path}/labels").json()
    assert [item["undone"] for item in listed["items"]] == [True, True, True]


def test_the_same_undo_sent_again_undoes_once(project):
    one, two = project.import_texts("one", "two")
    project.label(one, "ham")
    project.label(two, "spam")
    same = key()
    first, second = project.undo(key=same).json(), project.undo(key=same).json()
    assert first["label"] == second["label"]
    assert project.progress()["labeled"] == 1


def test_a_named_decision_is_undone_and_the_one_before_counts(project):
    (one,) = project.import_texts("one")
    first = project.label(one, "ham")["labels"][0]["id"]
    project.label(one, "spam")
    undone = project.undo(label_id=first).json()
    assert undone["sample"]["label"] == "spam"
    assert project.undo(label_id=first).status_code == 409
    assert project.undo(label_id=10**12).status_code == 404
    assert project.undo().json()["sample"]["status"] == "unlabeled"


def test_an_undone_sample_comes_back_into_the_queue(project):
    one, two = project.import_texts("one", "two")
    project.label(one, "ham")
    assert project.queue(order="sequential") == [two]
    project.undo()
    assert project.queue(order="sequential") == [one, two]


def test_labels_that_came_with_a_file_are_not_undone_by_chance(project):
    project.import_file(b"text,label\none,ham\n", format="csv", text="text", label="label")
    assert project.undo().status_code == 409
    assert project.progress()["labeled"] == 1


def test_the_pace_is_the_median_of_human_labels(project):
    ids = project.import_texts("a", "b", "c", "d")
    for sample, duration_ms in zip(ids, (1000, 3000, 60_000), strict=False):
        project.label(sample, "ham", duration_ms=duration_ms)
    progress = project.progress()
    assert progress["seconds_per_label"] == 3.0
    assert progress["remaining_s"] == 3.0
    project.label(ids[3], "ham", duration_ms=1, source="rule")
    assert project.progress()["seconds_per_label"] == 3.0


def test_progress_and_keys_are_the_same_after_a_restart(start_server, tmp_path):
    server = start_server(tmp_path)
    server.client.post("projects", json={"name": "p", "task": "text_classification", "classes": ["a", "b"]})
    begun = server.client.post(
        "projects/p/imports", params={"format": "csv"}, content=b"text\n1\n2\n3\n4\n"
    ).json()
    assert server.client.get(f"imports/{begun['id']}", params={"wait_s": 20}).json()["samples_added"] == 4
    ids = [one["id"] for one in server.client.get("projects/p/samples").json()["items"]]
    labels = [
        {"sample_id": ids[0], "label": "a", "key": key(), "duration_ms": 500},
        {"sample_id": ids[1], "label": "b", "key": key(), "duration_ms": 700},
        {"sample_id": ids[2], "action": "skip", "key": key()},
    ]
    server.client.post("projects/p/labels", json={"labels": labels})
    undo = {"key": key()}
    server.client.post("projects/p/labels/undo", json=undo)
    before = server.client.get("projects/p/progress").json()
    assert (before["labeled"], before["skipped"], before["unlabeled"]) == (2, 0, 2)
    server.stop()
    client = start_server(tmp_path).client
    assert client.get("projects/p/progress").json() == before
    again = client.post("projects/p/labels", json={"labels": labels}).json()
    assert (again["saved"], again["duplicates"], again["progress"]) == (0, 3, before)
    assert client.post("projects/p/labels/undo", json=undo).status_code == 200
    for taken in ({**labels[0], "sample_id": ids[3]}, {**labels[0], **undo}):
        assert client.post("projects/p/labels", json={"labels": [taken]}).status_code == 409
    assert client.get("projects/p/progress").json() == before


def test_a_key_of_an_undo_is_not_one_of_a_decision(project):
    one, two = project.import_texts("one", "two")
    project.label(one, "ham")
    undo = key()
    project.undo(key=undo)
    assert project.save({"sample_id": two, "label": "ham", "key": undo}).status_code == 409
    assert project.progress()["labeled"] == 0


def test_decisions_are_told_to_listeners_of_the_project(project):
    (one,) = project.import_texts("one")
    project.label(one, "ham")
    project.undo()
    listed = project.client.get("events", params={"topic": f"project:{project.id}"}).json()["items"]
    assert [event["type"] for event in listed] == [
        "project.created",
        "import.finished",
        "labels.saved",
        "labels.undone",
    ]


def test_a_huge_body_is_refused(project):
    answer = project.client.post(
        f"{project.path}/labels", content=b'{"labels": [' + b" " * (17 << 20) + b"]}"
    )
    assert answer.status_code == 413
    assert error(answer)["code"] == "PAYLOAD_TOO_LARGE"
