"""image-backbone: features of a pretrained network, and a linear layer that is trained on them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from modelship_lab.learning.augmentation import Augmentation, mixed_loss
from modelship_lab.learning.efficientnet import FEATURES, EfficientNetLite0, pretrained_weights
from modelship_lab.learning.network import Network
from modelship_lab.learning.recipes.image_cnn import common_look
from modelship_lab.learning.rows import Rows
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.recipe_options import ImageBackboneOptions

__all__ = ["ImageBackbone", "network", "preprocessing"]

LEAST_SIDE, LONGEST_SIDE = 112, 224
"""Between these the longer side is chosen: the backbone was trained on the longest, and sees little in tiny images."""
STEP = 32
"""By so much the backbone shrinks an image: other sizes would be filled up."""
STATISTICS_ROWS = 500
"""About so many rows tell the means of features that change in training."""
FEATURE_ROWS = 32
"""Images whose features are computed at once."""
HEAD_SHARE = 0.25
"""Share of the epochs in which `gradual` trains the last layer alone."""
FREE_SHARE = 0.6
"""Share of the epochs after which all of the backbone is trained."""
DEPTH_FACTOR = 0.8
"""A part's learning rate as a share of that of the part above it."""


def preprocessing(options: ImageBackboneOptions, samples: Samples, rows: np.ndarray) -> ImageScaling:
    """Color images in the common shape of the training images; what has another shape is cut to it."""
    (height, width), _ = common_look(samples, rows)
    longest = max(height, width)
    wanted = options.image_size or min(max(longest, LEAST_SIDE), LONGEST_SIDE)
    return ImageScaling(
        height=_side(height * wanted / longest),
        width=_side(width * wanted / longest),
        channels=3,
        fit="crop",
    )


def _side(wanted: float) -> int:
    return max(STEP, round(wanted / STEP) * STEP)


def network(options: ImageBackboneOptions, preprocessing: ImageScaling, classes: int) -> "ImageBackbone":
    return ImageBackbone(classes, options)


class ImageBackbone(Network):
    """EfficientNet-Lite0, its features standardized, and a linear layer.

    Args:
        outputs: width of the logits.
        options: of the recipe.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, outputs: int, options: ImageBackboneOptions) -> None:
        super().__init__()
        self.options = options
        self.augmentation = Augmentation.of(options)
        self.backbone = EfficientNetLite0()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))
        self.dropout = nn.Dropout(options.dropout)
        self.output = nn.Linear(FEATURES, outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)
        self.backbone.requires_grad_(options.unfreeze == "all")

    def prepared(self, rows: Rows, check: Callable[[], None]) -> Rows:
        """Load the pretrained weights; if they stay as they are, the rows become their features."""
        self.backbone.load_state_dict(pretrained_weights())
        if self.options.unfreeze != "none":
            return rows
        return Rows({"features": self._features(rows, torch.arange(len(rows)), check)})

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Mean and standard deviation of each feature."""
        if "features" in rows.inputs:
            features = rows.take(chosen)["features"]
        else:
            some = chosen[:: max(1, len(chosen) // STATISTICS_ROWS)]
            features = self._features(rows, some, lambda: None)
        self.mean.copy_(features.mean(0))
        self.deviation.copy_(features.std(0).clamp_min(1e-2) if len(features) > 1 else torch.ones(FEATURES))

    def _features(self, rows: Rows, chosen: Tensor, check: Callable[[], None]) -> Tensor:
        """float32 (chosen rows, features), computed where the network lies, and then where the rows lie."""
        self.eval()
        parts = []
        with torch.inference_mode():
            for places in torch.split(chosen, FEATURE_ROWS):
                check()
                pixels = rows.take(places)["pixels"]
                parts.append(self.backbone(_images(pixels.to(self.mean.device))).to(pixels.device))
        self.train()
        # A copy, because tensors of inference mode cannot be trained on.
        return torch.cat(parts).clone()

    def begin_epoch(self, epoch: int, epochs: int) -> None:
        """Set free what the option says that is trained from this epoch on."""
        if self.options.unfreeze != "gradual":
            return
        parts = self.backbone.parts()
        first, last = HEAD_SHARE * epochs, max(FREE_SHARE * epochs, HEAD_SHARE * epochs + 1)
        free = 0 if epoch < first else 1 + int((len(parts) - 1) * min(1.0, (epoch - first) / (last - first)))
        for place, part in enumerate(parts):
            for module in part:
                module.requires_grad_(place < free)

    def parameter_groups(self, weight_decay: float) -> list[dict[str, Any]]:
        groups = [
            {"params": [self.output.weight], "weight_decay": weight_decay, "learning_rate_factor": 1.0},
            {"params": [self.output.bias], "weight_decay": 0.0, "learning_rate_factor": 1.0},
        ]
        if self.options.unfreeze == "none":
            return groups
        factor = self.options.backbone_rate
        for part in self.backbone.parts():
            weights = [weight for module in part for weight in module.parameters()]
            groups += [
                {"params": chosen, "weight_decay": decay, "learning_rate_factor": factor}
                for chosen, decay in (
                    ([weight for weight in weights if weight.ndim > 1], weight_decay),
                    ([weight for weight in weights if weight.ndim <= 1], 0.0),
                )
            ]
            factor *= DEPTH_FACTOR
        return groups

    def loss(
        self, inputs: dict[str, Tensor], targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        if not self.options.mixup:
            return super().loss(inputs, targets, loss)
        return mixed_loss(self, inputs, targets, loss, self.options.mixup)

    def forward(self, pixels: Tensor | None = None, features: Tensor | None = None) -> Tensor:
        """Logits of pixels, uint8 (rows, height, width, 3), or of the backbone's features."""
        if features is None:
            assert pixels is not None
            images = _images(pixels)
            features = self.backbone(self.augmentation(images) if self.training else images)
        logits: Tensor = self.output(self.dropout((features - self.mean) / self.deviation))
        return logits


def _images(pixels: Tensor) -> Tensor:
    """float (rows, channels, height, width)."""
    return pixels.permute(0, 3, 1, 2).float()
