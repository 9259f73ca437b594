"""The commands of FinSight's model builder, as its documentation has them, against the session's lab server."""

import json
import os
import subprocess
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

from tests.conftest import LabServer
from tests.forks import Template
from tests.learning.encoders import tiny_encoder

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COMMANDS = (
    "train", "export", "validate", "register", "list-models", "transition-stage", "delete-model", "model-info",
    "config", "validate-data", "data-report", "health",
)  # fmt: skip


FINBERT = """
training:
  backbone: "ProsusAI/finbert"
  batch_size: 16
  learning_rate: 2e-5
  num_epochs: 3
  random_seed: 42
  fp16: true
  gradient_checkpointing: true

preprocessing:
  text_column: "text"
  label_column: "label"
  max_length: 512
  truncation: true
  padding: true

data:
  train_split: 0.8
  val_split: 0.1
  test_split: 0.1
  random_seed: 42
"""
"""The document's own configuration."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the commands are used: with data, and a configuration."""
    folder = tmp_path_factory.mktemp("sentiment")
    (folder / "data").mkdir()
    words = (["profit", "gain", "rally"], ["loss", "crash", "fraud"])
    rows = [
        {
            "text": f"shares {words[row % 2][row % 3]} in week {row}",
            "label": ("positive", "negative")[row % 2],
        }
        for row in range(120)
    ]
    (folder / "data" / "news_dataset.json").write_text(json.dumps(rows))
    (folder / "data" / "test_samples.json").write_text(json.dumps(rows[:30]))
    (folder / "data" / "one_class.csv").write_text("text,label\na,x\nb,x\n")
    config = {
        "training": {"batch_size": 16, "num_epochs": 2, "random_seed": 42},
        "preprocessing": {"text_column": "text", "label_column": "label"},
        "data": {"train_split": 0.8, "val_split": 0.1, "test_split": 0.1, "random_seed": 42},
    }
    (folder / "configs").mkdir()
    (folder / "configs" / "training_config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def sentiment(
    lab_server: LabServer, trainers: Template, folder: Path
) -> Callable[..., subprocess.CompletedProcess]:
    def run(
        name: str, *words: str, status: int | None = 0, **environment: str
    ) -> subprocess.CompletedProcess:
        told = {
            **os.environ,
            "PYTHONPATH": str(Path.cwd()),
            "COLUMNS": "200",
            "MLSHIP_URL": lab_server.url,
            "MLSHIP_TOKEN": "another one",
            "MODEL_BUILDER_API_KEY": lab_server.token,
            "MLSHIP_HOME": str(folder / "home"),
            **environment,
        }
        done = trainers.run([name, *words], told, folder=folder)
        assert status is None or done.returncode == status, done.stderr + done.stdout
        return done

    return run


@pytest.fixture(scope="module")
def trained(sentiment, folder: Path) -> int:
    """The one training that is shared; its run."""
    done = sentiment(
        "train", "--data", "data/news_dataset.json", "--output", "outputs/run", "--experiment", "sentiment commands",
        "--config", "configs/training_config.yaml", "--log-level", "DEBUG",
    )  # fmt: skip
    assert "finished" in done.stdout
    return json.loads((folder / "outputs/run/model/run.json").read_text())["run_id"]


def test_each_is_a_program_of_the_package() -> None:
    scripts = {one.name: one.value for one in entry_points(group="console_scripts")}
    for name in COMMANDS:
        value = f"modelship_lab.commands.sentiment:{name.replace('-', '_')}"
        assert scripts.get(f"sentiment-{name}", value) == value
        assert value in Path("pyproject.toml").read_text()


def test_training_leaves_a_model_and_goes_on_from_a_checkpoint(sentiment, folder: Path, trained: int) -> None:
    assert (folder / "outputs/run/model/checkpoint.ckpt").is_file()
    checkpoints = sorted((folder / "outputs/run").glob("checkpoint-*"))
    assert [one.name for one in checkpoints] == ["checkpoint-1", "checkpoint-2"]
    resumed = sentiment(
        "train", "-d", "data/news_dataset.json", "-o", "outputs/resumed", "-e", "sentiment commands",
        "-c", "configs/training_config.yaml", "--resume-from", str(checkpoints[0]),
    )  # fmt: skip
    assert "finished" in resumed.stdout
    assert (folder / "outputs/resumed/model/run.json").is_file()


