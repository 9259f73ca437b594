"""Help from models, in words: thresholds, audits, labels that may be wrong."""

from modelship_lab.client.labeling_functions import Rules
from modelship_lab.commands.description.labeling import share_with_interval
from modelship_lab.commands.description.words import MOST_ROWS, Description, Grid, describe, number, preview
from modelship_lab.commands.results import Mislabeled
from modelship_lab.records.labeling import AuditReport, ThresholdChoice, Thresholds


@describe.register
def _(value: Thresholds) -> Description:
    rows = tuple(_choice(one) for one in (value.overall, *value.classes))
    columns = ("class", "known", "confidence", "right from there on", "automatic", "for review")
    return Description(
        title_of_thresholds(value),
        (),
        (Grid("Thresholds", columns, rows),),
        note="Nothing is changed: `mlship threshold PROJECT CONFIDENCE` sets one.",
    )


def title_of_thresholds(value: Thresholds) -> str:
    """What was asked: which thresholds reach a precision, or what one of them would do."""
    if value.precision is None:
        return f"What a threshold of {value.overall.threshold:g} would do"
    return f"From which confidence on {value.precision:.0%} of the suggestions were right"


def _choice(one: ThresholdChoice) -> tuple[str, ...]:
    return (
        one.name or "all",
        number(one.known),
        "none" if one.threshold is None else f"{one.threshold:.4f}",
        share_with_interval(one.precision),
        number(one.accepted),
        number(one.review),
    )


@describe.register
def _(value: Mislabeled) -> Description:
    found = value.table
    if found.is_empty():
        return Description(f"No label of '{value.project}' is contradicted")
    rows = tuple(
        (
            str(row["sample_id"]),
            row["label"],
            row["likely"],
            number(row["score"], 2),
            "" if value.image else preview(row["preview"] or ""),
        )
        for row in found.head(MOST_ROWS).iter_rows(named=True)
    )
    left = found.height - len(rows)
    return Description(
        f"{found.height:,} labels of '{value.project}' may be wrong, the most doubtful first",
        (),
        (Grid("", ("sample", "label", "more likely", "how likely the label is", ""), rows),),
        f"and {left:,} more; `--queue N` has people look at N of them again" if left else "",
    )


@describe.register
def _(value: Rules) -> Description:
    auto = f", {value.suggestions.auto:,} became automatic labels" if value.suggestions.auto else ""
    rows = tuple(
        (
            row["function"],
            row["classes"],
            f"{row['coverage']:.1%}",
            f"{row['overlaps']:.1%}",
            f"{row['conflicts']:.1%}",
            "–" if row["accuracy"] is None else f"{row['accuracy']:.1%} of {row['labeled']:,}",
            f"{row['estimated_accuracy']:.1%}",
            f"{row['errors']:,} {row['first_error']}" if row["errors"] else "–",
        )
        for row in value.table.iter_rows(named=True)
    )
    columns = ("function", "classes", "coverage", "overlaps", "conflicts", "right", "estimated", "errors")
    return Description(
        f"{value.source}: {value.covered:,} of {value.samples:,} samples are covered{auto}",
        (),
        (Grid("Labeling functions", columns, rows),),
    )


@describe.register
def _(value: AuditReport) -> Description:
    rows = tuple(
        (one.origin, number(one.labels), number(one.audited), share_with_interval(one.errors))
        for one in value.origins
    )
    if not rows:
        return Description("There are no automatic labels")
    return Description(
        "Automatic labels, and how many were wrong in blind audits",
        (),
        (Grid("Origins", ("origin", "labels now", "audited", "wrong"), rows),),
    )
