"""Runs as a table: filtered, sorted, the best of them, and side by side."""

import polars as pl
import pytest

from modelship_lab import client
from modelship_lab.client.run_table import in_filter, told_apart, usual_mode
from modelship_lab.records.errors import InvalidInput, NotFound


@pytest.fixture(scope="module")
def lab(lab_server, tmp_path_factory) -> client.Lab:
    connected = client.connect(lab_server.url, lab_server.token, data_dir=tmp_path_factory.mktemp("table"))
    connected.new_project("table", "text_classification", ["a", "b"])
    for rate, depth in ((0.1, 2), (0.5, "deep"), (0.3, 4)):
        params = {"rate": rate, "depth": depth, "same": 7}
        environment = {"python": "3.13", "packages": {"torch": f"2.{int(rate * 10)}"}}
        with connected.start_run(
            f"rate {rate}", project="table", params=params, environment=environment
        ) as run:
            connected.request("PATCH", f"runs/{run.id}", json={"group": f"g{depth}"})
            for step in range(3):
                run.log({"loss": rate / (step + 1)}, step=step)
            run.set_summary({"test_accuracy": rate, "seconds": 3, "never": float("nan")})
            run.save_artifact("cell.py", f"lr = {rate}\nfit()\n")
    return connected


def test_figures_and_parameters_are_columns_and_equal_ones_can_be_left_out(lab: client.Lab) -> None:
    table = lab.project("table").runs()
    assert table["name"].to_list() == ["rate 0.3", "rate 0.5", "rate 0.1"]
    assert table["summary.test_accuracy"].to_list() == [0.3, 0.5, 0.1]
    assert table["params.rate"].to_list() == [0.3, 0.5, 0.1]
    assert table["metrics.loss"].to_list() == pytest.approx([0.1, 0.5 / 3, 0.1 / 3])
    assert table["params.depth"].to_list() == ["4", "deep", "2"]
    assert "summary.never" not in table.columns
    shown = told_apart(table).columns
    assert {"name", "group", "summary.test_accuracy", "params.rate", "params.depth"} <= set(shown)
    assert shown.index("summary.test_accuracy") < shown.index("duration_s") < shown.index("started_at")
    assert not {"summary.seconds", "params.same", "tags", "children"} & set(shown)


def test_filter_sort_columns_and_limit(lab: client.Lab) -> None:
    table = lab.runs(
        "table",
        "finished",
        filter="params.rate >= 0.3 or metrics.loss.min < 0.01",
        sort="-metrics.loss.max",
        columns=["params.rate"],
    )
    assert table["params.rate"].to_list() == [0.5, 0.3]
    assert [name for name in table.columns if "." in name] == ["params.rate"]
    assert lab.runs("table", limit=1, sort=["params.rate"])["params.rate"].to_list() == [0.1]
    assert lab.runs("table", filter="params.rate > 9").is_empty()


def test_more_runs_than_one_page_come_whole_and_once(
    lab: client.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("modelship_lab.client.run_table._PAGE", 2)
    table = lab.runs("table", columns=["params.depth"])
    assert table["params.depth"].to_list() == ["4", "deep", "2"]
    assert table["id"].is_unique().all()


def test_a_mistake_in_a_filter_is_marked(lab: client.Lab) -> None:
    with pytest.raises(InvalidInput) as raised:
        lab.runs("table", filter="params.rate > 0.1 and statsu == 'finished'")
    told, expression, mark = raised.value.message.split("\n")
    assert "did you mean 'status'" in told
    assert expression.index("statsu") == mark.index("^")


def test_the_best_run_is_found_by_the_name_of_a_figure(lab: client.Lab) -> None:
    def best(*words: str, **options: str) -> str:
        return lab.best_run(*words, project="table", **options).record.name

    assert best("loss") == "rate 0.1"
    assert best("loss", "max") == "rate 0.5"
    assert best("test_accuracy") == "rate 0.5"
    assert best("metrics.loss.max") == "rate 0.1"
    assert best("loss", filter="params.rate > 0.2") == "rate 0.3"
    with pytest.raises(NotFound, match=r"metrics\.loss"):
        best("lost")
    with pytest.raises(NotFound, match="passes the filter"):
        best("loss", filter="params.rate > 9")


@pytest.mark.parametrize(
    ("column", "mode"),
    [
        ("metrics.val_loss", "min"),
        ("summary.test_macro_f1", "max"),
        ('metrics["val/accuracy"]', "max"),
        ("metrics.acc{subset=val}", "max"),
        ("metrics.accuracy_loss", "min"),
    ],
)
def test_what_is_best_is_told_by_the_name(column: str, mode: str) -> None:
    assert usual_mode(column) == mode


def test_a_metric_in_a_context_is_called_in_a_filter_as_it_takes_it() -> None:
    assert in_filter("metrics.loss{subset=val}") == 'metrics["loss", "subset=val"]'
    assert in_filter('metrics["a/b"]{rank=0, subset=val}') == 'metrics["a/b", "rank=0", "subset=val"]'
    assert in_filter('metrics.loss{a="x,y"}') == r'metrics["loss", "a=\"x,y\""]'
    assert in_filter("params.rate") == "params.rate"


def test_runs_side_by_side_tell_what_differs(lab: client.Lab) -> None:
    ids = lab.runs("table", sort="params.rate")["id"].to_list()
    comparison = lab.compare(ids[:2])
    assert {one.name: one.values for one in comparison.params()} == {"rate": (0.1, 0.3), "depth": (2, 4)}
    assert "same" in {one.name for one in comparison.params(everything=True)}
    assert [one.name for one in comparison.figures()] == ["test_accuracy", "seconds"]
    assert {one.name: one.values for one in comparison.environment()} == {"torch": ("2.1", "2.3")}
    code = comparison.code().splitlines()
    assert code[0] == f"--- run {ids[0]}: cell.py"
    assert {"-lr = 0.1", "+lr = 0.3", " fit()"} <= set(code)
    with pytest.raises(InvalidInput, match="at least two"):
        lab.compare(ids[:1])


def test_no_runs_are_an_empty_table(lab: client.Lab) -> None:
    lab.new_project("empty", exist_ok=True)
    table = lab.runs("empty")
    assert table.is_empty()
    assert table.columns[:4] == ["id", "name", "status", "project"]
    assert isinstance(table, pl.DataFrame)
