"""Sweeps in words."""

from typing import Any

from modelship_lab.client.sweeps.report import SweepReport, duration_s, status_of
from modelship_lab.commands.description.words import Description, Grid, describe, duration, number, preview
from modelship_lab.records.tracking import Run

_MOST_TRIALS = 20
_LONGEST_ERROR = 80


@describe.register
def _(value: SweepReport) -> Description:
    run, best = value.run, value.best
    counted = ", ".join(f"{count} {status}" for status, count in sorted(value.statuses.items()))
    planned = "" if value.planned is None else f" of {value.planned}"
    rows = value.rows
    return Description(
        "".join([f"Sweep {run.id}", *(f" · {part}" for part in (run.name, run.project, run.status) if part)]),
        (
            ("trials", f"{len(value.trials)}{planned}: {counted}" if counted else f"none{planned}"),
            ("sampler", str(run.params["sampler"])),
            *((("pruner", str(run.params["pruner"])),) if run.params.get("pruner") else ()),
            *(best_facts(value) if best is not None else ()),
            ("duration", duration(duration_s(run))),
            *((("error", run.error),) if run.error else ()),
        ),
        (
            Grid(
                f"Trials by {value.metric}",
                ("trial", "run", "status", value.metric, *value.names, "duration", ""),
                tuple(_row(value, place, trial) for place, trial in rows[:_MOST_TRIALS]),
            ),
        ),
        f"and {len(rows) - _MOST_TRIALS:,} more" if len(rows) > _MOST_TRIALS else "",
    )


def best_facts(report: SweepReport) -> tuple[tuple[str, str], ...]:
    """The best value, its run and its parameters."""
    best = report.best
    if best is None:
        return ()
    kind = "greatest" if report.is_max else "least"
    return (
        (f"{kind} {report.metric}", number(report.value(best))),
        ("of run", str(best.id)),
        *((name, _short(value)) for name, value in report.params(best).items()),
    )


def trial_line(report: SweepReport, trial: Run) -> str:
    """A trial that has ended, on one line."""
    params = "  ".join(f"{name}={_short(value)}" for name, value in report.params(trial).items())
    value = report.value(trial)
    figure = trial.error if value is None else f"{report.metric} {number(value)}"
    return f"run {trial.id}  {status_of(trial)}  {params}  {preview(figure)}".rstrip()


def _row(report: SweepReport, place: int, trial: Run) -> tuple[str, ...]:
    value = report.value(trial)
    return (
        str(place),
        str(trial.id),
        status_of(trial),
        "" if value is None else number(value),
        *(_short(one) for one in report.params(trial).values()),
        duration(duration_s(trial)),
        preview(trial.error, _LONGEST_ERROR),
    )


def _short(value: Any) -> str:
    return number(value) if isinstance(value, float) else "" if value is None else str(value)
