"""Small networks that have, together, every operator, connectivity rule and template."""

from __future__ import annotations

from typing import Any, get_args

from operators.examples import steps_beside

from archspec.graph.build import build_graph
from archspec.graph.ir import Graph
from archspec.operators.table import OPERATORS
from archspec.spec.connectivity import RuleName
from archspec.spec.spec import Spec
from archspec.spec.templates import load_templates
from archspec.verifiers.verify import verify_or_raise

BARE = {"kernel": 3, "stride": 1, "norm": False, "pool": "none"}
LAYER = [{"conv": {"width": "k", "kernel": 3}}, "norm", "activation"]


def layer(*steps: Any) -> dict[str, Any]:
    return {"layer": [*steps, *LAYER]}


def between(*steps: Any, **settings: Any) -> dict[str, Any]:
    return {"transition": {"steps": list(steps), **settings}}


def head(*steps: Any) -> dict[str, Any]:
    return {"head": {"steps": list(steps), "num_classes": 3}}


def activation(kind: str, **settings: Any) -> dict[str, Any]:
    return {"activation": {"kind": kind, **settings}}


CASES: dict[str, dict[str, Any]] = {
    "leaky relu": activation("leaky_relu", slope=0.3),
    "prelu": activation("prelu"),
    "sigmoid": activation("sigmoid"),
    "hard sigmoid": activation("hard_sigmoid"),
    "elu": activation("elu"),
    "elu of another alpha": activation("elu", alpha=0.3),
    "mish": activation("mish"),
    "tanh": activation("tanh"),
    "softplus": activation("softplus"),
    "sharper softplus": activation("softplus", beta=3.0),
    "hard tanh": activation("hard_tanh", low=-0.5, high=2.0),
    "scales": layer(
        {"scale": {"value": 0.2}},
        {"scale": {"value": 0.3}},
        {"branches": {"join": "add", "of": [[], ["norm", {"scale": {"value": 0.5}}]]}},
        "scale",
        {"conv": {"width": 5, "kernel": 1}},
        {"scale": {"initial": 0.1}},
    ),
    "scales of vectors": head({"global_pool": {}}, "scale", "dense", {"scale": {"value": 0.2}}),
    "variables called as functions": {
        "layer": [
            {"name": "tanh", "conv": {"width": 3, "kernel": 1}},
            {"name": "mish", "activation": "tanh"},
            {"branches": {"of": [["norm"], [{"activation": "mish"}]]}},
            *LAYER,
        ]
    },
    "layer norm": {"norm": {"kind": "layer", "eps": 0.01}},
    "group norm": {"norm": {"kind": "group", "groups": 3}},
    "instance norm": {"norm": {"kind": "instance", "eps": 0.01}},
    "rms norm": {
        "norm": {"kind": "rms", "eps": 0.01},
        **head("norm", "global_pool", "norm", "dense"),
    },
    "no norm": {"norm": "none"},
    "norms of three kinds": {
        "layer": ["norm", *LAYER],
        **between(
            {"norm": {"kind": "layer"}},
            {"norm": {"kind": "batch", "eps": 0.2}},
            {"norm": {"kind": "batch"}},
        ),
    },
    "groups and a shuffle": layer(
        {"conv": {"width": 12, "kernel": 3, "groups": 3}}, {"shuffle": {"groups": 2}}
    ),
    "depthwise": layer({"conv": {"kernel": 5, "groups": "depthwise"}}),
    "dilation, padding and bias": {
        **layer(
            {"conv": {"width": 4, "kernel": 3, "dilation": 2, "bias": True}},
            {"conv": {"width": "in", "kernel": 3, "padding": 3}},
            {"conv": {"width": "2k", "kernel": 5, "padding": 0}},
        ),
        **head({"global_pool": {}}, {"dense": {"bias": False}}),
    },
    "standardized filters": {
        **layer(
            {"conv": {"width": 12, "kernel": 3, "groups": 3, "standardized": True, "bias": True}},
            {"conv": {"kernel": 3, "groups": "depthwise", "standardized": True, "weight_eps": 0.1}},
        ),
        **between(
            {"conv": {"width": 6, "kernel": 2, "stride": 2, "padding": 0, "standardized": True}}
        ),
    },
    "transposed convolutions": between(
        {"conv_transpose": {"width": 5, "kernel": 3, "stride": 2, "padding": 1, "bias": True}},
        {"conv_transpose": {"kernel": 2, "stride": 3}},
    ),
    "blur pools": between({"blur_pool": {}}, {"blur_pool": {"kernel": 5, "stride": 1}}),
    "blur pools of what declares no width": {
        **layer({"blur_pool": {"stride": 1}}),
        **head(
            {"blur_pool": {}}, {"blur_pool": {"kernel": 5, "stride": 1}}, "global_pool", "dense"
        ),
    },
    "pools with ceil": between(
        {"max_pool": {"kernel": 3, "stride": 2, "ceil": True}},
        {"avg_pool": {"kernel": 2, "stride": 2, "ceil": True}},
    ),
    "pools with padding": between(
        {"max_pool": {"kernel": 3, "stride": 2, "padding": 1}},
        {"avg_pool": {"kernel": 3, "stride": 1, "padding": 1}},
    ),
    "pixels and channels": {
        **between(
            "pixel_unshuffle",
            {"conv": {"width": 18, "kernel": 1}},
            {"pixel_shuffle": {"factor": 3}},
        ),
        "input": {"height": 12, "width": 10},
    },
    "pixel shuffles of what declares no width": {
        "blocks": [
            {
                "layers": 2,
                "layer": [
                    *LAYER[:1],
                    {"conv": {"width": "4k", "kernel": 1}},
                    "pixel_shuffle",
                    "pixel_unshuffle",
                    "pixel_shuffle",
                    {"blur_pool": {}},
                ],
            },
            {
                "layers": 2,
                "growth_rate": 6,
                "layer": [{"conv": {"width": 24, "kernel": 1}}, "pixel_shuffle", {"blur_pool": {}}],
            },
        ]
    },
    "maxima of all pixels": {
        **layer(
            {
                "branches": {
                    "join": "multiply",
                    "of": [[], [{"global_pool": {"kind": "max", "keep": True}}]],
                }
            }
        ),
        **head({"global_pool": {"kind": "max"}}, "dense"),
    },
    "nearest": between({"upsample": {"factor": 3}}),
    "bilinear": between({"upsample": {"mode": "bilinear"}}),
    "bilinear with aligned corners": between(
        {"upsample": {"mode": "bilinear", "align_corners": True, "factor": 3}}
    ),
    "squeeze-excite": {
        "layer": [*LAYER, {"squeeze_excite": {"reduction": 2}}],
        **between(
            "norm",
            {"squeeze_excite": {"reduction": 20, "activation": "silu", "gate": "hard_sigmoid"}},
        ),
    },
    "branches that are concatenated": layer(
        {"branches": {"of": [[], LAYER, ["norm", "activation"]]}}
    ),
    "branches that are added": layer(
        {"branches": {"join": "add", "of": [["norm"], [], ["activation"]]}}
    ),
    "branches that are multiplied": layer(
        {
            "branches": {
                "join": "multiply",
                "of": [[], ["norm", {"branches": {"join": "add", "of": [[], ["norm"]]}}]],
            }
        }
    ),
    "named steps": layer(
        {"name": "squeeze.reduce", "conv": {"width": 2, "kernel": 1}},
        {"name": "self", "norm": None},
    ),
    "aggregate": {
        "blocks": [{"layers": 3, "aggregate": {"channels": 7}}, {"layers": 2, "aggregate": {}}]
    },
    "residual": {
        "blocks": [
            {"layers": 2, "residual": True, "connectivity": rule, "aggregate": {"channels": wide}}
            for rule, wide in (("one_shot", 6), ("dense", 8), ({"output": "new"}, 8))
        ],
        "transitions": [{"channels": 8}, {"steps": "none"}],
    },
    "uneven growth": {
        "blocks": [
            {"layers": 3, "growth_rate": [3, 5, 2]},
            {"layers": 3, "growth_rate": [1, 1, 4]},
            {"layers": 4, "growth_multiplier": 1.7, "connectivity": {"output": "new"}},
            {"layers": 4, "growth_multiplier": 1.7, "connectivity": "harmonic"},
        ]
    },
    "shares of the input": {
        "blocks": [
            {"layers": 3, "connectivity": {"rule": "cross_stage_partial", "share": 0.3}},
            {"layers": 2, "connectivity": "cross_stage_partial", "aggregate": {"compression": 0.5}},
            {
                "layers": 3,
                "connectivity": "cross_stage_partial",
                "growth_rate": [2, 3, 4],
                "aggregate": {},
            },
            {
                "layers": 2,
                "connectivity": "cross_stage_partial",
                "residual": True,
                "aggregate": {"channels": 4},
            },
        ],
        "transitions": [{}, {}, {"channels": 8, "pool": "none"}],
    },
    "skips": {
        "blocks": [
            {"layers": 2},
            {"layers": 2},
            {"layers": 2, "connectivity": {"output": "new"}},
            {"layers": 1},
        ],
        "transitions": [
            {"channels": 4},
            {"steps": [{"conv_transpose": {"kernel": 3, "stride": 2}}], "skip": 1, "crop": True},
            {"steps": "none", "skip": 1},
        ],
        "input": {"height": 12, "width": 10},
        "head": {"steps": "per_pixel", "num_classes": 3},
    },
    "layers of two widths": {
        "layer": [{"conv": {"width": 7, "kernel": 1}}, *LAYER],
        "blocks": [
            {"layers": 2},
            {"layers": 2, "layer": [{"conv": {"width": 9, "kernel": 1}}, *LAYER]},
        ],
    },
    **{
        f"stem {name}": {
            "stem": {"steps": name, "channels": 4, "pool": "none"},
            "input": {"height": 16, "width": 12},
        }
        for name in load_templates("stems")
    },
    "every template of a layer": {
        "blocks": [{"layers": 2, "layer": name} for name in load_templates("layers")],
        "transition": {"pool": "none"},
        "growth_rate": 4,
        "bottleneck": 2,
    },
    "every template of a transition": {
        "input": {"height": 40, "width": 32},
        "blocks": [{"layers": 1}] * (1 + len(load_templates("transitions"))),
        "transitions": [{"steps": name} for name in load_templates("transitions")],
    },
    **{
        f"head {name}": {"head": {"steps": name, "num_classes": 3}}
        for name in ("pooled", "per_pixel", "none")
    },
    "every rule that needs no setting": {
        "blocks": [
            {"layers": 5, "connectivity": {"rule": rule}}
            for rule in get_args(RuleName)
            if rule not in ("window", "edges")
        ],
        "transition": {"pool": "none"},
    },
    "rule window": {"connectivity": {"window": 2}, "blocks": [{"layers": 5}, {"layers": 1}]},
    "rule edges": {
        "blocks": [
            {"layers": 3, "connectivity": {"edges": [[0], [1, 0], [1]], "output": [0, 2, 3]}},
            {"layers": 3, "connectivity": {"edges": [[0], [0], [0]], "output": "new"}},
        ]
    },
}


