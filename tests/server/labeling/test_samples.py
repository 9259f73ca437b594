"""Samples as pages and tables."""

import pytest


def ids(found):
    return [one["id"] for one in found]


def test_samples_are_filtered_by_status_label_and_text(project):
    one, two, three = project.import_texts("Hello World", "good bye", "hello again")
    project.label(one, "ham")
    project.save({"sample_id": two, "action": "skip"})
    assert ids(project.samples(status="unlabeled")) == [three]
    assert ids(project.samples(status="skipped")) == [two]
    assert ids(project.samples(label="ham")) == [one]
    assert ids(project.samples(search="HELLO")) == [one, three]
    assert ids(project.samples(search="hello", status="unlabeled")) == [three]


@pytest.mark.parametrize(
    "typed", ["100%", "a_b", "back\\slash", "it's", '"quoted"', "'; DROP TABLE samples; --"]
)
def test_what_is_typed_is_searched_as_it_stands(project, typed):
    project.import_texts("1000 aXb backslash its quoted", f"here is {typed} inside")
    assert ids(project.samples(search=typed)) == ids(project.samples())[1:]


def test_fields_of_rows_are_searched_too(new_project):
    project = new_project("tabular_classification")
    project.import_file(b"city,age\nBern,3\nRome,4\n", format="csv")
    assert [one["row"]["city"] for one in project.samples(search="rom")] == ["Rome"]


def test_pages_follow_each_other(project):
    project.import_texts(*(f"text {number}" for number in range(25)))
    path = f"{project.path}/samples"
    pages = [project.client.get(path, params={"limit": 10, "offset": at}).json() for at in (0, 10, 20, 30)]
    assert [len(page["items"]) for page in pages] == [10, 10, 5, 0]
    assert {page["total"] for page in pages} == {25}
    texts = [one["text"] for page in pages for one in page["items"]]
    assert texts == [f"text {number}" for number in range(25)]


def test_texts_of_a_page_may_be_cut(project):
    project.import_texts("short", "exactly ten", "ä" * 11, "x" * 5000)
    cut = [one["text"] for one in project.samples(preview=11)]
    assert cut == ["short", "exactly ten", "ä" * 11, "x" * 11 + "…"]
    assert [len(one["text"]) for one in project.samples()] == [5, 11, 11, 5000]


def test_a_table_has_all_rows_unless_a_limit_is_given(project):
    project.import_texts(*(f"text {number}" for number in range(1200)))
    table = project.table("samples")
    assert table.column_names[:4] == ["id", "status", "text", "label"]
    assert table.num_rows == 1200
    assert project.table("samples", limit=7, offset=3)["text"].to_pylist() == [
        f"text {n}" for n in range(3, 10)
    ]
    assert project.table("samples", status="labeled").num_rows == 0


def test_a_feature_may_have_the_name_of_one_of_our_columns(new_project):
    project = new_project("tabular_classification")
    project.import_file(b"id,status,x\n7,new,1\n", format="csv")
    table = project.table("samples")
    assert table["feature_id"].to_pylist() == [7]
    assert table["feature_status"].to_pylist() == ["new"]
    assert table["status"].to_pylist() == ["unlabeled"]


def test_one_sample_is_read_by_its_id(project):
    (one,) = project.import_texts("only one")
    assert project.client.get(f"samples/{one}").json()["text"] == "only one"
    assert project.client.get(f"samples/{10**14}").status_code == 404
    assert project.client.get(f"samples/{2**70}").status_code == 422
    assert project.client.get("samples/one").status_code == 422


@pytest.mark.parametrize("query", [{"status": "done"}, {"limit": "x"}, {"offset": 2**64}, {"preview": 2**64}])
def test_a_wrong_filter_is_refused(project, query):
    assert project.client.get(f"{project.path}/samples", params=query).status_code == 422
