"""The options by which verbs are told which samples of a project are meant."""

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from modelship_lab.records.labeling import SampleStatus

Command = TypeVar("Command", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--status", type=click.Choice(get_args(SampleStatus)), multiple=True, help="One of these."),
    click.option("--label", help="Samples whose label has this class."),
    click.option("--suggested", help="Samples whose suggestion has this class."),
    click.option("--search", help="Samples whose text, fields or name contain this."),
    click.option("--author", help="Samples whose label is by this account."),
    click.option("--origin", help="Samples that this model version or rule labeled."),
    click.option("--min-confidence", type=click.FloatRange(0, 1), help="Of the suggestion."),
    click.option("--max-confidence", type=click.FloatRange(0, 1), help="Of the suggestion."),
    click.option(
        "--below-threshold",
        is_flag=True,
        default=None,
        help="Suggested too unsurely to become a label by itself.",
    ),
    click.option("--selection", help="Samples of a saved selection."),
    click.option("--id", "ids", type=int, multiple=True, help="These samples; may be repeated."),
)


def sample_conditions(command: Command) -> Command:
    """Give a verb the options; it gets them as keywords, of which `given` tells those that say something."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given(conditions: dict[str, Any]) -> dict[str, Any]:
    """The fields of a `SampleFilter` that were given."""
    return {name: value for name, value in conditions.items() if value not in (None, ())}
