"""The best weights of a training."""

import time
from collections.abc import Callable, Mapping

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

__all__ = ["BestWeights", "on_cpu"]


class BestWeights(Callback):
    """Keep the weights of the epoch with the lowest validation loss.

    They are kept in memory: a copy there takes a fraction of the time of a file. What must outlive the
    process is handed to `save` now and then.

    Args:
        network: whose weights.
        save: takes the best weights; called between epochs, at most every `interval_s`.
        interval_s: seconds between two calls.
    """

    def __init__(
        self, network: nn.Module, save: Callable[[dict[str, Tensor]], None], interval_s: float = 30.0
    ) -> None:
        self._network = network
        self.weights: dict[str, Tensor] | None = None
        self.figures: dict[str, float] = {}
        """Of the validation of the best epoch, with `epoch` counted from 1."""
        self._save = save
        self._interval_s = interval_s
        self._saved_at_s = time.monotonic()
        self._is_saved = True

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        if figures["val_loss"] < self.figures.get("val_loss", float("inf")):
            self.figures = {**figures, "epoch": float(trainer.current_epoch + 1)}
            self.weights = {
                name: tensor.detach().clone() for name, tensor in self._network.state_dict().items()
            }
            self._is_saved = False
        is_due = time.monotonic() - self._saved_at_s > self._interval_s
        if self.weights is not None and not self._is_saved and is_due:
            self._save(self.weights)
            self._saved_at_s = time.monotonic()
            self._is_saved = True


def on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies of weights in main memory."""
    return {name: torch.empty_like(tensor, device="cpu").copy_(tensor) for name, tensor in weights.items()}
