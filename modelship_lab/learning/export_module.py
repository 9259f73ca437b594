"""Somebody's own module as ONNX, with what it takes and gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim

from modelship_lab.bundles.session import open_session
from modelship_lab.learning.export import OPSET, TOLERANCE
from modelship_lab.learning.quiet import quiet
from modelship_lab.records.errors import ExportFailed

__all__ = ["ExportedModule", "export_module"]


@dataclass(frozen=True)
class ExportedModule:
    """A module of somebody's own as ONNX."""

    model: bytes
    signature: dict[str, list[dict[str, Any]]]
    """`inputs` and `outputs`: name, type and shape of each; an axis of any length has a name."""


def export_module(module: nn.Module, example: Mapping[str, Tensor]) -> ExportedModule:
    """Export a module as it is, for any number of rows, and compare the two on the example.

    Args:
        module: takes the inputs in this order and gives one tensor.
        example: inputs by name; the first axis is the row.

    Raises:
        ExportFailed: torch cannot export it, or the exported model disagrees.
    """
    rows = Dim("rows", min=1)
    given = tuple(example.values())
    # The exporter takes a size of 1 in the example for a constant.
    inputs = tuple(torch.cat([one, one])[: max(2, len(one))] for one in given)
    try:
        with quiet(), torch.no_grad():
            program = torch.onnx.export(
                _Positional(module).eval(),
                inputs,
                dynamo=True,
                input_names=list(example),
                output_names=["outputs"],
                dynamic_shapes=(tuple({0: rows} for _ in inputs),),
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None
            model = bytes(program.model_proto.SerializeToString())
            expected = [module(*(one[:size] for one in inputs)).numpy() for size in (1, len(inputs[0]))]
    except Exception as error:  # the exporter raises nearly anything
        raise ExportFailed(
            f"torch cannot export this module: {type(error).__name__}: {error!s:.500}"
        ) from error
    session = open_session(model)
    for wanted in expected:
        found = session.run(
            None, {name: one[: len(wanted)].numpy() for name, one in zip(example, inputs, strict=True)}
        )[0]
        difference = float(np.abs(found - wanted).max())
        if not difference <= TOLERANCE * max(1.0, float(np.abs(wanted).max())):
            raise ExportFailed(
                f"the exported module disagrees by {difference:.6g} at batch size {len(wanted)}"
            )
    signature = {
        kind: [{"name": one.name, "type": one.type, "shape": list(one.shape)} for one in values]
        for kind, values in (("inputs", session.get_inputs()), ("outputs", session.get_outputs()))
    }
    return ExportedModule(model, signature)


class _Positional(nn.Module):
    """Only `forward` of a module: a LightningModule has more that the exporter would look into."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, *inputs: Tensor) -> Tensor:
        outputs: Tensor = self.module(*inputs)
        return outputs