def test_a_backbone_is_trained_exported_and_validated_as_the_documentation_has_it(
    sentiment, folder: Path, trained: int, lab_server: LabServer
) -> None:
    """The configuration is the document's own, but for the backbone's name and a rate for untrained weights."""
    rows = json.loads((folder / "data/news_dataset.json").read_text())
    # Half of the texts are those that the experiment knows.
    rows = rows[:40] + [{**row, "text": f"{row['text']} again"} for row in rows[:40]]
    (folder / "data/more.json").write_text(json.dumps(rows))
    tiny_encoder(folder / "backbones/tiny-finbert", [row["text"] for row in rows])
    config = FINBERT.replace("ProsusAI/finbert", "backbones/tiny-finbert").replace("2e-5", "2e-4")
    (folder / "finbert.yaml").write_text(config)
    assert "is valid" in sentiment("config", "--validate", "-c", "finbert.yaml").stdout
    done = sentiment(
        "train", "-d", "data/more.json", "-o", "outputs/finbert", "-e", "sentiment commands",
        "-c", "finbert.yaml",
    )  # fmt: skip
    assert "finished" in done.stdout and "text-encoder" in done.stderr
    assert "16 bits is for GPUs" in done.stderr
    # Of this file alone, though the experiment has learned from another one.
    assert f"{len(rows)} rows, text-encoder" in done.stderr
    run = json.loads((folder / "outputs/finbert/model/run.json").read_text())["run_id"]
    snapshot = lab_server.client.get(
        f"snapshots/{lab_server.client.get(f'runs/{run}').json()['snapshot_id']}"
    )
    assert snapshot.json()["rows"] == len(rows) == 80
    sentiment("export", "outputs/finbert/model", "-o", "models/finbert", "-f", "onnx", "--validate")
    sentiment(
        "validate", "models/finbert/model.onnx", "--test-data", "data/test_samples.json", "-o", "finbert.json"
    )
    report = json.loads((folder / "finbert.json").read_text())
    assert report["passed"] and set(report["per_class"]) == {"positive", "negative"}
    assert json.loads((folder / "models/finbert/bundle.json").read_text())["classes"] == [
        "negative",
        "positive",
    ]


def test_a_backbone_that_cannot_be_had_names_those_that_are_here(sentiment, folder: Path) -> None:
    (folder / "hub.yaml").write_text(FINBERT)
    failed = sentiment("train", "-d", "data/news_dataset.json", "-c", "hub.yaml", status=1)
    assert (
        "ProsusAI/finbert is not on this machine and the Hugging Face hub cannot be reached" in failed.stderr
    )
    assert "On this machine there is" in failed.stderr and "all-MiniLM-L6-v2" in failed.stderr
    assert failed.stderr.count("\n") == 1


