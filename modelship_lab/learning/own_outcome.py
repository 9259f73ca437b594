"""What becomes of a module of somebody's own after training: its evaluation, its ONNX model, and its bundle.

A bundle answers for raw samples, so the lab has to know how these become what `forward` takes. A module says that by an
attribute `preprocessing`, one of the records of `records.bundle`: then `forward` takes the arrays that the record
describes, by position. Without one, a module of tables may take all features as they are, in their order, as floats.
"""

import inspect
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from modelship_lab.bundles.pack import pack, to_tar
from modelship_lab.bundles.parity import check_parity
from modelship_lab.bundles.preprocessing import encode, encode_table
from modelship_lab.learning.evaluate import evaluate, summary
from modelship_lab.learning.export import (
    BATCH_SIZES,
    PARITY_ROWS,
    TOLERANCE,
    answers_of,
    longest_text,
    to_onnx,
)
from modelship_lab.learning.export_module import export_module
from modelship_lab.learning.objectives import Number, Objective, objective_of
from modelship_lab.learning.own_parts import pairs
from modelship_lab.learning.own_rows import OwnRows
from modelship_lab.learning.predictions import PREDICTIONS, predictions_file
from modelship_lab.learning.run_log import RunLog
from modelship_lab.learning.samples import Samples
from modelship_lab.records.base import medium_of
from modelship_lab.records.bundle import BundleManifest, Lineage, Preprocessing, TableEncoding
from modelship_lab.records.errors import ExportFailed, InvalidInput, LabError
from modelship_lab.records.recipes import OWN_MODULE

if TYPE_CHECKING:
    from modelship_lab.client import SnapshotData

__all__ = ["MODEL", "SIGNATURE", "evaluated", "exported"]

MODEL, SIGNATURE = "model.onnx", "signature.json"

_RECORDS = get_args(get_args(Preprocessing)[0])


def evaluated(
    run: RunLog, snapshot: "SnapshotData", module: LightningModule, loader: Any
) -> dict[str, float]:
    """The figures of rows that were not trained on; none if the module's outputs are not what the project asks for."""
    objective = objective_of(snapshot.info)
    parts: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    rows = OwnRows(loader)
    with torch.inference_mode():
        for inputs, wanted in pairs(module, loader):
            given = module(*inputs)
            if not _fits(given, wanted, objective):
                run.log_params({"evaluation": f"none: forward does not give {_wanted(objective)}"})
                return {}
            parts.append(objective.activation(given.float().reshape(len(wanted), -1)).cpu().numpy())
            labels.append(wanted.cpu().numpy())
            rows.add(inputs, len(wanted))
    if not parts:
        run.log_params({"evaluation": "none: there are no batches of inputs and labels to test on"})
        return {}
    targets = np.concatenate(labels)
    if isinstance(objective, Number):
        targets = targets.reshape(-1).astype(np.float64)
    outputs = np.concatenate(parts)
    ids = rows.ids(len(targets))
    if ids is None:
        said = (
            "none: the test's batches do not say which row is which sample; give their data set `sample_ids`"
        )
        run.log_params({"predictions": said})
    else:
        run.save_artifact(PREDICTIONS, predictions_file(objective, outputs, targets, ids))
    found = evaluate(
        objective,
        outputs,
        targets,
        task=snapshot.info.task,
        training_targets=objective.targets(snapshot.table()),
        sample_ids=np.zeros(len(targets), np.int64),
    )
    # Which samples the rows are is the module's secret.
    found = found.model_copy(update={"worst": ()})
    run.save_artifact("evaluation.json", found.model_dump_json(), "application/json")
    return summary(found)


def _wanted(objective: Objective) -> str:
    if isinstance(objective, Number):
        return "one number for each row"
    return f"logits of {objective.outputs} classes"


def _fits(outputs: Any, labels: Tensor, objective: Objective) -> bool:
    if not isinstance(outputs, Tensor):
        return False
    if isinstance(objective, Number):
        shapes = ((len(labels),), (len(labels), 1))
        return outputs.shape in shapes and labels.shape in shapes
    if outputs.shape != (len(labels), objective.outputs):
        return False
    if objective.kind == "labels":
        return labels.shape == outputs.shape
    return labels.ndim == 1 and not labels.is_floating_point() and int(labels.max()) < objective.outputs


def exported(
    run: RunLog, snapshot: "SnapshotData", module: LightningModule, loader: Any, figures: dict[str, float]
) -> None:
    """Save the module as ONNX with its signature, and as the run's bundle if the lab knows how samples become its
    inputs. What cannot be made is said in the run's parameters, and the run goes on."""
    module = module.cpu()
    given = _example(module, loader)
    try:
        if not given:
            raise ExportFailed("there is no example: set `self.example_input_array` in the module")
        names = list(inspect.signature(module.forward).parameters)[: len(given)]
        found = export_module(module, dict(zip(names, given, strict=True)))
    except LabError as error:
        run.log_params({"onnx": f"none: {error.message}"[:500], "bundle": "none: there is no ONNX model"})
        return
    run.save_artifact(MODEL, found.model, "application/octet-stream")
    run.save_artifact(SIGNATURE, json.dumps(found.signature, indent=2), "application/json")
    inputs = ", ".join(f"{one['name']} {one['type']} {one['shape']}" for one in found.signature["inputs"])
    run.log_params({"onnx": inputs})
    try:
        with tempfile.TemporaryDirectory(prefix="mlship-own-") as folder:
            manifest = _bundle(Path(folder) / "bundle", run, snapshot, module, loader, figures)
            tar = Path(folder) / "bundle.tar"
            with tar.open("wb") as file:
                to_tar(Path(folder) / "bundle", file)
            run.upload_bundle(tar)
    except LabError as error:
        run.log_params({"bundle": f"none: {error.message}"[:500]})
    else:
        run.log_params({"bundle": manifest.preprocessing.kind})


