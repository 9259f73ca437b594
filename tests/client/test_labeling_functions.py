"""Rules written in the notebook, and the label model that puts together what they say."""

import uuid

import numpy as np
import polars as pl
import pytest

from modelship_lab.client import labeling_functions
from modelship_lab.client.label_model import ABSTAINS, LabelModel
from modelship_lab.records.errors import InvalidInput


def test_the_label_model_finds_who_is_right_how_often():
    random = np.random.default_rng(1)
    truth = random.choice(3, 5000, p=[0.6, 0.3, 0.1])
    accuracies, speaks = [0.95, 0.8, 0.6, 0.75], [0.5, 0.9, 0.9, 0.7]
    votes = np.full((5000, 4), ABSTAINS)
    for column, (accuracy, share) in enumerate(zip(accuracies, speaks, strict=True)):
        wrong = (truth + random.integers(1, 3, 5000)) % 3
        said = np.where(random.random(5000) < accuracy, truth, wrong)
        votes[:, column] = np.where(random.random(5000) < share, said, ABSTAINS)
    model = LabelModel(votes, 3)
    np.testing.assert_allclose(model.accuracies, accuracies, atol=0.04)
    probabilities = model.probabilities()
    best = (probabilities.argmax(1) == truth).mean()
    counts = np.stack([(votes == name).sum(1) for name in range(3)], 1)
    assert best > (counts.argmax(1) == truth).mean()
    # What it calls likely is as often true.
    sure = probabilities.max(1) > 0.9
    assert (probabilities.argmax(1) == truth)[sure].mean() > 0.9


def test_a_few_labels_tell_which_of_two_is_wrong():
    votes = np.tile([[0, 1], [1, 0]], (200, 1))
    known = np.full(400, ABSTAINS)
    known[:40] = votes[:40, 0]
    model = LabelModel(votes, 2, known)
    assert model.accuracies[0] > 0.9 > 0.2 > model.accuracies[1]
    assert (model.probabilities().argmax(1) == votes[:, 0]).all()


@pytest.fixture
def project(lab):
    return lab.new_project(f"rules-{uuid.uuid4().hex[:8]}", "text_classification", ("ham", "spam"))


def test_functions_suggest_together_and_are_measured(lab, project):
    texts = (
        [f"win http {number}" for number in range(20)]
        + [f"dear ann {number}" for number in range(20)]
        + ["so"]
    )
    project.import_frame(pl.DataFrame({"text": texts}), text="text")
    ids = project.samples()["id"].to_list()
    project.save_labels({ids[0]: "spam", ids[20]: "ham", ids[21]: "ham", ids[22]: "spam"})

    @lab.labeling_function
    def has_link(text):
        return "spam" if "http" in text else None

    @lab.labeling_function
    def greets(text):
        return "ham" if text.startswith("dear") else None

    @lab.labeling_function
    def numbered(text):
        return "spam" if int(text.split()[-1]) % 2 else None

    found = project.apply_rules()
    assert (found.samples, found.covered, found.suggestions.saved) == (41, 40, 40)
    assert found.source == "rules:has_link+greets+numbered"
    rows = {row["function"]: row for row in found.table.to_dicts()}
    assert rows["has_link"]["coverage"] == pytest.approx(20 / 41)
    assert rows["has_link"]["conflicts"] == 0
    assert rows["greets"]["conflicts"] == pytest.approx(10 / 41)
    assert (rows["greets"]["accuracy"], rows["greets"]["labeled"]) == (pytest.approx(2 / 3), 3)
    assert (rows["numbered"]["errors"], rows["numbered"]["first_error"][:10]) == (1, "ValueError")
    suggestion = project.sample(ids[1]).suggestion
    assert (suggestion.label, suggestion.source) == ("spam", found.source)
    assert suggestion.confidence > 0.8
    assert project.sample(ids[40]).suggestion is None


def test_what_is_no_class_is_refused(lab, project):
    project.import_frame(pl.DataFrame({"text": ["a"]}), text="text")
    with pytest.raises(InvalidInput, match="'eggs'"):
        project.apply_rules(lambda text: "eggs")
    labeling_functions.WRITTEN.clear()
    with pytest.raises(InvalidInput, match="labeling_function"):
        project.apply_rules()
