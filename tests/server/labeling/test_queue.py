"""What is handed out to be labeled, and in which order."""

import concurrent.futures

import pytest


def texts(count):
    return [f"text number {number}" for number in range(count)]


@pytest.mark.parametrize("order", ["sequential", "random", "uncertainty"])
def test_everything_is_handed_out_once_and_labeled_samples_are_not(project, order):
    # More than are read ahead at once.
    project.import_texts(*texts(300))
    seen = []
    while batch := project.queue(order=order, limit=50):
        seen += batch
        project.save(*({"sample_id": one, "label": "ham"} for one in batch))
    assert len(seen) == len(set(seen)) == 300
    assert project.progress()["unlabeled"] == 0


def test_sequential_is_the_order_of_the_file(project):
    project.import_texts(*texts(30))
    table = project.table("samples")
    assert table["text"].to_pylist() == texts(30)
    assert project.queue(order="sequential", limit=30) == table["id"].to_pylist()


def test_random_is_mixed_but_stays_the_same(project):
    ids = project.import_texts(*texts(60))
    first = project.queue(order="random", limit=60)
    assert sorted(first) == ids
    assert first != ids
    # An import empties what was read ahead; the order among the others stays.
    project.import_texts("one more")
    again = project.queue(order="random", limit=61)
    assert [one for one in again if one in first] == first


def test_the_most_uncertain_come_first_and_those_without_a_suggestion_last(project):
    one, two, three, four = project.import_texts(*texts(4))
    project.suggest(
        {"sample_id": one, "label": "ham", "confidence": 0.9},
        {"sample_id": three, "label": "ham", "confidence": 0.55},
        {"sample_id": four, "label": "spam", "confidence": 0.99, "uncertainty": 0.8},
    )
    assert project.queue(order="uncertainty") == [four, three, one, two]


def test_new_suggestions_change_the_order_at_once(project):
    one, two = project.import_texts("one", "two")
    project.suggest({"sample_id": one, "label": "ham", "confidence": 0.5})
    assert project.queue() == [one, two]
    project.suggest(
        {"sample_id": one, "label": "ham", "confidence": 1},
        {"sample_id": two, "label": "ham", "confidence": 0.6},
    )
    assert project.queue() == [two, one]


def test_what_the_client_has_already_is_left_out(project):
    ids = project.import_texts(*texts(5))
    assert project.queue(order="sequential", limit=2, exclude=ids[:2]) == ids[2:4]
    assert project.queue(order="sequential", exclude=ids) == []


def test_more_can_be_excluded_than_are_read_ahead(project):
    project.import_texts(*texts(700))
    ids = project.table("samples")["id"].to_pylist()
    assert project.queue(order="sequential", limit=20, exclude=ids[:600]) == ids[600:620]
    # The reading ahead that this took serves others as well.
    assert project.queue(order="sequential", limit=3) == ids[:3]


def test_remaining_counts_all_unlabeled_samples(project):
    ids = project.import_texts(*texts(5))
    project.save({"sample_id": ids[0], "label": "ham"}, {"sample_id": ids[1], "action": "skip"})
    answer = project.client.get(f"{project.path}/queue", params={"limit": 1, "exclude": ids[2]}).json()
    assert answer["remaining"] == 3
    assert len(answer["samples"]) == 1


def test_samples_come_with_their_suggestion(project):
    (one,) = project.import_texts("one")
    project.suggest({"sample_id": one, "label": "spam", "confidence": 0.75}, source="run 7")
    sample = project.client.get(f"{project.path}/queue").json()["samples"][0]
    assert sample["text"] == "one"
    suggestion = sample["suggestion"]
    assert {name: value for name, value in suggestion.items() if value is not None} == {
        "label": "spam",
        "confidence": 0.75,
        "uncertainty": 0.25,
        "source": "run 7",
    }


def test_imported_samples_are_in_the_queue_once_the_import_has_ended(project):
    first = project.import_texts("one")
    assert project.queue() == first
    both = project.import_texts("two")
    assert sorted(project.queue()) == both


def test_a_labeled_sample_is_never_handed_out_again_while_many_label(project):
    project.import_texts(*texts(400))

    def label_some(_):
        labeled, handed_again = set(), set()
        for _ in range(15):
            batch = project.queue(order="uncertainty", limit=5)
            handed_again |= labeled & set(batch)
            project.save(*({"sample_id": one, "label": "spam"} for one in batch))
            labeled |= set(batch)
        return handed_again

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        assert set().union(*pool.map(label_some, range(4))) == set()


@pytest.mark.parametrize(
    "query", [{"order": "best"}, {"limit": "many"}, {"exclude": "x"}, {"exclude": 2**80}, {"page": 1}]
)
def test_a_wrong_question_is_refused(project, query):
    answer = project.client.get(f"{project.path}/queue", params=query)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"].split(".")[0] in query
