"""Suggestions that are sure enough become automatic labels; never in place of what people say."""


def settings(project, **changed):
    project.client.patch(project.path, json={"settings": changed}).raise_for_status()


def suggested(sample_ids, *confidences, label="spam"):
    return [
        {"sample_id": one, "label": label, "confidence": confidence}
        for one, confidence in zip(sample_ids, confidences, strict=True)
    ]


def statuses(project):
    return [one["status"] for one in project.samples()]


def test_what_is_sure_enough_becomes_a_label_by_itself(new_project):
    project = new_project(settings={"threshold": 0.9})
    ids = project.import_texts("one", "two", "three")
    answer = project.suggest(*suggested(ids, 0.95, 0.9, 0.89), source="light:3").json()
    assert answer == {"saved": 3, "auto": 2, "outgrown": 0}
    assert statuses(project) == ["auto", "auto", "unlabeled"]
    progress = project.progress()
    assert (progress["labeled"], progress["auto"], progress["unlabeled"]) == (0, 2, 1)
    label = project.client.get(f"{project.path}/labels").json()["items"][-1]
    assert (label["source"], label["origin"], label["confidence"]) == ("model", "light:3", 0.95)
    # It is one act, and one undo takes it back.
    assert project.undo(batch=label["batch"]).json()["count"] == 2
    assert statuses(project) == ["unlabeled"] * 3


def test_what_people_say_stays(new_project):
    project = new_project(settings={"threshold": 0.5})
    ids = project.import_texts("one", "two", "three")
    project.label(ids[0], "ham")
    project.save({"sample_id": ids[1], "action": "skip"})
    assert project.suggest(*suggested(ids, 1, 1, 1)).json()["auto"] == 1
    assert statuses(project) == ["labeled", "skipped", "auto"]
    assert project.samples()[0]["label"] == "ham"
    project.label(ids[2], "ham")
    assert project.suggest(*suggested(ids, 1, 1, 1)).json()["auto"] == 0
    assert project.samples()[2]["label"] == "ham"


def test_classes_have_thresholds_of_their_own(new_project):
    project = new_project(settings={"class_thresholds": {"spam": 0.8}})
    ids = project.import_texts("one", "two", "three")
    project.suggest(*suggested(ids[:2], 0.85, 0.7), *suggested(ids[2:], 1, label="ham"))
    # Nothing says how sure one must be of ham.
    assert statuses(project) == ["auto", "unlabeled", "unlabeled"]


def test_a_set_of_classes_reaches_the_highest_threshold_of_them(new_project):
    settings = {"threshold": 0.6, "class_thresholds": {"spam": 0.9}}
    project = new_project(multilabel=True, settings=settings)
    ids = project.import_texts("one", "two", "three", "four")
    sets = [["ham"], ["ham", "spam"], [], ["spam"]]
    answer = project.suggest(
        *({"sample_id": one, "labels": said, "confidence": 0.7} for one, said in zip(ids, sets, strict=True))
    )
    assert answer.json()["auto"] == 2
    assert statuses(project) == ["auto", "unlabeled", "auto", "unlabeled"]
    assert project.progress()["auto_by_class"] == {"ham": 1, "spam": 0}


def test_a_new_threshold_applies_to_what_is_stored_when_that_is_asked_for(project):
    ids = project.import_texts("one", "two")
    project.suggest(*suggested(ids, 0.9, 0.6), source="rules:short")
    accept = f"{project.path}/suggestions/accept"
    assert project.client.post(accept).status_code == 409
    settings(project, threshold=0.8)
    assert project.client.post(accept).json() == {"saved": 0, "auto": 1, "outgrown": 0}
    assert statuses(project) == ["auto", "unlabeled"]
    settings(project, threshold=0.5)
    assert project.client.post(accept).json()["auto"] == 1
    labels = project.client.get(f"{project.path}/labels").json()["items"]
    assert {one["source"] for one in labels} == {"rule"}
    # What is revoked does not come again from where it came.
    body = {"origin": "rules:short", "key": "k" * 8 + project.name}
    assert project.client.post(f"{project.path}/labels/revoke", json=body).json()["saved"] == 2
    assert project.client.post(accept).json()["auto"] == 0
    assert project.suggest(*suggested(ids, 1, 1), source="rules:long").json()["auto"] == 2


