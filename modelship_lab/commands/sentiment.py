"""The commands `sentiment-*` of FinSight's model builder: other faces of the same verbs.

Each speaks to the lab server that `mlship` speaks to, which is started when there is none; `MODEL_BUILDER_API_KEY`
is the credential, where it is set. They end with 0; with 1 when something went wrong, and with 2 after a mistake.
"""

import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from modelship_lab.commands import data_files, failures
from modelship_lab.commands.failures import CommandFailed
from modelship_lab.commands.models import STAGES
from modelship_lab.commands.shell import ShellSession
from modelship_lab.records.data_check import DataCheck
from modelship_lab.records.errors import (
    Conflict,
    InvalidInput,
    LabError,
    NotFound,
    TrainingFailed,
    Unavailable,
)
from modelship_lab.records.experiments import project_names, selection_of, takes
from modelship_lab.records.jobs import LOG_LEVELS
from modelship_lab.records.model_export import ModelValidation, model_formats
from modelship_lab.records.registry import ModelVersion, Stage
from modelship_lab.records.tracking import mlflow_id
from modelship_lab.records.training_config import TrainingConfig, read_config, template

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import Lab, ProjectHandle, RunHandle

KEY_VARIABLE = "MODEL_BUILDER_API_KEY"
CONFIG_FILE = Path("configs/training_config.yaml")
PATH = click.Path(path_type=Path)
_WIDTH = 110


class BuilderSession(ShellSession):
    """A shell whose credential may be in `MODEL_BUILDER_API_KEY`."""

    def connect(self) -> "Lab":
        key = os.environ.get(KEY_VARIABLE)
        if not key:
            return super().connect()
        from modelship_lab import client

        return client.connect(api_key=key)


