"""Suggestions for the undecided samples of a project by whatever tells probabilities."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from modelship_lab.records.base import medium_of
from modelship_lab.records.errors import Conflict, InvalidInput, MissingDependency, NotFound
from modelship_lab.records.labeling import LabelingSettings, SavedSuggestions

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from modelship_lab.client.lab import Lab
    from modelship_lab.client.projects import ProjectHandle

Predict = Callable[[Sequence[Any]], "np.ndarray"]
"""From texts, encoded images or rows (dicts) to probabilities (samples, classes)."""

Tell = Callable[[Sequence[Any]], dict[str, Any]]
"""From texts, encoded images or rows (dicts) to the columns of suggestions, but for the samples' ids."""

OnProgress = Callable[[int, int], None]

CHUNK = 256
"""Samples that are predicted together."""

SENT_AT_ONCE = 50_000


def suggest_by(
    project: "ProjectHandle", predict: Predict, classes: Sequence[str], source: str, on_progress: OnProgress
) -> SavedSuggestions:
    """Suggest one class for every undecided sample.

    Args:
        predict: tells the probabilities of `classes`.
        source: what the suggestions name as their origin.

    Raises:
        Conflict: the project does not have these classes, or has another kind of label.
    """
    from modelship_lab.bundles.certainty import suggested
    from modelship_lab.bundles.reading import Reading

    if project.record.kind != "label":
        raise Conflict(
            f"{source} tells one class of a sample; the samples of '{project.name}' have {project.record.kind}."
        )
    reading = Reading("label", tuple(classes))
    return suggest_all(
        project, lambda inputs: suggested(reading, predict(inputs)), classes, source, on_progress
    )


def suggest_all(
    project: "ProjectHandle", tell: Tell, classes: Sequence[str], source: str, on_progress: OnProgress
) -> SavedSuggestions:
    """Suggest for every undecided sample.

    Args:
        tell: says what is suggested, as the project's kind of label is.
        classes: that it may say.
        source: what the suggestions name as their origin.

    Raises:
        Conflict: the project does not have these classes.
    """
    import pyarrow as pa

    record = project.record
    if unknown := [name for name in classes if name not in record.classes]:
        raise Conflict(
            f"{source} knows classes that '{record.name}' does not have: {', '.join(unknown[:20])}."
        )
    frame = project.samples(status="unlabeled")
    inputs = contents(project, frame)
    saved = auto = 0
    waiting: list[pa.Table] = []
    for start in range(0, frame.height, CHUNK):
        ids = frame["id"][start : start + CHUNK]
        said = within(record.settings, tell([next(inputs) for _ in range(len(ids))]))
        waiting.append(pa.table({"sample_id": ids.to_numpy(), **said}))
        done = start + len(ids)
        on_progress(done, frame.height)
        if len(waiting) * CHUNK >= SENT_AT_ONCE or done == frame.height:
            answer = project.suggest_labels(pa.concat_tables(waiting), source=source)
            saved, auto = saved + answer.saved, auto + answer.auto
            waiting = []
    return SavedSuggestions(saved=saved, auto=auto)


def within(settings: LabelingSettings, said: dict[str, Any]) -> dict[str, Any]:
    """Columns of suggestions with numbers that the project can have: one beyond its range is its end."""
    if "number" not in said:
        return said
    lowest = -math.inf if settings.lowest is None else settings.lowest
    highest = math.inf if settings.highest is None else settings.highest
    return {**said, "number": said["number"].clip(lowest, highest)}


def contents(project: "ProjectHandle", frame: "pl.DataFrame") -> Iterator[Any]:
    """What the samples of a table are: texts, encoded images, or rows (dicts), one after the other."""
    task = project.record.require_task()
    if (medium := medium_of(task)) == "text":
        yield from frame["text"]
    elif medium == "image":
        for digest in frame["image"]:
            yield project.lab.image(digest)
    else:
        # What lies between the sample's status and its label; a feature may be called as one of these.
        first = {"label": "label", "number": "number"}.get(project.record.kind, "classes")
        own = {"id", "status", first, "content"}
        chosen = frame.columns[2 : frame.columns.index(first)]
        names = [name[8:] if name.startswith("feature_") and name[8:] in own else name for name in chosen]
        for row in frame.select(chosen).iter_rows():
            yield dict(zip(names, row, strict=True))


