"""What was carried in or out, in words."""

from modelship_lab.client.exchange.transfer import Transfer
from modelship_lab.commands.description.words import Description, Grid, describe, number


@describe.register
def _(value: Transfer) -> Description:
    grids = []
    if value.left_out:
        rows = tuple((what, number(count)) for what, count in value.left_out.items())
        grids.append(
            Grid("Left out or changed, because the other side cannot hold it", ("what", "how often"), rows)
        )
    if value.problems:
        told = tuple((problem.place, problem.reason) for problem in value.problems)
        grids.append(Grid("What could not be read or written", ("where", "why"), told))
    more = value.problem_count - len(value.problems)
    return Description(
        f"{value.source} → {value.target}: {value.runs:,} {'run' if value.runs == 1 else 'runs'}",
        (
            ("runs", number(value.runs)),
            ("unchanged runs", number(value.unchanged)),
            ("points", number(value.points)),
            ("artifacts", number(value.artifacts)),
        ),
        tuple(grids),
        f"and {more:,} more problems" if more else "",
    )
