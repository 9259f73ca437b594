"""Random changes of training images, a whole batch at once and where the batch lies."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Beta
from torch.nn import functional

from modelship_lab.records.recipe_options import ImageOptions

__all__ = ["Augmentation", "mixed_loss", "moved", "recolored"]

MOST_TURN = math.radians(10)
MOST_ZOOM = 0.1
MOST_SHIFT = 0.2
"""Of half the image's side."""


@dataclass(frozen=True)
class Augmentation:
    """What is done to the images of a training batch.

    Args:
        moves: whether they are turned, shifted and zoomed a little.
        mirrors: whether half of them are mirrored left to right.
        crop: smallest share of an image's area that is cut out and enlarged; 1: none is.
        color: most change of brightness, contrast and saturation, as a share.
    """

    moves: bool
    mirrors: bool
    crop: float
    color: float

    @classmethod
    def of(cls, options: ImageOptions) -> "Augmentation":
        moves = options.augmentation != "none"
        return cls(moves, options.augmentation == "flip", options.crop, options.color)

    def __call__(self, images: Tensor) -> Tensor:
        """The changed images, float (rows, channels, height, width)."""
        if self.moves or self.mirrors or self.crop < 1:
            images = moved(images, moves=self.moves, mirrors=self.mirrors, crop=self.crop)
        return recolored(images, self.color) if self.color else images


def moved(images: Tensor, *, moves: bool = True, mirrors: bool = False, crop: float = 1.0) -> Tensor:
    """Each image turned by up to 10 degrees, shifted and zoomed by up to a tenth, mirrored, cropped.

    Args:
        images: float (rows, channels, height, width).
        moves: whether they are turned, shifted and zoomed.
        mirrors: whether half of them are mirrored left to right.
        crop: smallest share of the area that is left.
    """
    rows = len(images)
    angle, zoom, right, down = (torch.rand(4, rows, device=images.device) * 2 - 1).unbind()
    most_turn, most_zoom, most_shift = (MOST_TURN, MOST_ZOOM, MOST_SHIFT) if moves else (0.0, 0.0, 0.0)
    angle, zoom, right, down = angle * most_turn, 1 + most_zoom * zoom, right * most_shift, down * most_shift
    if crop < 1:
        area, across, along = torch.rand(3, rows, device=images.device).unbind()
        side = (crop + (1 - crop) * area).sqrt()
        zoom = zoom * side
        # The cut stays inside of the image.
        right, down = right + (1 - side) * (2 * across - 1), down + (1 - side) * (2 * along - 1)
    ratio = images.shape[2] / images.shape[3]
    turned, leaned = zoom * angle.cos(), zoom * angle.sin()
    if mirrors:
        turned_x = torch.where(torch.rand(rows, device=images.device) < 0.5, -turned, turned)
    else:
        turned_x = turned
    # Coordinates go from -1 to 1 on either side, whatever its length: hence the ratio.
    change = torch.stack([turned_x, -leaned * ratio, right, leaned / ratio, turned, down], dim=1)
    grid = functional.affine_grid(change.view(rows, 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def recolored(images: Tensor, most: float) -> Tensor:
    """Each image brighter or darker, with more or less contrast and, if it has colors, saturation.

    Args:
        images: float (rows, channels, height, width).
        most: largest change, as a share: of the contrast, the saturation, and of the image's spread in brightness.
    """
    brightness, contrast, saturation = (
        (torch.rand(3, len(images), 1, 1, 1, device=images.device) * 2 - 1) * most
    ).unbind()
    middle = images.mean((1, 2, 3), keepdim=True)
    spread = images.std((1, 2, 3), keepdim=True)
    gray = images.mean(1, keepdim=True)
    images = gray + (images - gray) * (1 + saturation)
    return middle + (images - middle) * (1 + contrast) + brightness * spread


def mixed_loss(
    network: Callable[..., Tensor],
    inputs: dict[str, Tensor],
    targets: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor],
    strength: float,
) -> Tensor:
    """The loss of images that are blended with one another, as much of each label as of its image.

    Zhang et al., "mixup: Beyond Empirical Risk Minimization" (2018).

    Args:
        network: what gives the logits.
        inputs: of the network; all of them are blended.
        targets: what the rows say.
        loss: of logits and targets.
        strength: of the Beta distribution that the shares are drawn from; 0.2 to 0.4 are usual.
    """
    share = float(Beta(strength, strength).sample())
    order = torch.randperm(len(targets), device=targets.device)
    blended = {
        name: share * rows.float() + (1 - share) * rows[order].float() for name, rows in inputs.items()
    }
    logits = network(**blended)
    return share * loss(logits, targets) + (1 - share) * loss(logits, targets[order])
