"""Files of data and models outside of the lab, in words."""

from modelship_lab.commands.description.words import Description, Grid, describe, number
from modelship_lab.records.data_check import DataCheck, DataReport
from modelship_lab.records.model_export import ModelValidation


@describe.register
def _(value: DataCheck) -> Description:
    total = sum(value.classes.values()) or 1
    problems = tuple(
        ("error" if one.is_error else "note", one.message, ", ".join(map(str, one.rows)))
        for one in value.problems
    )
    classes = tuple((name, f"{count:,}", f"{count / total:.0%}") for name, count in value.classes.items())
    return Description(
        f"{value.path} · {'can be learned from' if value.valid else 'nothing can be learned from it yet'}",
        (("format", value.format), ("rows", f"{value.rows:,}"), ("columns", ", ".join(value.columns))),
        (
            Grid("Classes", ("class", "rows", "share"), classes),
            Grid("Problems", ("", "what", "rows"), problems),
        ),
    )


@describe.register
def _(value: DataReport) -> Description:
    check = describe(value.check)
    told = (
        ("page", value.output),
        *check.facts,
        ("repetitions", f"{value.duplicates:,} exact, {value.near_duplicates:,} near"),
        ("contradictions", f"{value.contradictions:,}"),
        ("leaking rows", "–" if value.leaking is None else f"{value.leaking:,}"),
        ("labels to look at", "–" if value.likely_label_errors is None else f"{value.likely_label_errors:,}"),
    )
    return Description(check.title, told, check.grids)


@describe.register
def _(value: ModelValidation) -> Description:
    classes = tuple((name, f"{share:.1%}") for name, share in value.per_class.items())
    return Description(
        f"{value.model} · {'answers' if value.passed else 'does not answer as it must'}",
        (
            ("rows", f"{value.rows:,}"),
            ("accuracy", f"{value.accuracy:.1%}"),
            ("macro F1", number(value.macro_f1)),
            ("rows/s", f"{value.rows_per_s:,.0f}"),
        ),
        (Grid("Answered right", ("class", "share"), classes),),
        " ".join(value.problems),
    )
