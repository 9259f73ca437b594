"""Verbs of data: import, snapshot, snapshots, diff."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack, get_args

import click

from modelship_lab.commands.parameters import KEY_VALUE, PROJECT
from modelship_lab.commands.results import Imported
from modelship_lab.commands.sample_conditions import given, sample_conditions
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.table import table
from modelship_lab.records.errors import InvalidInput
from modelship_lab.records.labeling import SEPARATOR, Existing, ImportFormat, Match, SnapshotDiff

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import ProjectHandle, SnapshotData
    from modelship_lab.client.imports import ImportColumns


@click.command("import")
@click.argument("project", type=PROJECT)
@click.argument("source", type=click.Path())
@click.option("--text", help="Column with the text of a text project.")
@click.option("--image", help="Column with the encoded images of an image project.")
@click.option(
    "--features", help="Columns of a tabular project, separated by commas. Default: all but the label."
)
@click.option("--label", help="Column with labels that are known already.")
@click.option("--prediction", help="Column with what the label may be: it becomes a suggestion.")
@click.option("--confidence", help="Column with how sure the prediction is, from 0 to 1.")
@click.option("--group", help="Column with what belongs together: a patient, an author.")
@click.option("--name", help="Column with what each sample is called.")
@click.option("--split", help="Column with the part of the data: train, validation, test.")
@click.option(
    "--existing",
    type=click.Choice(get_args(Existing)),
    default="leave",
    show_default=True,
    help="Rows whose sample is there already: leave them out, label what nobody has labeled otherwise, or replace.",
)
@click.option(
    "--match",
    type=click.Choice(get_args(Match)),
    default="content",
    show_default=True,
    help="What tells that a sample is there already.",
)
@click.option(
    "--selection", help="Remember all samples of the file, also those that were there, by this name."
)
@click.option("--separator", default=SEPARATOR, show_default=True, help="Between several classes in a cell.")
@click.option("--format", type=click.Choice(get_args(ImportFormat)), help="Default: by the file's name.")
@click.option("--encoding", default="utf-8", show_default=True, help="Encoding of a text file.")
@pass_session
def import_(
    session: Session,
    /,
    project: str,
    source: str,
    format: ImportFormat | None,
    encoding: str,
    **columns: "Unpack[ImportColumns]",
) -> Imported:
    """Import SOURCE into PROJECT.

    SOURCE is a CSV, TSV, JSON, JSONL, Parquet or Arrow file, a file or folder of Label Studio, doccano,
    COCO, YOLO, CoNLL or Hugging Face, a folder of images (subfolders are their labels), or in a notebook a
    variable that holds a polars or pandas frame. What the project has already is counted and left out, unless
    --existing says that its labels are taken over; bad rows are listed with the reason.
    """
    handle = session.project(project)
    path = Path(source).expanduser()
    frame = None if path.exists() else session.variable(source)
    if frame is None and not path.exists():
        raise InvalidInput(f"There is no file, folder or variable '{source}'.")
    with session.importing(f"{path.name} → {handle.name}") as on_progress:
        if frame is not None:
            result = handle.import_frame(frame, file_name=source, on_progress=on_progress, **columns)
        else:
            result = handle.import_file(
                path, format=format, encoding=encoding, on_progress=on_progress, **columns
            )
    return Imported(handle.name, result)


@click.command()
@click.argument("project", type=PROJECT)
@click.option("--description", default="", help="What is special about it.")
@click.option("--auto", is_flag=True, help="Also what models and rules labeled by themselves.")
@click.option(
    "--split",
    "splits",
    type=KEY_VALUE,
    multiple=True,
    help="Share of a split, e.g. --split train=0.8 --split test=0.2, for samples that came without one.",
)
@click.option("--seed", default=0, help="Other seeds give other splits.")
@sample_conditions
@pass_session
def snapshot(
    session: Session,
    /,
    project: str,
    description: str,
    auto: bool,
    splits: tuple[tuple[str, Any], ...],
    seed: int,
    **conditions: Any,
) -> "SnapshotData":
    """Freeze the labels of PROJECT with their samples, so that a run can name what it used.

    Of all samples, or of those alone that fit the options, e.g. --selection for those of one file.
    """
    handle: ProjectHandle = session.project(project)
    return handle.snapshot(
        description, include_auto=auto, splits=dict(splits), seed=seed, **given(conditions)
    )


@click.command()
@click.argument("project", type=PROJECT)
@pass_session
def snapshots(session: Session, project: str) -> "pl.DataFrame":
    """List the snapshots of PROJECT, the newest first."""
    return table(
        session.project(project).snapshots(),
        id=("integer", lambda one: one.id),
        number=("integer", lambda one: one.number),
        rows=("integer", lambda one: one.rows),
        classes=("text", lambda one: ", ".join(f"{name} {count}" for name, count in one.by_class.items())),
        description=("text", lambda one: one.description),
        created_at=("time", lambda one: one.created_at),
    )


@click.command()
@click.argument("before", type=int)
@click.argument("after", type=int)
@pass_session
def diff(session: Session, before: int, after: int) -> SnapshotDiff:
    """Show what changed from snapshot BEFORE to snapshot AFTER of a project; both are ids."""
    return session.lab.diff(before, after)


VERBS = (import_, snapshot, snapshots, diff)
