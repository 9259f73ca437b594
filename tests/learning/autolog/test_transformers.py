"""What Hugging Face's Trainer trains becomes runs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)
from transformers import trainer as trainer_module

from modelship_lab import client
from modelship_lab.learning.autolog import autolog


def rows(count: int = 16) -> list[dict[str, Any]]:
    random = torch.Generator().manual_seed(0)
    tokens = torch.randint(0, 50, (count, 6), generator=random)
    return [{"input_ids": row, "labels": int(row[0] > 25)} for row in tokens]


def trainer(folder: Path, *callbacks: TrainerCallback, **settings: Any) -> Trainer:
    config = BertConfig(
        vocab_size=50,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=8,
    )
    arguments = TrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        use_cpu=True,
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        save_strategy="no",
        **({"max_steps": 6} | settings),
    )
    return Trainer(
        BertForSequenceClassification(config),
        arguments,
        train_dataset=rows(),
        eval_dataset=rows(8),
        callbacks=list(callbacks),
    )


def series(run: client.RunHandle, name: str) -> dict[int, float]:
    frame = run.metrics_frame([name])
    return dict(zip(frame["step"].to_list(), frame["value"].to_list(), strict=True))


def test_a_training_is_a_run(autologged: Any, tmp_path: Path) -> None:
    runs = autologged("transformers")
    training = trainer(tmp_path, eval_strategy="steps", eval_steps=3, learning_rate=0.01)
    training.train()
    (run,) = runs
    record = run.refresh()
    assert (record.name, record.status) == ("BertForSequenceClassification", "finished")
    assert record.tags == ("autolog", "transformers")
    assert (record.params["learning_rate"], record.params["model.hidden_size"]) == (0.01, 16)
    logged = {one["step"]: one["loss"] for one in training.state.log_history if "loss" in one}
    assert series(run, "loss") == pytest.approx(logged)
    assert sorted(series(run, "eval_loss")) == [3, 6]
    assert series(run, "progress")[6] == 100
    assert "train_runtime" not in record.summary
    found = training.evaluate()
    assert run.refresh().summary["eval_loss"] == pytest.approx(found["eval_loss"])


def test_what_fails_is_a_failed_run_and_the_next_one_another(autologged: Any, tmp_path: Path) -> None:
    class Fails(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                raise ZeroDivisionError("the second step")

    runs = autologged("transformers")
    training = trainer(tmp_path, fails := Fails())
    with pytest.raises(ZeroDivisionError):
        training.train()
    training.remove_callback(fails)
    training.train()
    assert [run.refresh().status for run in runs] == ["failed", "finished"]
    assert runs[0].record.error == "ZeroDivisionError: the second step"


def test_who_asks_the_run_to_stop_ends_training_with_a_checkpoint(autologged: Any, tmp_path: Path) -> None:
    class Asks(TrainerCallback):
        def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 2:
                runs[0].stop()

    runs = autologged("transformers")
    training = trainer(tmp_path, Asks(), max_steps=1000)
    training.train()
    assert training.state.global_step == 3
    assert (tmp_path / "checkpoint-3").is_dir()
    assert runs[0].refresh().status == "stopped"


def test_switched_off_nothing_is_left(lab: client.Lab) -> None:
    before = (list(trainer_module.DEFAULT_CALLBACKS), trainer_module.Trainer.train)
    autolog(lab, "transformers")
    assert (trainer_module.DEFAULT_CALLBACKS, trainer_module.Trainer.train) != before
    autolog(lab, "transformers", disable=True)
    assert (trainer_module.DEFAULT_CALLBACKS, trainer_module.Trainer.train) == before