def _example(module: LightningModule, loader: Any) -> tuple[Tensor, ...]:
    """Some inputs by position; none if there are none that are tensors."""
    example = module.example_input_array
    if example is None:
        example = next(pairs(module, loader), ((), None))[0]
    given = (example,) if isinstance(example, Tensor) else example
    if not isinstance(given, list | tuple) or not all(isinstance(one, Tensor) for one in given):
        return ()
    return tuple(one.cpu() for one in given)


def _bundle(
    folder: Path,
    run: RunLog,
    snapshot: "SnapshotData",
    module: LightningModule,
    loader: Any,
    figures: dict[str, float],
) -> BundleManifest:
    """Pack the module, compared with itself on rows of the snapshot.

    Raises:
        LabError: the lab does not know what it takes, or it does not answer as the project's task wants it.
    """
    samples, objective = Samples.of_snapshot(snapshot), objective_of(snapshot.info)
    spec = _preprocessing(module, loader, samples)
    rows = np.arange(len(samples))[:: max(1, len(samples) // PARITY_ROWS)][:PARITY_ROWS]
    inputs = encode(spec, samples.taken(rows).inputs())
    network = _Encoded(module, spec).eval()
    try:
        with torch.inference_mode():
            outputs = network(**{name: torch.from_numpy(array) for name, array in inputs.items()})
    except Exception as error:  # somebody's module raises anything
        said = f"{type(error).__name__}: {error!s:.300}"
        raise ExportFailed(
            f"forward does not take what its preprocessing makes of samples: {said}"
        ) from error
    if outputs.shape != (len(rows), objective.outputs):
        raise ExportFailed(f"forward does not give {_wanted(objective)}")
    model = to_onnx(network, inputs, objective.activation, longest_text(spec))
    parity = check_parity(
        answers_of(network, objective.activation),
        model,
        inputs,
        BATCH_SIZES,
        TOLERANCE * objective.fitted(objective.targets(samples.table)).answer_scale,
        objective.reading,
    )
    info = snapshot.info
    return pack(
        folder,
        task=info.task,
        reading=objective.reading,
        preprocessing=spec,
        lineage=Lineage(run_id=getattr(run, "id", None), snapshot_id=info.id, recipe=OWN_MODULE),
        metrics=figures,
        parity=parity,
        onnx=model,
    )


def _preprocessing(module: LightningModule, loader: Any, samples: Samples) -> Preprocessing:
    """How samples become the inputs of a module.

    Raises:
        ExportFailed: nobody can know; says what to do.
    """
    said = getattr(module, "preprocessing", None)
    if isinstance(said, _RECORDS):
        return said  # type: ignore[no-any-return]
    if said is not None:
        raise ExportFailed(
            f"the module's `preprocessing` is a {type(said).__name__}; it must be a record of "
            f"modelship_lab.records.bundle: {', '.join(one.__name__ for one in _RECORDS)}"
        )
    if medium_of(samples.task) != "table":
        raise ExportFailed(
            "the lab does not know how samples become what forward takes: give the module an attribute "
            "`preprocessing`, a record of modelship_lab.records.bundle, and let forward take what that makes"
        )
    spec = TableEncoding(features=samples.features, numeric=samples.features, categories={})
    columns = (samples.table.column(name) for name in samples.features)
    try:
        known = encode_table(
            spec, {name: column.to_numpy() for name, column in zip(spec.features, columns, strict=True)}
        )["numeric"]
    except InvalidInput:
        # There are features that are no numbers.
        known = np.empty((0, len(samples.features)), np.float32)
    if not _are_among(loader, module, known):
        raise ExportFailed(
            "forward does not take the features as they are, in their order: do in forward what the data module does "
            "to them (scaling as buffers of the module), or give the module an attribute `preprocessing`, a record of "
            "modelship_lab.records.bundle"
        )
    typical = np.nan_to_num(np.nanmedian(known, axis=0))
    return spec.model_copy(update={"typical": dict(zip(samples.features, map(float, typical), strict=True))})


def _are_among(loader: Any, module: LightningModule, known: np.ndarray) -> bool:
    """Whether all rows that a module is tested on are rows of a table, to the last bit."""
    there = {row.tobytes() for row in np.ascontiguousarray(known)}
    seen = False
    for inputs, _ in pairs(module, loader):
        if len(inputs) != 1 or inputs[0].ndim != 2 or inputs[0].dtype != torch.float32:
            return False
        rows = np.ascontiguousarray(inputs[0].cpu().numpy())
        seen = True
        if not all(row.tobytes() in there for row in rows):
            return False
    return seen


class _Encoded(nn.Module):
    """A module that takes what a preprocessing makes, by name; what is missing in a row of numbers is what is typical."""

    typical: Tensor

    def __init__(self, module: nn.Module, spec: Preprocessing) -> None:
        super().__init__()
        self.module = module
        self._fills = isinstance(spec, TableEncoding) and bool(spec.numeric)
        typical = (
            [] if not isinstance(spec, TableEncoding) else [_number(spec, name) for name in spec.numeric]
        )
        self.register_buffer("typical", torch.tensor(typical, dtype=torch.float32))

    def forward(self, **arrays: Tensor) -> Tensor:
        if self._fills:
            numeric = arrays["numeric"]
            arrays = {**arrays, "numeric": torch.where(torch.isnan(numeric), self.typical, numeric)}
        outputs: Tensor = self.module(*arrays.values())
        return outputs.float().reshape(outputs.shape[0], -1)


def _number(spec: TableEncoding, name: str) -> float:
    value = spec.typical.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
