"""Verbs of runs: runs list, import, export, delete; run, best, compare."""

import json
from contextlib import suppress
from typing import TYPE_CHECKING, get_args

import click

from modelship_lab.commands.groups import VerbGroup
from modelship_lab.commands.parameters import PROJECT, RUN
from modelship_lab.commands.results import Compared, Done, RunReport
from modelship_lab.commands.run_columns import COLUMNS, FIGURE, FILTER
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import InvalidInput, NotFound
from modelship_lab.records.tracking import RunStatus

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client import RunHandle
    from modelship_lab.client.exchange.transfer import Transfer
    from modelship_lab.records.metrics import Mode

_MOST_RUNS = 100
"""So many are listed when nobody says how many."""


@click.group(cls=VerbGroup, names=PROJECT)
def runs() -> None:
    """List runs, import and export them, delete them.

    `runs` alone, or with the name of a project, lists them: `runs list --help` tells how they are filtered and
    sorted.
    """


@runs.command(name="list")
@click.argument("project", type=PROJECT, required=False)
@click.option(
    "--filter", type=FILTER, default="", help="Only those for which this Python expression is true."
)
@click.option("--sort", type=COLUMNS, default=(), help="By these columns; '-' before one sorts it down.")
@click.option("--columns", type=COLUMNS, help="With these columns alone, e.g. params.lr,metrics.loss.min.")
@click.option("--status", type=click.Choice(get_args(RunStatus)), help="Only those in this state.")
@click.option("--group", help="Only those of this group.")
@click.option("--all", "everything", is_flag=True, help="All columns, not only those that tell runs apart.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    show_default=str(_MOST_RUNS),
    help="At most this many. A notebook's table has all when this is not given.",
)
@pass_session
def list_runs(
    session: Session,
    project: str | None,
    filter: str,
    sort: tuple[str, ...],
    columns: tuple[str, ...] | None,
    status: RunStatus | None,
    group: str | None,
    everything: bool,
    limit: int | None,
) -> "pl.DataFrame":
    """List the runs of PROJECT, or all, with their figures; the newest first.

    A filter compares columns with values: --filter 'metrics.loss < 0.3 and params.lr in (0.1, 0.01) and
    "baseline" in tags'. What a run does not have compares as false.
    """
    from modelship_lab.client.run_table import told_apart

    name = session.project(project).name if project else None
    asked = (
        [f"({filter})"] if filter.strip() and (status or group is not None) else [filter] if filter else []
    )
    asked += [f'status == "{status}"'] if status else []
    asked += [f"group == {json.dumps(group, ensure_ascii=False)}"] if group is not None else []
    filter = " and ".join(asked)
    table = session.lab.runs(name, limit=limit or _MOST_RUNS, filter=filter, sort=sort, columns=columns)
    shown = table if everything or columns or table.is_empty() else told_apart(table)
    return session.table_of_runs(shown, project=name, filter=filter, sort=sort, columns=columns, limit=limit)


@runs.command(name="import")
@click.argument("source", type=click.Path())
@click.option(
    "--project",
    type=PROJECT,
    help="Where the runs go. Default: projects as the source files them, if it does.",
)
@click.option(
    "--artifacts",
    type=click.Path(),
    help="Folder of an MLflow server's artifacts, if it is not beside the database.",
)
@pass_session
def import_runs(session: Session, source: str, project: str | None, artifacts: str | None) -> "Transfer":
    """Import the runs of SOURCE.

    SOURCE is an MLflow database (mlflow.db) or file store (mlruns), a folder of TensorBoard event
    files, a CSV file of metrics, or a folder that `runs export` has made. Importing again adds what
    is new and doubles nothing. What the lab cannot hold is counted, what cannot be read is told.
    """
    name = session.project(project).name if project else None
    with session.moving(f"{source} → {name or 'the lab'}") as on_moved:
        return session.lab.import_runs(source, name, artifacts=artifacts, on_moved=on_moved)


