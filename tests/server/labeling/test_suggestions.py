"""Suggestions, as JSON and as Arrow."""

import pyarrow as pa
import pytest

ARROW = "application/vnd.apache.arrow.stream"


def send(project, content, **query):
    return project.client.put(
        f"{project.path}/suggestions", params=query, content=content, headers={"Content-Type": ARROW}
    )


def test_an_arrow_stream_of_suggestions_is_saved(project, arrow_bytes):
    one, two = project.import_texts("one", "two")
    table = pa.table(
        {"sample_id": [two, one], "label": ["spam", "ham"], "confidence": pa.array([0.5, 0.75], pa.float32())}
    )
    assert send(project, arrow_bytes(table), source="run 3").json() == {"saved": 2, "auto": 0, "outgrown": 0}
    suggestion = project.samples()[1]["suggestion"]
    assert {name: value for name, value in suggestion.items() if value is not None} == {
        "label": "spam",
        "confidence": 0.5,
        "uncertainty": 0.5,
        "source": "run 3",
    }


def test_a_suggestion_replaces_the_earlier_one_of_its_sample_only(project):
    one, two = project.import_texts("one", "two")
    project.suggest(
        {"sample_id": one, "label": "ham", "confidence": 0.6},
        {"sample_id": two, "label": "ham", "confidence": 0.6},
    )
    project.suggest({"sample_id": one, "label": "spam", "confidence": 0.9}, source="better")
    first, second = project.samples()
    assert (first["suggestion"]["label"], first["suggestion"]["source"]) == ("spam", "better")
    assert (second["suggestion"]["label"], second["suggestion"]["source"]) == ("ham", "model")


def test_of_two_for_one_sample_the_last_counts(project):
    (one,) = project.import_texts("one")
    answer = project.suggest(
        {"sample_id": one, "label": "ham", "confidence": 0.6},
        {"sample_id": one, "label": "spam", "confidence": 0.7},
    )
    assert answer.json() == {"saved": 1, "auto": 0, "outgrown": 0}
    assert project.samples()[0]["suggestion"]["label"] == "spam"


def test_suggestions_are_not_labels(project):
    (one,) = project.import_texts("one")
    project.suggest({"sample_id": one, "label": "ham", "confidence": 1})
    assert project.progress()["labeled"] == 0
    assert project.samples()[0]["status"] == "unlabeled"


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        ({"label": "eggs"}, 422),
        ({"confidence": 1.5}, 422),
        ({"confidence": None}, 422),
        ({"uncertainty": -0.1}, 422),
        ({"sample_id": 10**15}, 404),
        ({"sample_id": 10**30}, 422),
    ],
)
def test_a_wrong_suggestion_is_refused_with_all_of_its_request(project, wrong, status):
    one, two = project.import_texts("one", "two")
    good = {"sample_id": one, "label": "ham", "confidence": 0.6}
    assert project.suggest(good, {**good, "sample_id": two, **wrong}).status_code == status
    assert [sample["suggestion"] for sample in project.samples()] == [None, None]


@pytest.mark.parametrize(
    "columns",
    [
        {"sample_id": [1], "label": ["ham"]},
        {"sample_id": ["x"], "label": ["ham"], "confidence": [0.5]},
        {"sample_id": [1], "label": ["ham"], "confidence": [float("nan")]},
        {"sample_id": [1], "label": [None], "confidence": [0.5]},
        {"sample_id": [1], "label": ["eggs"], "confidence": [0.5]},
    ],
)
def test_a_wrong_table_is_refused(project, arrow_bytes, columns):
    answer = send(project, arrow_bytes(pa.table(columns)), source="x")
    assert answer.status_code == 422
    assert answer.json()["error"]["message"]


def test_bytes_that_are_not_arrow_are_refused(project, arrow_bytes):
    whole = arrow_bytes(pa.table({"sample_id": [1], "label": ["ham"], "confidence": [0.5]}))
    for content in (
        b"",
        b"not arrow at all",
        whole[: len(whole) // 2],
        b"\xff\xff\xff\xff\xff\xff\xff\x7f" + whole,
    ):
        answer = send(project, content, source="x")
        assert answer.status_code == 422, content[:20]


def test_an_empty_list_is_no_mistake(project):
    assert project.suggest().json() == {"saved": 0, "auto": 0, "outgrown": 0}


def test_sets_of_classes_are_suggested_as_json_in_a_column(new_project, arrow_bytes):
    project = new_project(multilabel=True)
    one, two = project.import_texts("one", "two")
    table = pa.table(
        {
            "sample_id": [one, two],
            "content": ['{"labels": ["spam", "ham", "spam"]}', '{"labels": []}'],
            "confidence": [0.75, 0.5],
            "margin": [0.5, None],
        }
    )
    assert send(project, arrow_bytes(table), source="m").json()["saved"] == 2
    first, second = [sample["suggestion"] for sample in project.samples()]
    assert (first["labels"], second["labels"]) == (["ham", "spam"], [])
    wrong = table.set_column(1, "content", pa.array(['{"labels": ["eggs"]}', '{"boxes": []}']))
    assert send(project, arrow_bytes(wrong), source="m").status_code == 422
    both = {"sample_id": one, "label": "ham", "confidence": 0.5}
    assert project.suggest(both).status_code == 422


def test_a_span_that_is_suggested_lies_inside_its_text(new_project):
    project = new_project(task="token_classification", classes=("name",))
    (one,) = project.import_texts("héllo")
    span = {"start": 0, "end": 5, "label": "name"}
    assert project.suggest({"sample_id": one, "spans": [span], "confidence": 0.5}).json()["saved"] == 1
    assert project.samples()[0]["suggestion"]["spans"] == [span]
    beyond = {"sample_id": one, "spans": [{**span, "end": 6}], "confidence": 0.5}
    assert project.suggest(beyond).status_code == 422
