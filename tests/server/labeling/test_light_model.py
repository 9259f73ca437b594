"""The light model: it learns from what people have labeled so far, as a job, and suggests for the rest."""

import csv
import os
import signal
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pytest

from tests.server.labeling.conftest import ipc

REVIEWS = Path(__file__).parents[3] / "notebooks" / "data" / "reviews.csv"
CLASSES = ("negative", "positive")


@pytest.fixture
def reviews(new_project):
    """A project with 3,000 reviews, none of them labeled, and what each of them is."""

    def create(**settings):
        with REVIEWS.open(newline="", encoding="utf-8") as file:
            rows = {row["text"]: row["label"] for row in csv.DictReader(file)}
        project = new_project(classes=CLASSES, settings=settings)
        project.import_file(ipc(pa.table({"text": list(rows)})), format="arrow")
        samples = project.table("samples").to_pylist()
        return project, {one["id"]: rows[one["text"]] for one in samples}

    return create


def label(project, truth, sample_ids):
    project.save(*({"sample_id": one, "label": truth[one]} for one in sample_ids)).raise_for_status()


def jobs(project):
    return project.client.get(f"{project.path}/jobs").json()["items"]


def ended(project, job_id):
    return project.client.get(f"jobs/{job_id}", params={"wait_s": 60}).json()


def begin(project, **options):
    answer = project.client.post(f"{project.path}/jobs", json=options)
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def until(condition, what, within_s=30):
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_after_so_many_labels_it_learns_and_suggests_by_itself(reviews):
    project, truth = reviews(retrain_every=200)
    some = list(truth)[::12][:200]
    label(project, truth, some[:199])
    assert jobs(project) == []
    label(project, truth, some[199:])
    until(lambda: jobs(project), "no round began")
    (job,) = jobs(project)
    job = ended(project, job["id"])
    assert job["status"] == "finished", job["error"]
    assert (job["result"]["source"], job["result"]["labels"]) == ("light:1", 200)
    samples = [one for start in (0, 1000, 2000) for one in project.samples(limit=1000, offset=start)]
    open_ones = [one for one in samples if one["status"] == "unlabeled"]
    assert len(open_ones) == len(truth) - 200
    right = sum(one["suggestion"]["label"] == truth[one["id"]] for one in open_ones) / len(open_ones)
    # Half of the reviews are positive.
    assert right > 0.6
    assert {one["suggestion"]["source"] for one in samples} == {"light:1"}
    assert abs(job["result"]["accuracy"] - right) < 0.15
    first = project.queue(order="uncertainty", limit=1)[0]
    by_id = {one["id"]: one["suggestion"]["confidence"] for one in open_ones}
    assert by_id[first] < sorted(by_id.values())[len(by_id) // 2]


def test_there_are_never_two_rounds_of_a_project_at_once_and_one_can_be_cancelled(reviews):
    project, truth = reviews()
    label(project, truth, list(truth)[::100])
    job = begin(project, kind="light_model")
    again = project.client.post(f"{project.path}/jobs", json={"kind": "light_model"})
    assert again.status_code == 409, again.text
    cancelled = project.client.delete(f"jobs/{job}").json()
    assert cancelled["status"] == "cancelled"
    assert project.client.delete(f"jobs/{job}").status_code == 409
    until(
        lambda: project.client.post(f"{project.path}/jobs", json={"kind": "light_model"}).is_success,
        "still busy",
    )


def test_what_cannot_be_learned_is_told(new_project):
    project = new_project(classes=CLASSES)
    one, _ = project.import_texts("good", "bad")
    assert "Nothing" in ended(project, begin(project, kind="light_model"))["error"]
    project.label(one, "positive")
    failed = ended(project, begin(project, kind="light_model"))
    assert failed["status"] == "failed"
    assert "all labels are the same" in failed["error"]


def test_sets_of_classes_are_learned_one_against_the_rest(new_project):
    project = new_project(classes=("fruit", "red", "sour"), multilabel=True)
    words = {"cherry": ["fruit", "red"], "brick": ["red"], "lemon": ["fruit", "sour"], "wall": []}
    texts = [f"a {word} number {number}" for number in range(12) for word in words]
    ids = project.import_texts(*texts)
    for one, text in list(zip(ids, texts, strict=True))[:40]:
        project.save({"sample_id": one, "labels": words[text.split()[1]]}).raise_for_status()
    assert ended(project, begin(project, kind="light_model"))["status"] == "finished"
    for sample in project.samples()[40:]:
        assert sample["suggestion"]["labels"] == words[sample["text"].split()[1]]


def test_a_killed_process_is_told_and_the_server_goes_on(reviews, lab_server):
    project, truth = reviews()
    label(project, truth, list(truth)[::100])
    before = set(psutil.Process(lab_server.process.pid).children())
    job = begin(project, kind="light_model")

    def process():
        children = psutil.Process(lab_server.process.pid).children()
        return next((one for one in children if one not in before), None)

    until(process, "no process began")
    os.kill(process().pid, signal.SIGKILL)
    failed = ended(project, job)
    assert (failed["status"], failed["error"]) == ("failed", "The job's process was ended by signal 9.")
    assert project.progress()["labeled"] == len(list(truth)[::100])


def test_a_job_dies_with_the_server_and_the_next_one_says_so(start_server, tmp_path):
    server = start_server(tmp_path / "lab")
    client = server.client
    body = {"name": "p", "task": "text_classification", "classes": CLASSES}
    path = f"projects/{client.post('projects', json=body).json()['id']}"
    texts = ipc(pa.table({"text": [f"word{number} and word{number % 7}" for number in range(3000)]}))
    begun = client.post(f"{path}/imports", params={"format": "arrow"}, content=texts).json()
    client.get(f"imports/{begun['id']}", params={"wait_s": 30})
    job = client.post(f"{path}/jobs", json={"kind": "embeddings"}).json()["id"]
    until(lambda: psutil.Process(server.process.pid).children(), "no process began")
    children = psutil.Process(server.process.pid).children()
    server.kill()
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    client = start_server(tmp_path / "lab").client
    left = client.get(f"jobs/{job}").json()
    assert (left["status"], left["error"]) == ("failed", "The lab server stopped before it was done.")
