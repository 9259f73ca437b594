"""The verbs of a lab that are about runs."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from modelship_lab.client import start
from modelship_lab.client.exchange.transfer import OnMoved, Transfer, silent
from modelship_lab.client.lab_part import LabPart
from modelship_lab.client.runs import RunHandle
from modelship_lab.records.base import Page
from modelship_lab.records.metrics import Mode
from modelship_lab.records.run_table import RunColumn
from modelship_lab.records.tracking import Run, RunStatus

if TYPE_CHECKING:
    import polars as pl

    from modelship_lab.client.comparison import RunComparison


class RunVerbs(LabPart):
    """What a `Lab` has for runs."""

    def start_run(
        self,
        name: str = "",
        *,
        project: str | int | None = None,
        recipe: str = "",
        params: Mapping[str, Any] | None = None,
        tags: Iterable[str] = (),
        snapshot_id: int | None = None,
        environment: Mapping[str, Any] | None = None,
        parent: RunHandle | int | None = None,
        group: str = "",
        notes: str = "",
        key: str | None = None,
        system_metrics: bool | None = None,
        source: bool | None = None,
    ) -> RunHandle:
        """Start a run that this process executes. Use it as a context manager, or call `finish`.

        Args:
            name: of the run; need not be its own.
            project: where it belongs.
            recipe: what is trained by.
            params: by name.
            tags: of the run.
            snapshot_id: what it is trained on.
            environment: more to know of its surroundings than what is seen by itself.
            parent: the run that it is a part of.
            group: what it has in common with others, e.g. the repetitions of one experiment.
            notes: a text that its view shows.
            key: the same key gives the same run, which goes on: that of a job which is put into the queue again.
                Default: `MLSHIP_RUN_KEY` of the environment, for the first run of this process.
            system_metrics: whether to sample processor, memory, disk, network and GPUs while it goes on; default:
                yes, unless `MLSHIP_SYSTEM_METRICS` is 0.
            source: whether to save the executed cells or the script, and what git does not have; default: yes,
                unless `MLSHIP_SOURCE` is 0.

        Raises:
            Conflict: the run of this key goes on in another process.
        """
        return start.start_run(
            self._lab,
            name,
            parent=parent,
            params=params or {},
            tags=tags,
            environment=environment or {},
            key=key,
            system_metrics=system_metrics,
            source=source,
            project=project,
            recipe=recipe,
            snapshot_id=snapshot_id,
            group=group,
            notes=notes,
        )

    def autolog(self, frameworks: Iterable[str] | None = None, disable: bool = False) -> Any:
        """Make runs of what other libraries train in this process, or no longer.

        The active run (of `with lab.start_run()` or `%%mlship run`) is used where there is one. Whatever
        fails in logging, training goes on; once disabled, the libraries are as they were before.

        Args:
            frameworks: of `sklearn`, `pytorch` and `transformers`; default: all that are installed.
            disable: leave them as they were.

        Raises:
            InvalidInput: a framework that is not known or not installed.
        """
        return self._lab.verbs.autolog(self._lab, frameworks, disable)

    def resume_run(
        self,
        run: RunHandle | int,
        *,
        system_metrics: bool | None = None,
        source: bool | None = None,
    ) -> RunHandle:
        """Go on with a run in this process, after its last step, whatever has become of it.

        Args:
            run: or its id.
            system_metrics: as in `start_run`.
            source: as in `start_run`.

        Raises:
            NotFound: there is none.
            Conflict: it goes on in another process.
        """
        run_id = run if isinstance(run, int) else run.id
        return start.resume_run(self._lab, run_id, system_metrics=system_metrics, source=source)

    def run(self, run_id: int) -> RunHandle:
        """A run by its id.

        Raises:
            NotFound: there is none.
        """
        return RunHandle(self._lab, self._lab.connection.record(Run, "GET", f"runs/{int(run_id)}"))

    def run_records(
        self, project: str | int | None = None, status: str | None = None, limit: int | None = None
    ) -> list[Run]:
        """Runs, the newest first."""
        return self._lab.pages(Page[Run], "runs", {"project": project, "status": status}, limit)

    def runs(
        self,
        project: str | int | None = None,
        status: RunStatus | None = None,
        limit: int | None = None,
        *,
        filter: str = "",
        sort: str | Iterable[str] = (),
        columns: Iterable[str] | None = None,
    ) -> "pl.DataFrame":
        """Runs as a table, the newest first, with a column for each parameter, metric and final figure.

            lab.runs("digits", filter="metrics.loss < 0.3 and params.lr in (0.1, 0.01)", sort="metrics.loss")

        Args:
            project: whose runs; default: all that this account may see.
            status: only those in this state.
            limit: at most this many.
            filter: a Python expression over a run's own columns (`status`, `name`, `tags`, `started_at`, …),
                `params.x`, `metrics.x` (its last value; also `.min`, `.max`, `.mean`) and `summary.x`. What is
                missing compares as false.
            sort: columns, the most important first, with `-` before those that go down.
            columns: these alone, e.g. `["params.lr", "metrics.loss.min"]`; default: all.

        Raises:
            InvalidInput: the filter, with a mark under the place, or a column is not understood.
        """
        from modelship_lab.client.run_table import run_table

        if status is not None:
            filter = f'({filter}) and status == "{status}"' if filter.strip() else f'status == "{status}"'
        order = (sort,) if isinstance(sort, str) else tuple(sort)
        return run_table(
            self._lab, project, filter, order, None if columns is None else tuple(columns), limit
        )

    def run_columns(self, project: str | int | None = None) -> list[RunColumn]:
        """The parameters, metrics and final figures that runs have, those of most runs first."""
        from modelship_lab.client.run_table import run_columns

        return run_columns(self._lab, project)

    def best_run(
        self,
        metric: str,
        mode: Mode | None = None,
        *,
        project: str | int | None = None,
        filter: str = "",
    ) -> RunHandle:
        """The run with the best figure.

        Args:
            metric: a figure by its name (`val_loss`: the final figure of that name, else the metric's last
                value), or a column, e.g. `metrics.val_loss.min`.
            mode: whether the smallest or the largest is the best. Default: the largest of what is called
                accuracy, F1, AUC, score and the like, else the smallest.
            project: of these runs alone.
            filter: of those that pass it alone; see `runs`.

        Raises:
            NotFound: no run has it.
        """
        from modelship_lab.client.run_table import best_run

        return self.run(best_run(self._lab, metric, mode, project, filter)[0])

    def compare(self, runs: Iterable[int | RunHandle]) -> "RunComparison":
        """Runs side by side: what differs in parameters, figures, environment and code."""
        from modelship_lab.client.comparison import RunComparison

        return RunComparison(
            self._lab, [run if isinstance(run, RunHandle) else self.run(run) for run in runs]
        )

    def import_runs(
        self,
        source: str | Path,
        project: str | int | None = None,
        *,
        artifacts: str | Path | None = None,
        on_moved: OnMoved = silent,
    ) -> Transfer:
        """Import the runs of another system; what was imported before is not doubled, what is new is added.

        Args:
            source: an MLflow database (`mlflow.db`) or file store (`mlruns`), a folder of TensorBoard event
                files, a CSV file of metrics, or a folder that `export_runs` has made.
            project: where the runs go; default: where the source files them, in a project of that name.
            artifacts: the folder of an MLflow server's artifacts, when it is not beside the source.
            on_moved: hears how far it is.

        Returns:
            What was imported, what was left out because the lab has no place for it, and what could not be read.

        Raises:
            InvalidInput: the source is not there, or nothing of this kind.
            InvalidData: nothing of it can be read.
        """
        from modelship_lab.client.exchange.runs_in import import_runs

        folder = None if artifacts is None else Path(artifacts).expanduser()
        return import_runs(self._lab, Path(source).expanduser(), project, folder, on_moved)

    def export_runs(
        self,
        target: str | Path,
        project: str | int | None = None,
        *,
        runs: Iterable[int | RunHandle] | None = None,
        on_moved: OnMoved = silent,
    ) -> Transfer:
        """Export runs with all their points and artifacts.

        Args:
            target: a new folder, which gets Parquet files (`import_runs` takes them back), or the address of
                an MLflow server.
            project: whose runs; default: all that this account may see.
            runs: these alone.
            on_moved: hears how far it is.

        Returns:
            What was exported, what was left out because the other side has no place for it, and what failed.

        Raises:
            Conflict: the folder exists.
            StorageFailed: the disk refuses.
        """
        from modelship_lab.client.exchange.runs_out import export_runs

        return export_runs(self._lab, str(target), project, runs, on_moved)
