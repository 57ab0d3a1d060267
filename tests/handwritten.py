"""DenseNet-BC as people write it by hand in MindSpore: nested cells, and no compiler of ours.

Written from Huang et al. 2017 and torchvision's structure; the parameters are called as MindCV
calls them. It is the peer of the emitted network: the same weights must give the same logits, and
it may not compile much faster.
"""

from __future__ import annotations

import re
from collections import OrderedDict

from mindspore import Tensor, nn, ops

VARIANTS: dict[str, tuple[int, tuple[int, ...], int]] = {
    "densenet121": (32, (6, 12, 24, 16), 64),
    "densenet161": (48, (6, 12, 36, 24), 96),
    "densenet169": (32, (6, 12, 32, 32), 64),
    "densenet201": (32, (6, 12, 48, 32), 64),
}
"""Growth rate, layers of each block, channels of the stem."""


def batch_norm(channels: int) -> nn.Cell:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.9)


class BottleneckLayer(nn.Cell):
    def __init__(self, ins: int, growth_rate: int) -> None:
        super().__init__()
        self.norm1 = batch_norm(ins)
        self.relu1 = nn.ReLU()
        self.conv1 = nn.Conv2d(ins, 4 * growth_rate, 1, pad_mode="valid", has_bias=False)
        self.norm2 = batch_norm(4 * growth_rate)
        self.relu2 = nn.ReLU()
        self.conv2 = nn.Conv2d(
            4 * growth_rate, growth_rate, 3, pad_mode="pad", padding=1, has_bias=False
        )

    def construct(self, x: Tensor) -> Tensor:
        x = self.conv1(self.relu1(self.norm1(x)))
        return self.conv2(self.relu2(self.norm2(x)))


class ListBlock(nn.Cell):
    """Every layer joins the list of all maps before it,
    as the paper says it and torchvision does.
    """

    def __init__(self, layers: int, ins: int, growth_rate: int) -> None:
        super().__init__()
        self.cell_list = nn.CellList(
            [BottleneckLayer(ins + i * growth_rate, growth_rate) for i in range(layers)]
        )

    def construct(self, x: Tensor) -> Tensor:
        maps = [x]
        for layer in self.cell_list:
            maps.append(layer(ops.concat(maps, 1)))
        return ops.concat(maps, 1)


class RunningBlock(ListBlock):
    """Every layer's maps are joined to those before them, as most MindSpore code has it."""

    def construct(self, x: Tensor) -> Tensor:
        joined = x
        for layer in self.cell_list:
            made = layer(joined)
            joined = ops.concat((joined, made), 1)
        return joined


class TransitionDown(nn.Cell):
    def __init__(self, ins: int, outs: int) -> None:
        super().__init__()
        steps: OrderedDict[str, nn.Cell] = OrderedDict()
        steps["norm"] = batch_norm(ins)
        steps["relu"] = nn.ReLU()
        steps["conv"] = nn.Conv2d(ins, outs, 1, pad_mode="valid", has_bias=False)
        steps["pool"] = nn.AvgPool2d(2, stride=2, pad_mode="valid")
        self.features = nn.SequentialCell(steps)

    def construct(self, x: Tensor) -> Tensor:
        return self.features(x)


class HandwrittenDenseNet(nn.Cell):
    """(N, 3, H, W) -> (N, num_classes)."""

    def __init__(
        self,
        growth_rate: int,
        blocks: tuple[int, ...],
        stem: int,
        num_classes: int = 1000,
        block_class: type[ListBlock] = ListBlock,
    ) -> None:
        super().__init__()
        steps = self.stem(stem)
        channels = stem
        for number, layers in enumerate(blocks, start=1):
            if number > 1:
                steps[f"transition{number - 1}"] = TransitionDown(channels, channels // 2)
                channels //= 2
            steps[f"denseblock{number}"] = block_class(layers, channels, growth_rate)
            channels += layers * growth_rate
        steps["norm5"] = batch_norm(channels)
        steps["relu5"] = nn.ReLU()
        self.features = nn.SequentialCell(steps)
        self.classifier = nn.Dense(channels, num_classes, has_bias=True)

    def stem(self, channels: int) -> OrderedDict[str, nn.Cell]:
        steps: OrderedDict[str, nn.Cell] = OrderedDict()
        steps["conv0"] = nn.Conv2d(
            3, channels, 7, stride=2, pad_mode="pad", padding=3, has_bias=False
        )
        steps["norm0"] = batch_norm(channels)
        steps["relu0"] = nn.ReLU()
        steps["pool0"] = nn.MaxPool2d(3, stride=2, pad_mode="pad", padding=1)
        return steps

    def construct(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x).mean((2, 3)))


class HandwrittenCifarDenseNet(HandwrittenDenseNet):
    """The paper's for 32 x 32 images: a stem of one 3 x 3 convolution."""

    def stem(self, channels: int) -> OrderedDict[str, nn.Cell]:
        conv = nn.Conv2d(3, channels, 3, stride=1, pad_mode="pad", padding=1, has_bias=False)
        return OrderedDict(conv0=conv)


def our_name(theirs: str) -> str:
    """`features.denseblock1.cell_list.0.norm1.gamma` ->
    `features.denseblock1.denselayer1.norm1.gamma`.
    """
    name = re.sub(r"cell_list\.(\d+)", lambda found: f"denselayer{int(found[1]) + 1}", theirs)
    return re.sub(r"(transition\d+)\.features\.", r"\1.", name)
