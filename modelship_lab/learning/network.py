"""What the networks of all recipes have in common."""

from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelship_lab.learning.objectives import Objective
from modelship_lab.learning.rows import Rows

__all__ = ["Network", "predicted"]


class Network(nn.Module):
    """A model whose `forward` takes the encoded inputs by name and gives logits (rows, outputs of the objective).

    What is learned from the data without a gradient, such as means, lies in buffers: it travels with
    the weights into checkpoint and export.
    """

    is_light = False
    """Whether its operations are so small that sharing them among threads costs more than it saves."""

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Set the buffers from the training rows, given by their positions, before training begins."""

    def prepared(self, rows: Rows, check: Callable[[], None]) -> Rows:
        """The rows as training sees them: what never changes in training is computed here, once.

        Args:
            rows: all rows, encoded.
            check: called now and then; may raise to end it.
        """
        return rows

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Called before each epoch, counted from 0; what is frozen until then can be set free."""

    def loss(
        self, inputs: dict[str, Tensor], targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """The loss of a training batch; a network that blends rows has its own way."""
        return loss(self(**inputs), targets)

    def checkpoint_gradients(self) -> bool:
        """Compute activations again in the backward pass instead of keeping them; returns whether it can."""
        return False

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameters for the optimizer: weights decay, biases and scales do not."""
        decayed = [weight for weight in self.parameters() if weight.ndim > 1]
        others = [weight for weight in self.parameters() if weight.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


def predicted(network: Network, objective: Objective, batches: Iterable[Mapping[str, Tensor]]) -> np.ndarray:
    """What the network says of encoded batches, float32 (rows, outputs): probabilities, or numbers."""
    device = next(chain(network.parameters(), network.buffers())).device
    network.eval()
    with torch.inference_mode():
        parts = [
            objective.activation(
                network(**{name: tensor.to(device) for name, tensor in inputs.items()}).float()
            ).cpu()
            for inputs in batches
        ]
    return torch.cat(parts).numpy()
