"""The verb sql: questions in SQL over everything that the lab knows."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from modelship_lab.commands.results import Done
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import InvalidInput

if TYPE_CHECKING:
    import polars as pl

_FORMATS = ("csv", "json", "parquet")


@click.command()
@click.argument("statement", required=False)
@click.option("--out", metavar="NAME", help="Put the whole answer into this variable of the notebook, too.")
@click.option(
    "--format",
    "target",
    type=(click.Choice(_FORMATS), click.Path(dir_okay=False, path_type=Path)),
    metavar=f"[{'|'.join(_FORMATS)}] PATH",
    help="Write the whole answer to the file PATH instead.",
)
@pass_session
def sql(
    session: Session, statement: str | None, out: str | None, target: tuple[str, Path] | None
) -> "pl.DataFrame | Done":
    """Answer the SQL STATEMENT; without one, list the tables and columns that there are.

    In a notebook the statement may name frames of polars, pandas or Arrow, and stand in a cell
    below `%%mlship sql`.
    """
    # Only this verb may cost what DuckDB's import costs.
    from modelship_lab.client.sql import columns, query

    if statement is None:
        return columns(session.lab)
    frame = query(
        session.lab,
        statement,
        namespace=session.variables(),
        tell=lambda text: click.echo(text, err=True),
    )
    if out is not None:
        session.keep(out, frame)
    if target is None:
        return frame
    _write(frame, *target)
    return Done(f"{frame.height:,} rows written to {target[1]}.")


def _write(frame: "pl.DataFrame", format: str, path: Path) -> None:
    from polars.exceptions import PolarsError

    try:
        if format == "parquet":
            frame.write_parquet(path)
        elif format == "json":
            frame.write_json(path)
        else:
            frame.write_csv(path)
    except OSError as error:
        raise click.FileError(str(path), error.strerror or str(error)) from error
    except PolarsError as error:
        raise InvalidInput(f"This answer cannot be written as {format}: {error}.") from error


VERBS = (sql,)
