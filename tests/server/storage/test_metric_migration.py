"""A file of before series were known comes along with all that counts in it."""

import asyncio
import math
from datetime import datetime

import pytest

from modelship_lab.server.storage.database import Database
from modelship_lab.server.tracking.curves import Axis, curves
from tests.server.storage.older_database import older_database


@pytest.fixture
def older_file(tmp_path):
    """A database of schema 2: run 1 of a client, run 2 of a program without steps, run 3 imported."""
    path = tmp_path / "lab.duckdb"
    connection = older_database(path, schema=2)
    for run, producer in ((1, "client-1"), (2, ""), (3, "import-abc")):
        connection.execute(
            "INSERT INTO metric_streams (run_id, producer, last_sequence, batches, points) VALUES (?, ?, 2, 2, 5)",
            [run, producer],
        )
        points = [("b", 2, 1.0), ("a", 1, 5.0), ("a", 2, math.nan), ("a", 1, 3.0), ("b", 1, 2.0)]
        for place, (name, step, value) in enumerate(points):
            connection.execute(
                "INSERT INTO metrics (run_id, name, step, time, value, batch) VALUES (?, ?, ?, ?, ?, 1)",
                [run, name, step, datetime(2026, 1, 1, 0, 0, place), value],
            )
    connection.close()
    return path


def test_points_become_series_and_the_last_one_of_a_step_counts(older_file):
    database = Database(older_file)
    try:

        def stored(run):
            rows = asyncio.run(
                database.read(
                    lambda cursor: cursor.rows(
                        "SELECT s.name, m.step, m.value FROM metrics m JOIN metric_series s ON s.id = m.series_id "
                        "WHERE s.run_id = ? ORDER BY m.rowid",
                        run,
                    )
                )
            )
            return [(row["name"], row["step"], str(row["value"])) for row in rows]

        last = [("b", 2, "1.0"), ("a", 2, "nan"), ("a", 1, "3.0"), ("b", 1, "2.0")]
        assert stored(1) == last
        # What came without a producer, or from another tool, need not have a step of its own.
        assert stored(2) == stored(3) == [last[0], ("a", 1, "5.0"), *last[1:]]
        figures = asyncio.run(
            database.read(
                lambda cursor: cursor.rows(
                    "SELECT context, points, first_step, last_step, last_time, last_value, finite, min, max, sum "
                    "FROM metric_series WHERE name = 'a' ORDER BY run_id"
                )
            )
        )
        assert [str(value) for value in figures[0].values()] == [
            *("{}", "2", "1", "2", "2026-01-01 00:00:02", "nan", "1", "3.0", "3.0", "3.0")
        ]
        assert (figures[1]["points"], figures[1]["max"], figures[1]["sum"]) == (3, 5.0, 8.0)
        told = asyncio.run(database.read(lambda cursor: curves(cursor, 1, ("b",), 100, Axis())))
        assert b'"steps":[1,2]' in told and b'"values":[2.0,1.0]' in told and b'"sequence":2' in told
    finally:
        database.close()
