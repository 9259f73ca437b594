"""`lab.sql` against a real server: what comes out, for whom, and what is fetched for it."""

import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from modelship_lab import client
from modelship_lab.client import sql
from modelship_lab.records.errors import InvalidInput
from tests.conftest import LabServer

PASSWORD = "a-long-password-of-a-test"


@pytest.fixture(scope="module")
def lab(lab_server: LabServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[client.Lab]:
    connected = client.connect(
        lab_server.url, lab_server.token, data_dir=tmp_path_factory.mktemp("sql-client")
    )
    yield connected
    connected.close()


def new_runs(lab: client.Lab, project: str, count: int = 3) -> list[int]:
    made = []
    for number in range(count):
        with lab.start_run(
            f"{project}-{number}",
            project=project,
            params={"rate": number / 10, 'odd"name': "x", "deep": [1], "unset": None},
        ) as run:
            for step in range(20):
                run.log({"loss": 1 / (step + 1), "accuracy": number + step / 100}, step=step)
        made.append(run.id)
    return made


@pytest.fixture(scope="module")
def runs(lab: client.Lab) -> list[int]:
    lab.new_project("sql-runs")
    return new_runs(lab, "sql-runs")


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[sql.Need]:
    """What is fetched for statements from now on."""
    needs: list[sql.Need] = []
    fetch = sql._fetch

    def noted(connection: object, need: sql.Need) -> pa.Table:
        needs.append(need)
        return fetch(connection, need)

    monkeypatch.setattr(sql, "_fetch", noted)
    return needs


def test_metrics_and_params_of_runs(lab: client.Lab, runs: list[int]) -> None:
    best = lab.sql(
        f"""select r.id, max(m.value) as best, any_value(p.value::double) as rate, count(*) as points
        from runs r join metrics m on m.run_id = r.id join params p on p.run_id = r.id
        where r.project = 'sql-runs' and m.name = 'accuracy' and p.name = 'rate' and r.id in {tuple(runs)}
        group by r.id order by best desc"""
    )
    assert best["id"].to_list() == runs[::-1]
    assert best["best"].to_list() == pytest.approx([2.19, 1.19, 0.19])
    assert best["rate"].to_list() == pytest.approx([0.2, 0.1, 0.0])
    assert best["points"].to_list() == [20, 20, 20]
    params = lab.sql(f"select name, value from params where run_id = {runs[0]} order by name")
    assert params.rows() == [("deep", "[1]"), ('odd"name', "x"), ("rate", "0.0")]


def test_every_table_has_the_columns_that_it_is_said_to_have(lab: client.Lab, runs: list[int]) -> None:
    names = lab.sql("show tables")["name"].to_list()
    assert {"runs", "params", "metrics", "labels", "samples", "snapshots", "projects", "models"} <= set(names)
    told = sql.columns(lab)
    for name in names:
        frame = lab.sql(f"select * from {name}")
        assert frame.columns == told.filter(pl.col("table") == name)["column"].to_list()
        assert lab.sql(f"select count(*) as n from {name}")["n"].to_list() == [frame.height]


def test_frames_of_all_kinds_are_joined(lab: client.Lab, runs: list[int]) -> None:
    data = {"run": runs, "price": [1.5, 2.5, 3.5]}
    arrow = pa.table(data)
    frames = (pl.DataFrame(data), pl.LazyFrame(data), pd.DataFrame(data), arrow, arrow.to_batches()[0])
    for prices in frames:
        joined = lab.sql(
            "select name, price from runs join Prices on prices.run = runs.id order by price", prices=prices
        )
        assert joined.rows() == [(f"sql-runs-{index}", price) for index, price in enumerate(data["price"])]


def test_the_name_of_a_table_is_never_taken_silently(lab: client.Lab) -> None:
    frame = pl.DataFrame({"id": [1]})
    with pytest.raises(InvalidInput, match="'Runs' is the name of a table of the lab"):
        lab.sql("select * from runs", Runs=frame)
    with pytest.raises(InvalidInput, match="'numbers' is list, not a frame"):
        lab.sql("select 1", numbers=[1])
    told: list[str] = []
    sql.query(
        lab, "select id from runs limit 1", namespace={"runs": frame, "labels": frame}, tell=told.append
    )
    (said,) = told
    assert said.startswith("'runs' is the lab's table here")


STATEMENTS = [
    "select name, max(value) from metrics where run_id = {0} group by name order by 1",
    "select count(*) from metrics where run_id in ({0}, {2})",
    "select * from metrics where run_id between {0} and {1} and name = 'run_id = 3' or run_id = {2} order by all",
    "select * from metrics where (run_id = {0} or name = 'loss') and step > 3 order by all",
    "select name from (select * from metrics order by 3, 5) where run_id = {0}",
    "select r.name, m.name, value from runs r left join metrics m on m.run_id = r.id and m.step = 3 "
    "where r.id = {1} order by 2",
    "select r.id from runs r anti join metrics m on m.run_id = r.id and m.step > 100 where r.id <= {2} order by 1",
    "select r.id, m.step from runs r full join metrics m on m.run_id = r.id and m.run_id = {0} order by all",
    "with a as (from metrics where run_id = {0}) select * from a join a b using (step, name) order by all",
    "select (select max(value) from metrics m where m.run_id = r.id) from runs r where r.id = {2}",
    "select * from (select *, row_number() over (partition by name order by value, run_id, step) as place "
    "from metrics) where run_id = {1} and place < 9 order by all",
    "pivot (from metrics where run_id = {0}) on name using max(value) group by step order by step",
    "select * from runs natural join (select id from runs where id = {0})",
    "select run_id from metrics where run_id = {0} union all select id from runs where id = {1} order by 1",
    "select columns('^(name|step)$') from metrics where run_id = {0} order by all",
    "select metrics from metrics where run_id = {1} order by all",
    "select count(*) from metrics, runs where runs.id = {0} and metrics.run_id = {1}",
    "with recursive t as (select {0}::bigint as n union all select n + 1 from t where n < {2}) "
    "select n, count(value) from t left join metrics on run_id = n group by n order by n",
    "from samples limit 3",
    "select * from metrics where false",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_what_is_left_out_changes_no_answer(lab: client.Lab, runs: list[int], statement: str) -> None:
    statement = statement.format(*runs)
    whole = duckdb.connect()
    for table in sql.tables(lab):
        whole.register(table.name, sql._fetch(lab.connection, sql.Need(table, (), {}, None)))
    expected = sql._frame(whole.sql(statement).to_arrow_table())
    assert lab.sql(statement).equals(expected)


@pytest.mark.parametrize(
    ("statement", "columns", "numbers", "limit"),
    [
        ("select max(value) from metrics where run_id = 7", ("value",), {"run_id": (7,)}, None),
        (
            "select value from metrics where run_id in (7, 9) and name = 'a'",
            ("run_id", "name", "value"),
            {"run_id": (7, 9)},
            None,
        ),
        (
            "select step from metrics m join runs r on r.id = m.run_id where r.id = 8",
            ("run_id", "step"),
            {"run_id": (8,)},
            None,
        ),
        ("select name from metrics limit 5 offset 2", ("name",), {}, 7),
        ("select name from metrics where value > 1 limit 5", ("name",), {}, None),
        ("select name from metrics order by value limit 5", ("name", "value"), {}, None),
        ("select value from metrics where run_id = 7 or value > 1", ("run_id", "value"), {}, None),
        ("select count(*) from metrics", ("run_id",), {}, None),
    ],
)
def test_no_more_is_fetched_than_the_statement_reads(
    lab: client.Lab,
    fetched: list[sql.Need],
    statement: str,
    columns: tuple[str, ...],
    numbers: dict[str, tuple[int, ...]],
    limit: int | None,
) -> None:
    lab.sql(statement)
    need = next(one for one in fetched if one.table.name == "metrics")
    assert set(columns) <= set(need.columns) <= {*columns, "run_id", "value"}
    assert (dict(need.numbers), need.limit) == (numbers, limit)
    assert {one.table.name for one in fetched} <= {"metrics", "runs"}


def test_what_describes_or_counts_nothing_fetches_nothing(lab: client.Lab, fetched: list[sql.Need]) -> None:
    assert "value" in lab.sql("describe metrics")["column_name"].to_list()
    assert lab.sql("select 1 as one").rows() == [(1,)]
    assert fetched == []


def test_the_answer_is_what_polars_likes(lab: client.Lab) -> None:
    frame = lab.sql("select 1 as a, 2 as a, sum(x) as s, now() as at from (values (1), (2)) t(x)")
    assert frame.columns == ["a", "a_1", "s", "at"]
    assert frame["s"].to_list() == [3]
    assert frame.schema["s"] == pl.Int64
    assert isinstance(frame["at"][0], datetime)


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("selec 1", r"syntax error at or near \"selec\" \(line 1, column 1\)"),
        ("select 1,\n  max(vlaue)\nfrom metrics", r"\"vlaue\" not found.*\"value\".*\(line 2, column 7\)"),
        (
            "select * from metrix",
            r"no table or frame 'metrix'. Did you mean 'metrics'\? \(line 1, column 15\)",
        ),
        ("select * from price", r"no table or frame 'price'. Did you mean 'prices'\?"),
        ("select 'a'::int from runs", r"Could not convert string 'a' to INT32"),
        ("install httpfs", "one statement that begins with SELECT"),
        ("load httpfs", "one statement that begins with SELECT"),
        ("attach 'lab.duckdb'", "one statement that begins with SELECT"),
        ("select 1; select 2", "one statement that begins with SELECT"),
        ("delete from runs", "one statement that begins with SELECT"),
        ("", "one statement that begins with SELECT"),
        ("select * from 'https://example.org/x.parquet'", "extensions are off here"),
        ("select * from read_csv('s3://bucket/x')", "extensions are off here"),
    ],
)
def test_a_mistake_is_one_line_that_says_where(lab: client.Lab, statement: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said) as raised:
        sql.query(lab, statement, namespace={"prices": pl.DataFrame({"a": [1]})})
    assert "\n" not in raised.value.message