class Program(click.Command):
    """A command that is a program of its own."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        session = BuilderSession()
        name = self.name or "sentiment"
        try:
            try:
                value = self.main(
                    prog_name=name, standalone_mode=False, obj=session, max_content_width=_WIDTH
                )
            except click.ClickException as error:
                raise failures.from_click(error, name) from error
            except (click.Abort, KeyboardInterrupt) as error:
                raise CommandFailed("Interrupted.", 130) from error
            except LabError as error:
                raise failures.from_lab(error) from error
        except CommandFailed as failure:
            click.echo(f"{name}: {failure.message}", err=True)
            sys.exit(failure.exit_code)
        if isinstance(value, int):
            # click hands back the exit code of --help.
            sys.exit(value)
        session.show(value)
        is_bad = (isinstance(value, DataCheck) and not value.valid) or (
            isinstance(value, ModelValidation) and not value.passed
        )
        sys.exit(1 if is_bad else 0)


def _program(name: str) -> Callable[[Callable[..., Any]], Program]:
    return click.command(name, cls=Program, context_settings={"help_option_names": ["-h", "--help"]})


def _same(verb: click.Command, name: str) -> Program:
    """A verb of the lab under another name."""
    return Program(
        name,
        callback=verb.callback,
        params=verb.params,
        help=verb.help,
        context_settings={"help_option_names": ["-h", "--help"]},
    )


# Training -----------------------------------------------------------------------------------------


@_program("sentiment-train")
@click.option("--data", "-d", type=PATH, required=True, help="Input data file: JSON, JSONL, CSV or Parquet.")
@click.option(
    "--output", "-o", type=PATH, default=Path("outputs"), show_default=True, help="Output directory."
)
@click.option(
    "--experiment",
    "-e",
    default="sentiment-analysis",
    show_default=True,
    help="Experiment: a project of the lab.",
)
@click.option(
    "--config", "-c", type=PATH, help="Configuration file (YAML); see `sentiment-config --template`."
)
@click.option(
    "--resume-from", type=PATH, help="A folder checkpoint-N of an earlier training, to go on from there."
)
@click.option(
    "--log-level",
    "-l",
    type=click.Choice(LOG_LEVELS, case_sensitive=False),
    default="INFO",
    show_default=True,
    help="Logging level.",
)
@click.pass_obj
def train(
    session: BuilderSession,
    data: Path,
    output: Path,
    experiment: str,
    config: Path | None,
    resume_from: Path | None,
    log_level: str,
) -> Any:
    """Train a model on a file of texts and labels. An interrupt ends it with a checkpoint."""
    from modelship_lab.learning import train as training
    from modelship_lab.learning.data.check import check_file, usable
    from modelship_lab.learning.data.file import format_of, read_data
    from modelship_lab.learning.encoders import encoder_folder
    from modelship_lab.learning.jobs.training import write_model
    from modelship_lab.learning.progress import STATE

    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    # Of the lab alone: other libraries tell of every lock and request.
    logging.getLogger("modelship_lab").setLevel(log_level)
    wanted = TrainingConfig() if config is None else read_config(config)
    state = None if resume_from is None else _state(resume_from, STATE)
    columns = wanted.preprocessing
    check = check_file(
        data, text_column=columns.text_column, label_column=columns.label_column, shown=str(data)
    )
    wrong = [problem for problem in check.problems if problem.is_error]
    if wrong:
        raise InvalidInput(" ".join(problem.message for problem in wrong))
    if wanted.training.backbone is not None:
        # Before anything is imported for a training that cannot begin.
        encoder_folder(wanted.training.backbone)
    rows = usable(read_data(data, format_of(data)), columns.text_column, columns.label_column)
    project = _experiment(session, experiment, check)
    # What the file says is what is learned, whatever an earlier one said of the same texts.
    selection = selection_of(str(data))
    project.import_frame(
        rows.select("text", "label"),
        file_name=data.name,
        text="text",
        label="label",
        existing="replace",
        selection=selection,
    )
    run = training.start(
        session.lab,
        project,
        wanted.recipe,
        wanted.options(),
        # Of this file alone, whatever the experiment has of others.
        snapshot=project.snapshot(str(data), selection=selection),
        name=experiment,
        state=state,
        output=output,
    )
    click.echo(f"Run {run.id} of {experiment}: {rows.height:,} rows, {wanted.recipe}", err=True)
    report = session.follow(run, wait=True, epochs=run.record.params.get("epochs"))
    ended = run.refresh()
    if ended.status == "failed":
        raise TrainingFailed(f"Run {run.id} failed: {ended.error}")
    write_model(run, output)
    click.echo(f"The model is in {output / 'model'}; its run id is {run.id}.", err=True)
    return report


def _state(folder: Path, name: str) -> bytes:
    try:
        return (folder / name).read_bytes()
    except OSError:
        there = sorted(str(one.parent) for one in folder.parent.glob(f"checkpoint-*/{name}"))
        listed = (
            f"there is {', '.join(there)}" if there else "name a folder checkpoint-N of a training's output"
        )
        raise NotFound(f"There is no checkpoint to go on from in {folder}: {listed}.") from None


def _experiment(session: BuilderSession, name: str, check: DataCheck) -> "ProjectHandle":
    """The project of an experiment; data of other classes have one of their own."""
    for called in project_names(name, check):
        try:
            project = session.lab.project(called)
        except NotFound:
            return session.lab.new_project(called, "text_classification", sorted(check.classes))
        if takes(project.record, check):
            return project
    raise Conflict(
        f"The experiment '{name}' is not one of the classes {', '.join(sorted(check.classes))[:200]}: name another one with "
        "--experiment."
    )


def _run_of(session: BuilderSession, model_path: Path) -> "RunHandle":
    """The run that has written a model's folder."""
    for place in (model_path, model_path / "model"):
        file = place / "run.json"
        if file.is_file():
            try:
                return session.lab.run(int(json.loads(file.read_text("utf-8"))["run_id"]))
            except (ValueError, KeyError, TypeError):
                break
    raise NotFound(
        f"There is no trained model in {model_path}: name the folder 'model' that a training has written."
    )


