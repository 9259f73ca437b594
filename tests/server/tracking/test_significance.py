"""Whether one run's model is better than another's, on the samples that both were tested on."""

import numpy as np
import pytest

from modelship_lab.learning.objectives import Number, OneClass, SeveralClasses
from modelship_lab.learning.predictions import predictions_file

CLASSES = ("no", "yes")


@pytest.fixture
def kept(lab_server):
    """Makes runs that have kept predictions."""

    def make(objective, outputs, targets, ids):
        run = lab_server.client.post("runs", json={"name": "compared"}).json()["id"]
        content = predictions_file(objective, outputs, targets, ids)
        lab_server.client.put(f"runs/{run}/artifacts/predictions.arrow", content=content).raise_for_status()
        return run

    return make


@pytest.fixture
def of_classes(kept):
    """The same, of two classes: `wrong` are the rows that it gets wrong."""

    def make(wrong, ids=None, targets=None, rows=200):
        targets = np.arange(rows) % 2 if targets is None else targets
        said = targets.copy()
        said[wrong] = 1 - said[wrong]
        return kept(
            OneClass(classes=CLASSES), np.eye(2)[said], targets, np.arange(rows) if ids is None else ids
        )

    return make


@pytest.fixture
def compared(lab_server):
    def compare(run, other, status=200):
        answer = lab_server.client.get(f"runs/{run}/significance", params={"other": other})
        assert answer.status_code == status, answer.text
        return answer.json()

    return compare


def test_two_runs_are_compared_on_the_samples_that_both_were_tested_on(of_classes, compared):
    worse = of_classes(slice(0, 60))
    found = compared(worse, of_classes(slice(0, 20)))
    assert (found["metric"], found["rows"], found["only_run"], found["changed"]) == ("accuracy", 200, 0, 0)
    assert found["difference"] == pytest.approx(0.2)
    assert found["low"] == pytest.approx(0.2 - 1.96 * np.sqrt(0.2 * 0.8 / 200), abs=0.015)
    assert found["low"] < 0.2 < found["high"] and found["p_value"] < 0.01
    same = compared(of_classes(slice(0, 20)), of_classes(slice(20, 40)))
    assert same["difference"] == 0 and same["low"] < 0 < same["high"] and same["p_value"] > 0.5


def test_samples_that_are_not_the_same_are_left_out_and_counted(lab_server, of_classes, compared):
    targets = np.arange(200) % 2
    other = targets.copy()
    other[150:160] = 1 - other[150:160]
    one = of_classes(slice(0, 10), targets=targets)
    two = of_classes(slice(0, 10), ids=np.arange(50, 250), targets=np.roll(other, -50))
    found = compared(one, two)
    assert [found[name] for name in ("rows", "only_run", "only_other", "changed")] == [140, 50, 50, 10]
    bare = lab_server.client.post("runs", json={"name": "bare"}).json()["id"]
    assert "predictions.arrow" in compared(one, bare, 404)["error"]["message"]
    nothing = compared(one, of_classes(slice(0, 1), ids=np.arange(500, 700)), 409)
    assert "nothing to compare" in nothing["error"]["message"]
    lab_server.client.put(f"runs/{bare}/artifacts/predictions.arrow", content=b"x").raise_for_status()
    assert compared(one, bare, 422)["error"]["code"] == "INVALID_DATA"


@pytest.mark.parametrize("rows", [300, 20_000])
def test_runs_of_numbers_are_compared_by_their_errors(kept, compared, rows):
    random = np.random.default_rng(0)
    actual = random.normal(size=rows)
    far, near = (
        kept(Number(), (actual + random.normal(0, spread, rows))[:, None], actual, np.arange(rows))
        for spread in (1.0, 0.1)
    )
    found = compared(far, near)
    assert found["metric"] == "mae" and found["low"] < found["difference"] < found["high"] < 0
    assert found["p_value"] < 0.01
    lists = kept(SeveralClasses(classes=CLASSES), np.eye(2), np.eye(2), np.arange(2))
    assert "different things" in compared(far, lists, 409)["error"]["message"]
