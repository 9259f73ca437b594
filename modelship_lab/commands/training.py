"""Verbs of training: train, stop."""

from typing import Any

import click
from click.shell_completion import CompletionItem

from modelship_lab.commands.parameters import PROJECT, RUN, KeyValue, OneOf
from modelship_lab.commands.results import Done
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.errors import InvalidInput


def _recipes() -> dict[str, str]:
    from modelship_lab.records.recipes import RECIPES

    return {name: recipe.summary for name, recipe in RECIPES.items()}


RECIPE = OneOf("recipe", _recipes)


class RecipeOption(KeyValue):
    """`name=value` of an option that the recipe has."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        from modelship_lab.records.recipes import RECIPES

        chosen = RECIPES.get(str(ctx.params.get("recipe")))
        fields: dict[str, str] = {}
        for recipe in [chosen] if chosen else RECIPES.values():
            fields.update(
                {name: field.description or "" for name, field in recipe.options.model_fields.items()}
            )
        return [
            CompletionItem(f"{name}=", help=text)
            for name, text in fields.items()
            if name.startswith(incomplete)
        ]


class TrainCommand(click.Command):
    """Lists the recipes and their options at the end of its help."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        from modelship_lab.records.recipes import RECIPES

        for name, recipe in RECIPES.items():
            with formatter.section(f"Recipe {name} ({', '.join(recipe.tasks)})"):
                formatter.write_text(recipe.summary)
                formatter.write_dl(
                    [
                        (f"{option}={_default(field.default)}", field.description or "")
                        for option, field in recipe.options.model_fields.items()
                    ]
                )


def _default(value: Any) -> str:
    return "" if value is None else str(value)


@click.command(cls=TrainCommand)
@click.argument("project", type=PROJECT)
@click.option(
    "--resume", type=RUN, help="Go on with this run of PROJECT where it was stopped or interrupted."
)
@click.option(
    "--time-budget",
    type=click.FloatRange(min=0, min_open=True),
    help="Seconds of training after which it ends with the best weights.",
)
@click.option(
    "--recipe",
    type=RECIPE,
    help="How to train. Default: the first for the project's task.",
)
@click.option(
    "--module",
    help="Instead of a recipe: a LightningModule of the notebook, or a function that returns one (and its data).",
)
@click.option("--datamodule", help="The module's LightningDataModule, if the function does not return it.")
@click.option("--epochs", type=click.IntRange(min=1), help="Most passes over the training rows.")
@click.option("--seed", type=click.IntRange(min=0), help="Split, weights and order follow from it.")
@click.option(
    "--set", "settings", type=RecipeOption(), multiple=True, help="An option of the recipe; may be repeated."
)
@click.option("--snapshot", type=int, help="Id of the snapshot to train on. Default: a new one.")
@click.option("--name", default="", help="Of the run.")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option(
    "--wait/--no-wait",
    default=None,
    help="Whether to wait for the end. Default: in a shell yes, in a notebook no.",
)
@click.option(
    "--background",
    is_flag=True,
    help="As a job on the lab server's machine, which outlives this process, the browser and the server.",
)
@click.option("--output", help="With --background: a folder of the workspace that gets the model, too.")
@pass_session
def train(
    session: Session,
    project: str,
    resume: int | None,
    time_budget: float | None,
    recipe: str | None,
    module: str | None,
    datamodule: str | None,
    epochs: int | None,
    seed: int | None,
    settings: tuple[tuple[str, Any], ...],
    snapshot: int | None,
    name: str,
    tags: tuple[str, ...],
    wait: bool | None,
    background: bool,
    output: str | None,
) -> Any:
    """Train a model on the labels of PROJECT, in a thread of this process.

    An interrupt, or `stop`, ends it cleanly with a checkpoint, from which --resume goes on: it ends as if it had
    never been interrupted.
    """
    from modelship_lab.learning import train as training

    handle = session.project(project)
    options = dict(settings)
    named = {"epochs": epochs, "seed": seed, "time_budget_s": time_budget}
    options.update({key: value for key, value in named.items() if value is not None})
    if module is not None or datamodule is not None:
        if recipe is not None or background:
            raise InvalidInput(
                "A module of your own takes the place of --recipe, and trains in this process."
            )
        from modelship_lab.learning import own_module

        made, data = (_variable(session, one) for one in (module, datamodule))
        more: dict[str, Any] = {"snapshot": snapshot, "resume": resume, "name": name, "tags": tags}
        run = own_module.start(session.lab, handle, made, data, options, **more)
        return session.follow(run, wait=wait, epochs=run.record.params.get("epochs"))
    if resume is not None:
        if options or recipe or snapshot is not None:
            raise InvalidInput(
                "A run goes on as it began: with --resume, leave the recipe, its options and --snapshot out."
            )
        if session.lab.run(resume).record.project_id != handle.id:
            raise InvalidInput(f"Run {resume} is of another project than {project}.")
    if background:
        job = session.lab.train_in_background(
            handle, recipe, options, snapshot=snapshot, name=name, tags=tags, output=output, resume=resume
        )
        return session.follow_job(job, wait=wait)
    if output is not None:
        raise InvalidInput("--output is for a training in the background: add --background.")
    if resume is not None:
        going_on = training.resume(session.lab, resume)
        return session.follow(going_on, wait=wait, epochs=going_on.record.params.get("epochs"))
    run = training.start(session.lab, handle, recipe, options, snapshot=snapshot, name=name, tags=tags)
    return session.follow(run, wait=wait, epochs=run.record.params.get("epochs"))


def _variable(session: Session, name: str | None) -> Any:
    """The notebook's variable of that name; None for none.

    Raises:
        InvalidInput: there is none of that name, or there is no notebook.
    """
    if name is None:
        return None
    if session.is_shell:
        raise InvalidInput(
            "A module of your own is trained where it is: in a notebook, or by `project.train(module=...)`."
        )
    found = session.variable(name)
    if found is None:
        raise InvalidInput(f"The notebook has nothing named {name!r}. Run the cell that defines it first.")
    return found


@click.command()
@click.argument("run", type=RUN, required=False)
@click.option("--server", is_flag=True, help="Stop the lab server instead; deployments go with it.")
@pass_session
def stop(session: Session, run: int | None, server: bool) -> Done:
    """Ask RUN to end cleanly with a checkpoint."""
    if server:
        from modelship_lab.commands.server import stop_server

        return stop_server(session)
    if run is None:
        raise InvalidInput("Say which run is to stop, e.g. `mlship stop 12`, or --server.")
    session.lab.run(run).stop()
    return Done(f"Run {run} is asked to stop; it ends with a checkpoint after the step it is in.")


VERBS = (train, stop)