class ModelPath(click.Argument):
    """The folder of one model. A pattern that the shell has made several folders of is answered with what to do."""

    def __init__(self, declarations: Sequence[str], **settings: Any) -> None:
        super().__init__(declarations, **settings, nargs=-1, required=True, metavar="MODEL_PATH")

    def process_value(self, ctx: click.Context, value: Any) -> Path:
        paths: tuple[Path, ...] = super().process_value(ctx, value)
        if len(paths) > 1:
            newest = max(paths, key=lambda path: path.stat().st_mtime if path.exists() else 0.0)
            raise click.UsageError(
                f"One model is taken, and these are {len(paths)}; the newest is {newest}.", ctx
            )
        return paths[0]


# Export -------------------------------------------------------------------------------------------


@_program("sentiment-export")
@click.argument("model_path", type=PATH, cls=ModelPath)
@click.option(
    "--output", "-o", type=PATH, default=Path("exported"), show_default=True, help="Output directory."
)
@click.option(
    "--format",
    "-f",
    default="onnx",
    show_default=True,
    help="onnx, torchscript, triton or both; several with commas.",
)
@click.option("--validate/--no-validate", default=True, show_default=True, help="Validate exported models.")
@click.option("--optimize/--no-optimize", default=False, show_default=True, help="Apply optimizations.")
@click.pass_obj
def export(
    session: BuilderSession, model_path: Path, output: Path, format: str, validate: bool, optimize: bool
) -> Any:
    """Export the model in MODEL_PATH, a folder that a training has written."""
    from modelship_lab.learning.model_export import export_run

    formats = model_formats(format)
    return export_run(_run_of(session, model_path), formats, output, optimize=optimize, validate=validate)


validate = _same(data_files.validate_model, "sentiment-validate")


# Registry -----------------------------------------------------------------------------------------


