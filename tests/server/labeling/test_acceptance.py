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
    assert answer == {"saved": 3, "auto": 2}
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
    assert project.client.post(accept).json() == {"saved": 0, "auto": 1}
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
