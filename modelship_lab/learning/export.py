"""Export a run's model as a bundle, if the exported model agrees with the torch model on real rows."""

import io
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from modelship_lab.bundles.pack import pack, to_tar
from modelship_lab.bundles.parity import Model, check_agreement, check_parity
from modelship_lab.bundles.preprocessing import Arrays, encode
from modelship_lab.learning.checkpoint import Checkpoint
from modelship_lab.learning.objectives import Objective
from modelship_lab.learning.onnx_network import OnnxNetwork, with_activation
from modelship_lab.learning.quiet import quiet
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import BundleManifest, Lineage, Preprocessing, TextTokens
from modelship_lab.records.errors import Conflict, ExportFailed, InvalidData, PredictionFailed
from modelship_lab.records.tracking import Run

if TYPE_CHECKING:
    from modelship_lab.client import Lab, RunHandle, SnapshotData

__all__ = ["answers_of", "export", "held_out", "to_onnx", "to_torchscript", "write_bundle"]

OPSET = 18
PARITY_ROWS = 256
BATCH_SIZES = (1, 7, 64)
TOLERANCE = 1e-4

Activation = Callable[[Tensor], Tensor]
"""What makes answers of logits."""


def export(lab: "Lab", run_id: int) -> BundleManifest:
    """Export the model of a run as ONNX and store the bundle with the run.

    The exported model is compared with the torch model on held-out rows of the run's snapshot at batch
    sizes 1, 7 and 64; what does not agree is not stored.

    Args:
        lab: where the run is.
        run_id: a run that was trained by a recipe and has a checkpoint.

    Raises:
        Conflict: the run has no model yet, or no snapshot.
        ExportFailed: the exported model disagrees; says at which batch size, in which row, by how much.
    """
    run = lab.run(run_id)
    checkpoint = Checkpoint.of_run(run)
    snapshot, lineage = origin(lab, run.record, checkpoint)
    with tempfile.TemporaryDirectory(prefix="mlship-export-") as folder:
        bundle = Path(folder) / "bundle"
        write_bundle(bundle, checkpoint, snapshot, lineage, run.record.summary)
        return upload(run, bundle)


def origin(lab: "Lab", record: Run, checkpoint: Checkpoint) -> "tuple[SnapshotData, Lineage]":
    """What the model of a run was trained on.

    Raises:
        Conflict: the run has no snapshot.
    """
    if record.snapshot_id is None:
        raise Conflict(
            f"Run {record.id} names no snapshot, so there are no held-out rows to check its model on."
        )
    lineage = Lineage(
        run_id=record.id,
        project=record.project,
        snapshot_id=record.snapshot_id,
        recipe=checkpoint.recipe.name,
    )
    return lab.snapshot(record.snapshot_id), lineage


def upload(run: "RunHandle", bundle: Path) -> BundleManifest:
    """Store a bundle with its run."""
    with tempfile.NamedTemporaryFile(prefix="mlship-export-", suffix=".tar") as tar:
        with Path(tar.name).open("wb") as file:
            to_tar(bundle, file)
        return run.upload_bundle(Path(tar.name))


def write_bundle(
    folder: Path,
    checkpoint: Checkpoint,
    snapshot: "SnapshotData",
    lineage: Lineage,
    metrics: Mapping[str, float],
) -> BundleManifest:
    """Export a checkpoint to a folder, checked on held-out rows of the snapshot that it was trained on.

    Raises:
        ExportFailed: the exported model disagrees with the torch model.
    """
    inputs, _ = held_out(checkpoint, snapshot, PARITY_ROWS)
    network = checkpoint.network()
    activation = checkpoint.objective.activation
    if isinstance(network, OnnxNetwork):
        model = with_activation(network.content, checkpoint.objective)
    else:
        model = to_onnx(network, inputs, activation, longest_text(checkpoint.preprocessing))
    objective = checkpoint.objective
    parity = check_parity(
        answers_of(network, activation),
        model,
        inputs,
        BATCH_SIZES,
        TOLERANCE * objective.answer_scale,
        objective.reading,
    )
    return pack(
        folder,
        task=checkpoint.task,
        reading=objective.reading,
        preprocessing=checkpoint.preprocessing,
        lineage=lineage,
        metrics=dict(metrics),
        parity=parity,
        onnx=model,
    )


