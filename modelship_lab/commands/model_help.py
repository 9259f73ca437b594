"""Verbs of help from models: retrain, rules, embed, threshold, revoke, spotcheck, mislabeled."""

import shlex
from typing import Any

import click

from modelship_lab.commands.parameters import PROJECT
from modelship_lab.commands.results import Done, Mislabeled
from modelship_lab.commands.session import Session, pass_session
from modelship_lab.records.base import medium_of
from modelship_lab.records.errors import InvalidInput


@click.command()
@click.argument("project", type=PROJECT)
@click.option("--all", "everything", is_flag=True, help="Suggest for all undecided samples, however many.")
@pass_session
def retrain(session: Session, project: str, everything: bool) -> Done:
    """Have the light model of PROJECT learn from its labels and suggest for the rest.

    With `mlship settings PROJECT --set retrain_every=50` it does so by itself after every 50 labels.
    """
    result = session.project(project).retrain(everything=everything).result
    accuracy = f"{result['accuracy']:.1%} of {result['labels']:,} labeled samples are told right unseen"
    auto = f", {result['auto']:,} of them became automatic labels" if result["auto"] else ""
    return Done(f"{result['source']}: {result['suggestions']:,} suggestions are saved{auto}; {accuracy}.")


@click.command()
@click.argument("project", type=PROJECT)
@click.option(
    "--encoder",
    type=click.Choice(("hashed", "minilm")),
    default="hashed",
    show_default=True,
    help="hashed: counted words, fields or small pictures; minilm: a sentence encoder.",
)
@pass_session
def embed(session: Session, project: str, encoder: Any) -> Done:
    """Find where the samples of PROJECT lie among each other, for the order `diversity` and for the map."""
    job = session.project(project).embed(encoder)
    return Done(f"{job.result['samples']:,} samples are embedded.")


@click.command()
@click.argument("project", type=PROJECT)
@click.argument("confidence", required=False)
@click.option(
    "--class", "classes", multiple=True, metavar="CLASS=CONFIDENCE", help="Of one class; may be repeated."
)
@click.option(
    "--precision", type=click.FloatRange(0, 1), help="Show which confidence reaches this share of right ones."
)
@click.option("--dry-run", is_flag=True, help="Show what CONFIDENCE would do; nothing is changed.")
@pass_session
def threshold(
    session: Session,
    project: str,
    confidence: str | None,
    classes: tuple[str, ...],
    precision: float | None,
    dry_run: bool,
) -> Any:
    """Let suggestions of PROJECT become automatic labels from CONFIDENCE on; `off` ends that.

    With --precision nothing is changed: it shows which confidence reaches it, by gold and human labels. It and
    --dry-run say how many samples would get an automatic label, and how many would wait for review.
    """
    handle = session.project(project)
    if dry_run and precision is None:
        if confidence in (None, "off") or classes:
            raise InvalidInput("Give --dry-run one confidence such as 0.95: it tells of each class, too.")
        return handle.try_threshold(_fraction(str(confidence)))
    if precision is not None:
        return handle.choose_threshold(precision)
    if confidence is None and not classes:
        raise InvalidInput(
            "Give a confidence such as 0.95, `off`, or --precision to see which one to choose."
        )
    of_classes = {}
    for given in classes:
        name, _, value = given.rpartition("=")
        of_classes[name] = _fraction(value)
    whole = None if confidence in (None, "off") else _fraction(str(confidence))
    saved = handle.set_threshold(whole, of_classes)
    if whole is None and not of_classes:
        return Done(f"No suggestion of '{handle.name}' becomes a label by itself any more.")
    waiting = handle.count_samples(below_threshold=True, status=("unlabeled",))
    told = (
        f"The threshold is set; {saved.auto:,} of the stored suggestions became automatic labels, "
        f"{waiting:,} wait for review."
    )
    if saved.outgrown:
        told += (
            f" {saved.outgrown:,} automatic labels would not pass any more: "
            f"`mlship revoke {shlex.quote(handle.name)} --outgrown` takes them back."
        )
    return Done(told)


def _fraction(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InvalidInput(f"'{text}' is no confidence: it lies between 0 and 1, e.g. 0.95.")
    return value


@click.command()
@click.argument("project", type=PROJECT)
@pass_session
def rules(session: Session, project: str) -> Any:
    """Apply the notebook's labeling functions (written under `@lab.labeling_function`) to PROJECT."""
    return session.project(project).apply_rules()


@click.command()
@click.argument("project", type=PROJECT)
@click.argument("origin", required=False)
@click.option("--outgrown", is_flag=True, help="Those that do not reach the thresholds that there are now.")
@pass_session
def revoke(session: Session, project: str, origin: str | None, outgrown: bool) -> Done:
    """Take back every automatic label in PROJECT of ORIGIN: a model version, a run, a rule, e.g. light:3."""
    if (origin is None) != outgrown:
        raise InvalidInput("Name a model version, run or rule, or give --outgrown.")
    handle = session.project(project)
    saved = handle.revoke(origin, outgrown=outgrown)
    which = f"of {origin}" if origin else "below the thresholds"
    return Done(
        f"{saved.saved:,} automatic labels {which} are taken back; "
        f"`mlship undo {shlex.quote(handle.name)} --batch {saved.batch}` brings them back."
    )


@click.command()
@click.argument("project", type=PROJECT)
@click.option("-n", "count", type=click.IntRange(min=1), help="Send so many automatic labels to the queue.")
@click.option("--origin", help="Only labels of this model version or rule.")
@pass_session
def spotcheck(session: Session, project: str, count: int | None, origin: str | None) -> Any:
    """Show how often the automatic labels of PROJECT are wrong; with -n, have more of them judged blindly."""
    handle = session.project(project)
    if count is None:
        return handle.audit_report()
    saved = handle.audit(count, origin)
    return Done(f"{saved.added:,} automatic labels are sent to the queue, to be judged blindly.")


@click.command()
@click.argument("project", type=PROJECT)
@click.option("--queue", "count", type=click.IntRange(min=1), help="Send so many of them back to the queue.")
@pass_session
def mislabeled(session: Session, project: str, count: int | None) -> Any:
    """List labels of PROJECT that may be wrong, the most doubtful first; with --queue, have people look again."""
    handle = session.project(project)
    found = handle.label_errors()
    if count is None or found.is_empty():
        image = session.lab.image if medium_of(handle.record.require_task()) == "image" else None
        return Mislabeled(handle.name, found, image)
    samples = found["sample_id"].head(count).to_list()
    added = handle.request("error", detail="the label may be wrong", ids=samples).added
    return Done(f"{added:,} of {len(found):,} doubtful labels are sent to the queue.")


VERBS = (retrain, rules, embed, threshold, revoke, spotcheck, mislabeled)
