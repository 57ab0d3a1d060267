"""DenseNet-BC in PyTorch, written as torchvision has it: a peer, where torch is installed.

Nothing of ours is imported here.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class DenseLayer(nn.Module):
    """Reads all maps before it, (N, ins, H, W) -> (N, growth_rate, H, W)."""

    def __init__(self, ins: int, growth_rate: int) -> None:
        super().__init__()
        inner = 4 * growth_rate
        self.steps = nn.Sequential(
            nn.BatchNorm2d(ins),
            nn.ReLU(inplace=True),
            nn.Conv2d(ins, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, growth_rate, 3, padding=1, bias=False),
        )

    def forward(self, maps: list[Any]) -> Any:
        return self.steps(torch.cat(maps, 1))


class DenseBlock(nn.Module):
    """Layers that read all maps before them."""

    def __init__(self, layers: int, ins: int, growth_rate: int) -> None:
        super().__init__()
        made = [DenseLayer(ins + number * growth_rate, growth_rate) for number in range(layers)]
        self.layers = nn.ModuleList(made)

    def forward(self, x: Any) -> Any:
        maps = [x]
        for layer in self.layers:
            maps.append(layer(maps))
        return torch.cat(maps, 1)


def make_densenet(growth_rate: int, blocks: tuple[int, ...], stem: int, is_cifar: bool) -> Any:
    """Return a network of 1,000 classes, or for small images one of 10."""
    steps: list[Any] = [nn.Conv2d(3, stem, 3, padding=1, bias=False)]
    if not is_cifar:
        steps = [nn.Conv2d(3, stem, 7, 2, 3, bias=False), nn.BatchNorm2d(stem)]
        steps += [nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    channels = stem
    for number, layers in enumerate(blocks):
        if number:
            steps += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
            steps += [nn.Conv2d(channels, channels // 2, 1, bias=False), nn.AvgPool2d(2)]
            channels //= 2
        steps.append(DenseBlock(layers, channels, growth_rate))
        channels += layers * growth_rate
    steps += [nn.BatchNorm2d(channels), nn.ReLU(inplace=True)]
    steps += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10 if is_cifar else 1000)]
    return nn.Sequential(*steps)
