"""Hugging Face's Trainer: a callback that every Trainer gets by itself."""

import functools
import time
from collections.abc import Callable
from typing import Any

import transformers.trainer
from transformers.trainer_callback import TrainerCallback, TrainerControl, TrainerState
from transformers.training_args import TrainingArguments

from modelship_lab.learning.autolog.tracking import Tracked, Tracking
from modelship_lab.learning.run_log import as_params

PROGRESS_INTERVAL_S = 1.0

_trainers: Any = transformers.trainer
"""Its list of callbacks that every Trainer gets, and the Trainer."""


class TrainerHooks:
    """Every new Trainer gets the callback; its `train` is known, because a callback hears of no exception."""

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._train = _trainers.Trainer.train
        hooks = self

        class Callback(LabTrainerCallback):
            """Trainers make their own from the class."""

            def __init__(self) -> None:
                super().__init__(hooks._tracking)

        self._callback = Callback

    def on(self) -> None:
        _trainers.DEFAULT_CALLBACKS.append(self._callback)
        _trainers.Trainer.train = _ending(self._train)

    def off(self) -> None:
        _trainers.DEFAULT_CALLBACKS.remove(self._callback)
        _trainers.Trainer.train = self._train


def _ending(train: Callable[..., Any]) -> Callable[..., Any]:
    """`Trainer.train` that ends the run, whatever happens."""

    @functools.wraps(train)
    def ending(self: Any, *args: Any, **kwargs: Any) -> Any:
        callbacks = [one for one in self.callback_handler.callbacks if isinstance(one, LabTrainerCallback)]
        try:
            result = train(self, *args, **kwargs)
        except BaseException as error:
            for callback in callbacks:
                callback.end(error)
            raise
        for callback in callbacks:
            callback.end()
        return result

    return ending


class LabTrainerCallback(TrainerCallback):  # type: ignore[misc]
    """Log a Trainer's training to a run.

    Its arguments and the model's configuration are parameters, its logs are metrics, how far it is, too. An
    evaluation after training becomes final figures. When the run is asked to stop, training ends
    after the step, with a checkpoint.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking
        self._tracked: Tracked | None = None
        self._has_ended = False
        self._started_s = self._shown_s = 0.0
        self._first_step = 0

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        model = kwargs.get("model")
        self._tracked = self._tracking.begin(type(model).__name__)
        self._has_ended = False
        self._started_s = self._shown_s = time.perf_counter()
        self._first_step = state.global_step
        if self._tracked is not None:
            self._tracked.attempt(lambda: self._log_params(args, model))

    def _log_params(self, args: TrainingArguments, model: Any) -> None:
        assert self._tracked is not None
        params = as_params(args.to_sanitized_dict())
        if (config := getattr(model, "config", None)) is not None:
            params |= as_params(config.to_diff_dict(), "model.")
        params["parameters"] = sum(weight.numel() for weight in model.parameters())
        self._tracked.log_params(params)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        if self._tracked is None:
            return
        numbers = {name: value for name, value in (logs or {}).items() if isinstance(value, (int, float))}
        if self._has_ended:
            numbers.pop("epoch", None)
            self._tracked.set_summary(numbers)
        else:
            self._tracked.log(numbers, state.global_step)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        tracked = self._tracked
        if tracked is None:
            return
        if time.perf_counter() - self._shown_s >= PROGRESS_INTERVAL_S or state.global_step == state.max_steps:
            self._show(tracked, args, state)
        if tracked.stop_requested:
            control.should_training_stop = True
            control.should_save = True

    def _show(self, tracked: Tracked, args: TrainingArguments, state: TrainerState) -> None:
        self._shown_s = time.perf_counter()
        done = state.global_step - self._first_step
        each_s = (self._shown_s - self._started_s) / done
        samples = args.train_batch_size * args.gradient_accumulation_steps * args.world_size
        tracked.log(
            {
                "progress": 100 * state.global_step / state.max_steps,
                "remaining_s": each_s * (state.max_steps - state.global_step),
                "samples_per_s": samples / each_s,
            },
            state.global_step,
        )

    def end(self, error: BaseException | None = None) -> None:
        """Training is over."""
        if self._tracked is not None and not self._has_ended:
            self._has_ended = True
            self._tracked.end(error)
