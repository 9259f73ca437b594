"""Labeling functions: rules written in the notebook that say what a sample is, or nothing."""

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from modelship_lab.client.suggesting import contents
from modelship_lab.records.errors import Conflict, InvalidInput
from modelship_lab.records.labeling import SavedSuggestions

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from modelship_lab.client.projects import ProjectHandle

LabelingFunction = Callable[[Any], str | None]
"""Takes a text, a row (a dict) or an image (of Pillow), and returns a class, or None when it has nothing to say."""

WRITTEN: dict[str, LabelingFunction] = {}
"""Those that were written under `@lab.labeling_function` in this process, by their names: whichever lab's, as a
notebook's magic has its own connection."""

CHUNK = 10_000

MAX_SOURCE = 200


@dataclass(frozen=True)
class Rules:
    """What labeling functions said about the samples of a project."""

    project: str
    samples: int
    covered: int
    """Samples about which at least one of them said something."""
    suggestions: SavedSuggestions
    source: str
    """What the suggestions, and automatic labels made of them, name as their origin."""
    table: "pl.DataFrame" = field(repr=False)
    """A row for each function: coverage, overlaps and conflicts as shares of all samples, accuracy on labeled ones."""


def apply(
    project: "ProjectHandle",
    functions: Mapping[str, LabelingFunction],
    on_progress: Callable[[int, int], None],
) -> Rules:
    """Apply functions to all samples of a project; what they say together becomes suggestions.

    Raises:
        Conflict: the samples of the project have no single class.
        InvalidInput: there is no function, or one says what is no class of the project.
    """
    import numpy as np
    import pyarrow as pa

    from modelship_lab.bundles.certainty import certainty
    from modelship_lab.client.label_model import ABSTAINS, LabelModel

    record = project.record
    if record.kind != "label":
        raise Conflict(
            f"Labeling functions say one class of a sample; the samples of '{record.name}' have {record.kind}."
        )
    if not functions:
        raise InvalidInput("There is no labeling function: write one under `@lab.labeling_function`.")
    frame = project.samples()
    votes = np.full((frame.height, len(functions)), ABSTAINS, np.int64)
    failures: dict[str, list[Exception]] = {name: [] for name in functions}
    place = {name: number for number, name in enumerate(record.classes)}
    done = 0
    for sample in _samples(project, frame):
        for column, (name, function) in enumerate(functions.items()):
            try:
                said = function(sample)
            except Exception as error:
                # One sample on which a rule fails must not end the rest; how many they were stands in the table.
                failures[name].append(error)
                continue
            if said is not None:
                if said not in place:
                    raise InvalidInput(
                        f"The labeling function '{name}' says {said!r:.200}, which is no class of '{record.name}': "
                        f"{', '.join(record.classes[:20])}. It returns one of them, or None."
                    )
                votes[done, column] = place[said]
        done += 1
        if done % CHUNK == 0 or done == frame.height:
            on_progress(done, frame.height)
    known = _known(frame, place)
    model = LabelModel(votes, len(place), known)
    covered = (votes != ABSTAINS).any(1)
    probabilities = model.probabilities()[covered]
    source = f"rules:{'+'.join(functions)}"[:MAX_SOURCE]
    saved = SavedSuggestions(saved=0)
    if covered.any():
        suggestions = pa.table(
            {
                "sample_id": frame["id"].to_numpy()[covered],
                "label": pa.array(np.array(record.classes, object)[probabilities.argmax(1)], pa.string()),
                **certainty(probabilities),
            }
        )
        saved = project.suggest_labels(suggestions, source=source)
    return Rules(
        project=record.name,
        samples=frame.height,
        covered=int(covered.sum()),
        suggestions=saved,
        source=source,
        table=_table(votes, known, functions, record.classes, model.accuracies, failures),
    )


def _samples(project: "ProjectHandle", frame: "pl.DataFrame") -> Iterator[Any]:
    """What the functions are called with."""
    found = contents(project, frame)
    if project.record.task != "image_classification":
        yield from found
        return
    from PIL import Image

    for data in found:
        yield Image.open(io.BytesIO(data))


def _known(frame: "pl.DataFrame", place: Mapping[str, int]) -> "np.ndarray":
    """The classes that people have given, as numbers."""
    import numpy as np

    return np.array(
        [
            place[label] if status == "labeled" and label in place else -1
            for status, label in zip(frame["status"], frame["label"], strict=True)
        ],
        np.int64,
    )


def _table(
    votes: "np.ndarray",
    known: "np.ndarray",
    functions: Mapping[str, LabelingFunction],
    classes: Sequence[str],
    accuracies: "np.ndarray",
    failures: Mapping[str, Sequence[Exception]],
) -> "pl.DataFrame":
    import polars as pl

    said = votes != -1
    count = max(len(votes), 1)
    rows = []
    for column, name in enumerate(functions):
        own, others = said[:, column], said.copy()
        others[:, column] = False
        differs = (others & (votes != votes[:, [column]])).any(1)
        judged = own & (known != -1)
        right = judged & (votes[:, column] == known)
        errors = failures[name]
        rows.append(
            {
                "function": name,
                "classes": ", ".join(classes[one] for one in sorted(set(votes[own, column].tolist()))),
                "coverage": float(own.sum()) / count,
                "overlaps": float((own & others.any(1)).sum()) / count,
                "conflicts": float((own & differs).sum()) / count,
                "labeled": int(judged.sum()),
                "accuracy": float(right.sum()) / int(judged.sum()) if judged.any() else None,
                "estimated_accuracy": float(accuracies[column]),
                "errors": len(errors),
                "first_error": f"{type(errors[0]).__name__}: {errors[0]}"[:200] if errors else "",
            }
        )
    return pl.DataFrame(
        rows,
        schema_overrides={"accuracy": pl.Float64(), "estimated_accuracy": pl.Float64()},
    )
