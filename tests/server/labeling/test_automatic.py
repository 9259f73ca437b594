"""How far automatic labels can be trusted."""

import pytest


def test_thresholds_are_chosen_by_what_is_known(new_project):
    project = new_project()
    ids = project.import_texts(*(f"text {number}" for number in range(100)))
    # Of what is surer than 0.5 every tenth is wrong, of the rest every second.
    confidences = [0.99 - 0.009 * place for place in range(100)]
    wrong = {
        place for place in range(100) if place % (10 if place < 50 else 2) == 9 % (10 if place < 50 else 2)
    }
    project.suggest(
        *(
            {"sample_id": one, "label": "spam", "confidence": confidence}
            for one, confidence in zip(ids, confidences, strict=True)
        )
    )
    project.save(
        *(
            {"sample_id": one, "label": "ham" if place in wrong else "spam"}
            for place, one in enumerate(ids[:90])
        )
    ).raise_for_status()
    gold = [{"sample_id": one, "label": "ham"} for one in ids[90:]]
    project.client.post(f"{project.path}/gold", json={"gold": gold}).raise_for_status()
    found = project.client.get(f"{project.path}/thresholds", params={"precision": 0.9}).json()
    overall = found["overall"]
    assert overall["known"] == 100
    assert overall["threshold"] == pytest.approx(confidences[50])
    assert overall["precision"]["right"] / overall["precision"]["total"] >= 0.9
    assert overall["precision"]["low"] < 0.9 < overall["precision"]["high"]
    # All were decided about.
    assert (overall["accepted"], overall["review"]) == (0, 0)
    ham, spam = found["classes"]
    assert (ham["name"], ham["known"], ham["threshold"]) == ("ham", 0, None)
    assert spam["threshold"] == overall["threshold"]
    never = project.client.get(f"{project.path}/thresholds", params={"precision": 1}).json()["overall"]
    assert never["threshold"] is None
    assert never["precision"]["total"] == 100


def test_it_is_told_what_a_threshold_would_do_before_it_is_set(new_project):
    project = new_project()
    ids = project.import_texts(*(f"text {number}" for number in range(20)))
    project.suggest(
        *(
            {"sample_id": one, "label": ("ham", "spam")[place % 2], "confidence": place / 20}
            for place, one in enumerate(ids)
        )
    )
    # One is known, one was an automatic label that somebody has taken back.
    project.label(ids[19], "ham")
    project.client.patch(project.path, json={"settings": {"threshold": 0.9}}).raise_for_status()
    accept = f"{project.path}/suggestions/accept"
    assert project.client.post(accept).json()["auto"] == 1
    key = {"origin": "model", "key": "k" * 8 + project.name}
    project.client.post(f"{project.path}/labels/revoke", json=key).raise_for_status()
    told = project.client.get(f"{project.path}/thresholds", params={"confidence": 0.5}).json()
    assert told["precision"] is None
    assert told["overall"]["precision"]["total"] == 1
    counts = {one["name"]: (one["accepted"], one["review"]) for one in (told["overall"], *told["classes"])}
    assert counts == {None: (8, 11), "ham": (4, 6), "spam": (4, 5)}
    assert project.progress()["auto"] == 0
    project.client.patch(project.path, json={"settings": {"threshold": 0.5}}).raise_for_status()
    assert project.client.post(accept).json()["auto"] == 8


def test_a_blind_audit_estimates_the_errors_of_each_origin(new_project):
    project = new_project(settings={"threshold": 0.5})
    ids = project.import_texts(*(f"text {number}" for number in range(30)))
    for start, source in ((0, "light:1"), (20, "rules:short")):
        project.suggest(
            *(
                {"sample_id": one, "label": "spam", "confidence": 1}
                for one in ids[start : start + 20 - start // 2]
            ),
            source=source,
        )
    project.save(
        *(
            {"sample_id": one, "label": "ham" if place < 2 else "spam", "purpose": "audit"}
            for place, one in enumerate(ids[:10])
        )
    ).raise_for_status()
    # What somebody corrects without being asked tells nothing about all of them.
    project.label(ids[15], "ham")
    light, rules = project.client.get(f"{project.path}/audit").json()["origins"]
    assert (light["origin"], light["labels"], light["audited"]) == ("light:1", 9, 10)
    assert (light["errors"]["right"], light["errors"]["rate"]) == (2, 0.2)
    assert light["errors"]["low"] < 0.1 < light["errors"]["high"]
    assert (rules["labels"], rules["audited"], rules["errors"]["rate"]) == (10, 0, None)
    key = {"origin": "light:1", "key": "k" * 8 + project.name}
    project.client.post(f"{project.path}/labels/revoke", json=key).raise_for_status()
    assert project.client.get(f"{project.path}/audit").json()["origins"][0]["audited"] == 10
