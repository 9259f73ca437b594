"""Verbs of models: export, register, models, stage."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast, get_args

import click
from click.shell_completion import CompletionItem

from modelship_lab.commands.naming import with_suggestion
from modelship_lab.commands.parameters import MODEL, MODEL_VERSION, RUN, RUN_OR_PROJECT
from modelship_lab.commands.results import Exported
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.bundle import BundleManifest
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.labeling import ExportFormat, SampleStatus
from modelship_lab.records.model_export import ModelExport, ModelFormat, model_formats
from modelship_lab.records.registry import ModelVersion, Stage

if TYPE_CHECKING:
    import polars as pl


class ExportFormatName(click.ParamType[str]):
    """A form of labels, or forms of a model with commas between them."""

    name = "format"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in get_args(ExportFormat):
            try:
                model_formats(str(value))
            except InvalidInput:
                self.fail(f"{value!r} is none of {', '.join(self._names())}.", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self._names() if name.startswith(incomplete)]

    def _names(self) -> tuple[str, ...]:
        return (*get_args(ModelFormat), "both", *get_args(ExportFormat))


class StageName(click.Choice[str]):
    """A stage, written in any case."""

    def __init__(self) -> None:
        super().__init__(get_args(Stage), case_sensitive=False)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        # As they are written elsewhere; click would offer them in lower case.
        return [
            CompletionItem(stage) for stage in self.choices if stage.lower().startswith(incomplete.lower())
        ]


STAGES = StageName()
FORMATS = ExportFormatName()


@click.command()
@click.argument("source", type=RUN_OR_PROJECT)
@click.argument("target", type=click.Path(), required=False)
@click.option(
    "--format",
    type=FORMATS,
    help="Of the model: onnx, torchscript, triton or both (the first two), with commas between several. "
    "Of labels, default: by the file's name.",
)
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the files of a model.")
@click.option(
    "--optimize", is_flag=True, help="Also a smaller model, with weights of 8 bits, and a faster one."
)
@click.option(
    "--validate/--no-validate",
    default=True,
    help="Whether each file of a model is loaded anew and compared on rows that were held out.",
)
@click.option(
    "--status",
    type=click.Choice(get_args(SampleStatus)),
    multiple=True,
    default=("labeled",),
    show_default=True,
    help="Of the samples; may be repeated. What models and rules have labeled is auto.",
)
@click.option("--split", help="Only samples of this part of the data.")
@click.option("--suggestions", is_flag=True, help="With what is suggested for each sample.")
@pass_session
def export(
    session: Session,
    source: str,
    target: str | None,
    format: str | None,
    output: Path | None,
    optimize: bool,
    validate: bool,
    status: tuple[SampleStatus, ...],
    split: str | None,
    suggestions: bool,
) -> "BundleManifest | ModelExport | Exported":
    """Export the model of a run, or the labels of a project to TARGET.

    `export RUN` makes a bundle, which the lab keeps with the run; it fails unless the model agrees with its source
    on real rows. With other formats, `--optimize` or `--output` it writes files, too. `export PROJECT TARGET` writes
    what people have labeled to a file, or for formats of several files to a zip file or folder.
    """
    if target is None:
        from modelship_lab.learning import model_export

        run = session.lab.run(RUN.convert(source, None, None))
        formats = model_formats(format or "onnx")
        return model_export.export_run(run, formats, output, optimize=optimize, validate=validate)
    handle, path = session.project(source), Path(target).expanduser()
    with session.importing(f"{handle.name} → {path.name}") as on_progress:
        made = handle.export(
            path,
            format=cast("ExportFormat | None", format),
            status=status,
            suggestions=suggestions,
            on_progress=on_progress,
            **({} if split is None else {"split": split}),
        )
    return Exported(str(path), made)


@click.command()
@click.argument("run", type=RUN)
@click.option("--name", type=MODEL, required=True, help="Of the model; a known name gets its next version.")
@click.option("--stage", type=STAGES, default="None", show_default=True, help="Of this version.")
@click.option("--description", default="", help="What is special about this version.")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@pass_session
def register(
    session: Session, run: int, name: str, stage: Stage, description: str, tags: tuple[str, ...]
) -> ModelVersion:
    """Register the exported model of RUN."""
    return session.lab.register(run, name, stage, description, tags)


@click.command()
@click.argument("model", type=MODEL, required=False)
@pass_session
def models(session: Session, model: str | None) -> "pl.DataFrame":
    """List the models, or the versions of MODEL; the newest first."""
    import polars as pl

    lab = session.lab
    names = [model] if model else [one.name for one in lab.models()]
    versions = [version for name in names for version in _versions(session, name)]
    return pl.DataFrame(
        {
            "model": [f"{version.model}/{version.version}" for version in versions],
            "stage": [version.stage for version in versions],
            "run_id": [version.run_id for version in versions],
            "snapshot_id": [version.snapshot_id for version in versions],
            "accuracy": [_accuracy(version) for version in versions],
            "tags": [", ".join(version.tags) for version in versions],
            "description": [version.description for version in versions],
            "created_at": [version.created_at for version in versions],
        },
        schema_overrides={
            "model": pl.String,
            "stage": pl.String,
            "run_id": pl.Int64,
            "snapshot_id": pl.Int64,
            "accuracy": pl.Float64,
            "tags": pl.String,
            "description": pl.String,
            "created_at": pl.Datetime("us", "UTC"),
        },
    )


@click.command()
@click.argument("model", type=MODEL_VERSION)
@click.argument("stage", type=STAGES)
@pass_session
def stage(session: Session, model: tuple[str, int | None], stage: Stage) -> ModelVersion:
    """Move a version of MODEL (`name/version`) to another STAGE."""
    name, version = resolve(session, model)
    return session.lab.set_stage(name, version, stage)


def resolve(session: Session, model: tuple[str, int | None]) -> tuple[str, int]:
    """A model and its version; the newest when none was said."""
    name, version = model
    if version is not None:
        return name, version
    return name, max(one.version for one in _versions(session, name))


def _versions(session: Session, name: str) -> list[ModelVersion]:
    try:
        versions = session.lab.model_versions(name)
    except NotFound as error:
        raise with_suggestion(error, "model", name, [one.name for one in session.lab.models()]) from error
    return sorted(versions, key=lambda version: -version.version)


def _accuracy(version: ModelVersion) -> float | None:
    return next(
        (version.metrics[name] for name in ("test_accuracy", "accuracy") if name in version.metrics), None
    )


VERBS = (export, register, models, stage)
