"""What of a training outlives its process."""

import logging
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from torch import Tensor

from modelship_lab.learning import checkpoint as checkpoints
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.learning.loop import on_cpu
from modelship_lab.learning.run_log import RunLog
from modelship_lab.learning.train import STATE
from modelship_lab.learning.training_state import TrainingState
from modelship_lab.records.errors import LabError

__all__ = ["Saver", "write_folder"]

log = logging.getLogger(__name__)

KEPT_FOLDERS = 3


class Saver:
    """Saves the best weights and the training's state, in a thread: training never waits for the network.

    Args:
        run: whose artifacts they become.
        output: a folder for `checkpoint-{epoch}` folders with both files; None: no folders.
        checkpoint: makes one of weights.
    """

    def __init__(
        self, run: RunLog, output: Path | None, checkpoint: Callable[[Mapping[str, Tensor]], Checkpoint]
    ) -> None:
        self._run = run
        self._output = output
        self._checkpoint = checkpoint
        self._pool = ThreadPoolExecutor(1, "mlship-checkpoint")
        self._saving: Future[None] | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def save(self, state: TrainingState) -> None:
        """Save a state; it is left out when the one before is still under way."""
        if self._saving is None or self._saving.done():
            self._saving = self._pool.submit(self._send, *self._files(state), state.epoch)

    def finish(self, state: TrainingState, *, ended: bool) -> None:
        """Save the last state and wait for it; what cannot be saved is only logged."""
        self._pool.submit(self._send, *self._files(state, with_state=ended), state.epoch).result()

    def _files(
        self, state: TrainingState, with_state: bool = True
    ) -> tuple[Checkpoint | None, TrainingState | None]:
        best = None if state.best is None else self._checkpoint(on_cpu(state.best))
        return best, state.copied() if with_state else None

    def _send(self, best: Checkpoint | None, state: TrainingState | None, epoch: int) -> None:
        files = {}
        if best is not None:
            files[checkpoints.NAME] = best.to_bytes()
        if state is not None:
            files[STATE] = state.to_bytes()
        try:
            for name, content in files.items():
                self._run.save_artifact(name, content)
            if self._output is not None:
                write_folder(self._output, epoch, files)
        except (LabError, OSError) as error:
            # The last checkpoint is saved by the fit itself, which then raises.
            log.warning("A checkpoint could not be saved: %s", error)


def write_folder(output: Path, number: int, files: Mapping[str, bytes]) -> None:
    """Write files to `checkpoint-{number}` in a folder, of which the newest are kept."""
    folder = output / f"checkpoint-{number}"
    unfinished = output / f".checkpoint-{number}"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for name, content in files.items():
        (unfinished / name).write_bytes(content)
    shutil.rmtree(folder, ignore_errors=True)
    unfinished.rename(folder)
    found = [each for each in output.iterdir() if re.fullmatch(r"checkpoint-\d+", each.name)]
    for old in sorted(found, key=lambda each: int(each.name.rpartition("-")[2]))[:-KEPT_FOLDERS]:
        shutil.rmtree(old, ignore_errors=True)