def test_a_model_is_exported_validated_registered_moved_and_deleted(
    sentiment, folder: Path, trained: int
) -> None:
    sentiment("export", "outputs/run/model", "--output", "models/exported", "--format", "both", "--optimize")
    for file in ("model.onnx", "model.torchscript.pt", "model.int8.onnx", "bundle.json"):
        assert (folder / "models/exported" / file).is_file()
    for file in ("model.onnx", "model.torchscript.pt"):
        done = sentiment(
            "validate", f"models/exported/{file}", "--test-data", "data/test_samples.json",
            "--output", "validation_report.json",
        )  # fmt: skip
        assert "accuracy" in done.stdout
        report = json.loads((folder / "validation_report.json").read_text())
        assert report["passed"] is True and report["rows"] == 30 and report["accuracy"] > 0.8
    registered = sentiment(
        "register", "outputs/run/model", "--run-id", str(trained), "--description", "Production-ready",
        "--stage", "Production", "--tags", "crypto,news,sentiment", "--metadata", '{"accuracy": 0.89}',
    )  # fmt: skip
    assert "sentiment commands/1" in registered.stdout and "Production" in registered.stdout
    wrong = sentiment("register", "outputs/run/model", "--run-id", "mlflow-run-123", status=2)
    assert f"is of run {trained}" in wrong.stderr
    assert "models:/sentiment commands/1" in sentiment("list-models", "--stage", "Production").stdout
    listed = json.loads(sentiment("list-models", "--detailed", "--format", "json").stdout)
    mine = next(one for one in listed if one["name"] == "sentiment commands")
    assert mine["tags"] == ["crypto", "news", "sentiment"] and mine["metadata"] == {"accuracy": 0.89}
    assert "Archived" in sentiment("transition-stage", "sentiment commands", "1", "Archived").stdout
    assert "0.89" in sentiment("model-info", "sentiment commands", "1").stdout
    assert "is deleted" in sentiment("delete-model", "sentiment commands", "1").stdout
    assert "no model" in sentiment("model-info", "sentiment commands", "1", status=2).stderr


def test_the_configuration_is_shown_validated_and_made(sentiment, folder: Path) -> None:
    assert yaml.safe_load(sentiment("config").stdout)["training"]["num_epochs"] == 2
    assert "is valid" in sentiment("config", "--validate").stdout
    (folder / "config_template.yaml").write_text(sentiment("config", "--template").stdout)
    assert "is valid" in sentiment("config", "--validate", "-c", "config_template.yaml").stdout
    (folder / "wrong.yaml").write_text("training: {batch_size: none, epochs: 3}\ndata: {train_split: 0.9}\n")
    said = sentiment("config", "--validate", "-c", "wrong.yaml", status=2).stderr
    assert "training.batch_size" in said and "training.epochs" in said and "add up to 1" in said


def test_data_is_validated_and_reported_on(sentiment, folder: Path) -> None:
    good = sentiment(
        "validate-data",
        "data/news_dataset.json",
        "--format",
        "json",
        "--text-column",
        "text",
        "--label-column",
        "label",
    )
    assert "can be learned from" in good.stdout
    assert "at least two classes" in sentiment("validate-data", "data/one_class.csv", status=1).stdout
    assert (
        "'body' not found"
        in sentiment("validate-data", "data/news_dataset.json", "--text-column", "body", status=1).stdout
    )
    sentiment("data-report", "data/news_dataset.json", "--output", "data_report.html")
    page = (folder / "data_report.html").read_text()
    assert "Labels that may be wrong" in page and "<script" not in page


def test_health_of_the_lab_and_what_it_depends_on(sentiment) -> None:
    assert "healthy" in sentiment("health").stdout
    assert "not configured" in sentiment("health", "--mlflow", MLFLOW_TRACKING_URI="").stdout
    assert "GPU" in sentiment("health", "--gpu").stdout
    away = sentiment("health", "--mlflow", status=1, MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert "No MLflow server answers" in away.stderr
    refused = sentiment("health", status=2, MODEL_BUILDER_API_KEY="wrong")
    assert "credential" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train",), "--data"),
        (("train", "-d", "data/nothing.json"), "no file"),
        (("train", "-d", "data/one_class.csv"), "at least two classes"),
        (("train", "-d", "data/news_dataset.json", "--resume-from", "outputs/nothing"), "checkpoint"),
        (("export", "data"), "no trained model"),
        (("export", "data", "configs"), "One model is taken, and these are 2; the newest is"),
        (("export", "outputs/run/model", "--format", "coreml"), "onnx, torchscript, triton or both"),
        (("validate", "nothing.onnx", "--test-data", "data/test_samples.json"), "no model"),
        (("register", "outputs/run/model", "--run-id", "1", "--metadata", "[1]"), "JSON object"),
    ],
)
def test_mistakes_are_one_helpful_line(sentiment, words: tuple[str, ...], said: str) -> None:
    failed = sentiment(*words, status=2)
    assert said in failed.stderr and failed.stderr.count("\n") == 1, failed.stderr
