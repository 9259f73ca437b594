"""An ONNX graph in a network's place: what an estimator has become, for all that is done with trained networks."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor

from modelship_lab.bundles.session import OUTPUT, open_session
from modelship_lab.learning.estimators import LOGITS
from modelship_lab.learning.network import Network
from modelship_lab.learning.objectives import Number, Objective, SeveralClasses

__all__ = ["OnnxNetwork", "as_weights", "with_activation"]

_MODEL = "model"


class OnnxNetwork(Network):
    """Gives the logits of a graph. It is run by ONNX Runtime and cannot be trained on."""

    model: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer(_MODEL, torch.zeros(0, dtype=torch.uint8))
        self._session: onnxruntime.InferenceSession | None = None

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        # The graph is as long as it is: the buffer takes its length.
        self.model = torch.empty_like(state_dict[_MODEL])
        self._session = None
        return super().load_state_dict(state_dict, strict, assign)

    @property
    def content(self) -> bytes:
        """The graph, whose output are logits."""
        return self.model.cpu().numpy().tobytes()

    def forward(self, **inputs: Tensor) -> Tensor:
        """Logits, float32 (rows, outputs), of the encoded inputs by name."""
        self._session = self._session or open_session(self.content)
        arrays = {name: tensor.cpu().numpy() for name, tensor in inputs.items()}
        found: np.ndarray = self._session.run((LOGITS,), arrays)[0]
        return torch.from_numpy(found).to(self.model.device)


def as_weights(model: bytes) -> dict[str, Tensor]:
    """A graph as what a checkpoint keeps of a network."""
    return {_MODEL: torch.from_numpy(np.frombuffer(model, np.uint8).copy())}


def with_activation(model: bytes, objective: Objective) -> bytes:
    """The graph that gives what the objective makes of the logits: a bundle's model."""
    proto = onnx.load_model_from_string(model)
    graph = proto.graph

    def scaled(value: str, operator: str, by: float, result: str) -> str:
        graph.initializer.append(numpy_helper.from_array(np.array(by, np.float32), f"{result}_by"))
        graph.node.append(helper.make_node(operator, [value, f"{result}_by"], [result]))
        return result

    if isinstance(objective, Number):
        scaled(scaled(LOGITS, "Mul", objective.scale, "spread"), "Add", objective.center, OUTPUT)
    else:
        cooled = scaled(LOGITS, "Div", objective.temperature, "cooled")
        several = isinstance(objective, SeveralClasses)
        node = (
            helper.make_node("Sigmoid", [cooled], [OUTPUT])
            if several
            else helper.make_node("Softmax", [cooled], [OUTPUT], axis=1)
        )
        graph.node.append(node)
    width = graph.output[0].type.tensor_type.shape.dim[1].dim_value
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["rows", width]))
    return bytes(proto.SerializeToString())