def test_what_is_below_its_threshold_is_a_list_of_its_own(new_project):
    project = new_project()
    ids = project.import_texts("one", "two", "three", "four", "five")
    query = {"below_threshold": True}
    refused = project.client.get(f"{project.path}/samples", params=query)
    assert (refused.status_code, refused.json()["error"]["message"]) == (
        409,
        f"'{project.name}' has no threshold: set one first.",
    )
    assert project.client.get(f"{project.path}/queue", params={"order": "below_threshold"}).status_code == 409
    settings(project, threshold=0.9, class_thresholds={"ham": 0.6})
    # The first and the fourth are sure enough, nothing is suggested for the fifth.
    project.suggest(*suggested(ids[:3], 0.95, 0.5, 0.7), *suggested(ids[3:4], 0.65, label="ham"))
    assert [one["id"] for one in project.samples(below_threshold=True)] == [ids[1], ids[2]]
    assert [one["id"] for one in project.samples(below_threshold=False)] == [ids[0], ids[3]]
    queue = project.client.get(f"{project.path}/queue", params={"order": "below_threshold"}).json()["samples"]
    assert [(one["id"], one["reason"]) for one in queue] == [
        (ids[1], "confidence 50 %, below 90 %"),
        (ids[2], "confidence 70 %, below 90 %"),
    ]
    # The queue follows the settings.
    settings(project, threshold=0.6)
    assert project.queue(order="below_threshold") == [ids[1]]
    assert [one["id"] for one in project.samples(below_threshold=True)] == [ids[1]]


def test_sets_of_classes_are_below_the_highest_threshold_of_them(new_project):
    project = new_project(multilabel=True, settings={"class_thresholds": {"spam": 0.9}})
    ids = project.import_texts("one", "two", "three")
    sets = [["spam"], ["ham", "spam"], []]
    project.suggest(
        *({"sample_id": one, "labels": said, "confidence": 0.95} for one, said in zip(ids, sets, strict=True))
    )
    assert statuses(project) == ["auto", "unlabeled", "unlabeled"]
    assert [one["id"] for one in project.samples(below_threshold=True)] == ids[1:]
    reasons = project.client.get(f"{project.path}/queue", params={"order": "below_threshold"}).json()[
        "samples"
    ]
    assert {one["reason"] for one in reasons} == {"confidence 95 %, no threshold for it"}


def test_what_a_higher_threshold_would_not_accept_is_taken_back_and_brought_back(new_project):
    project = new_project(settings={"threshold": 0.5})
    ids = project.import_texts("one", "two", "three", "four")
    project.suggest(*suggested(ids, 0.95, 0.6, 0.7, 0.8), source="light:1")
    project.label(ids[2], "spam")
    settings(project, threshold=0.9)
    accept, revoke = (f"{project.path}/{one}" for one in ("suggestions/accept", "labels/revoke"))
    assert project.client.post(accept).json() == {"saved": 0, "auto": 0, "outgrown": 2}
    body = {"outgrown": True, "key": "take-back" + project.name}
    assert project.client.post(revoke, json=body).json()["saved"] == 2
    assert statuses(project) == ["auto", "unlabeled", "labeled", "unlabeled"]
    assert project.client.post(revoke, json={**body, "key": "again" + project.name}).status_code == 404
    assert project.client.post(revoke, json={"key": "neither" + project.name}).status_code == 422
    # What people decided meanwhile is not touched by bringing the others back; sent twice, it happens once.
    project.label(ids[1], "ham")
    undo = {"batch": body["key"], "key": "bring-back" + project.name}
    for _ in range(2):
        undone = project.client.post(f"{project.path}/labels/undo", json=undo).json()
        assert (undone["count"], undone["label"]["origin"]) == (1, "light:1")
    assert statuses(project) == ["auto", "labeled", "labeled", "auto"]
    assert project.progress()["auto"] == 2
    # A lower threshold has them come again, too.
    assert project.client.post(revoke, json={**body, "key": "once-more" + project.name}).json()["saved"] == 1
    settings(project, threshold=0.5)
    assert project.client.post(accept).json() == {"saved": 0, "auto": 1, "outgrown": 0}


def test_imported_predictions_obey_the_thresholds(new_project):
    project = new_project(settings={"threshold": 0.9})
    rows = b"text,guess,sure,label\none,spam,0.95,\ntwo,spam,0.5,\nthree,spam,0.99,ham\n"
    columns = {"text": "text", "prediction": "guess", "confidence": "sure", "label": "label"}
    done = project.import_file(rows, format="csv", **columns)
    assert (done["labels_added"], done["suggestions_added"]) == (1, 3)
    assert statuses(project) == ["auto", "unlabeled", "labeled"]
    assert project.progress()["auto"] == 1
    assert project.samples()[0]["label"] == "spam"
    assert project.queue(order="below_threshold") == [project.samples()[1]["id"]]
