"""The verb that sweeps the options of a recipe."""

from typing import Any

import click

from modelship_lab.commands.parameters import PROJECT, OneOf
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.commands.training import RECIPE, RecipeOption, TrainCommand


class Grid(RecipeOption):
    """`name=value,value`: each value is JSON, or text when it is not."""

    name = "name=value,…"

    def read(self, text: str, value: Any) -> list[Any]:
        return [super(Grid, self).read(one.strip(), value) for one in text.split(",")]


class Range(RecipeOption):
    """`name=low..high`; with `:log` drawn evenly over the magnitude."""

    name = "name=low..high[:log]"
    form = "name=low..high or name=low..high:log"

    def read(self, text: str, value: Any) -> Any:
        from modelship_lab.client.sweeps.space import Range as SpaceRange
        from modelship_lab.records.errors import InvalidInput

        ends, colon, scale = text.partition(":")
        low, dots, high = ends.partition("..")
        if not dots or (colon and scale != "log"):
            self.fail(f"'{value}' is not of the form {self.form}.")
        try:
            return SpaceRange(float(low), float(high), log=bool(colon))
        except (ValueError, InvalidInput) as error:
            self.fail(f"'{value}': {error}")


def _metrics() -> dict[str, str]:
    from modelship_lab.learning.sweep import METRICS

    return {name: f"{mode} is best" for name, mode in METRICS.items()}


@click.command(cls=TrainCommand)
@click.argument("project", type=PROJECT)
@click.option("--recipe", type=RECIPE, help="How to train. Default: the first for the project's task.")
@click.option(
    "--grid", "grids", type=Grid(), multiple=True, help="Values of an option, e.g. learning_rate=0.01,0.1."
)
@click.option(
    "--range",
    "ranges",
    type=Range(),
    multiple=True,
    help="A range of an option, e.g. weight_decay=1e-5..1e-2:log; :log draws evenly over the magnitude.",
)
@click.option(
    "--set", "settings", type=RecipeOption(), multiple=True, help="An option that is the same in all trials."
)
@click.option(
    "--trials",
    type=click.IntRange(min=1),
    help="Most trials. Default: the whole grid; other samplers need this or --timeout.",
)
@click.option(
    "--metric",
    type=OneOf("metric", _metrics),
    default="val_loss",
    show_default=True,
    help="The figure that is to become best.",
)
@click.option(
    "--mode",
    type=click.Choice(("min", "max")),
    help="Whether the smallest or the largest is best. Default: as the metric is meant.",
)
@click.option(
    "--sampler",
    type=click.Choice(("grid", "random", "tpe")),
    help="How values are chosen. Default: a grid if there are only values, else tpe.",
)
@click.option(
    "--pruner", type=click.Choice(("median", "hyperband")), help="Ends trials that do worse than others did."
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the sampler; the recipe's is `--set seed=1`.")
@click.option(
    "--parallel",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Trials at once. Several share the random numbers of this process: they cannot be repeated exactly.",
)
@click.option(
    "--timeout", "timeout_s", type=click.FloatRange(min=0), help="No trial begins after so many seconds."
)
@click.option("--snapshot", type=int, help="Id of the snapshot to train on. Default: a new one.")
@click.option("--name", default="", help="Of the sweep.")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option("--resume", is_flag=True, help="Go on with the newest sweep of this name, if there is one.")
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Whether to wait for the end. Default: in a shell yes, in a notebook no.",
)
@pass_session
def sweep(
    session: Session,
    /,
    project: str,
    recipe: str | None,
    grids: tuple[tuple[str, Any], ...],
    ranges: tuple[tuple[str, Any], ...],
    settings: tuple[tuple[str, Any], ...],
    wait: bool | None,
    **options: Any,
) -> Any:
    """Train PROJECT many times with other options each, and find the best; every trial is a run.

    An interrupt, or `stop`, ends it cleanly. After a crash, --resume makes the trials that are missing.
    """
    from modelship_lab.learning import sweep as sweeping

    space = {**dict(settings), **dict(grids), **dict(ranges)}
    started = sweeping.start(session.lab, session.project(project), recipe, space, **options)
    return session.follow_sweep(started, wait=wait)


VERBS = (sweep,)
