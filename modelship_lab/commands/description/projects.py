"""Projects in words: their samples that come and go, and snapshots."""

from collections.abc import Iterable
from dataclasses import replace

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
from modelship_lab.records.labeling import Export, Import, Progress, Project, RowProblem

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
def _(value: Progress) -> Description:
    done = value.labeled + value.skipped + value.flagged
    share = done / value.total if value.total else 0.0
    return Description(
        f"{done:,} of {value.total:,} samples done ({share:.0%})",
        (
            ("labeled", number(value.labeled)),
            *((("labeled automatically", number(value.auto)),) if value.auto else ()),
            ("skipped", number(value.skipped)),
            ("flagged", number(value.flagged)),
            ("unlabeled", number(value.unlabeled)),
            ("seconds per label", number(value.seconds_per_label, 2)),
            ("time left", duration(value.remaining_s)),
        ),
        (Grid("Labels by class", ("class", "labels"), _counts(value.by_class)),),
    )


@describe.register
def _(value: ProjectProgress) -> Description:
    of_any = describe(value.progress)
    return replace(of_any, title=f"{value.project}: {of_any.title}")


def _counts(counts: dict[str, int]) -> tuple[tuple[str, ...], ...]:
    return tuple((name, number(count)) for name, count in counts.items())


@describe.register
def _(value: Import) -> Description:
    grids: tuple[Grid, ...] = ()
    if value.problems:
        grids = (Grid("Rows that were not added", ("rows", "reason"), _by_reason(value.problems)),)
    left = value.duplicates + value.bad_rows - len(value.problems)
    return Description(
        f"{value.filename}: {value.samples_added:,} {_samples(value.samples_added)} added",
        (
            ("rows read", number(value.rows_read)),
            ("samples added", number(value.samples_added)),
            ("labels added", number(value.labels_added)),
            ("suggestions added", number(value.suggestions_added)),
            *((("automatic labels", number(value.auto_added)),) if value.auto_added else ()),
            ("duplicates", number(value.duplicates)),
            *((("of them labeled", number(value.labels_changed)),) if value.labels_changed else ()),
            *((("of them labeled otherwise", number(value.labels_kept)),) if value.labels_kept else ()),
            ("bad rows", number(value.bad_rows)),
        ),
        grids,
        f"and {left:,} more rows that were not added" if grids and left > 0 else "",
    )


@describe.register
def _(value: Imported) -> Description:
    of_any = describe(value.result)
    return replace(of_any, title=f"{of_any.title} to {value.project}")


@describe.register
def _(value: Export) -> Description:
    grids: tuple[Grid, ...] = ()
    if value.problems:
        reasons = _by_reason(value.problems)
        grids = (Grid("What the format has no place for", ("samples", "reason"), reasons),)
    return Description(
        f"{value.rows_written:,} {_samples(value.rows_written)}",
        (("format", value.format), ("bytes", number(value.bytes)), ("left out", number(value.left_out))),
        grids,
    )


@describe.register
def _(value: Exported) -> Description:
    of_any = describe(value.result)
    return replace(of_any, title=f"{value.path}: {of_any.title}")


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
