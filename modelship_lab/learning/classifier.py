"""The Lightning module that trains the network of any recipe."""

import math

import torch
from lightning.pytorch import LightningModule
from lightning.pytorch.utilities.types import OptimizerLRSchedulerConfig
from torch import Tensor
from torch.nn import functional

from modelship_lab.learning.network import Network
from modelship_lab.learning.rows import Batch

__all__ = ["Classifier", "balanced_weights", "warm_cosine"]

WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""
MOST_WARM_UP = 200
"""Steps in which it rises at most: who asks for very many epochs does not wait for it."""


class Classifier(LightningModule):
    """Cross-entropy, AdamW, a learning rate that rises and then falls along a cosine.

    Args:
        network: what is trained.
        class_weights: float (classes), how much a row of each class counts in the loss.
        learning_rate: its highest value.
        weight_decay: decoupled weight decay.
        steps: of the whole training, if it does not stop early.
    """

    def __init__(
        self,
        network: Network,
        class_weights: Tensor,
        *,
        learning_rate: float,
        weight_decay: float,
        steps: int,
    ) -> None:
        super().__init__()
        self.network = network
        self.class_weights: Tensor
        self.register_buffer("class_weights", class_weights)
        self._learning_rate = learning_rate
        self._weight_decay = weight_decay
        self._steps = steps
        self._confusion: Tensor
        self._losses: list[Tensor]

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        inputs, labels = batch
        if labels.device == device:
            return batch
        moved = {name: tensor.to(device, non_blocking=True) for name, tensor in inputs.items()}
        return moved, labels.to(device, non_blocking=True)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        inputs, labels = batch
        return functional.cross_entropy(self.network(**inputs), labels, self.class_weights)

    def on_validation_epoch_start(self) -> None:
        classes = len(self.class_weights)
        self._confusion = torch.zeros(classes * classes, dtype=torch.int64, device=self.device)
        self._losses = []

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        inputs, labels = batch
        logits = self.network(**inputs)
        loss = functional.cross_entropy(logits, labels, self.class_weights, reduction="sum")
        self._losses.append(torch.stack([loss.float(), self.class_weights[labels].sum()]))
        places = labels * len(self.class_weights) + logits.argmax(1)
        self._confusion += torch.bincount(places, minlength=len(self._confusion))

    def on_validation_epoch_end(self) -> None:
        loss, weight = torch.stack(self._losses).sum(0).tolist()
        classes = len(self.class_weights)
        confusion = self._confusion.view(classes, classes).cpu().double()
        correct, actual, predicted = confusion.diag(), confusion.sum(1), confusion.sum(0)
        f1 = 2 * correct / (actual + predicted).clamp_min(1)
        # Lightning's own would count from 0.
        self.log("epoch", float(self.current_epoch + 1))
        self.log("val_loss", loss / weight)
        self.log("val_accuracy", float(correct.sum() / actual.sum()))
        # Classes without a validation row say nothing about the model.
        self.log("val_f1", float(f1[actual > 0].mean()))

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


def balanced_weights(labels: Tensor, classes: int) -> Tensor:
    """Weights with which every class that is there counts the same; a row's weight is 1 on average."""
    counts = torch.bincount(labels, minlength=classes).float()
    present = counts > 0
    weights = torch.where(present, len(labels) / counts.clamp_min(1) / present.sum(), 1.0)
    return weights.float()
