"""Which samples a filter means, in which order, and selections of them."""

import random

import numpy as np
import pytest

from modelship_lab.server.labeling.sample_lists import by_value
from tests.server.labeling.conftest import LabeledProject

TEXTS = {
    "win": "WIN a Prize now",
    "lunch": "lunch tomorrow?",
    "percent": "100% free",
    "report": "the yearly report, which is the longest of them all",
    "empty": "hm",
}


@pytest.fixture
def mails(project: LabeledProject) -> dict[str, int]:
    """Samples by name: one labeled spam, one skipped with a note, three with suggestions."""
    ids = dict(zip(TEXTS, project.import_texts(*TEXTS.values()), strict=True))
    project.label(ids["win"], "spam")
    project.label(ids["report"], "ham")
    project.save({"sample_id": ids["lunch"], "action": "skip", "note": "which lunch?"})
    project.suggest(
        {"sample_id": ids["win"], "label": "spam", "confidence": 0.9},
        {"sample_id": ids["lunch"], "label": "ham", "confidence": 0.6},
        {"sample_id": ids["percent"], "label": "spam", "confidence": 0.7},
    )
    return ids


def meant(project: LabeledProject, names: dict[str, int], /, **query) -> list[str]:
    """The names of the samples that a filter means; as many as are counted."""
    answer = project.client.get(f"{project.path}/samples", params=query)
    assert answer.status_code == 200, answer.text
    page = answer.json()
    name_of = {sample_id: name for name, sample_id in names.items()}
    assert page["total"] == len(page["items"])
    asked = {name: value for name, value in query.items() if name != "sort"}
    if isinstance(asked.get("status"), str):
        asked["status"] = [asked["status"]]
    count = project.client.post(f"{project.path}/samples/count", json=asked).json()
    assert count == {"count": page["total"]}
    return [name_of[one["id"]] for one in page["items"]]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "win lunch percent report empty"),
        ({"status": "unlabeled"}, "percent empty"),
        ({"status": ["unlabeled", "skipped"]}, "lunch percent empty"),
        ({"status": ["labeled", "skipped"]}, "win lunch report"),
        ({"label": "spam"}, "win"),
        ({"suggested": "spam"}, "win percent"),
        ({"suggested": "spam", "status": "unlabeled"}, "percent"),
        ({"search": "pRiZe"}, "win"),
        ({"search": "0%"}, "percent"),
        ({"source": "human"}, "win lunch report"),
        ({"source": "model"}, ""),
        ({"min_confidence": 0.65}, "win percent"),
        ({"max_confidence": 0.65}, "lunch"),
        ({"min_confidence": 0.65, "max_confidence": 0.8}, "percent"),
        ({"noted": False}, "win percent report empty"),
        ({"noted": True}, "lunch"),
        ({"sort": "-id"}, "empty report percent lunch win"),
        ({"sort": "confidence"}, "lunch percent win report empty"),
        ({"sort": "-confidence"}, "win percent lunch report empty"),
        ({"sort": "length"}, "empty percent win lunch report"),
        ({"sort": "status"}, "win report lunch percent empty"),
        ({"sort": "-status"}, "percent empty lunch win report"),
        ({"sort": "label"}, "report win lunch percent empty"),
        ({"sort": "-confidence", "status": "unlabeled"}, "percent empty"),
        ({"sort": "-updated_at", "status": "labeled"}, "report win"),
    ],
    ids=str,
)
def test_a_filter_means(project, mails, query, expected):
    assert meant(project, mails, **query) == expected.split()


