"""The Lightning module that trains the network of any recipe."""

import math

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor

from modelship_lab.learning.network import Network
from modelship_lab.learning.objectives import Objective
from modelship_lab.learning.rows import Batch

__all__ = ["Learner", "warm_cosine"]

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
MOST_WARM_UP = 200
"""Steps in which it rises at most: who asks for very many epochs does not wait for it."""


class Learner(LightningModule):
    """AdamW on the loss of an objective, with a learning rate that rises and then falls along a cosine.

    Args:
        network: what is trained.
        objective: what for.
        weights: float (outputs), how much each class counts in the loss.
        learning_rate: its highest value.
        weight_decay: decoupled weight decay.
        steps: of the whole training, if it does not stop early.
    """

    def __init__(
        self,
        network: Network,
        objective: Objective,
        weights: Tensor,
        *,
        learning_rate: float,
        weight_decay: float,
        steps: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.objective = objective
        self.weights: Tensor
        self.register_buffer("weights", weights)
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._steps = steps
        self._validated: list[tuple[Tensor, Tensor]]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        inputs, labels = batch
        if labels.device == device:
            return batch
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
        return moved, labels.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        inputs, targets = batch
        return self.objective.loss(self.network(**inputs), targets, self.weights)

    def on_validation_epoch_start(self) -> None:
        self._validated = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        inputs, targets = batch
        self._validated.append((self.network(**inputs).float(), targets))

    def on_validation_epoch_end(self) -> None:
        logits = torch.cat([each for each, _ in self._validated])
        targets = torch.cat([each for _, each in self._validated])
        # Lightning's own would count from 0.
        self.log("epoch", float(self.current_epoch + 1))
        self.log("val_loss", float(self.objective.loss(logits, targets, self.weights)))
        self.log_dict(self.objective.figures(logits, targets))

    def configure_optimizers(self) -> OptimizerLRSchedulerConfig:
        groups = self.network.parameter_groups(self._weight_decay)
        for group in groups:
            group["lr"] = self._learning_rate * group.pop("learning_rate_factor", 1.0)
        optimizer = torch.optim.AdamW(groups, fused=self.device.type in ("cpu", "cuda"))
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: warm_cosine(step, self._steps))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def warm_cosine(step: int, steps: int) -> float:
    """The learning rate at a step as a share of its highest value.

    It rises linearly for a tenth of the steps, 200 at most, and falls to 0 along half a cosine (Loshchilov and Hutter,
    "SGDR", 2017).
    """
    warm = min(MOST_WARM_UP, max(1, round(steps * WARM_UP)))
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))
