"""What the networks of all recipes have in common."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelship_lab.learning.rows import Rows

__all__ = ["Network", "probabilities"]


class Network(nn.Module):
    """A classifier whose `forward` takes the encoded inputs by name and gives logits (rows, classes).

    What is learned from the data without a gradient, such as means, lies in buffers: it travels with
    the weights into checkpoint and export.
    """

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Set the buffers from the training rows, given by their positions, before training begins."""

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        """Parameters for the optimizer: weights decay, biases and scales do not."""
        decayed = [weight for weight in self.parameters() if weight.ndim > 1]
        others = [weight for weight in self.parameters() if weight.ndim <= 1]
        groups = [
            {"params": decayed, "weight_decay": weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]


def probabilities(network: Network, batches: Iterator[Mapping[str, Tensor]]) -> np.ndarray:
    """Probabilities, float32 (rows, classes), of encoded batches."""
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode():
        parts = [
            network(**{name: tensor.to(device) for name, tensor in inputs.items()}).float().softmax(-1).cpu()
            for inputs in batches
        ]
    return torch.cat(parts).numpy()
