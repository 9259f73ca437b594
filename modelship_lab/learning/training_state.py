"""Where a training is: what it takes to go on exactly, as a file."""

import io
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler

from modelship_lab.records.errors import InvalidData

__all__ = ["TrainingState"]

_FORMAT = 1


@dataclass
class TrainingState:
    """Weights, optimizer, random numbers and position of a training."""

    step: int = 0
    """Steps done; the learning rate follows from it."""
    epoch: int = 0
    """Whole epochs done."""
    position: int = 0
    """Batches done of the present epoch, the order of which follows from the seed and its number."""
    epochs_without: int = 0
    """Epochs since the best one."""
    seconds: float = 0.0
    """Of training so far."""
    learning_rate: float = 0.0
    """The highest one, if it was found."""
    figures: dict[str, float] = field(default_factory=dict)
    """Of the validation of the best epoch."""
    best: dict[str, Tensor] | None = None
    """Weights of the best epoch."""
    network: dict[str, Tensor] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    scaler: dict[str, Any] = field(default_factory=dict)
    """Of the loss, if its gradients are of 16 bits."""
    random: dict[str, Tensor] = field(default_factory=dict)

    def capture(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, scaler: GradScaler | None = None
    ) -> None:
        """Take what changes with every step; what is on the device stays there until it is written."""
        self.network = network.state_dict()
        self.optimizer = optimizer.state_dict()
        self.scaler = {} if scaler is None else scaler.state_dict()
        self.random = {"cpu": torch.get_rng_state()}
        device = next(network.parameters()).device
        if device.type == "cuda":
            self.random["cuda"] = torch.cuda.get_rng_state(device)

    def restore(
        self, network: nn.Module, optimizer: torch.optim.Optimizer, scaler: GradScaler | None = None
    ) -> None:
        """Set a network and its optimizer, and torch's random numbers, as they were."""
        network.load_state_dict(self.network)
        optimizer.load_state_dict(self.optimizer)
        if scaler is not None and self.scaler:
            scaler.load_state_dict(self.scaler)
        torch.set_rng_state(self.random["cpu"])
        device = next(network.parameters()).device
        if "cuda" in self.random and device.type == "cuda":
            torch.cuda.set_rng_state(self.random["cuda"], device)
        if self.best is not None:
            self.best = {name: tensor.to(device) for name, tensor in self.best.items()}

    def copied(self) -> "TrainingState":
        """A copy in main memory, which training does not change."""
        return TrainingState(**_on_cpu(vars(self)))

    def to_bytes(self) -> bytes:
        """The file's content."""
        file = io.BytesIO()
        torch.save({"format": _FORMAT, "state": vars(self)}, file)
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "TrainingState":
        """Read a state. It may come from anybody: nothing in it is executed.

        Raises:
            InvalidData: not a training state, damaged, or of another version.
        """
        try:
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
            if loaded["format"] == _FORMAT:
                return cls(**loaded["state"])
        # A file that is none makes torch's reader raise nearly anything.
        except Exception as error:
            raise InvalidData(f"The training state cannot be read: {type(error).__name__}.") from error
        raise InvalidData(f"The training state has format {loaded['format']}; this version reads {_FORMAT}.")


def _on_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return torch.empty_like(value, device="cpu").copy_(value)
    if isinstance(value, dict):
        return {name: _on_cpu(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_on_cpu(each) for each in value)
    return value
