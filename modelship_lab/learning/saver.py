"""What of a training outlives its process."""

import logging
import re
import shutil
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from torch import Tensor

from modelship_lab.learning import checkpoint as checkpoints
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.learning.loop import on_cpu
from modelship_lab.learning.progress import STATE
from modelship_lab.learning.run_log import RunLog
from modelship_lab.learning.training_state import TrainingState
from modelship_lab.records.errors import LabError

__all__ = ["Saver", "write_folder"]

log = logging.getLogger(__name__)

KEPT_FOLDERS = 3


class Saver:
    """Saves the best weights and the training's state, in threads: training never waits for the network.

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
        self._sender = ThreadPoolExecutor(1, "mlship-checkpoint")
        self._writer = ThreadPoolExecutor(1, "mlship-checkpoint-folder")
        self._sending: Future[None] | None = None
        self._writing: Future[None] | None = None

    def __enter__(self) -> "Saver":
        return self

    def __exit__(self, *_: object) -> None:
        self._sender.shutdown()
        self._writer.shutdown()

    def save(self, state: TrainingState) -> None:
        """Save a state with the run; it is left out when the one before is still under way."""
        if self._sending is None or self._sending.done():
            self._sending = self._sender.submit(self._send, self._files(state))

    def keep(self, state: TrainingState) -> None:
        """Write the folder of a state; this waits for the one before, so that none is left out."""
        if self._writing is not None:
            self._writing.result()
        self._writing = self._writer.submit(self._write, self._files(state), state.epoch)

    def finish(self, state: TrainingState, *, ended: bool) -> None:
        """Save the last state and wait for it; what cannot be saved is only logged.

        Args:
            ended: whether training came to an end from which it can go on; else only its best weights are saved.
        """
        files = self._files(state, with_state=ended)
        sent = self._sender.submit(self._send, files)
        if self._output is not None:
            self._writer.submit(self._write, files, state.epoch, over=ended).result()
        sent.result()

    def _files(self, state: TrainingState, with_state: bool = True) -> "_Files":
        best = None if state.best is None else self._checkpoint(on_cpu(state.best))
        return _Files(best, state.copied() if with_state else None)

    def _send(self, files: "_Files") -> None:
        try:
            for name, content in files.contents.items():
                self._run.save_artifact(name, content)
        except (LabError, OSError) as error:
            # The last checkpoint is saved by the fit itself, which then raises.
            log.warning("A checkpoint could not be saved: %s", error)

    def _write(self, files: "_Files", epoch: int, over: bool = True) -> None:
        """Write a folder; if not `over`, then only if there is none."""
        assert self._output is not None
        if not over and (self._output / f"checkpoint-{epoch}").is_dir():
            return
        try:
            write_folder(self._output, epoch, files.contents)
        except OSError as error:
            log.warning("A checkpoint could not be saved: %s", error)


@dataclass(frozen=True)
class _Files:
    """What training does not change any more, and what becomes of it."""

    best: Checkpoint | None
    state: TrainingState | None

    @cached_property
    def contents(self) -> dict[str, bytes]:
        found = {}
        if self.best is not None:
            found[checkpoints.NAME] = self.best.to_bytes()
        if self.state is not None:
            found[STATE] = self.state.to_bytes()
        return found


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
