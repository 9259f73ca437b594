"""Suggestions by what knows the classes already: a deployment, a registered model, a lexicon."""

import csv
import uuid
from pathlib import Path

import polars as pl
import pytest

from modelship_lab.client.suggesting import run_of_model
from modelship_lab.records.errors import Conflict, InvalidInput, NotFound
from tests.server.shipping import deployed, registered

REVIEWS = Path(__file__).parents[2] / "notebooks" / "data" / "reviews.csv"


def test_a_deployment_and_a_version_of_a_model_are_asked(lab, lab_server, tmp_path):
    name = f"m-{uuid.uuid4().hex[:8]}"
    model = registered(lab_server.client, tmp_path, name)
    deployed(lab_server.client, model, f"{name}-api")
    classes = lab.deployment(f"{name}-api").classes
    project = lab.new_project(name, "text_classification", classes)
    texts = [f"text {number}" for number in range(300)]
    project.import_frame(pl.DataFrame({"text": texts}), text="text")
    ids = project.samples()["id"].to_list()
    project.save_labels({ids[0]: classes[0]})
    assert project.suggest(deployment=f"{name}-api").saved == 299
    said = lab.predict(f"{name}-api", texts[7])
    suggestion = project.sample(ids[7]).suggestion
    assert (suggestion.label, suggestion.source) == (said.prediction, model)
    assert suggestion.confidence == pytest.approx(said.confidence)
    assert project.sample(ids[0]).suggestion is None

    version = lab.model_version(name, 1)
    assert run_of_model(lab, model) == (version.run_id, model)
    lab.set_stage(name, 1, "Production")
    assert run_of_model(lab, f"{name}@Production") == (version.run_id, model)
    with pytest.raises(NotFound, match="Staging"):
        run_of_model(lab, f"{name}@Staging")
    with pytest.raises(InvalidInput, match="no run and no version"):
        project.suggest("something")
    with pytest.raises(InvalidInput):
        project.suggest()
    other = lab.new_project(f"{name}-other", "text_classification", ("a", "b"))
    with pytest.raises(Conflict, match="does not have"):
        other.suggest(deployment=f"{name}-api")


def test_a_lexicon_knows_what_is_said_in_reviews(lab):
    with REVIEWS.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::10]
    project = lab.new_project(f"l-{uuid.uuid4().hex[:8]}", "text_classification", ("positive", "negative"))
    project.import_frame(pl.DataFrame({"text": [row["text"] for row in rows]}), text="text")
    assert project.suggest("lexicon").saved == project.progress().total
    found = project.samples()
    truth = {row["text"]: row["label"] for row in rows}
    right = [truth[text] == said for text, said in zip(found["text"], found["suggested"], strict=True)]
    assert sum(right) / len(right) > 0.65
    wrong = lab.new_project(f"l-{uuid.uuid4().hex[:8]}", "text_classification", ("ham", "spam"))
    with pytest.raises(Conflict, match="tells negative, positive and neutral apart"):
        wrong.suggest("lexicon")
