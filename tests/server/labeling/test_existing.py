"""Files that say something about samples that are there already."""

import pytest


def by_text(project):
    return {one["text"]: (one["status"], one["label"]) for one in project.samples()}


@pytest.fixture
def begun(new_project):
    """Texts of which one is labeled by a person, one automatically, and two by nobody."""
    project = new_project(settings={"threshold": 0.9})
    rows = b"name,text\na,one\nb,two\nc,three\nd,four\n"
    assert project.import_file(rows, format="csv", name="name")["samples_added"] == 4
    one, two, *_ = (sample["id"] for sample in project.samples())
    project.label(one, "ham")
    project.suggest({"sample_id": two, "label": "ham", "confidence": 1}, source="light:1")
    return project


LABELED = b"text,label\none,spam\ntwo,spam\nthree,spam\nfive,spam\nthree,ham\n"


def test_what_is_there_already_is_left_out_unless_something_else_is_wanted(begun):
    done = begun.import_file(LABELED, format="csv", label="label")
    assert (done["samples_added"], done["labels_added"], done["duplicates"]) == (1, 1, 4)
    assert by_text(begun)["three"] == ("unlabeled", None)


def test_labels_are_taken_over_where_nobody_has_said_otherwise(begun):
    done = begun.import_file(LABELED, format="csv", label="label", existing="label")
    assert (done["samples_added"], done["duplicates"]) == (1, 4)
    assert (done["labels_added"], done["labels_changed"], done["labels_kept"]) == (1, 2, 1)
    assert by_text(begun) == {
        "one": ("labeled", "ham"),
        "two": ("labeled", "spam"),
        "three": ("labeled", "spam"),
        "four": ("unlabeled", None),
        "five": ("labeled", "spam"),
    }
    assert [(one["row"], one["reason"]) for one in done["problems"]] == [
        (1, "the sample is labeled otherwise, and that stays: ham"),
        (5, "duplicate of an earlier row: row 3"),
    ]
    assert begun.progress()["labeled"] == 4
    # Once more nothing is left to do; and one undo takes all of it back.
    assert begun.import_file(LABELED, format="csv", label="label", existing="label")["labels_changed"] == 0
    assert begun.undo(batch=f"import-{done['id']}").json()["count"] == 3
    assert by_text(begun)["two"] == ("auto", "ham")


def test_what_people_said_is_replaced_only_when_that_is_asked_for(begun):
    done = begun.import_file(LABELED, format="csv", label="label", existing="replace")
    assert (done["labels_changed"], done["labels_kept"]) == (3, 0)
    assert by_text(begun)["one"] == ("labeled", "spam")
    assert begun.undo(batch=f"import-{done['id']}").status_code == 200
    assert by_text(begun)["one"] == ("labeled", "ham")


def test_samples_are_found_by_their_names_without_their_content(begun):
    rows = b"id,label,guess,sure\na,ham,,\nc,,spam,0.95\nd,spam,,\nx,spam,,\n,spam,,\n"
    columns = {"name": "id", "label": "label", "prediction": "guess", "confidence": "sure"}
    done = begun.import_file(rows, format="csv", match="name", existing="label", **columns)
    assert (done["samples_added"], done["duplicates"], done["bad_rows"]) == (0, 3, 2)
    assert (done["labels_changed"], done["suggestions_added"], done["auto_added"]) == (1, 1, 1)
    assert [(one["row"], one["reason"]) for one in done["problems"]] == [
        (4, "there is no sample called 'x'"),
        (5, "the name is missing"),
    ]
    assert by_text(begun)["four"] == ("labeled", "spam")
    assert by_text(begun)["three"] == ("auto", "spam")


def test_the_samples_of_a_file_are_remembered_and_a_snapshot_is_of_them_alone(begun):
    def take(**samples):
        return begun.client.post(f"{begun.path}/snapshots", json={"samples": samples})

    begun.import_file(LABELED, format="csv", label="label", existing="replace", selection="may")
    more = b"text,label\nsix,ham\nseven,ham\none,ham\n"
    begun.import_file(more, format="csv", label="label", existing="replace", selection="june")
    # Those that an earlier file brought are the file's, too.
    assert {one["text"] for one in begun.samples(selection="may")} == {"one", "two", "three", "five"}
    assert take(selection="june").json()["by_class"] == {"ham": 3, "spam": 0}
    assert take(selection="may").json()["by_class"] == {"ham": 1, "spam": 3}
    assert take().json()["rows"] == 6
    options = take(selection="june", label="ham").json()["options"]["samples"]
    assert (options["selection"], options["label"]) == ("june", "ham")
    begun.import_file(b"text,label\nseven,ham\n", format="csv", label="label", selection="june")
    assert [one["text"] for one in begun.samples(selection="june")] == ["seven"]
    assert take(selection="july").status_code == 404
    begun.import_file(b"text\neight\n", format="csv", selection="new")
    refused = take(selection="new")
    assert refused.status_code == 409 and "None of the samples" in refused.json()["error"]["message"]


def test_a_name_is_needed_to_match_by_it(begun):
    done = begun.import_file(LABELED, format="csv", match="name", label="label")
    assert done["status"] == "failed"
    assert "Which column holds the names?" in done["error"]


def test_spans_are_not_put_into_another_text(new_project):
    project = new_project("token_classification", ("name",))
    project.import_file(b'{"name": "a", "text": "Ann met Ben"}\n', format="jsonl", name="name")
    row = b'{"name": "a", "text": "Ben", "spans": [{"start": 0, "end": 3, "label": "name"}]}\n'
    options = {"format": "jsonl", "name": "name", "label": "spans", "match": "name", "existing": "label"}
    done = project.import_file(row, **options)
    assert (done["labels_changed"], done["labels_kept"], done["samples_added"]) == (0, 1, 0)
    assert "another one" in done["problems"][0]["reason"]
    same = b'{"name": "a", "text": "Ann met Ben", "spans": [{"start": 8, "end": 11, "label": "name"}]}\n'
    assert project.import_file(same, **options)["labels_changed"] == 1
    assert project.samples()[0]["spans"] == [{"start": 8, "end": 11, "label": "name"}]
