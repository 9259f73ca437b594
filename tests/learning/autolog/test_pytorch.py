"""What a plain loop trains becomes a run."""

import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.modules import module as hooked

from modelship_lab import client
from modelship_lab.learning.autolog import autolog
from tests.conftest import LabServer


def train(steps: int = 5, rate: float = 0.1) -> list[float]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), rate, momentum=0.5)
    criterion = nn.MSELoss()
    x = torch.randn(16, 3)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = criterion(model(x), x[:, :1])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    with torch.no_grad():
        criterion(model(x), x[:, :1])
    return losses


def series(run: client.RunHandle, name: str) -> dict[int, float]:
    frame = run.metrics_frame([name])
    return dict(zip(frame["step"].to_list(), frame["value"].to_list(), strict=True))


def test_a_loop_is_a_run_with_its_losses(lab: client.Lab, autologged: Any) -> None:
    runs = autologged("pytorch")
    losses = train()
    autolog(lab, "pytorch", disable=True)
    (run,) = runs
    record = run.refresh()
    assert (record.name, record.status) == ("Sequential", "finished")
    assert record.params["optimizer"] == "SGD"
    assert record.params["optimizer.momentum"] == 0.5
    assert record.params["parameters"] == 3 * 4 + 4 + 4 + 1
    assert b"Linear(in_features=3" in run.artifact("model.txt")
    assert series(run, "loss") == pytest.approx(dict(enumerate(losses)))
    assert series(run, "learning_rate") == dict.fromkeys(range(5), 0.1)
    assert series(run, "val_loss")[4] < losses[-1]


def test_another_loop_is_another_run_and_the_first_has_ended(autologged: Any) -> None:
    runs = autologged("pytorch")
    train(2)
    train(3)
    assert len(runs) == 2
    assert runs[0].refresh().status == "finished"
    assert len(series(runs[0], "loss")) == 2


def test_the_optimizers_of_one_loop_share_its_run(autologged: Any, lab: client.Lab) -> None:
    runs = autologged("pytorch")
    layers = [nn.Linear(1, 1), nn.Linear(1, 1)]
    optimizers = [torch.optim.Adam(layer.parameters()) for layer in layers]
    for _ in range(3):
        nn.L1Loss()(layers[1](layers[0](torch.ones(2, 1))), torch.zeros(2, 1)).backward()
        for optimizer in optimizers:
            optimizer.step()
    autolog(lab, "pytorch", disable=True)
    (run,) = runs
    assert sorted(series(run, "loss")) == [0, 1, 2]
    assert run.refresh().params["optimizer2"] == "Adam"


def test_switched_off_nothing_is_left(lab: client.Lab) -> None:
    before = dict(hooked._global_forward_hooks)
    autolog(lab, "pytorch")
    autolog(lab, "pytorch", disable=True)
    assert dict(hooked._global_forward_hooks) == before


SCRIPT = """
import sys
from modelship_lab import client
from modelship_lab.learning.autolog import autolog
autolog(client.connect(), "pytorch", on_start=lambda run: print(run.id, flush=True))
import torch
model = torch.nn.Linear(1, 1)
optimizer = torch.optim.SGD(model.parameters(), 0.1)
for step in range(3):
    torch.nn.MSELoss()(model(torch.ones(1, 1)), torch.zeros(1, 1)).backward()
    optimizer.step()
raise SystemError("the end")
"""


def test_a_script_that_fails_leaves_a_failed_run(
    lab_server: LabServer, lab: client.Lab, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLSHIP_URL", lab_server.url)
    monkeypatch.setenv("MLSHIP_TOKEN", lab_server.token)
    monkeypatch.setenv("MLSHIP_HOME", str(tmp_path))
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=100)
    run = lab.run(int(done.stdout))
    assert run.record.status == "failed"
    assert run.record.error == "SystemError: the end"
    assert sorted(series(run, "loss")) == [0, 1, 2]