IN_TEST_MODULE = ("relu6", "gelu", "hard_swish")
"""Activations that test_module.py has."""
OF_TRAINING = [kind for kind, row in OPERATORS.items() if row.is_of_training]
"""Those of a rate, which test_dropouts.py has."""
UNSAID = ("relu", "slice", "concat")
"""The usual activation and join, and what a share is cut by: networks have them without a word."""
for kind, step in steps_beside(CASES, LAYER, IN_TEST_MODULE, UNSAID):
    # As many channels as examples have; what makes no channels might be a convolution's bias.
    wide = {"conv": {"width": 16, "kernel": 1}}
    CASES[f"example of {kind}"] = between(wide, "activation", step, wide)


def settings_of(**settings_of_spec: Any) -> dict[str, Any]:
    """Those of a spec; two blocks of two layers of 3 channels on 13 x 11 pixels where nothing else
    is said.
    """
    usual = {
        "input": {"channels": 2, "height": 13, "width": 11},
        "stem": BARE,
        "growth_rate": 3,
        "blocks": [{"layers": 2}, {"layers": 2}],
        "head": {"num_classes": 3},
    }
    return usual | settings_of_spec


def graph_of(**settings_of_spec: Any) -> Graph:
    """A verified graph of these settings; see `settings_of`."""
    return verify_or_raise(build_graph(Spec.model_validate(settings_of(**settings_of_spec))))
