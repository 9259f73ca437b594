"""What labeling is about, in words: settings, differences of snapshots."""

from dataclasses import replace

import orjson

from modelship_lab.commands.description.words import MOST_ROWS, Description, Grid, describe, number
from modelship_lab.commands.results import ProjectQuality, ProjectSettings
from modelship_lab.records.labeling import Quality, Rate, SnapshotDiff, Value


@describe.register
def _(value: ProjectSettings) -> Description:
    settings = value.settings.model_dump()
    guidelines = settings.pop("guidelines")
    return Description(
        f"How {value.project} is labeled",
        tuple((name, _setting(setting)) for name, setting in settings.items()),
        note=guidelines or "There are no guidelines.",
    )


@describe.register
def _(value: Quality) -> Description:
    labelers = tuple(
        (
            one.author,
            number(one.labels),
            number(one.seconds_per_label, 2),
            share_with_interval(one.gold),
            share_with_interval(one.repeats),
        )
        for one in value.labelers
    )
    pairs = tuple(
        (f"{one.first} and {one.second}", number(one.samples), f"{one.agreement:.1%}", number(one.kappa, 3))
        for one in value.pairs
    )
    classes = tuple(
        (one.name, number(one.samples), "–" if one.agreement is None else f"{one.agreement:.1%}")
        for one in value.classes
    )
    grids = [
        Grid(
            "Labelers",
            ("account", "labels", "seconds per label", "right on gold", "same on repeats"),
            labelers,
        )
    ]
    if pairs:
        grids.append(Grid("Two and two", ("accounts", "samples", "agreement", "Cohen's kappa"), pairs))
        grids.append(Grid("Classes", ("class", "samples", "agreement"), classes))
    return Description(
        f"{value.samples:,} samples labeled by several people",
        (
            ("labeled differently", number(value.disagreements)),
            ("Krippendorff's alpha", number(value.krippendorff_alpha, 3)),
            ("Fleiss' kappa", f"{number(value.fleiss_kappa, 3)} (of {value.fleiss_samples:,} samples)"),
        ),
        tuple(grids),
    )


@describe.register
def _(value: ProjectQuality) -> Description:
    of_any = describe(value.quality)
    return replace(of_any, title=f"{value.project}: {of_any.title}")


@describe.register
def _(value: SnapshotDiff) -> Description:
    before, after = value.before, value.after
    changes = tuple(
        (str(one.sample_id), _said(one.before), _said(one.after), one.preview)
        for one in value.changes[:MOST_ROWS]
    )
    left = value.relabeled + value.added + value.removed - len(changes)
    classes = tuple(
        (name, number(before.by_class.get(name, 0)), number(count)) for name, count in after.by_class.items()
    )
    return Description(
        f"From snapshot {before.id} (number {before.number}, {before.rows:,} rows) "
        f"to {after.id} (number {after.number}, {after.rows:,} rows)",
        (
            ("added", number(value.added)),
            ("removed", number(value.removed)),
            ("labeled differently", number(value.relabeled)),
            ("in another split", number(value.moved)),
            ("same label", number(value.same)),
        ),
        (
            Grid("Rows by class", ("class", "before", "after"), classes),
            *((Grid("Changes", ("sample", "before", "after", ""), changes),) if changes else ()),
        ),
        f"and {left:,} more changes" if left > 0 else "",
    )


def share_with_interval(rate: Rate) -> str:
    """A share, of how many, and between which bounds it lies."""
    if rate.rate is None or rate.low is None or rate.high is None:
        return "–"
    return f"{rate.rate:.1%} of {rate.total:,} (95 %: {rate.low:.1%}–{rate.high:.1%})"


def _said(value: Value | None) -> str:
    if value is None:
        return "–"
    if value.label is not None:
        return value.label
    if value.labels is not None:
        return ", ".join(value.labels) or "none"
    if value.spans is not None:
        return ", ".join(f"{one.label} {one.start}–{one.end}" for one in value.spans) or "none"
    return ", ".join(one.label for one in value.boxes or ()) or "none"


def _setting(value: object) -> str:
    if value is None:
        return "–"
    return orjson.dumps(value).decode() if isinstance(value, dict | tuple | list) else str(value)