def test_files_of_the_user_are_read(lab: client.Lab, tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text("run,price\n1,2.5\n")
    assert lab.sql(f"select price from '{tmp_path}/prices.csv'").rows() == [(2.5,)]


def test_nothing_of_another_account_comes_out(lab: client.Lab, lab_server: LabServer, tmp_path: Path) -> None:
    name = f"ann-{uuid.uuid4().hex[:8]}"
    lab.users.new(name, PASSWORD, permissions=["read", "write", "train", "label"])
    ann = client.connect(lab_server.url, username=name, password=PASSWORD, data_dir=tmp_path)
    secret, shown = f"secret-{name}", f"shown-{name}"
    lab.new_project(secret, "text_classification", ["a", "b"])
    lab.new_project(shown, "text_classification", ["a", "b"], is_public=True)
    for project in (secret, shown):
        new_runs(lab, project, 1)
        handle = lab.project(project)
        handle.import_frame(pl.DataFrame({"t": [f"{project} text"], "l": ["a"]}), text="t", label="l")
        handle.snapshot()
    ann.new_project(f"own-{name}")
    (own,) = new_runs(ann, f"own-{name}", 1)
    assert ann.sql("select distinct name from projects where name like '%" + name + "' order by 1")[
        "name"
    ].to_list() == [f"own-{name}", shown]
    (shown_run,) = lab.sql(f"select id from runs where name = '{shown}-0'")["id"]
    for table in ("metrics", "params"):
        seen = set(ann.sql(f"select distinct run_id from {table}")["run_id"])
        assert seen == set(ann.sql("select id from runs")["id"])
        assert {own, shown_run} <= seen
    for table in ("samples", "labels", "snapshots"):
        seen = ann.sql(f"select distinct p.name from {table} t left join projects p on p.id = t.project_id")[
            "name"
        ].to_list()
        assert shown in seen
        assert None not in seen
    for table in ann.sql("show tables")["name"]:
        assert secret not in str(ann.sql(f"select * from {table}").rows())
    assert secret in str(lab.sql("select * from events").rows())
    told = ann.request("GET", "events", params={"limit": 1000}).json()["items"]
    assert set(ann.sql("select id from events")["id"]) == {event["id"] for event in told}
    hidden = lab.sql(f"select id from runs where name = '{secret}-0'")["id"][0]
    assert ann.sql(f"select * from metrics where run_id = {hidden}").is_empty()
    ann.close()
