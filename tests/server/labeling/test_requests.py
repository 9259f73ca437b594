"""What people are asked to look at again: other opinions, reviews, disagreements, gold, repeats, and what somebody sends."""

import pytest

from tests.server.labeling.conftest import LabeledProject, new_key

ALL = ["read", "write", "label", "admin"]


@pytest.fixture
def team(new_project, person):
    """A new project as several people see it: an administrator, then labelers."""

    def make(count, *texts, **settings):
        project = new_project(settings=settings)
        people = [person(permissions=ALL) if one == 0 else person() for one in range(count)]
        labelers = [one.account["username"] for one in people[1:]]
        assert project.client.patch(project.path, json={"labelers": labelers}).status_code == 200
        ids = project.import_texts(*texts)
        record = {"id": project.id, "name": project.name}
        named = []
        for one in people:
            seen = LabeledProject(one.client, record)
            seen.person = one.account["username"]
            named.append(seen)
        return ids, named

    return make


def queue(project, **query):
    answer = project.client.get(f"{project.path}/queue", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def asked(project, purpose):
    """What is handed out for a purpose, by sample."""
    return {one["id"]: one for one in queue(project, purpose=purpose, limit=200)["samples"]}


def request(project, samples, **fields):
    answer = project.client.post(f"{project.path}/queue/requests", json={"samples": samples, **fields})
    assert answer.status_code == 201, answer.text
    return answer.json()


def add_gold(project, **labels):
    gold = [{"sample_id": int(sample_id), "label": label} for sample_id, label in labels.items()]
    assert project.client.post(f"{project.path}/gold", json={"gold": gold}).status_code == 200


def test_two_people_never_get_the_same_sample(team):
    ids, (ann, ben) = team(2, *(f"text {number}" for number in range(30)))
    first = ann.queue(limit=10)
    second = ben.queue(limit=15)
    assert not set(first) & set(second)
    # The same holder gets the same again, another one of the same person does not.
    assert ann.queue(limit=10) == first
    third = ann.queue(limit=10, holder="another window")
    assert sorted(first + second + third) == ids[:0] + sorted({*first, *second, *third})
    assert len({*first, *second, *third}) == 30
    ann.label(first[0], "ham")
    assert ben.queue(limit=30) == second
    released = ann.client.post(f"{ann.path}/queue/release", json={"holder": "another window"}).json()
    assert released == {"count": 5}
    assert set(ben.queue(limit=30)) == {*second, *third}


def test_who_may_only_look_takes_nothing_away(team, person):
    _ids, (ann,) = team(1, "one", "two")
    ann.client.patch(ann.path, json={"is_public": True}).raise_for_status()
    visitor = LabeledProject(person().client, {"id": ann.id, "name": ann.name})
    assert len(visitor.queue()) == 2
    assert len(ann.queue()) == 2
    assert visitor.client.post(f"{ann.path}/queue/release", json={}).status_code == 403


def test_so_many_people_label_each_sample_and_none_sees_what_the_others_said(team):
    (one, two), (ann, ben, eve) = team(3, "one", "two", overlap=2)
    ann.suggest({"sample_id": one, "label": "spam", "confidence": 0.9})
    ann.save({"sample_id": one, "label": "ham", "note": "odd"}, {"sample_id": two, "action": "skip"})
    assert queue(ann)["samples"] == []
    answer = queue(ben)
    assert answer["waiting"] == {"overlap": 2}
    shown = answer["samples"][0]
    assert (shown["id"], shown["purpose"], shown["status"]) == (one, "overlap", "unlabeled")
    assert {shown[name] for name in ("label", "suggestion", "note", "detail")} <= {None, ""}
    # While ben has them, nobody else does.
    assert asked(eve, "overlap") == {}
    ben.label(one, "ham", purpose="overlap")
    ben.client.post(f"{ben.path}/queue/release", json={})
    assert list(asked(eve, "overlap")) == [two]
    # An undo asks for another opinion again, and for one's own, too.
    ben.undo()
    assert queue(ben)["waiting"] == queue(eve)["waiting"] == {"overlap": 2}
    ann.undo()
    ann.undo()
    assert (ann.progress()["unlabeled"], queue(ben)["waiting"]) == (2, {})


def test_who_disagrees_is_named_and_somebody_decides(team):
    (one, two), (ann, ben, eve) = team(3, "one", "two", overlap=2)
    for sample_id in (one, two):
        ann.label(sample_id, "ham")
    ben.label(one, "spam", purpose="overlap")
    ben.label(two, "ham", purpose="overlap")
    (shown,) = asked(eve, "adjudication").values()
    people = sorted([ann.person, ben.person])
    assert shown["id"] == one
    assert sorted(shown["reason"].removesuffix(" disagree").split(" and ")) == people
    assert f"{ann.person}: ham" in shown["detail"] and f"{ben.person}: spam" in shown["detail"]
    assert shown["label"] == "spam"
    eve.label(one, "ham", purpose="adjudication")
    assert queue(ann)["waiting"] == queue(ben)["waiting"] == {}
    eve.undo()
    assert queue(ann)["waiting"] == {"adjudication": 1}
    # They agree after all.
    ben.label(one, "ham")
    assert queue(ann)["waiting"] == {}


def test_a_share_is_reviewed_by_somebody_else(team):
    ids, (ann, ben) = team(2, *(f"text {number}" for number in range(40)), review_share=0.5)
    ann.save(*({"sample_id": one, "label": "ham"} for one in ids))
    assert queue(ann)["waiting"] == {}
    reviews = asked(ben, "review")
    assert 15 <= len(reviews) <= 25
    accepted, corrected, *_ = reviews.values()
    assert (accepted["label"], accepted["reason"]) == ("ham", f"a second look at the label of {ann.person}")
    ben.label(accepted["id"], "ham", purpose="review")
    ben.label(corrected["id"], "spam", purpose="review")
    assert queue(ben)["waiting"] == {"review": len(reviews) - 2}
    assert queue(ann)["waiting"] == {}
    assert ben.progress()["by_class"] == {"ham": 39, "spam": 1}


def test_gold_comes_once_to_each_person_and_changes_nothing(team):
    (one, two), (ann, ben) = team(2, "one", "two", gold_share=1.0)
    add_gold(ann, **{str(one): "ham"})
    assert asked(ann, "gold") == {}
    first, second = queue(ben)["samples"]
    assert [(first["id"], first["purpose"]), (second["id"], second["purpose"])] == [
        (one, "gold"),
        (two, "label"),
    ]
    assert (first["label"], first["status"], first["reason"]) == (None, "unlabeled", "")
    ben.label(one, "spam", purpose="gold")
    assert [sample["purpose"] for sample in queue(ben)["samples"]] == ["label"]
    assert ben.progress()["by_class"] == {"ham": 1, "spam": 0}
    ben.undo()
    assert list(asked(ben, "gold")) == [one]
    # More can be added at any time.
    ben.client.post(f"{ben.path}/queue/release", json={})
    add_gold(ann, **{str(two): "spam"})
    assert list(asked(ben, "gold")) == [one, two]
    assert asked(ann, "gold") == {}


def test_people_repeat_a_share_of_their_own_labels(team):
    (one,), (ann, ben) = team(2, "one", repeat_share=1.0)
    ann.label(one, "ham")
    assert queue(ben)["samples"] == []
    # There is nothing else to do.
    (shown,) = queue(ann)["samples"]
    assert (shown["purpose"], shown["label"], shown["reason"]) == ("repeat", None, "")
    ann.label(one, "spam", purpose="repeat")
    assert queue(ann)["samples"] == []
    assert ann.samples()[0]["label"] == "ham"
    ann.undo()
    assert queue(ann)["waiting"] == {"repeat": 1}
    ann.undo()
    assert queue(ann)["waiting"] == {}


def test_what_is_asked_for_waits_until_somebody_decides_or_it_is_withdrawn(team):
    ids, (ann, ben) = team(2, *(f"text {number}" for number in range(10)))
    ann.save(*({"sample_id": one, "label": "ham"} for one in ids[:5]))
    saved = request(ann, {"status": ["labeled"]}, purpose="error", detail="confident learning")
    assert (saved["added"], saved["waiting"]) == (5, 0)
    assert request(ben, {"ids": ids[:6]}, purpose="error")["waiting"] == 5
    shown = queue(ben, limit=1)["samples"][0]
    assert (shown["id"], shown["reason"], shown["detail"]) == (
        ids[0],
        "the label may be wrong",
        "confident learning",
    )
    ben.label(ids[0], "spam", purpose="error")
    ben.label(ids[5], "spam")
    batches = ann.client.get(f"{ann.path}/queue/requests").json()["items"]
    assert [(one["batch"], one["waiting"], one["author"]) for one in batches] == [
        (saved["batch"], 4, ann.person)
    ]
    ben.undo()
    assert queue(ben)["waiting"] == {"error": 5}
    path = f"{ann.path}/queue/requests/{saved['batch']}"
    assert ben.client.delete(path).status_code == 403
    assert ann.client.delete(path).json() == {"count": 4}
    assert ann.client.delete(path).status_code == 404
    assert queue(ben)["waiting"] == {"error": 1}
    # A random choice; what was labeled is audited blindly.
    chosen = request(ann, {}, purpose="audit", at_most=3)
    assert chosen["added"] == 3
    assert {one["label"] for one in asked(ben, "audit").values()} == {None}
    # What is asked for comes first.
    assert [one["purpose"] for one in queue(ann, limit=5)["samples"]].count("label") < 5


def test_a_bulk_answers_requests_and_its_undo_brings_them_back(team):
    ids, (ann, ben) = team(2, *(f"text {number}" for number in range(6)), overlap=2)
    ann.save(*({"sample_id": one, "label": "ham"} for one in ids[:3]))
    request(ann, {"ids": ids[2:4]})
    assert queue(ben)["waiting"] == {"overlap": 3, "request": 2}
    bulk = {"samples": {}, "label": "spam", "key": new_key()}
    assert ben.client.post(f"{ben.path}/labels/bulk", json=bulk).json()["saved"] == 6
    assert queue(ben)["waiting"] == {}
    # Those that nobody else had labeled want another opinion.
    assert queue(ann)["waiting"] == {"overlap": 3}
    ben.undo()
    assert queue(ben)["waiting"] == {"overlap": 3, "request": 2}
    assert queue(ann)["waiting"] == {"request": 2}


def test_what_waits_survives_a_kill_of_the_server(start_server, tmp_path):
    server = start_server(tmp_path / "lab")
    body = {
        "name": "p",
        "task": "text_classification",
        "classes": ["ham", "spam"],
        "settings": {"repeat_share": 1.0, "gold_share": 0.0},
    }
    project = LabeledProject(server.client, server.client.post("projects", json=body).json())
    one, two, three = project.import_texts("one", "two", "three")
    project.label(one, "ham")
    request(project, {"ids": [two]}, detail="look at it")
    add_gold(project, **{str(three): "ham"})
    before = queue(project)["waiting"]
    assert before == {"repeat": 1, "request": 1}
    server.kill()
    again = start_server(tmp_path / "lab")
    project = LabeledProject(again.client, {"id": project.id, "name": "p"})
    after = queue(project)
    assert after["waiting"] == before
    assert [(sample["id"], sample["detail"]) for sample in after["samples"]] == [
        (two, "look at it"),
        (one, ""),
    ]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"samples": {}, "purpose": "gold"}, 422),
        ({"samples": {"colour": "red"}}, 422),
        ({"samples": {}, "at_most": 0}, 422),
    ],
)
def test_a_wrong_request_is_refused(project, body, status):
    assert project.client.post(f"{project.path}/queue/requests", json=body).status_code == status
