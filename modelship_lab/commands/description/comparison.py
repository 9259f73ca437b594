"""Runs side by side, in words."""

from typing import Any

from modelship_lab.client.comparison import Difference, RunComparison
from modelship_lab.commands.description.words import Description, Grid, describe, duration, number, preview
from modelship_lab.commands.results import Compared
from modelship_lab.records.evaluation import Significance

_LONGEST_VALUE = 60
_MOST_RUNS = 12
_JUDGED = ("run", "figure", "score", "difference", "95 % interval", "p-value", "samples", "not the same")


@describe.register
def _(value: RunComparison) -> Description:
    return _described(value, everything=False, code=None)


@describe.register
def _(value: Compared) -> Description:
    return _described(value.comparison, value.everything, value.code)


def _described(value: RunComparison, everything: bool, code: str | None) -> Description:
    runs = value.runs[:_MOST_RUNS]
    columns = ("", *(f"{run.id} · {run.record.name or run.record.recipe}".strip(" ·") for run in runs))
    ended = [run.record.ended_at or run.record.heartbeat_at for run in runs]
    how = (
        ("status", *(run.record.status for run in runs)),
        (
            "duration",
            *(
                duration((end - run.record.started_at).total_seconds())
                for run, end in zip(runs, ended, strict=True)
            ),
        ),
    )
    params = value.params(everything=everything)
    grids = [
        Grid("Final figures", columns, how + _rows(value.figures())),
        Grid("Parameters" if everything else "Parameters that differ", columns, _rows(params)),
        Grid(
            "Environment" if everything else "Environment that differs",
            columns,
            _rows(value.environment(everything=everything)),
        ),
    ]
    judged = value.significance()
    if judged:
        grids.insert(
            1, Grid(f"On the same held-out samples, less run {runs[0].id}", _JUDGED, _judged(judged))
        )
    if code is not None:
        lines = tuple((line,) for line in (code or "The code of both is equal.").splitlines())
        grids.append(Grid("Code", ("",), lines))
    more = len(value.runs) - len(runs)
    notes = [f"and {more} more runs"] if more else []
    if not params:
        notes.append("Their parameters are equal.")
    return Description(
        f"Runs {', '.join(str(run.id) for run in value.runs)} compared",
        grids=tuple(grids),
        note=" ".join(notes),
    )


def _judged(found: list[Significance]) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            f"{one.other}",
            one.metric,
            f"{one.score:.4f} → {one.other_score:.4f}",
            f"{one.difference:+.4f}",
            f"{one.low:+.4f} to {one.high:+.4f}",
            f"{one.p_value:.3f}",
            f"{one.rows:,}",
            f"{one.only_run + one.only_other + one.changed:,}",
        )
        for one in found
    )


def _rows(differences: list[Difference]) -> tuple[tuple[str, ...], ...]:
    return tuple((one.name, *map(_text, one.values[:_MOST_RUNS])) for one in differences)


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return number(value)
    return preview(str(value), _LONGEST_VALUE)
