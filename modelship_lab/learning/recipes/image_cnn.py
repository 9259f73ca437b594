"""image-cnn: a small convolutional network for images of any size, trained from scratch."""

import io
from collections.abc import Callable

import numpy as np
import torch
from PIL import ExifTags, Image
from torch import Tensor, nn

from modelship_lab.bundles.preprocessing import decode_image
from modelship_lab.learning.augmentation import Augmentation, mixed_loss
from modelship_lab.learning.network import Network
from modelship_lab.learning.rows import Rows
from modelship_lab.learning.samples import Samples
from modelship_lab.records.bundle import ImageScaling
from modelship_lab.records.errors import InvalidData, InvalidInput
from modelship_lab.records.recipe_options import ImageCnnOptions

__all__ = ["ImageCnn", "common_look", "network", "preprocessing"]

LONGEST_SIDE = 128
LOOKED_AT = 200
"""Images whose size and color are looked at."""
STATISTICS_ROWS = 2000
"""Rows from which the means of the channels are computed."""
STEM_SIDE = 48
"""Larger images are halved by strides before the first stage."""
GRAY_DIFFERENCE = 8
SMALLEST_SIDE = 4
"""Maps are pooled until they are this small."""
_GLIMPSE = ImageScaling(height=64, width=64, channels=3)
_FIRST_TURNED = 5
"""From this orientation on, width and height are exchanged."""


def preprocessing(options: ImageCnnOptions, samples: Samples, rows: np.ndarray) -> ImageScaling:
    """The common size and color of some training images."""
    (height, width), is_colored = common_look(samples, rows)
    longest = max(height, width)
    wanted = options.image_size or min(longest, LONGEST_SIDE)
    return ImageScaling(
        height=max(SMALLEST_SIDE, round(height * wanted / longest)),
        width=max(SMALLEST_SIDE, round(width * wanted / longest)),
        channels=3 if is_colored else 1,
    )


def common_look(samples: Samples, rows: np.ndarray) -> tuple[tuple[float, float], bool]:
    """The median height and width of some of the rows' images, and whether any of them has colors.

    Raises:
        InvalidData: one of them cannot be read; names it.
    """
    step = max(1, len(rows) // LOOKED_AT)
    chosen = samples.taken(rows[::step][:LOOKED_AT])
    sizes, is_colored = [], False
    for row, digest in enumerate(chosen.digests()):
        try:
            data = samples.image(digest)
            is_colored = is_colored or _is_colored(data)
            sizes.append(_size(data))
        except InvalidInput as error:
            raise InvalidData(f"Sample {chosen.ids[row]}: {error.message}.") from error
    height, width = np.median(sizes, axis=0)
    return (float(height), float(width)), is_colored


def _is_colored(data: bytes) -> bool:
    """Whether the channels of an image differ by more than what compression does to gray."""
    red, green, blue = np.moveaxis(decode_image(_GLIMPSE, data).astype(np.int16), -1, 0)
    return bool(max(np.abs(red - green).max(), np.abs(red - blue).max()) > GRAY_DIFFERENCE)


def _size(data: bytes) -> tuple[int, int]:
    """Height and width of an image that can be read, held upright."""
    with Image.open(io.BytesIO(data)) as image:
        is_turned = image.getexif().get(ExifTags.Base.Orientation, 1) >= _FIRST_TURNED
        return (image.width, image.height) if is_turned else (image.height, image.width)


def network(options: ImageCnnOptions, preprocessing: ImageScaling, classes: int) -> "ImageCnn":
    return ImageCnn(
        preprocessing,
        classes,
        width=options.width,
        dropout=options.dropout,
        augmentation=Augmentation.of(options),
        mixup=options.mixup,
    )


class ImageCnn(Network):
    """Stages of two convolutions, each followed by pooling, then the mean over the image.

    Args:
        spec: size of the images.
        classes: how many.
        width: channels of the first stage; each stage doubles them up to four times as many.
        dropout: share of features left out in training.
        augmentation: how training images are changed.
        mixup: how much they are blended; 0: not at all.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(
        self,
        spec: ImageScaling,
        classes: int,
        *,
        width: int,
        dropout: float,
        augmentation: Augmentation,
        mixup: float = 0.0,
    ) -> None:
        super().__init__()
        self.augmentation = augmentation
        self.mixup = mixup
        self.register_buffer("mean", torch.full((spec.channels, 1, 1), 127.5))
        self.register_buffer("deviation", torch.full((spec.channels, 1, 1), 63.75))
        layers: list[nn.Module] = []
        channels: int = spec.channels
        side = min(spec.height, spec.width)
        while side >= STEM_SIDE:
            layers += _convolution(channels, width, stride=2)
            channels, side = width, -(-side // 2)
        widest, stage_width = width * 4, width
        while True:
            layers += [*_convolution(channels, stage_width), *_convolution(stage_width, stage_width)]
            channels, stage_width = stage_width, min(stage_width * 2, widest)
            if side <= SMALLEST_SIDE:
                break
            layers.append(nn.MaxPool2d(2))
            side //= 2
        self.features = nn.Sequential(*layers)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(channels, classes)

    def adapt(self, rows: Rows, chosen: Tensor) -> None:
        """Mean and standard deviation of each channel."""
        step = max(1, len(chosen) // STATISTICS_ROWS)
        pixels = rows.take(chosen[::step][:STATISTICS_ROWS])["pixels"].float()
        self.mean.copy_(pixels.mean((0, 1, 2)).view_as(self.mean))
        self.deviation.copy_(pixels.std((0, 1, 2)).clamp_min(1.0).view_as(self.deviation))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits of pixels, uint8 (rows, height, width, channels)."""
        images = (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.deviation
        if self.training:
            images = self.augmentation(images)
        logits: Tensor = self.output(self.dropout(self.features(images).mean((2, 3))))
        return logits

    def loss(
        self, inputs: dict[str, Tensor], targets: Tensor, loss: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        if not self.mixup:
            return super().loss(inputs, targets, loss)
        return mixed_loss(self, inputs, targets, loss, self.mixup)


def _convolution(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
