"""Numbered SQL files that bring a database to the present schema.

A file `NNNN_name.sql` is applied once, in a transaction, in the order of its number. A published
file is never edited: a change of the schema is a new file.
"""

import re
import shutil
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import duckdb

from modelship_lab.records.errors import StorageFailed


def available() -> list[tuple[int, str, str]]:
    """Number, name and SQL of every migration, in order."""
    found = []
    for entry in resources.files(__package__).iterdir():
        match = re.fullmatch(r"(\d{4})_(\w+)\.sql", entry.name)
        if match:
            found.append((int(match[1]), match[2], entry.read_text(encoding="utf-8")))
    return sorted(found)


def migrate(connection: duckdb.DuckDBPyConnection, path: Path) -> int:
    """Apply what is missing; returns the schema's version.

    A database with data in it is copied to `<name>.before-NNNN` first.

    Raises:
        StorageFailed: the file was written by a newer version of the lab.
    """
    connection.execute(
        "CREATE TABLE IF NOT EXISTS migrations (number INTEGER, name VARCHAR, applied_at TIMESTAMP)"
    )
    current = connection.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()[0]  # type: ignore[index]
    steps = available()
    newest = steps[-1][0]
    if current > newest:
        raise StorageFailed(
            f"{path.name} was written by a newer ModelShip Lab (schema {current}, this version knows {newest}). "
            "Upgrade modelship-lab, or use another data directory."
        )
    missing = [step for step in steps if step[0] > current]
    if missing and current > 0:
        # Everything must be in the file itself, not in the write-ahead log, before it is copied.
        connection.execute("CHECKPOINT")
        shutil.copy2(path, path.with_name(f"{path.name}.before-{missing[0][0]:04d}"))
    for number, name, sql in missing:
        connection.begin()
        try:
            connection.execute(sql)
            connection.execute(
                "INSERT INTO migrations VALUES (?, ?, ?)",
                [number, name, datetime.now(UTC).replace(tzinfo=None)],
            )
            connection.commit()
        except BaseException:
            connection.rollback()
            raise
    return newest
