"""Projects of regression: numbers as labels, within their range."""

import polars as pl
import pytest

from modelship_lab import client
from modelship_lab.records.errors import InvalidInput

HOUSES = """area,town,price
120,Rome,215000.5
80,Rome,abc
95,Bonn,-3
60,Bonn,
70,Oslo,1e999
150,Oslo,1_000
130,Oslo,+3.1e5
"""


@pytest.fixture
def houses(new_project):
    project = new_project("tabular_regression", (), settings={"unit": "USD", "lowest": 0})
    done = project.import_file(HOUSES.encode(), format="csv", label="price")
    return project, done


def test_bad_numbers_are_counted_listed_and_refused(houses):
    project, done = houses
    assert (done["rows_read"], done["samples_added"], done["labels_added"], done["bad_rows"]) == (7, 3, 2, 4)
    assert [(one["row"], one["reason"]) for one in done["problems"]] == [
        (2, "label: 'abc' is not a number"),
        (3, "label: -3 is below 0, the lowest of the project"),
        (5, "label: '1e999' is not a number"),
        (6, "label: '1_000' is not a number"),
    ]
    assert [one["number"] for one in project.samples()] == [215000.5, None, 310000.0]
    assert project.progress()["by_class"] == {}


def test_a_number_is_saved_changed_undone_and_refused_outside_of_its_range(houses):
    project, _ = houses
    (open_one,) = project.queue()
    assert project.save({"sample_id": open_one, "number": 7}).json()["labels"][0]["number"] == 7.0
    assert project.save({"sample_id": open_one, "number": -0.0}).is_success
    for wrong in ({"number": -1}, {"number": "many"}, {"label": "7"}, {"labels": []}):
        refused = project.save({"sample_id": open_one, **wrong})
        assert refused.status_code == 422, refused.text
    assert project.undo().json()["sample"]["number"] == 7.0
    assert [one["number"] for one in project.samples(sort="-label")] == [310000.0, 215000.5, 7.0]


def test_numbers_are_suggested_and_never_accepted_by_themselves(houses):
    project, _ = houses
    (open_one,) = project.queue()
    good = {"sample_id": open_one, "number": 90.5, "confidence": 0}
    assert project.suggest({**good, "number": -1}).status_code == 422
    assert project.suggest(good).json() == {"saved": 1, "auto": 0, "outgrown": 0}
    assert project.samples(status="unlabeled")[0]["suggestion"]["number"] == 90.5
    refused = project.client.patch(project.path, json={"settings": {"threshold": 0.5}})
    assert (refused.status_code, "no threshold" in refused.json()["error"]["message"]) == (422, True)


def test_snapshots_have_the_numbers_and_say_what_changed(lab_server, tmp_path):
    lab = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    project = lab.new_project("numbers-snapshots", "tabular_regression", settings={"unit": "€"})
    # A feature may be called as the label is.
    frame = pl.DataFrame({"number": [1.0, 2.0], "label": ["a", "b"], "price": [10.0, 20.5]})
    project.import_frame(frame, label="price")
    before = project.snapshot()
    project.save_labels({project.samples()["id"][0]: 12})
    after = project.snapshot()
    table = after.table()
    assert table["number"].to_pylist() == [12.0, 20.5]
    assert after.info.features == ("feature_number", "label")
    (change,) = lab.diff(before.info.id, after.info.id).changes
    assert (change.before.number, change.after.number) == (10.0, 12.0)
    found = lab.sql(f"SELECT avg(number) AS mean FROM samples WHERE project_id = {project.id}")
    assert found["mean"].to_list() == [16.25]


def test_a_number_has_no_classes_and_classes_have_no_unit(lab_server, tmp_path):
    lab = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    for task, classes, settings in (
        ("text_regression", ["a", "b"], {}),
        ("text_classification", ["a", "b"], {"unit": "USD"}),
        ("text_regression", [], {"lowest": 2, "highest": 1}),
    ):
        with pytest.raises(InvalidInput):
            lab.new_project("numbers-wrong", task, classes, settings=settings)
