"""`%mlship autolog` in a notebook's shell."""

from collections.abc import Iterator

import pytest
from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from sklearn.base import BaseEstimator

from modelship_lab import client
from modelship_lab.learning.autolog import autolog


@pytest.fixture(autouse=True)
def off(lab: client.Lab) -> Iterator[None]:
    yield
    autolog(lab, disable=True)


def newest(lab: client.Lab, tag: str) -> client.RunHandle:
    return next(lab.run(run.id) for run in lab.run_records(limit=20) if tag in run.tags)


def test_what_is_logged_is_said_and_off_is_off(shell: InteractiveShell) -> None:
    on = shell.run_line_magic("mlship", "autolog sklearn pytorch")
    assert list(on.logged) == ["sklearn", "pytorch"]
    looks, _ = shell.display_formatter.format(on)
    assert "every outermost `fit` of a model is a run" in looks["text/html"]
    assert "__init_subclass__" in vars(BaseEstimator)
    assert list(shell.run_line_magic("mlship", "autolog --off pytorch").logged) == ["sklearn"]
    assert not shell.run_line_magic("mlship", "autolog --off").logged
    assert "__init_subclass__" not in vars(BaseEstimator)
    with pytest.raises(UsageError, match="'keras' is not one of"):
        shell.run_line_magic("mlship", "autolog keras")


def test_a_loop_ends_with_its_cell(shell: InteractiveShell, lab: client.Lab) -> None:
    shell.run_line_magic("mlship", "autolog pytorch")
    result = shell.run_cell(
        "import torch\n"
        "layer = torch.nn.Linear(1, 1)\n"
        "optimizer = torch.optim.SGD(layer.parameters(), 0.1)\n"
        "for _ in range(4):\n"
        "    torch.nn.MSELoss()(layer(torch.ones(1, 1)), torch.zeros(1, 1)).backward()\n"
        "    optimizer.step()\n"
    )
    result.raise_error()
    run = newest(lab, "pytorch")
    assert (run.record.name, run.record.status) == ("Linear", "finished")
    assert run.metrics_frame(["loss"])["step"].to_list() == [0, 1, 2, 3]
    assert not shell.run_cell("optimizer.step()\n1 / 0").success
    failed = newest(lab, "pytorch")
    assert (failed.id > run.id, failed.record.status) == (True, "failed")
    assert failed.record.error == "ZeroDivisionError: division by zero"


def test_what_is_fitted_in_a_tracked_cell_belongs_to_its_run(
    shell: InteractiveShell, lab: client.Lab
) -> None:
    shell.run_line_magic("mlship", "autolog sklearn")
    cell = "from sklearn.linear_model import Ridge\nRidge(alpha=3).fit([[0], [1]], [0, 1])"
    shell.run_cell_magic("mlship", "run tracked", cell)
    run = newest(lab, "cell")
    assert run.record.name == "tracked"
    assert run.record.params["alpha"] == 3
