"""DPN-68 as a spec: a network too long to write by hand, in plain values."""

from typing import Any


def dpn68() -> dict[str, Any]:
    """Return the spec; a block of one layer is a unit, which reads what the unit before gave."""
    blocks: list[dict[str, Any]] = []
    stages = ((3, 64, 16, 1), (4, 128, 32, 2), (12, 256, 32, 2), (3, 512, 64, 2))
    for units, wide, more, stride in stages:
        dense = 2 * more
        for unit in range(units):
            steps = _unit(
                wide, dense, more, 2 * wide, stride if unit == 0 else 1, project=unit == 0
            )
            blocks.append(
                {
                    "layers": 1,
                    "growth_rate": wide + dense + more,
                    "layer": steps,
                    "connectivity": {"output": "last"},
                }
            )
            dense += more
    return {
        "name": "dpn68",
        "norm": {"eps": 1e-3},
        "stem": [
            *_conv(10, 3, stride=2, after=True),
            {"max_pool": {"kernel": 3, "stride": 2, "padding": 1}},
        ],
        "blocks": blocks,
        "transition": "none",
        "head": ["norm", "activation", "global_pool", "dense"],
    }


def _unit(wide: int, dense: int, more: int, inner: int, stride: int, *, project: bool) -> list[Any]:
    """Channels are wide + dense, then wide + more of the unit's own, then wide + dense + more."""
    own = [*_conv(inner, 1), *_conv(inner, 3, groups=32, stride=stride), *_conv(wide + more, 1)]
    given = _conv(wide + dense, 1, stride=stride) if project else []
    there = wide + dense
    summed = [[{"slice": {"stop": wide}}], [{"slice": {"start": there, "stop": there + wide}}]]
    return [
        {"branches": {"of": [given, own]}},
        {
            "branches": {
                "of": [
                    [{"branches": {"join": "add", "of": summed}}],
                    [{"slice": {"start": wide, "stop": there}}],
                    [{"slice": {"start": there + wide}}],
                ]
            }
        },
    ]


def _conv(width: int, kernel: int, *, after: bool = False, **settings: int) -> list[Any]:
    conv = {"conv": {"width": width, "kernel": kernel, **settings}}
    return [conv, "norm", "activation"] if after else ["norm", "activation", conv]
