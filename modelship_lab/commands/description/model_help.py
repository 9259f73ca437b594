"""Help from models, in words: thresholds, audits."""

from modelship_lab.client.labeling_functions import Rules
from modelship_lab.commands.description.labeling import share_with_interval
from modelship_lab.commands.description.words import Description, Grid, describe, number
from modelship_lab.records.labeling import AuditReport, ThresholdChoice, Thresholds


@describe.register
def _(value: Thresholds) -> Description:
    rows = tuple(_choice(one) for one in (value.overall, *value.classes))
    return Description(
        f"From which confidence on {value.precision:.0%} of the suggestions were right",
        (),
        (Grid("Thresholds", ("class", "known", "confidence", "right from there on"), rows),),
        note="Nothing is changed: `mlship threshold PROJECT CONFIDENCE` sets one.",
    )


def _choice(one: ThresholdChoice) -> tuple[str, ...]:
    return (
        one.name or "all",
        number(one.known),
        "none" if one.threshold is None else f"{one.threshold:.4f}",
        share_with_interval(one.precision),
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
