"""Database files as earlier versions have left them."""

from pathlib import Path

import duckdb

from modelship_lab.server.storage.database import now
from modelship_lab.server.storage.migrations import available


def older_database(path: Path, schema: int) -> duckdb.DuckDBPyConnection:
    """A new file of an earlier schema, open to be filled."""
    connection = duckdb.connect(str(path))
    connection.execute("CREATE TABLE migrations (number INTEGER, name VARCHAR, applied_at TIMESTAMP)")
    for number, name, sql in available():
        if number <= schema:
            connection.execute(sql)
            connection.execute("INSERT INTO migrations VALUES (?, ?, ?)", [number, name, now()])
    return connection
