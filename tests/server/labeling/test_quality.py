"""Agreement: the statistics against published examples, and the report of a project with real accounts."""

import io
import uuid

import httpx
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.metrics import cohen_kappa_score

from modelship_lab.server.labeling.agreement import (
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
    krippendorff_alpha_of_numbers,
    pairs_of_raters,
)
from tests.server.labeling.conftest import ipc

# Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), example C: four observers, twelve units.
KRIPPENDORFF = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]

# Fleiss, "Measuring nominal scale agreement among many raters" (1971) as in the well-known example with ten units,
# fourteen raters and five categories.
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip


def test_alpha_is_that_of_the_published_example():
    found = [
        (unit, rater, int(category))
        for rater, line in enumerate(KRIPPENDORFF)
        for unit, category in enumerate(line.split())
        if category != "."
    ]
    units, _, categories = (np.array(column) for column in zip(*found, strict=True))
    assert krippendorff_alpha(units, categories) == pytest.approx(0.743, abs=0.0005)
    values = categories.astype(float)
    assert krippendorff_alpha_of_numbers(units, values) == pytest.approx(0.849, abs=0.0005)


def test_fleiss_kappa_is_that_of_the_published_example():
    found = [
        (unit, category)
        for unit, row in enumerate(FLEISS)
        for category, n in enumerate(row)
        for _ in range(n)
    ]
    units, categories = (np.array(column) for column in zip(*found, strict=True))
    kappa, count = fleiss_kappa(units, categories)
    assert (round(kappa, 3), count) == (0.210, 10)


def test_cohens_kappa_is_scikit_learns_for_every_pair():
    random = np.random.default_rng(0)
    table = random.integers(0, 4, (60, 3))
    table[:, 1] = np.where(random.random(60) < 0.6, table[:, 0], table[:, 1])
    units, raters = np.meshgrid(np.arange(60), np.arange(3), indexing="ij")
    there = random.random((60, 3)) < 0.8
    pairs = pairs_of_raters(units[there], raters[there], table[there])
    assert [pair[:2] for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    for first, second, one, other in pairs:
        both = there[:, first] & there[:, second]
        assert cohen_kappa(one, other) == pytest.approx(
            cohen_kappa_score(table[both, first], table[both, second])
        )


def test_nothing_to_compare_is_no_number():
    same = np.zeros(4, np.int64)
    assert krippendorff_alpha(np.array([0, 0, 1, 1]), same) is None
    assert krippendorff_alpha(np.arange(4), same) is None
    assert fleiss_kappa(np.arange(4), same) == (None, 0)
    assert cohen_kappa(same, same) is None


def share(project, labeler):
    answer = project.client.patch(project.path, json={"labelers": [labeler.username]})
    assert answer.json()["labelers"] == [labeler.username]


@pytest.fixture
def second_labeler(lab_server):
    """Another account's HTTP client."""
    name = f"labeler-{uuid.uuid4().hex[:8]}"
    password = uuid.uuid4().hex
    account = {"username": name, "password": password, "permissions": ["read", "label"]}
    made = lab_server.client.post("accounts", json=account)
    assert made.status_code == 201, made.text
    login = lab_server.client.post("auth/login", json={"username": name, "password": password}).json()
    base = str(lab_server.client.base_url)
    with httpx.Client(base_url=base, headers={"Authorization": f"Bearer {login['access_token']}"}) as client:
        client.username = name
        yield client


def test_the_report_of_a_project(new_project, lab_server, second_labeler):
    project = new_project()
    share(project, second_labeler)
    samples = project.import_texts(*"abcdef")
    for one, label in zip(samples, ["ham", "ham", "ham", "spam", "spam", "spam"], strict=True):
        project.label(one, label, duration_ms=2000)
    project.client.post(f"{project.path}/gold", json={"gold": [{"sample_id": samples[0], "label": "spam"}]})
    project.label(samples[1], "spam", purpose="repeat")
    project.client, owner = second_labeler, project.client
    for one, label in zip(samples, ["ham", "ham", "ham", "spam", "spam", "ham"], strict=True):
        project.label(one, label)
    project.client = owner

    quality = owner.get(f"{project.path}/quality").json()
    assert (quality["samples"], quality["disagreements"], quality["fleiss_samples"]) == (6, 1, 6)
    (pair,) = quality["pairs"]
    assert pair["agreement"] == pytest.approx(5 / 6)
    assert pair["kappa"] == pytest.approx(2 / 3)
    assert quality["krippendorff_alpha"] == pytest.approx(1 - 11 * 2 / (7 * 5 * 2))
    mine, other = quality["labelers"]
    assert (mine["labels"], mine["seconds_per_label"], mine["repeats"]["total"]) == (7, 2.0, 1)
    assert (mine["repeats"]["right"], mine["gold"]["right"], mine["gold"]["total"]) == (0, 0, 1)
    assert abs(mine["gold"]["low"]) < 1e-9
    assert 0 < mine["gold"]["high"] < 1
    assert (other["author"], other["gold"]["total"]) == (second_labeler.username, 1)
    ham, spam = quality["classes"]
    assert (ham["samples"], ham["agreement"]) == (4, pytest.approx(6 / 7))
    assert (spam["samples"], spam["agreement"]) == (3, pytest.approx(4 / 5))


def test_boxes_agree_when_they_overlap(new_project, second_labeler):
    project = new_project("object_detection")
    share(project, second_labeler)
    sink = io.BytesIO()
    Image.new("RGB", (8, 8)).save(sink, "png")
    project.import_file(ipc(pa.table({"image": [sink.getvalue()]})), format="arrow")
    sample = project.samples()[0]["id"]

    def box(x, label="ham"):
        return {"x": x, "y": 0, "width": 0.4, "height": 0.4, "label": label}

    project.save({"sample_id": sample, "boxes": [box(0), box(0.5)]})
    project.client, owner = second_labeler, project.client
    project.save({"sample_id": sample, "boxes": [box(0.05), box(0.5, "spam")]})
    quality = owner.get(f"{project.path}/quality").json()
    assert quality["pairs"][0]["agreement"] == 0.5
    assert [one["agreement"] for one in quality["classes"]] == [pytest.approx(2 / 3), 0]
    assert quality["krippendorff_alpha"] is None


def test_who_is_named_sees_and_labels_and_changes_nothing_else(new_project, second_labeler):
    project = new_project()
    (sample,) = project.import_texts("one")
    owner = project.client
    label = {"labels": [{"sample_id": sample, "label": "ham", "key": uuid.uuid4().hex}]}
    assert second_labeler.get(project.path).status_code == 404
    assert second_labeler.post(f"{project.path}/labels", json=label).status_code == 404
    assert owner.patch(project.path, json={"labelers": ["nobody at all"]}).status_code == 422
    share(project, second_labeler)
    assert second_labeler.get(f"samples/{sample}").status_code == 200
    assert second_labeler.post(f"{project.path}/labels", json=label).status_code == 200
    for refused in (
        second_labeler.patch(project.path, json={"name": "mine"}),
        second_labeler.delete(project.path),
        second_labeler.post(f"{project.path}/gold", json={"gold": [{"sample_id": sample, "label": "ham"}]}),
    ):
        assert refused.status_code == 403
    owner.patch(project.path, json={"labelers": []})
    assert second_labeler.get(f"samples/{sample}").status_code == 404
