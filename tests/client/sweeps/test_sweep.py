"""Sweeps through a real lab server: what is tried, what is kept, and how they end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelship_lab import client
from modelship_lab.records.errors import Conflict, InvalidInput
from tests.conftest import LabServer

SPACE = {"x": [1, 2, 3], "shift": [0, 10]}


def parabola(run, params):
    return (params["x"] - 2) ** 2 + params["shift"]


def test_a_grid_tries_every_combination_and_the_lab_knows_the_best(lab: client.Lab) -> None:
    sweep = lab.sweep(parabola, SPACE | {"fixed": "adam"}, name="grid", metric="loss")
    report = sweep.report()
    assert report.run.status == "finished"
    assert [tuple(report.params(one).values()) for one in report.trials] == [
        (1, 0), (1, 10), (2, 0), (2, 10), (3, 0), (3, 10)
    ]  # fmt: skip
    assert {(one.parent_id, one.group, one.status) for one in report.trials} == {
        (sweep.id, "grid", "finished")
    }
    assert sweep.best_params == {"x": 2, "shift": 0, "fixed": "adam"}
    assert sweep.best_value == 0
    assert report.run.summary == {"trials_done": 6, "best_value": 0, "best_run": sweep.best.id}
    assert [best for _, _, best in report.course] == [1, 1, 0, 0, 0, 0]
    table = sweep.trials()
    assert table["loss"].to_list() == [0, 1, 1, 10, 11, 11]
    assert table.columns == ["trial", "run", "status", "loss", "x", "shift", "duration_s", "error"]


def test_what_is_logged_counts_when_nothing_is_returned(lab: client.Lab) -> None:
    def objective(run, params):
        for step in range(3):
            run.log({"accuracy": params["x"] + step, "other": 99.0}, step=step)

    sweep = lab.sweep(objective, {"x": [1, 5, 3]}, name="logged", metric="accuracy", mode="max")
    assert (sweep.best_value, sweep.best_params) == (7, {"x": 5})


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_optuna_draws_within_the_space(lab: client.Lab, sampler: str) -> None:
    space = {
        "rate": lab.loguniform(1e-5, 1e-1),
        "dropout": lab.uniform(0, 0.5),
        "layers": lab.randint(1, 4),
        "shape": [[3, 3], [5, 5]],
    }
    sweep = lab.sweep(
        lambda run, params: params["rate"] * params["layers"],
        space, name=f"drawn {sampler}", metric="loss", sampler=sampler, trials=6, seed=1,
    )  # fmt: skip
    trials = sweep.report().trials
    assert len(trials) == 6
    assert all(1e-5 <= one.params["rate"] <= 1e-1 for one in trials)
    assert all(0 <= one.params["dropout"] <= 0.5 for one in trials)
    assert {one.params["layers"] for one in trials} <= {1, 2, 3, 4}
    assert all(one.params["shape"] in space["shape"] for one in trials)
    assert len({one.params["rate"] for one in trials}) == 6


def test_trials_at_once(lab: client.Lab) -> None:
    together = threading.Barrier(3, timeout=20)

    def objective(run, params):
        together.wait()
        return params["x"]

    sweep = lab.sweep(objective, {"x": [1, 2, 3]}, name="parallel", metric="loss", parallel=3)
    assert sweep.report().run.status == "finished"
    assert sweep.best_value == 1


def test_a_trial_that_raises_has_failed_and_the_sweep_goes_on(lab: client.Lab) -> None:
    def objective(run, params):
        if params["x"] == 2:
            raise ZeroDivisionError("no 2")
        return params["x"]

    sweep = lab.sweep(objective, {"x": [1, 2, 3]}, name="one fails", metric="loss")
    report = sweep.report()
    assert [one.status for one in report.trials] == ["finished", "failed", "finished"]
    assert report.trials[1].error == "ZeroDivisionError: no 2"
    assert "no 2" in lab.run(report.trials[1].id).artifact("traceback.txt").decode()
    assert (report.run.status, sweep.best_value) == ("finished", 1)


def test_failures_in_a_row_end_the_sweep_and_say_why(lab: client.Lab) -> None:
    def objective(run, params):
        if params["x"] > 1:
            return "no number"
        return 1.0

    sweep = lab.sweep(objective, {"x": [1, 2, 3, 4, 5]}, name="all fail", metric="loss", max_failures=2)
    report = sweep.report()
    assert len(report.trials) == 3
    assert report.run.status == "failed"
    assert "2 trials in a row failed" in report.run.error
    assert "not one number" in report.run.error


def test_a_value_that_is_not_finite_is_never_the_best(lab: client.Lab) -> None:
    def objective(run, params):
        return float("-inf") if params["x"] == 1 else float("nan") if params["x"] == 2 else 3.0

    sweep = lab.sweep(objective, {"x": [1, 2, 3]}, name="diverged", metric="loss", max_failures=1)
    report = sweep.report()
    assert [report.value(one) for one in report.trials] == [None, None, 3.0]
    assert (sweep.best_value, report.run.status) == (3.0, "finished")


def test_a_pruner_ends_what_does_worse(lab: client.Lab) -> None:
    from optuna.pruners import MedianPruner

    reached = {}

    def objective(run, params):
        for step in range(4):
            run.log({"loss": params["x"]}, step=step)
            reached[params["x"]] = step

    sweep = lab.sweep(
        objective, {"x": [1, 2, 9]}, name="pruned", metric="loss",
        pruner=MedianPruner(n_startup_trials=2, n_warmup_steps=1),
    )  # fmt: skip
    report = sweep.report()
    # What is pruned was logged before.
    assert reached == {1: 3, 2: 3, 9: 0}
    worst = report.trials[2]
    assert (worst.status, worst.tags, worst.summary) == ("stopped", ("pruned",), {"pruned_at_step": 1})
    assert report.statuses == {"finished": 2, "pruned": 1}
    assert lab.run(worst.id).metrics_frame(["loss"]).height == 2
    assert report.run.status == "finished"


def test_a_stop_from_elsewhere_ends_the_sweep_after_the_present_trial(lab: client.Lab) -> None:
    def objective(run, params):
        if params["x"] == 2:
            # As the button in the browser does.
            lab.request("POST", f"runs/{lab.run(run.id).record.parent_id}/stop")
            # A heartbeat is every few seconds; what the sweep logs is heard of at once.
            assert stopped.wait(20)
        return params["x"]

    stopped = threading.Event()
    sweep = lab.sweep(objective, {"x": [1, 2, 3, 4]}, name="stopped", metric="loss", wait=False)
    deadline = time.monotonic() + 20
    while not sweep.run.stop_requested and time.monotonic() < deadline:
        time.sleep(0.02)
    stopped.set()
    sweep.wait(20)
    report = sweep.report()
    assert [one.status for one in report.trials] == ["finished", "finished"]
    assert report.run.status == "stopped"


def test_an_interrupt_ends_the_sweep_and_its_trial(lab: client.Lab) -> None:
    def objective(run, params):
        if params["x"] == 2:
            raise KeyboardInterrupt
        return params["x"]

    sweep = lab.sweep(objective, {"x": [1, 2, 3]}, name="interrupted", metric="loss")
    report = sweep.report()
    assert [one.status for one in report.trials] == ["finished", "stopped"]
    assert (report.run.status, sweep.best_value) == ("stopped", 1)


def test_a_sweep_that_was_killed_is_resumed_from_the_lab(
    lab: client.Lab, lab_server: LabServer, tmp_path: Path
) -> None:
    program = """