def to_onnx(
    network: nn.Module,
    inputs: Arrays,
    activation: Activation = lambda logits: logits.softmax(-1),
    longest: int | None = None,
) -> bytes:
    """The ONNX model of a network: its inputs by name, any number of rows, output `probabilities`.

    Args:
        network: takes the inputs by name and gives logits (rows, classes).
        inputs: some encoded rows, at least two.
        activation: what makes probabilities of logits.
        longest: tokens that it takes of a text; default: any number.

    Raises:
        ExportFailed: torch cannot export the network.
    """
    names = list(inputs)
    example = _example(inputs)
    rows, length = Dim("rows", min=1), Dim("length", min=1, max=longest)
    shapes = tuple({0: rows, 1: length} if name == "tokens" else {0: rows} for name in names)
    try:
        with quiet():
            program = torch.onnx.export(
                _WithActivation(network, names, activation).eval(),
                example,
                dynamo=True,
                input_names=names,
                output_names=["probabilities"],
                dynamic_shapes=(shapes,),
                opset_version=OPSET,
                verbose=False,
            )
        assert program is not None
        return bytes(program.model_proto.SerializeToString())
    except Exception as error:  # the exporter raises nearly anything
        raise ExportFailed(
            f"torch cannot export this network: {type(error).__name__}: {error!s:.500}"
        ) from error


def to_torchscript(network: nn.Module, inputs: Arrays, objective: Objective) -> bytes:
    """The TorchScript module of a network: it takes the inputs by position and gives probabilities, or numbers.

    Raises:
        ExportFailed: torch cannot trace the network, or what comes of it disagrees with it.
    """
    if isinstance(network, OnnxNetwork):
        raise ExportFailed("An estimator of scikit-learn has no form in TorchScript. Export it as ONNX.")
    file, activation = io.BytesIO(), objective.activation
    try:
        with quiet(), torch.inference_mode():
            traced = torch.jit.trace(  # type: ignore[no-untyped-call]
                _WithActivation(network, list(inputs), activation).eval().requires_grad_(False),
                _example(inputs),
            )
            torch.jit.save(traced, file)
    except Exception as error:  # the tracer raises nearly anything
        raise ExportFailed(
            f"torch cannot trace this network: {type(error).__name__}: {error!s:.500}"
        ) from error
    check_agreement(
        answers_of(network, activation),
        torchscript_model(file.getvalue()),
        inputs,
        BATCH_SIZES,
        TOLERANCE * objective.answer_scale,
        objective.reading,
    )
    return file.getvalue()


def torchscript_model(content: bytes) -> Model:
    """What a TorchScript module answers for encoded batches.

    Raises:
        InvalidData: it cannot be read.
    """
    try:
        with quiet():
            module = torch.jit.load(io.BytesIO(content), "cpu").eval()  # type: ignore[no-untyped-call]
    except Exception as error:  # torch's reader raises nearly anything
        raise InvalidData(f"The TorchScript module cannot be loaded ({type(error).__name__}).") from error

    def answer(batch: Arrays) -> np.ndarray:
        try:
            with torch.inference_mode():
                return np.asarray(module(*map(torch.from_numpy, batch.values())).numpy())
        except RuntimeError as error:
            shapes = {name: array.shape for name, array in batch.items()}
            raise PredictionFailed(f"the TorchScript module failed on inputs of shape {shapes}") from error

    return answer


def answers_of(network: nn.Module, activation: Activation) -> Model:
    """What a network answers for encoded batches."""

    def answer(batch: Arrays) -> np.ndarray:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array) for name, array in batch.items()}
            return np.asarray(activation(network(**tensors)).numpy())

    return answer


def _example(inputs: Arrays) -> tuple[Tensor, ...]:
    # The exporter takes a size of 1 in the example for a constant.
    example = tuple(torch.from_numpy(np.resize(array, (2, *array.shape[1:]))) for array in inputs.values())
    if "tokens" in inputs:
        example = tuple(nn.functional.pad(tensor, (0, max(0, 3 - tensor.shape[1]))) for tensor in example)
    return example


class _WithActivation(nn.Module):
    """A network with its activation behind it that takes its inputs by position."""

    def __init__(self, network: nn.Module, names: list[str], activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.activation = activation
        self.network = network
        self.names = names

    def forward(self, *inputs: Tensor) -> Tensor:
        logits: Tensor = self.network(**dict(zip(self.names, inputs, strict=True)))
        return self.activation(logits)


def longest_text(spec: Preprocessing) -> int | None:
    """Tokens of a text that an encoder takes at most: it knows no further places. None where there is no limit."""
    return spec.max_length if isinstance(spec, TextTokens) else None


def held_out(checkpoint: Checkpoint, snapshot: "SnapshotData", most: int) -> tuple[Arrays, np.ndarray]:
    """Test rows of the fit that made the checkpoint: encoded as they will be in serving, and their targets."""
    samples = Samples.of_snapshot(snapshot)
    objective, options = checkpoint.objective, checkpoint.options
    targets = objective.targets(samples.table)
    test = objective.split(targets, samples.ids, options.held_out, options.seed, samples.splits()).test
    chosen = test[:: max(1, len(test) // most)][:most]
    return encode(checkpoint.preprocessing, samples.taken(chosen).inputs()), targets[chosen]
