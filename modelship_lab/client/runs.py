"""A run while it goes on: what it logs, and how it ends."""

import json
import logging
import math
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from modelship_lab.client.active_run import activated
from modelship_lab.client.checked import checked
from modelship_lab.client.metric_log import MetricLog, as_number
from modelship_lab.client.run_files import RunFiles
from modelship_lab.client.spooled_request import SpooledRequest
from modelship_lab.records.bundle import BundleManifest
from modelship_lab.records.errors import InvalidInput, NotFound, TimedOut, Unavailable
from modelship_lab.records.model_export import ModelExport, model_formats
from modelship_lab.records.tracking import ENDED, Heartbeat, Run, RunChange

if TYPE_CHECKING:
    from modelship_lab.client.lab import Lab

log = logging.getLogger(__name__)

_CHANGE_PATIENCE_S = 2.0
"""A change that cannot be sent for so long goes to the spool, so that training goes on."""

Observer = Callable[[Mapping[str, Any], int | None, Mapping[str, str] | str | None], None]
"""Hears of metrics, their step and their context."""


class RunHandle(RunFiles):
    """One run of the lab.

    A run that this process has started is logged to and finished here; any run can be read.

        with lab.start_run("first try", project="spam", params={"learning_rate": 0.1}) as run:
            run.log({"loss": 0.5})

    Args:
        lab: the lab that the run belongs to.
        record: the run as it was when last read.
        own: whether this process executes the run: then it tells the server that it lives.
        next_step: of the first metrics that are logged without one.
    """

    def __init__(self, lab: "Lab", record: Run, *, own: bool = False, next_step: int = 0) -> None:
        super().__init__(lab, record)
        self._own = own
        self._next_step = next_step
        self._companions: list[Companion] = []
        self._ended = threading.Event()
        self._opening = threading.Lock()
        self._metric_log: MetricLog | None = None
        self._activation = ExitStack()
        self._observer: Observer | None = None
        if own:
            self._log()

    def __repr__(self) -> str:
        lost = f" · {self.dropped:,} points lost" if self.dropped else ""
        return super().__repr__() + lost

    @property
    def dropped(self) -> int:
        """How many points of this process are lost, because neither disk nor memory had room for them."""
        return 0 if self._metric_log is None else self._metric_log.dropped

    @property
    def own(self) -> bool:
        """Whether this process executes the run."""
        return self._own

    # While the run goes on

    def log(
        self,
        metrics: Mapping[str, Any],
        step: int | None = None,
        context: Mapping[str, str] | str | None = None,
    ) -> None:
        """Log the values of one moment, in microseconds and without waiting for anybody.

        A second point of the same metric, step and context takes the place of the first.

        Args:
            metrics: name to number; NumPy and torch scalars, NaN and infinities are numbers. A torch scalar
                on a GPU is copied there and read later, so that the loop does not wait for the GPU.
            step: position in the run; default: one more than the last.
            context: what else tells these metrics from others of the same name, e.g. `{"rank": "0"}`; a word
                is a subset of the data: "val" is `{"subset": "val"}`.

        Raises:
            InvalidInput: a name, value, step or context that is none; then nothing of this call is kept.
        """
        self.metric_log.log(metrics, step, context)
        if self._observer is not None:
            self._observer(metrics, step, context)

    def observe(self, observer: Observer) -> None:
        """Have `observer` hear of everything that is logged here, in the thread that logs it.

        What it raises, `log` raises: so a sweep ends a trial.
        """
        self._observer = observer

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Add parameters to those of the run. Values are JSON; what is not becomes its text."""
        self._change(RunChange(params={name: as_json(value) for name, value in params.items()}))

    def set_summary(self, figures: Mapping[str, Any]) -> None:
        """Set final figures, e.g. `test_accuracy`; merged into those that are there.

        A figure that is NaN or infinite is left out: JSON has no word for it.
        """
        numbers = {name: as_number(name, value) for name, value in figures.items()}
        finite = {name: value for name, value in numbers.items() if math.isfinite(value)}
        if len(finite) < len(numbers):
            log.warning("Run %d: not finite, left out: %s", self.id, ", ".join(numbers.keys() - finite))
        self._change(RunChange(summary=finite))

    def set_tags(self, tags: Iterable[str]) -> None:
        """Replace the tags of the run."""
        self._change(RunChange(tags=tuple(tags)))

    def add_tags(self, *tags: str) -> None:
        """Add tags to those of the run."""
        self.set_tags(dict.fromkeys((*self._latest().tags, *tags)))

    def remove_tags(self, *tags: str) -> None:
        """Take tags away; those that the run does not have are passed over."""
        self.set_tags(tag for tag in self._latest().tags if tag not in tags)

    def set_notes(self, notes: str) -> None:
        """Replace the notes of the run, a text that its view shows."""
        self._change(checked(RunChange, notes=notes))

    def set_recipe(self, recipe: str) -> None:
        """Say by which recipe it is trained, where that was not known at its start."""
        self._change(checked(RunChange, recipe=recipe))

    def set_group(self, group: str) -> None:
        """Put the run into a group, e.g. of the repetitions of one experiment; "" takes it out."""
        self._change(checked(RunChange, group=group))

    def child(self, name: str = "", **options: Any) -> "RunHandle":
        """Start a run within this one, e.g. for a fold or a trial; options are those of `Lab.start_run`."""
        return self._lab.start_run(name, parent=self.id, **options)

    @property
    def stop_event(self) -> threading.Event:
        """Set when somebody asked the run to stop."""
        return self._log().stop_event

    @property
    def stop_requested(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self._metric_log is not None and self._metric_log.stop_event.is_set()

    def heartbeat(self) -> bool:
        """Tell the server that the run lives, and hear whether it should stop.

        A run that this process executes does so by itself every few seconds.
        """
        answer = self._lab.connection.record(Heartbeat, "POST", f"{self._path()}/heartbeat", repeatable=True)
        if answer.stop:
            self.stop_event.set()
        return answer.stop

    def flush(self, timeout_s: float = 30.0) -> bool:
        """Whether everything logged so far is stored by the server, at the latest after `timeout_s`."""
        return self._metric_log is None or self._metric_log.drain(timeout_s)

    def finish(self, summary: Mapping[str, Any] | None = None) -> Run:
        """End the run: `stopped` if somebody asked it to stop, else `finished`."""
        if summary:
            self.set_summary(summary)
        return self._end(RunChange(status="stopped" if self.stop_requested else "finished"))

    def fail(self, error: BaseException | str) -> Run:
        """End the run as failed, with what went wrong; an exception's traceback is saved as `traceback.txt`."""
        if isinstance(error, BaseException):
            self.save_artifact("traceback.txt", "".join(traceback.format_exception(error)), "text/plain")
            error = traceback.format_exception_only(error)[-1].strip()
        return self._end(RunChange(status="failed", error=error[:10_000]))

    def __enter__(self) -> "RunHandle":
        self._activation.enter_context(activated(self))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._activation.close()
        if self._ended.is_set():
            return
        if error is None:
            self.finish()
        elif isinstance(error, KeyboardInterrupt):
            self._end(RunChange(status="stopped"))
        else:
            self.fail(error)

    # From outside

    def stop(self) -> Run:
        """Ask the run to end cleanly with a checkpoint, wherever it is executed."""
        if self._metric_log is not None:
            # At once, also when the server is away.
            self._metric_log.stop_event.set()
        self._record = self._lab.connection.record(Run, "POST", f"{self._path()}/stop", repeatable=True)
        return self._record

    def wait(self, timeout_s: float | None = None) -> Run:
        """Wait until the run has ended, at the latest until `timeout_s`, and return it as it is then."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._ended.is_set():
            left_s = 0.2 if deadline is None else min(0.2, deadline - time.monotonic())
            if left_s <= 0:
                return self._record
            # Short waits: an interrupt of the kernel only arrives between them.
            if self._own:
                self._ended.wait(left_s)
            elif self.refresh().status in ENDED:
                break
            else:
                time.sleep(left_s)
        return self._record

    @property
    def is_running(self) -> bool:
        """Whether the run goes on, as far as is known here without asking the server."""
        return self._record.status not in ENDED and not self._ended.is_set()

    def export(
        self,
        format: str = "onnx",
        target: Path | str | None = None,
        *,
        optimize: bool = False,
        validate: bool = True,
    ) -> BundleManifest | ModelExport:
        """Export the run's model as a bundle, checked against its source, which the lab keeps with the run.

        Args:
            format: `onnx`, `torchscript`, `triton`, several of them with commas, or `both` for the first two.
            target: a folder for the files. Default: none for a bundle alone, else `exported/run-N`.
            optimize: also write a model with an optimized graph, and one with weights of 8 bits.
            validate: load each file anew and compare its answers on rows that were held out.

        Returns:
            What the bundle says of itself; or what was written, and how good it is.
        """
        folder = None if target is None else Path(target).expanduser()
        made: BundleManifest | ModelExport = self._lab.verbs.export(
            self, model_formats(format), folder, optimize, validate
        )
        return made

    # Inside

    def _log(self) -> MetricLog:
        with self._opening:
            if self._metric_log is None:
                self._metric_log = MetricLog(
                    self.id,
                    self._lab.connection,
                    self._lab.spool_folder,
                    owns_run=self._own,
                    next_step=self._next_step,
                )
            return self._metric_log

    def accompany(self, companion: "Companion") -> None:
        """Start what goes on beside the run, until its end."""
        self._companions.append(companion)
        companion.start()

    @property
    def metric_log(self) -> MetricLog:
        """What takes the metrics of this process."""
        return self._metric_log or self._log()

    def _latest(self) -> Run:
        try:
            return self.refresh()
        except (Unavailable, TimedOut):
            return self._record

    def _change(self, change: RunChange) -> None:
        try:
            self._record = self._lab.connection.record(
                Run, "PATCH", self._path(), json=change, repeatable=True, patience_s=_CHANGE_PATIENCE_S
            )
        except (Unavailable, TimedOut):
            self._later(self._as_request(change))

    def _as_request(self, change: RunChange) -> SpooledRequest:
        body = change.model_dump_json(exclude_unset=True).encode()
        return SpooledRequest("PATCH", self._path(), content_type="application/json", body=body)

    def _later(self, request: SpooledRequest) -> None:
        self._log().append(request, always=True)

    def _end(self, change: RunChange) -> Run:
        """Send the change behind everything that was logged, and close the log."""
        metric_log = self._log()
        if metric_log.closed:
            raise InvalidInput(f"Run {self.id} is finished already.")
        for companion in self._companions:
            companion.stop()
        if dropped := metric_log.settle():
            said = f"{dropped:,} points are lost: there was room for them neither on disk nor in memory."
            log.error("Run %d: %s", self.id, said)
            change = change.model_copy(
                update={
                    "summary": {"dropped_points": float(dropped)},
                    "notes": f"{self._latest().notes}\n\n{said}".strip(),
                }
            )
        metric_log.append(self._as_request(change), always=True)
        known = change.model_dump(exclude_unset=True, exclude={"summary"})
        ended = self._record.model_copy(update=known)
        try:
            if metric_log.close():
                ended = self.refresh()
        except (Unavailable, TimedOut, NotFound):
            pass  # The log has said so; the change is in the spool or the run was deleted.
        finally:
            self._record = ended
            self._ended.set()
        return ended


class Companion(Protocol):
    """What goes on beside a run."""

    def start(self) -> None:
        """Begin; must not wait."""

    def stop(self) -> None:
        """End, with the run."""


def as_json(value: Any) -> Any:
    """A parameter as JSON; what JSON does not know becomes its text."""
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "ndim", 1) == 0:
        value = item()
    try:
        return json.loads(json.dumps(value, allow_nan=False, default=str))
    except ValueError:
        return str(value)