def test_ids_and_saved_selections_are_filters_too(project, mails):
    chosen = [mails["win"], mails["percent"]]
    assert meant(project, mails, ids=chosen) == ["win", "percent"]
    path = f"{project.path}/selections"
    saved = project.client.post(path, json={"name": "doubtful", "samples": {"status": ["unlabeled"]}})
    assert saved.status_code == 201, saved.text
    assert saved.json()["count"] == 2
    # Frozen: what was meant, not what would be meant now.
    project.label(mails["percent"], "ham")
    assert meant(project, mails, selection="doubtful") == ["percent", "empty"]
    assert meant(project, mails, selection="doubtful", status="unlabeled") == ["empty"]
    assert project.client.post(path, json={"name": "doubtful", "samples": {}}).status_code == 409
    (listed,) = project.client.get(path).json()["items"]
    assert listed["samples"]["status"] == ["unlabeled"]
    assert project.client.delete(f"{path}/doubtful").status_code == 204
    gone = project.client.get(f"{project.path}/samples", params={"selection": "doubtful"})
    assert gone.status_code == 404
    assert "no selection 'doubtful'" in gone.json()["error"]["message"]


def test_what_is_kept_of_a_filter_follows_every_change(project, mails):
    assert meant(project, mails, status="unlabeled", sort="-confidence") == ["percent", "empty"]
    project.label(mails["empty"], "ham")
    assert meant(project, mails, status="unlabeled", sort="-confidence") == ["percent"]
    project.undo()
    project.suggest({"sample_id": mails["empty"], "label": "ham", "confidence": 0.99})
    assert meant(project, mails, status="unlabeled", sort="-confidence") == ["empty", "percent"]
    # A longer search looks among what a shorter one has found.
    assert meant(project, mails, search="re") == ["percent", "report"]
    assert meant(project, mails, search="REP") == ["report"]
    mails["another"] = project.import_texts(*TEXTS.values(), "another report")[-1]
    assert meant(project, mails, search="rep") == ["report", "another"]


def test_deep_pages_of_an_order_follow_each_other(project):
    project.import_texts(*(f"text {number}" for number in range(2100)))
    ids = project.table("samples")["id"].to_pylist()
    suggestions = [{"sample_id": one, "label": "ham", "confidence": 1 - one % 7 / 10} for one in ids]
    project.suggest(*suggestions)
    best = sorted(suggestions, key=lambda one: (-one["confidence"], one["sample_id"]))
    path = f"{project.path}/samples"
    pages = [
        project.client.get(path, params={"sort": "-confidence", "limit": 700, "offset": at}).json()
        for at in (0, 1400, 700)
    ]
    found = [one["id"] for page in (pages[0], pages[2], pages[1]) for one in page["items"]]
    assert found == [one["sample_id"] for one in best]
    assert {page["total"] for page in pages} == {2100}


@pytest.mark.parametrize(
    "query",
    [
        {"sort": "color"},
        {"status": "done"},
        {"min_confidence": 2},
        {"import_id": -1},
        {"limit": "x"},
        {"offset": 2**64},
    ],
    ids=str,
)
def test_a_wrong_filter_is_refused(project, query):
    answer = project.client.get(f"{project.path}/samples", params=query)
    assert answer.status_code == 422
    assert answer.json()["error"]["details"][0]["field"].split(".")[0] == next(iter(query))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("missing", [0, 30, 120])
def test_an_order_by_numbers_is_exact(descending, missing):
    chosen = random.Random(missing)
    close = [0.5 + number * 2.0**-53 for number in range(20)]
    value_of = {
        one: chosen.choice([0.0, -0.0, 1.0, -3.5, 1e300, *close])
        for one in chosen.sample(range(1, 200), 150 - missing)
    }
    ids = sorted(chosen.sample(range(1, 220), 120))
    found = by_value(
        np.array(ids),
        np.array([*value_of], dtype=np.int64),
        np.array([*value_of.values()]),
        descending=descending,
    )
    sign = -1 if descending else 1
    assert found.tolist() == sorted(
        ids, key=lambda one: (one not in value_of, sign * value_of.get(one, 0.0), one)
    )


def test_what_is_excluded_is_not_meant(project: LabeledProject, mails: dict[str, int]) -> None:
    without = [mails["lunch"], mails["empty"]]
    found = project.client.get(f"{project.path}/samples", params={"excluded": without}).json()["items"]
    assert [one["id"] for one in found] == [mails[name] for name in ("win", "percent", "report")]
    body = {"excluded": without, "status": ["unlabeled"]}
    assert project.client.post(f"{project.path}/samples/count", json=body).json() == {"count": 1}