def by_deployment(project: "ProjectHandle", name: str | int, on_progress: OnProgress) -> SavedSuggestions:
    """Suggest by what a deployment answers.

    Raises:
        NotFound: there is no such deployment.
        Conflict: it is for another task or other classes.
    """
    import numpy as np

    from modelship_lab.bundles.certainty import certainty, certainty_of_sets

    lab, kind = project.lab, project.record.kind
    deployment = lab.deployment(name)
    if deployment.task != project.record.require_task():
        raise Conflict(
            f"The deployment '{deployment.name}' is for {deployment.task}, but {project.name} is a project "
            f"of {project.record.task}."
        )

    def tell(inputs: Sequence[Any]) -> dict[str, Any]:
        answers = lab.predict(deployment.name, list(inputs))
        said = [one.prediction for one in answers]
        if any(isinstance(one, tuple) != (kind == "labels") for one in said):
            raise Conflict(
                f"The deployment '{deployment.name}' tells {'several classes' if kind == 'label' else 'one class'} of a "
                f"sample; the samples of '{project.name}' have {kind}."
            )
        if kind == "number":
            return {"number": np.array(said, float), "confidence": np.zeros(len(said))}
        probabilities = np.array([one.probabilities for one in answers])
        if kind == "label":
            return {"label": said, **certainty(probabilities)}
        applying = np.array([[name in one for name in deployment.classes] for one in said])
        return {"labels": said, **certainty_of_sets(probabilities, applying)}

    return suggest_all(project, tell, deployment.classes, deployment.model, on_progress)


def by_lexicon(project: "ProjectHandle", on_progress: OnProgress) -> SavedSuggestions:
    """Suggest by the words of a sentiment lexicon: quick, and often wrong outside of talk and reviews.

    VADER: Hutto and Gilbert, "VADER: A Parsimonious Rule-based Model for Sentiment Analysis of Social Media
    Text" (2014).

    Raises:
        Conflict: the classes are not negative, positive and perhaps neutral.
        MissingDependency: the optional package is not installed.
    """
    import numpy as np

    record = project.record
    if record.require_task() != "text_classification":
        raise Conflict(f"A lexicon reads texts; '{record.name}' has other samples.")
    feelings = [_FEELINGS.get(name.casefold()) for name in record.classes]
    if (
        None in feelings
        or not {"negative", "positive"} <= set(feelings)
        or len(set(feelings)) < len(feelings)
    ):
        raise Conflict(
            f"The lexicon tells negative, positive and neutral apart; the classes of '{record.name}' are "
            f"{', '.join(record.classes[:20])}."
        )
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer
    except ImportError:
        raise MissingDependency(
            "The lexicon is an optional package: `pip install modelship-lab[lexicon]`, then restart the kernel."
        ) from None
    analyzer = SentimentIntensityAnalyzer()

    def predict(texts: Sequence[str]) -> "np.ndarray":
        compound = np.array([analyzer.polarity_scores(text)["compound"] for text in texts])
        if "neutral" not in feelings:
            of_feeling = {"negative": (1 - compound) / 2, "positive": (1 + compound) / 2}
        else:
            of_feeling = {
                "negative": np.maximum(-compound, 0),
                "positive": np.maximum(compound, 0),
                "neutral": 1 - np.abs(compound),
            }
        return np.column_stack([of_feeling[str(feeling)] for feeling in feelings])

    return suggest_by(project, predict, record.classes, "lexicon:vader", on_progress)


_FEELINGS = {
    name: feeling
    for feeling, names in {
        "negative": ("negative", "neg", "bad"),
        "positive": ("positive", "pos", "good"),
        "neutral": ("neutral", "neu"),
    }.items()
    for name in names
}


def run_of_model(lab: "Lab", named: str) -> tuple[int, str]:
    """The run of a registered version, and what the version is called.

    Args:
        named: `spam-filter/3`, or `spam-filter@Production` for the newest version in a stage.

    Raises:
        NotFound: there is no such version.
    """
    name, at, stage = named.rpartition("@")
    if not at:
        name, slash, number = named.rpartition("/")
        if not slash or not number.isdecimal():
            raise InvalidInput(
                f"'{named}' is no run and no version of a model, e.g. 12, spam-filter/3 or spam-filter@Production."
            )
        version = lab.model_version(name, int(number))
        return version.run_id, f"{version.model}/{version.version}"
    for version in sorted(lab.model_versions(name), key=lambda one: -one.version):
        if version.stage.casefold() == stage.casefold():
            return version.run_id, f"{version.model}/{version.version}"
    raise NotFound(f"No version of the model '{name}' is in the stage '{stage}'.")
