"""Which network is meant, prepared how: flags that `validate`, `predict` and `export` share."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console

from densenet_cli.flags import RECIPE_FLAGS, SPEC_FLAGS, override_by_flags
from densenet_cli.options import console, override_by_channels, split_overrides
from densenet_cli.weights import weights_for

if TYPE_CHECKING:
    from archspec.train.inference.open_trained import HowToOpen

DeviceTarget = Annotated[
    Literal["CPU", "Ascend"] | None,
    typer.Option(help="The kind of device (default: MindSpore's choice)."),
]
ImageSize = Annotated[
    int | None, typer.Option(help="Height and width; default: those it was trained at.")
]
Engine = Annotated[
    Literal["onnxruntime", "openvino", "mindspore"] | None,
    typer.Option(
        help="What runs it, a run too, which is exported for that and kept (default: mindspore; "
        "an exported .onnx: onnxruntime)."
    ),
]
Workers = Annotated[int | None, typer.Option(help="Processes that read images.")]


def read_flags(given: Mapping[str, Any], screen: Console = console) -> HowToOpen:
    """Return what the flags of a command say to `open_trained`, by the names of its parameters.

    Published weights that are not in the cache folder are downloaded. A command may have some
    of the flags only.
    """
    given = defaultdict(lambda: None, given)
    for_spec, for_recipe = split_overrides(given["overrides"])
    for name in ("mean", "std"):
        for_recipe += override_by_channels(f"--{name}", given[name], f"data.{name}")
    for_spec += override_by_flags(given, {"image_size": SPEC_FLAGS["image_size"]})
    for_recipe += override_by_flags(given, {"workers": RECIPE_FLAGS["workers"]})
    ckpt, target = given["ckpt"], given["target"]
    return {
        "ckpt": weights_for(target, ckpt, given["pretrained"], for_spec, screen),
        "recipe": given["recipe"],
        "overrides": for_spec,
        "recipe_overrides": for_recipe,
        "data_dir": given["data_dir"],
        "ema": given["ema"],
        "device_target": given["device_target"],
        "engine": given["engine"],
    }
