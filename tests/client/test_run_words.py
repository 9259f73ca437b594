"""Runs within runs, runs that go on, and what is said of them."""

import uuid

import pytest

from modelship_lab import client
from modelship_lab.client import start


def test_a_run_goes_on_after_its_last_step(lab: client.Lab) -> None:
    with lab.start_run("first half") as run:
        run.log({"loss": 1.0}, 4)
    with lab.resume_run(run.id) as again:
        assert again.record.status == "running"
        again.log({"loss": 0.5})
    assert again.id == run.id
    assert again.metrics_frame()["step"].to_list() == [4, 5]
    assert again.record.status == "finished"


def test_the_same_key_gives_the_same_run_and_that_of_the_environment_only_once(
    lab: client.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = uuid.uuid4().hex
    monkeypatch.setenv("MLSHIP_RUN_KEY", key)
    with lab.start_run("job") as run:
        run.log({"loss": 1.0})
    with lab.start_run("another of this process") as other:
        assert other.id != run.id
    # As in the process of a job that was put into the queue again.
    monkeypatch.setattr(start, "_taken_keys", set())
    with lab.start_run("job") as again:
        again.log({"loss": 0.5})
    assert again.id == run.id
    assert again.metrics_frame()["step"].to_list() == [0, 1]


def test_a_run_within_a_run_has_its_words(lab: client.Lab) -> None:
    with lab.start_run("folds", group="trees", notes="why", tags=["a"]) as run:
        with run.child("fold 1", group="trees") as child:
            child.log({"loss": 1.0})
        run.add_tags("b", "a", "c")
        run.remove_tags("a", "nothing")
        run.set_notes("because")
        run.set_group("forests")
    assert child.record.parent_id == run.id
    record = lab.run(run.id).record
    assert (record.children, record.tags, record.notes, record.group) == (1, ("b", "c"), "because", "forests")
    assert child.record.group == "trees"