@runs.command(name="export")
@click.argument("target")
@click.option("--project", type=PROJECT, help="Whose runs. Default: all runs.")
@click.option("--run", "numbers", type=RUN, multiple=True, help="Only this run; can be given again.")
@pass_session
def export_runs(session: Session, target: str, project: str | None, numbers: tuple[int, ...]) -> "Transfer":
    """Export runs to TARGET, with all their points and artifacts.

    TARGET is a new folder, which gets Parquet files that `runs import` takes back, or the address of
    an MLflow server, e.g. http://127.0.0.1:5000. What that cannot hold is counted, and kept in tags.
    """
    name = session.project(project).name if project else None
    with session.moving(f"{name or 'the lab'} → {target}") as on_moved:
        return session.lab.export_runs(target, name, runs=numbers or None, on_moved=on_moved)


@runs.command()
@click.argument("numbers", metavar="RUN...", type=RUN, nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Delete them: there is no way back.")
@pass_session
def delete(session: Session, numbers: tuple[int, ...], yes: bool) -> Done:
    """Delete each RUN and all that are nested in it, with their metrics and files."""
    handles = [session.lab.run(number) for number in dict.fromkeys(numbers)]
    if not yes:
        parents = sum(handle.record.children > 0 for handle in handles)
        nested = ", with all that are nested in it" if parents else ""
        chosen = " ".join(str(handle.id) for handle in handles)
        kept = " ".join(f"--run {handle.id}" for handle in handles)
        raise InvalidInput(
            f"Nothing is deleted yet. {'; '.join(map(str, handles))}{nested} would be gone for good. "
            f"`mlship runs export FOLDER {kept}` keeps a copy, `mlship runs delete {chosen} --yes` deletes."
        )
    count = 0
    for handle in handles:
        with suppress(NotFound):  # It was nested in one of those before.
            count += handle.delete()
    return Done(f"{count:,} run{'' if count == 1 else 's'} deleted, with their metrics and files.")


@click.command()
@click.argument("run", type=RUN)
@pass_session
def run(session: Session, run: int) -> "RunReport | RunHandle":
    """Show RUN.

    Its parameters, figures and evaluation; while it goes on, in a notebook, its live chart.
    """
    handle = session.lab.run(run)
    # A notebook shows the handle of a run that goes on as its chart.
    return handle if handle.is_running and not session.is_shell else report(handle)


def report(handle: "RunHandle") -> RunReport:
    """All that is known of a run."""
    import polars as pl

    handle.refresh()
    points = handle.metrics_frame()
    last = points.group_by("name", "context", maintain_order=True).agg(
        pl.col("step").last(), pl.col("value").last()
    )
    return RunReport(
        handle.record,
        handle.evaluation(),
        tuple(handle.artifacts()),
        last,
        handle.lab.image,
        handle.lab.info.lab_id,
    )


@click.command()
@click.argument("metric", type=FIGURE)
@click.option("--project", type=PROJECT, help="Among the runs of this project.")
@click.option(
    "--mode",
    type=click.Choice(["min", "max"]),
    help="Whether the smallest or the largest is best. Default: the largest of accuracy, F1, AUC, score and "
    "the like, else the smallest.",
)
@click.option(
    "--filter",
    type=FILTER,
    default="",
    help="Among those for which this Python expression is true; see `runs list --help`.",
)
@pass_session
def best(
    session: Session, metric: str, project: str | None, mode: "Mode | None", filter: str
) -> "RunReport | RunHandle":
    """Show the run that is best by METRIC.

    METRIC is the name of a final figure or of a metric (val_loss), or a column (metrics.val_loss.min).
    """
    name = session.project(project).name if project else None
    handle = session.lab.best_run(metric, mode, project=name, filter=filter)
    return report(handle) if session.is_shell else handle


@click.command()
@click.argument("runs", type=RUN, nargs=-1, required=True)
@click.option("--all", "everything", is_flag=True, help="Show what is equal in all of them, too.")
@click.option("--code", is_flag=True, help="Show what differs in the code of the first two.")
@pass_session
def compare(session: Session, runs: tuple[int, ...], everything: bool, code: bool) -> Compared:
    """Compare RUNS with the first one.

    Tells what differs in parameters, figures and environment; in a notebook the curves and the code, too.
    """
    comparison = session.lab.compare(runs)
    return Compared(comparison, everything, comparison.code() if code else None)


VERBS = (runs, run, best, compare)