import os, signal, sys
from modelship_lab import client
lab = client.connect(sys.argv[1], sys.argv[2])
def objective(run, params):
    run.log({"loss": params["x"]}, step=1)
    if params["x"] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return params["x"]
lab.sweep(objective, {"x": [1, 2, 3, 4]}, name="killed", metric="loss", pruner="median")
"""
    killed = subprocess.run(
        [sys.executable, "-c", program, lab_server.url, lab_server.token],
        env={**os.environ, "PYTHONPATH": ".", "MLSHIP_HOME": str(tmp_path / "killed")},
        timeout=60,
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL

    tried = []

    def objective(run, params):
        tried.append(params["x"])
        return params["x"]

    space = {"x": [1, 2, 3, 4]}
    sweep = lab.sweep(objective, space, name="killed", metric="loss", pruner="median", resume=True)
    assert tried == [3, 4]
    report = sweep.report()
    assert [one.status for one in report.trials] == [
        "finished",
        "finished",
        "interrupted",
        "finished",
        "finished",
    ]
    assert report.run.status == "finished"
    assert report.run.summary["trials_done"] == 4
    assert (sweep.best_value, sweep.best.id) == (1, report.trials[0].id)
    # Once it is complete, there is nothing left to do.
    again = lab.sweep(objective, space, name="killed", metric="loss", resume=sweep.id)
    assert (again.id, tried) == (sweep.id, [3, 4])
    with pytest.raises(Conflict, match="another space"):
        lab.sweep(objective, {"x": [1, 2]}, name="killed", metric="loss", resume=True)


def test_optuna_goes_on_with_what_the_lab_knows(lab: client.Lab) -> None:
    def sweep(trials: int) -> client.Lab:
        return lab.sweep(
            lambda run, params: (params["x"] - 0.3) ** 2,
            {"x": lab.uniform(0, 1)}, name="longer", metric="loss", trials=trials, seed=3, resume=True,
        )  # fmt: skip

    first = sweep(3)
    second = sweep(5)
    assert second.id == first.id
    values = [one.params["x"] for one in second.report().trials]
    assert len(set(values)) == len(values) == 5
    assert [entry[0] for entry in second.report().course] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("space", "more", "said"),
    [
        ({"x": (0, 1)}, {}, "write a list of values, or lab.uniform"),
        ({"x": 3}, {}, "nothing to sweep"),
        ({"x": []}, {}, "no value to try"),
        ({"x": client.Lab.uniform(0, 1)}, {"sampler": "grid"}, "A grid takes lists"),
        ({"x": client.Lab.uniform(0, 1)}, {}, "say how many `trials`"),
        ({"x": [1]}, {"mode": "minimum"}, "min or max"),
        ({"x": [1]}, {"sampler": "bayes"}, "grid or random or tpe"),
        ({"x": [1]}, {"pruner": "mean"}, "median, hyperband"),
        ({"x": [1]}, {"trials": 0}, "from 1"),
        ({f"x{place}": list(range(100)) for place in range(3)}, {}, "Choose fewer values"),
    ],
)
def test_what_cannot_be_is_said_before_there_is_a_run(
    lab: client.Lab, space: dict, more: dict, said: str
) -> None:
    with pytest.raises(InvalidInput, match=said):
        lab.sweep(parabola, space, name="refused", metric="loss", **more)
    assert all(run.name != "refused" for run in lab.run_records())


def test_ranges_that_are_none(lab: client.Lab) -> None:
    for wrong in (lambda: lab.uniform(2, 1), lambda: lab.loguniform(0, 1), lambda: lab.randint(1, 2.5)):
        with pytest.raises(InvalidInput):
            wrong()
    with pytest.raises(InvalidInput):
        lab.uniform("1", 2)


def test_without_optuna_a_grid_sweeps_and_the_rest_says_what_to_install(
    lab: client.Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    from modelship_lab.records.errors import MissingDependency

    monkeypatch.setitem(sys.modules, "optuna", None)
    assert lab.sweep(parabola, SPACE, name="bare", metric="loss").best_value == 0
    with pytest.raises(MissingDependency, match=r'pip install "modelship-lab\[sweep\]"'):
        lab.sweep(parabola, SPACE, name="bare", metric="loss", sampler="tpe", trials=2)
