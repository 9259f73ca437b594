"""Suggest labels for unlabeled samples by the model of a run."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import torch

from modelship_lab.bundles.certainty import suggested
from modelship_lab.client.suggesting import within
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.learning.network import Network, predicted
from modelship_lab.learning.samples import Samples, encode_samples
from modelship_lab.records.bundle import TableEncoding
from modelship_lab.records.errors import Conflict
from modelship_lab.records.labeling import SavedSuggestions

if TYPE_CHECKING:
    from modelship_lab.client import Lab, ProjectHandle

__all__ = ["suggest"]

CHUNK = 4096
"""Samples that are encoded and predicted at a time."""
BATCH = 64


def suggest(
    lab: "Lab", project: "ProjectHandle | str | int", run_id: int, source: str = ""
) -> SavedSuggestions:
    """Predict every unlabeled sample of a project and store the predictions as suggestions.

    The labeling queue then begins with the samples of which the model is least sure.

    Args:
        lab: where the project is.
        project: its name or id, or a handle.
        run_id: a run with a trained model of the same task.
        source: what the suggestions name as their origin; default: the run.

    Raises:
        Conflict: the run has no model, or it is for another task or other classes.
        InvalidData: a sample cannot be read.
    """
    handle = lab.project(project) if isinstance(project, str | int) else project
    checkpoint = Checkpoint.of_run(lab.run(run_id))
    _check_fit(checkpoint, handle, run_id)
    table = handle.samples(status="unlabeled").to_arrow()
    table = table.rename_columns(["sample_id" if name == "id" else name for name in table.column_names])
    if not table.num_rows:
        return SavedSuggestions(saved=0)
    samples = Samples(checkpoint.task, table, _features(checkpoint, table), _ProjectImages(lab, table))
    outputs = np.concatenate(list(_predicted(checkpoint, checkpoint.network(), samples)))
    said = within(handle.record.settings, suggested(checkpoint.objective.reading, outputs))
    suggestions = pa.table({"sample_id": samples.ids, **said})
    return handle.suggest_labels(suggestions, source=source or f"run:{run_id}")


def _check_fit(checkpoint: Checkpoint, project: "ProjectHandle", run_id: int) -> None:
    record = project.record
    kind = checkpoint.objective.kind
    if (checkpoint.task, kind) != (record.require_task(), record.kind):
        several = {"labels": " with several classes"}
        raise Conflict(
            f"The model of run {run_id} is for {checkpoint.task}{several.get(kind, '')}, but {record.name} is a "
            f"project of {record.task}{several.get(record.kind, '')}."
        )
    unknown = [name for name in checkpoint.classes if name not in record.classes]
    if unknown:
        raise Conflict(
            f"The model of run {run_id} knows classes that {record.name} does not have: {', '.join(unknown)}."
        )


def _features(checkpoint: Checkpoint, table: pa.Table) -> tuple[str, ...]:
    if not isinstance(checkpoint.preprocessing, TableEncoding):
        return ()
    return tuple(name for name in checkpoint.preprocessing.features if name in table.column_names)


def _predicted(checkpoint: Checkpoint, network: Network, samples: Samples) -> Iterator[np.ndarray]:
    for start in range(0, len(samples), CHUNK):
        places = np.arange(start, min(start + CHUNK, len(samples)))
        rows = encode_samples(checkpoint.preprocessing, samples.taken(places))
        yield predicted(
            network,
            checkpoint.objective,
            (rows.take(some) for some in torch.split(torch.arange(len(places)), BATCH)),
        )


class _ProjectImages(Mapping[str, bytes]):
    """The images of a project, read from the lab server one by one; nothing is kept."""

    def __init__(self, lab: "Lab", table: pa.Table) -> None:
        self._lab = lab
        self._table = table

    def __getitem__(self, digest: str) -> bytes:
        return self._lab.request("GET", f"blobs/{digest}").content

    def __iter__(self) -> Iterator[str]:
        return iter(self._table.column("image").to_pylist())

    def __len__(self) -> int:
        return int(self._table.num_rows)
