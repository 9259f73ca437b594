"""`mlship sql` in a shell."""

from pathlib import Path

import polars as pl
import pytest

from tests.commands.conftest import Shell

STATEMENT = "select x as number, 'a' || x as name from (values (1), (2)) t(x)"


def test_a_shell_prints_a_table(mlship: Shell) -> None:
    done = mlship("sql", STATEMENT)
    assert done.returncode == 0, done.stderr
    assert "number" in done.stdout
    assert "a2" in done.stdout


@pytest.mark.parametrize(
    ("format", "read"), [("csv", pl.read_csv), ("json", pl.read_json), ("parquet", pl.read_parquet)]
)
def test_a_file_has_the_whole_answer(mlship: Shell, tmp_path: Path, format: str, read) -> None:
    path = tmp_path / f"answer.{format}"
    done = mlship("sql", STATEMENT, "--format", format, str(path))
    assert done.returncode == 0, done.stderr
    assert "2 rows written" in done.stdout
    assert read(path).rows() == [(1, "a1"), (2, "a2")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["select * from rums"], "Did you mean 'runs'? (line 1, column 15)"),
        (["select 1", "--out", "x"], "only a notebook has variables"),
        (["select 1", "--format", "csv", "/no/such/folder/x.csv"], "/no/such/folder/x.csv"),
        (["select [1] as a", "--format", "csv", "x.csv"], "csv"),
    ],
)
def test_a_mistake_is_one_line(mlship: Shell, words: list[str], said: str) -> None:
    done = mlship("sql", *words)
    assert done.returncode != 0
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
