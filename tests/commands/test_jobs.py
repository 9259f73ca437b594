"""The verbs of background jobs, on a training that is cancelled before it has begun to learn."""

import uuid

import polars as pl
import pytest

from modelship_lab import client
from modelship_lab.commands.failures import CommandFailed
from modelship_lab.commands.main import execute
from modelship_lab.commands.shell import ShellSession


@pytest.fixture
def mlship(lab_server, tmp_path, monkeypatch):
    monkeypatch.setenv("MLSHIP_URL", lab_server.url)
    monkeypatch.setenv("MLSHIP_TOKEN", lab_server.token)
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path))
    session = ShellSession()
    return lambda *words: execute(words, session, "mlship")


@pytest.fixture
def project(lab_server, tmp_path):
    lab = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path)
    project = lab.new_project(f"jobs {uuid.uuid4().hex[:8]}", "text_classification", ["bad", "good"])
    rows = [{"text": f"text {row}", "label": "good" if row % 2 else "bad"} for row in range(40)]
    project.import_frame(pl.DataFrame(rows), text="text", label="label")
    return project


def test_a_training_in_the_background_is_begun_listed_and_cancelled(mlship, project, capsys):
    with pytest.raises(CommandFailed, match="epochs"):
        mlship("train", project.name, "--background", "--set", "epoch=3")
    assert project.jobs() == []
    with pytest.raises(CommandFailed, match="workspace"):
        mlship("train", project.name, "--background", "--output", "/elsewhere")
    assert project.lab.jobs(project) == []
    job = mlship("train", project.name, "--background", "--epochs", "4", "--name", "tonight")
    assert job.run.record.name == "tonight" and job.record.params["options"] == {"epochs": 4}
    listed = mlship("jobs", project.name).to_dicts()
    assert [(one["id"], one["kind"], one["run"]) for one in listed] == [(job.id, "training", job.run.id)]
    assert job.id in mlship("jobs")["id"].to_list()
    mlship("cancel", str(job.id))
    watched = mlship("jobs", "--watch", str(job.id))
    assert watched.status == "cancelled" and job.run.record.status == "stopped"
    again = mlship("train", project.name, "--background", "--resume", str(job.run.id))
    assert again.run.id == job.run.id and again.record.params["resume"] == job.run.id
    mlship("cancel", str(again.id))
    assert mlship("jobs", "--watch", str(again.id)).status == "cancelled"
    mlship("logs", str(job.id), "--follow")
    assert "ERROR" not in capsys.readouterr().out
    with pytest.raises(CommandFailed, match="ended already"):
        mlship("cancel", str(job.id))
    with pytest.raises(CommandFailed, match="There is no job"):
        mlship("logs", "999999")