class Json(click.ParamType[dict[str, Any]]):
    """A JSON object."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, Any]:
        try:
            found = json.loads(value)
        except ValueError as error:
            self.fail(f"is no JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail('must be a JSON object, e.g. {"accuracy": 0.89}', param, ctx)
        return found


@_program("sentiment-register")
@click.argument("model_path", type=PATH, cls=ModelPath)
@click.option("--run-id", required=True, help="Run that has trained it.")
@click.option("--name", help="Of the model. Default: the experiment's.")
@click.option("--description", default="", help="Model description.")
@click.option("--stage", type=STAGES, default="Staging", show_default=True, help="Initial model stage.")
@click.option("--tags", default="", help="Comma-separated tags.")
@click.option("--metadata", type=Json(), help="Additional metadata.")
@click.pass_obj
def register(
    session: BuilderSession,
    model_path: Path,
    run_id: str,
    name: str | None,
    description: str,
    stage: Stage,
    tags: str,
    metadata: dict[str, Any] | None,
) -> ModelVersion:
    """Register the model in MODEL_PATH; one that was not exported yet is exported first."""
    from modelship_lab.learning.model_export import export_run

    run = _run_of(session, model_path)
    if run_id not in (str(run.id), mlflow_id(run.record.tags)):
        raise InvalidInput(f"The model in {model_path} is of run {run.id}, not of {run_id}.")
    if run.record.bundle is None:
        export_run(run, ("onnx",))
    return session.lab.register(
        run.id,
        name or re.sub(r"[^\w .\-]", "_", run.record.project or "model"),
        stage,
        description,
        [tag.strip() for tag in tags.split(",") if tag.strip()],
        metadata,
    )


@_program("sentiment-list-models")
@click.option("--stage", type=STAGES, help="Of this stage alone.")
@click.option("--detailed", is_flag=True, help="With descriptions, tags, metadata and figures.")
@click.option("--format", type=click.Choice(["table", "json"]), default="table", show_default=True)
@click.pass_obj
def list_models(
    session: BuilderSession, stage: Stage | None, detailed: bool, format: str
) -> "pl.DataFrame | None":
    """List the registered models."""
    import polars as pl

    versions = [one for one in session.lab.model_versions() if stage in (None, one.stage)]
    rows = [_listed(one, detailed) for one in versions]
    if format == "json":
        click.echo(json.dumps(rows, indent=2))
        return None
    return pl.DataFrame([{key: _cell(value) for key, value in row.items()} for row in rows])


def _listed(version: ModelVersion, detailed: bool) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": version.model,
        "version": version.version,
        "stage": version.stage,
        "model_uri": f"models:/{version.model}/{version.version}",
        "created_at": version.created_at.isoformat(),
    }
    if detailed:
        row |= {
            "run_id": version.run_id,
            "description": version.description,
            "tags": list(version.tags),
            "metadata": version.metadata,
            "metrics": version.metrics,
        }
    return row


def _cell(value: Any) -> Any:
    return json.dumps(value) if isinstance(value, dict | list) else value


@_program("sentiment-transition-stage")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.argument("stage", type=STAGES)
@click.option("--comment", default="", help="Why, for those who read the history.")
@click.pass_obj
def transition_stage(
    session: BuilderSession, name: str, version: int, stage: Stage, comment: str
) -> ModelVersion:
    """Move VERSION of the model NAME to STAGE."""
    return session.lab.set_stage(name, version, stage, comment)


@_program("sentiment-delete-model")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.pass_obj
def delete_model(session: BuilderSession, name: str, version: int) -> str:
    """Delete VERSION of the model NAME; one that is deployed is not."""
    session.lab.delete_model_version(name, version)
    return f"{name}/{version} is deleted."


@_program("sentiment-model-info")
@click.argument("name")
@click.argument("version", type=click.IntRange(min=1))
@click.pass_obj
def model_info(session: BuilderSession, name: str, version: int) -> ModelVersion:
    """Show VERSION of the model NAME."""
    return session.lab.model_version(name, version)


# Utilities ----------------------------------------------------------------------------------------


@_program("sentiment-config")
@click.option("--validate", is_flag=True, help="Validate the configuration.")
@click.option("--template", "wants_template", is_flag=True, help="Show a configuration with every field.")
@click.option("--config", "-c", type=PATH, help=f"The file. Default: {CONFIG_FILE}, if there is one.")
def config(validate: bool, wants_template: bool, config: Path | None) -> str | None:
    """Show the current configuration."""
    import yaml

    if wants_template:
        click.echo(template(), nl=False)
        return None
    file = config or (CONFIG_FILE if CONFIG_FILE.is_file() else None)
    found = TrainingConfig() if file is None else read_config(file)
    if validate:
        return f"{file or 'The default configuration'} is valid."
    click.echo(yaml.safe_dump(found.model_dump(), sort_keys=False), nl=False)
    return None


validate_data = _same(data_files.validate_data, "sentiment-validate-data")
data_report = _same(data_files.data_report, "sentiment-data-report")


@_program("sentiment-health")
@click.option("--mlflow", is_flag=True, help="Check the MLflow connection.")
@click.option("--gpu", is_flag=True, help="Check GPU availability.")
@click.pass_obj
def health(session: BuilderSession, mlflow: bool, gpu: bool) -> str | None:
    """Check the service: the lab server, or with an option what it depends on."""
    if mlflow:
        return _mlflow()
    if gpu:
        from modelship_lab.client import gpus

        found = gpus.described()
        return f"GPU: {', '.join(found)}" if found else "GPU: none; training computes on the processor."
    started_s = time.perf_counter()
    lab = session.lab
    info = lab.info
    took_ms = 1000 * (time.perf_counter() - started_s)
    up = datetime.now(UTC) - info.started_at
    return f"healthy: version {info.version} at {info.url}, up for {up.total_seconds():,.0f} s ({took_ms:.0f} ms)"


def _mlflow() -> str:
    import httpx

    uri = os.environ.get("MLFLOW_TRACKING_URI", "")
    if not uri:
        return "MLflow: not configured; set MLFLOW_TRACKING_URI, and trainings are mirrored there."
    try:
        httpx.get(f"{uri.rstrip('/')}/health", timeout=5.0).raise_for_status()
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Unavailable(f"No MLflow server answers at {uri} ({type(error).__name__}).") from error
    return f"MLflow: connected to {uri}"
