"""Projects in words: their samples that come and go, and snapshots."""

from collections.abc import Iterable

from modelship_lab.client import ProjectHandle, SnapshotData
from modelship_lab.commands.description.words import (
    MOST_ROWS,
    Description,
    Grid,
    describe,
    duration,
    moment,
    number,
)
from modelship_lab.commands.results import (
    Exported,
    Imported,
    ProjectProgress,
)
from modelship_lab.records.labeling import Project, RowProblem

_MOST_NUMBERS = 5


def _answers(project: Project) -> tuple[tuple[str, str], ...]:
    """What can be said about a sample."""
    if project.classes:
        return (("classes", ", ".join(project.classes)),)
    ends = [
        "" if one is None else f"{one:.12g}" for one in (project.settings.lowest, project.settings.highest)
    ]
    facts = (("unit", project.settings.unit), ("range", "..".join(ends) if any(ends) else ""))
    return tuple((name, said) for name, said in facts if said)


@describe.register
def _(value: ProjectHandle) -> Description:
    record = value.record
    return Description(
        f"Project {record.name}",
        (
            ("id", str(record.id)),
            *((("task", record.task), *_answers(record)) if record.task else ()),
            *((("description", record.description),) if record.description else ()),
            ("created", moment(record.created_at)),
        ),
    )


@describe.register
def _(value: ProjectProgress) -> Description:
    progress = value.progress
    done = progress.labeled + progress.skipped + progress.flagged
    share = done / progress.total if progress.total else 0.0
    return Description(
        f"{value.project}: {done:,} of {progress.total:,} samples done ({share:.0%})",
        (
            ("labeled", number(progress.labeled)),
            *((("labeled automatically", number(progress.auto)),) if progress.auto else ()),
            ("skipped", number(progress.skipped)),
            ("flagged", number(progress.flagged)),
            ("unlabeled", number(progress.unlabeled)),
            ("seconds per label", number(progress.seconds_per_label, 2)),
            ("time left", duration(progress.remaining_s)),
        ),
        (Grid("Labels by class", ("class", "labels"), _counts(progress.by_class)),),
    )


def _counts(counts: dict[str, int]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, number(count)) for name, count in counts.items())


@describe.register
def _(value: Imported) -> Description:
    result = value.result
    grids: tuple[Grid, ...] = ()
    if result.problems:
        grids = (Grid("Rows that were not added", ("rows", "reason"), _by_reason(result.problems)),)
    left = result.duplicates + result.bad_rows - len(result.problems)
    return Description(
        f"{result.filename}: {result.samples_added:,} {_samples(result.samples_added)} added to {value.project}",
        (
            ("rows read", number(result.rows_read)),
            ("samples added", number(result.samples_added)),
            ("labels added", number(result.labels_added)),
            ("suggestions added", number(result.suggestions_added)),
            *((("automatic labels", number(result.auto_added)),) if result.auto_added else ()),
            ("duplicates", number(result.duplicates)),
            *((("of them labeled", number(result.labels_changed)),) if result.labels_changed else ()),
            *((("of them labeled otherwise", number(result.labels_kept)),) if result.labels_kept else ()),
            ("bad rows", number(result.bad_rows)),
        ),
        grids,
        f"and {left:,} more rows that were not added" if grids and left > 0 else "",
    )


@describe.register
def _(value: Exported) -> Description:
    result = value.result
    grids: tuple[Grid, ...] = ()
    if result.problems:
        reasons = _by_reason(result.problems)
        grids = (Grid("What the format has no place for", ("samples", "reason"), reasons),)
    return Description(
        f"{value.path}: {result.rows_written:,} {_samples(result.rows_written)}",
        (("format", result.format), ("bytes", number(result.bytes)), ("left out", number(result.left_out))),
        grids,
    )


def _samples(count: int) -> str:
    return "sample" if count == 1 else "samples"


def _by_reason(problems: Iterable[RowProblem]) -> tuple[tuple[str, str], ...]:
    """The rows of each reason on one line, the first few by number."""
    rows: dict[str, list[int]] = {}
    for problem in problems:
        rows.setdefault(problem.reason, []).append(problem.row)
    lines = []
    for reason, numbers in rows.items():
        more = f" and {len(numbers) - _MOST_NUMBERS} more" if len(numbers) > _MOST_NUMBERS else ""
        lines.append((", ".join(map(str, numbers[:_MOST_NUMBERS])) + more, reason))
    return tuple(lines[:MOST_ROWS])


@describe.register
def _(value: SnapshotData) -> Description:
    info = value.info
    return Description(
        f"Snapshot {info.id} (number {info.number} of its project): {info.rows:,} rows",
        (
            *((("description", info.description),) if info.description else ()),
            ("created", moment(info.created_at)),
            ("SHA-256", info.digest),
        ),
        (Grid("Rows by class", ("class", "rows"), _counts(info.by_class)),),
    )
