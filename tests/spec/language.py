"""Random specs over the whole language, as plain values:
most of them build, the others must be refused well.
"""

import re
from typing import Any

from hypothesis import strategies as st
from operators.examples import EXAMPLES, MAP, VECTOR, read_by

from archspec.operators.shape_rules import ShapeFault
from archspec.operators.table import (
    ACTIVATIONS,
    JOINS,
    JOINS_OF_ANY,
    NORMS,
    OPERATORS,
    norm_name,
)

Values = dict[str, Any]

NUMBERS: dict[str, st.SearchStrategy[float]] = {
    "slope": st.floats(0, 1),
    "alpha": st.floats(0.01, 3),
    "beta": st.floats(0.25, 4),
    "low": st.floats(-3, 0.5),
    "high": st.floats(0.75, 7),
}
"""Of settings of activations."""
NUMBERS_OF_NORMS: dict[str, st.SearchStrategy[float]] = {
    # Of what is constant an instance norm divides noise by the root of eps.
    "eps": st.floats(1e-4, 1),
    "momentum": st.floats(0, 1),
    "groups": st.sampled_from([1, 2, 4]),
}


def activation_of(kind: str) -> st.SearchStrategy[Values]:
    """An activation with some of its own settings; of one without bounds above, its example's."""
    own = {}
    for key in OPERATORS[kind].settings:
        own[key] = NUMBERS.get(key, st.just(EXAMPLES[kind][0][key]))
    return st.fixed_dictionaries({"kind": st.just(kind)}, optional=own)


activations = st.one_of(
    st.sampled_from(ACTIVATIONS),
    st.sampled_from([kind for kind in ACTIVATIONS if OPERATORS[kind].settings]).flatmap(
        activation_of
    ),
)


def norm_of(kind: str) -> st.SearchStrategy[Values]:
    """A norm with some of its settings; always with those that must fit the channels."""
    row, example = OPERATORS[kind], EXAMPLES[kind][0]
    own = {key: NUMBERS_OF_NORMS.get(key, st.just(example[key])) for key in row.settings}
    fitting = {key: own.pop(key) for key in row.of_one_channel}
    return st.fixed_dictionaries({"kind": st.just(norm_name(kind)), **fitting}, optional=own)


def takes_vectors(kind: str) -> bool:
    try:
        return bool(OPERATORS[kind].shape(EXAMPLES[kind][0], [VECTOR]))
    except ShapeFault:
        return False


FIT_ALL = [norm_name(kind) for kind in NORMS if not OPERATORS[kind].of_one_channel]
"""Norms whose defaults fit any number of channels."""
norms = st.one_of(
    st.sampled_from([*FIT_ALL, "none"]),
    st.sampled_from(NORMS).flatmap(norm_of),
    st.fixed_dictionaries({}, optional={"eps": st.floats(1e-9, 1), "momentum": st.floats(0, 1)}),
)
widths = st.sampled_from([1, 4, 6, 8, 16, "in", "2in", "in/2", "out", "out/2", "1.5out"])
windows = {"kernel": st.integers(1, 4), "stride": st.integers(1, 2)}


def of(kind: str, settings: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return settings.map(lambda values: {kind: values})


filters = st.sampled_from(
    [
        *[{}] * 4,
        {"standardized": False},
        {"standardized": True},
        {"standardized": True, "weight_eps": 1e-4},
        {"standardized": True, "weight_eps": 0.3},
    ]
)
"""Whether a convolution's filters are standardized."""


@st.composite
def convs(draw: st.DrawFn, width: st.SearchStrategy[Any], is_keeping: bool = True) -> Any:
    """A convolution, which keeps height and width or is placed anyhow:
    even kernels, strides, paddings.
    """
    optional: dict[str, st.SearchStrategy[Any]] = {
        "width": width,
        "groups": st.sampled_from([1, 1, 2, "depthwise"]),
        "bias": st.booleans(),
        "dilation": st.integers(1, 2),
    }
    if is_keeping:
        kernel = st.fixed_dictionaries({"kernel": st.sampled_from([1, 3, 5])}, optional=optional)
        values = draw(kernel) | draw(filters)
        return {**draw(st.sampled_from([{}, {}, {}, {"name": name_of(values)}])), "conv": values}
    fixed = {"kernel": st.integers(1, 6), "stride": st.integers(1, 3)}
    values = draw(st.fixed_dictionaries(fixed, optional=optional)) | draw(filters)
    if values.get("dilation", 1) * (values["kernel"] - 1) % 2 or draw(st.booleans()):
        values["padding"] = draw(st.integers(0, 3))
    return {**draw(st.sampled_from([{}, {}, {}, {"name": name_of(values)}])), "conv": values}


def name_of(settings: Values) -> str:
    """A name that two steps of a part share only where they are alike, which is refused."""
    return "own_" + re.sub(r"[^a-z0-9]", "", str(settings).lower())[:24]


slices = st.sampled_from([{"stop": "in/2"}, {"start": "in/2"}, {"start": 1}, {"stop": 1}, {}])
sure_rates = st.fixed_dictionaries({"rate": st.sampled_from([0.0, 0.3])})
paths = st.fixed_dictionaries(
    {"rate": st.sampled_from([0.0, 0.3])}, optional={"over": st.just("depth")}
)
rates = st.fixed_dictionaries({}, optional={"rate": st.sampled_from([0.0, 0.3])})
scales = st.one_of(
    st.just({}),
    st.fixed_dictionaries({"value": st.floats(0.05, 2)}),
    st.fixed_dictionaries({"initial": st.floats(1e-6, 1)}),
)
gates = st.fixed_dictionaries(
    {},
    optional={
        "reduction": st.integers(1, 8),
        "activation": activations,
        "gate": st.sampled_from(["sigmoid", "hard_sigmoid"]),
    },
)
keeping = st.one_of(
    st.just("norm"),
    st.just("activation"),
    of("norm", norms),
    of("activation", activations),
    of("dropout", rates),
    of("dropout2d", sure_rates),
    of("drop_path", paths),
    of("squeeze_excite", gates),
    of("shuffle", st.fixed_dictionaries({"groups": st.sampled_from([1, 2])})),
    of("slice", slices),
    of("scale", scales),
    convs(widths),
)
"""Steps that keep height and width."""
bordered = {"padding": st.integers(0, 1), "ceil": st.booleans()}


def with_room(pool: Values) -> Values:
    """A kernel of one pixel has no room for a padding."""
    return pool if pool["kernel"] > 1 else {k: v for k, v in pool.items() if k != "padding"}


transposed = of(
    "conv_transpose",
    st.fixed_dictionaries(
        {"kernel": st.integers(2, 4), "stride": st.integers(1, 3)},
        optional={"padding": st.integers(0, 1), "bias": st.booleans(), "width": widths},
    ),
)
upsampled = of(
    "upsample",
    st.one_of(
        st.fixed_dictionaries(
            {},
            optional={
                "mode": st.sampled_from(["nearest", "bilinear"]),
                "factor": st.integers(2, 3),
            },
        ),
        st.fixed_dictionaries(
            {"mode": st.just("bilinear"), "align_corners": st.booleans()},
            optional={"factor": st.integers(2, 3)},
        ),
    ),
)
factors = st.fixed_dictionaries({}, optional={"factor": st.integers(2, 3)})
enlarging = st.one_of(
    of(
        "conv_transpose", st.fixed_dictionaries({"kernel": st.integers(3, 4), "stride": st.just(2)})
    ),
    of("upsample", st.fixed_dictionaries({"factor": st.just(3)})),
    transposed,
    upsampled,
)
"""Most of them give at least the size before a pooling by two, which is then cut out."""
resizing = st.one_of(
    convs(widths, is_keeping=False),
    of("max_pool", st.fixed_dictionaries(windows, optional=bordered).map(with_room)),
    of("avg_pool", st.fixed_dictionaries(windows, optional=bordered).map(with_room)),
    of(
        "blur_pool",
        st.fixed_dictionaries(
            {}, optional={"kernel": st.sampled_from([5, 3]), "stride": st.integers(1, 3)}
        ),
    ),
    transposed,
    upsampled,
    of("pixel_shuffle", factors),
    of("pixel_unshuffle", factors),
    of("pixel_shuffle", st.just({"factor": 2})),
    of("pixel_unshuffle", st.just({"factor": 2})),
    of("blur_pool", st.just({"kernel": 5})),
)
dense = of("dense", st.fixed_dictionaries({}, optional={"width": widths, "bias": st.booleans()}))
of_vectors = st.one_of(
    st.just("activation"),
    of("norm", st.sampled_from([norm_name(kind) for kind in NORMS if takes_vectors(kind)])),
    of("activation", activations.filter(lambda value: "prelu" not in str(value))),
    of("dropout", rates),
    of("drop_path", paths),
    of("slice", slices),
    of("scale", scales),
    dense,
    dense,
)
"""Steps that take what `global_pool` gives."""


def branching(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Side by side, by each of the joins: lists of any width, a list that keeps its width beside
    what it reads, a gate.
    """
    lists = st.lists(inner, max_size=2)
    joined = {kind: joined_by(kind, st.lists(lists, min_size=2, max_size=3)) for kind in JOINS}
    each = [
        st.fixed_dictionaries({"join": st.just(kind), "of": branches})
        for kind, branches in joined.items()
    ]
    return of("branches", st.one_of(*each))


def joined_by(kind: str, lists: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """The branches of a join, which are as alike as those of its example."""
    first, second, *_ = read_by(kind)
    if second == first == MAP:
        plain = st.lists(st.sampled_from(["norm", "activation"]), max_size=2)
        return plain.map(lambda steps: [[], steps])
    if second == (*MAP[:1], 1, 1):
        return st.sampled_from([[[], gate_of({})], [[], gate_of({"kind": "max"})]])
    return lists


def gate_of(pool: Values) -> list[Any]:
    return [
        {"global_pool": {"keep": True, **pool}},
        {"conv": {"kernel": 1, "bias": True}},
        {"activation": "sigmoid"},
    ]


steps = st.one_of(keeping, keeping, branching(keeping))
layers = st.one_of(
    st.sampled_from(
        [
            "basic",
            "bottleneck",
            "post_activation",
            "post_bottleneck",
            "depthwise_separable",
            "two_way",
        ]
    ),
    st.tuples(st.lists(steps, max_size=3), convs(st.just("k"))).map(
        lambda parts: [*parts[0], parts[1]]
    ),
)
placed = st.one_of(steps, resizing)
transition_templates = st.sampled_from(["pre_activation", "post_activation", "conv", "none"])
pools = st.sampled_from(["avg", "max", "none"])
shares = st.sampled_from([1.0, 0.5, 0.3])
orders = st.sampled_from(["oldest_first", "newest_first"])


@st.composite
def wirings(draw: st.DrawFn, count: int) -> Any:
    """A connectivity for a block of `count` layers."""
    rules = ("dense", "log", "harmonic", "one_shot", "cross_stage_partial")
    named = st.fixed_dictionaries(
        {"rule": st.sampled_from(rules)},
        optional={"share": st.sampled_from([0.25, 0.5]), "order": orders},
    )
    window = st.fixed_dictionaries(
        {"window": st.integers(1, 4)}, optional={"order": orders, "rule": st.just("window")}
    )
    sources = [st.lists(st.integers(0, i), min_size=1, unique=True) for i in range(count)]
    edges = st.fixed_dictionaries(
        {"edges": st.tuples(*sources).map(list)}, optional={"rule": st.just("edges")}
    )
    wiring: Values = draw(st.one_of(named, window, edges))
    listed = st.lists(st.integers(0, count), min_size=1, unique=True)
    output = draw(st.one_of(st.none(), st.sampled_from(["all", "new", "last"]), listed))
    if output is not None:
        wiring = {**wiring, "output": output}
    if output in (None, "all", "new") and draw(st.booleans()):
        wiring = {**wiring, "output_order": draw(orders)}
    if ("share" in wiring or wiring.get("rule") == "cross_stage_partial") and draw(st.booleans()):
        wiring = {**wiring, "bypass": draw(st.sampled_from(["first", "last"]))}
    return wiring


@st.composite
def blocks(draw: st.DrawFn) -> Values:
    count = draw(st.integers(1, 5))
    growths = st.sampled_from([2, 4, 6, 8, 12, 3])
    optional: dict[str, st.SearchStrategy[Any]] = {
        "growth_rate": st.one_of(growths, st.lists(growths, min_size=count, max_size=count)),
        "growth_multiplier": st.sampled_from([1.0, 1.7, 2.0]),
        "layer": layers,
        "layer_at": st.dictionaries(st.integers(1, count), layers, max_size=2),
        "bottleneck": st.integers(1, 4),
        "drop_rate": st.sampled_from([0.0, 0.2]),
        "connectivity": wirings(count),
        "aggregate": st.one_of(
            st.fixed_dictionaries(
                {}, optional={"compression": shares, "steps": transition_templates}
            ),
            st.fixed_dictionaries({"channels": st.sampled_from([4, 8])}),
        ),
        "residual": st.sampled_from([False, False, False, True]),
    }
    return draw(st.fixed_dictionaries({"layers": st.just(count)}, optional=optional))


@st.composite
def transitions(draw: st.DrawFn, index: int) -> Any:
    """A usual one, a list of steps, or behind the first block one
    that goes up to an earlier one's size.
    """
    width = draw(
        st.sampled_from([{}, {"compression": shares}, {"channels": st.sampled_from([4, 12])}])
    )
    kinds = ["usual", "list", "up", "up"] if index else ["usual", "list"]
    kind = draw(st.sampled_from(kinds))
    if kind == "list":
        return draw(
            st.fixed_dictionaries(
                {"steps": st.lists(placed, min_size=1, max_size=4)}, optional=width
            )
        )
    if kind == "usual":
        optional = {"pool": pools, "steps": transition_templates, **width}
        return draw(st.fixed_dictionaries({}, optional=optional))
    join = draw(st.sampled_from(["concat", *JOINS_OF_ANY]))
    steps = [draw(enlarging)]
    if join != "concat":  # as wide as a stem or an aggregation may be
        steps.append({"conv": {"width": draw(st.sampled_from([4, 8])), "kernel": 1}})
    fixed: dict[str, st.SearchStrategy[Any]] = {
        "steps": st.just(steps),
        "skip": st.sampled_from(["stem", *range(1, index + 1)]),
        "crop": st.sampled_from([True, True, False]),
        "join": st.just(join),
    }
    others: dict[str, st.SearchStrategy[Any]] = {
        "after": st.sampled_from(["conv", "post_activation", "pre_activation"])
    }
    if join == "concat":
        others["order"] = st.sampled_from(["skip_last", "skip_first"])
    return draw(st.fixed_dictionaries(fixed, optional=others))


@st.composite
def vector_heads(draw: st.DrawFn) -> Any:
    """A head that goes on behind the mean over the pixels, and says what it gives."""
    before, behind = (draw(st.lists(each, max_size=2)) for each in (steps, of_vectors))
    if draw(st.booleans()):
        behind.append(draw(dense))
    if draw(st.booleans()):
        behind.append(
            {"branches": {"join": "concat", "of": [[], draw(st.lists(of_vectors, max_size=2))]}}
        )
    pool: Values = {"keep": True} if not behind and draw(st.booleans()) else {}
    pool |= draw(st.sampled_from([{}, {"kind": "avg"}, {"kind": "max"}]))
    return [*before, {"global_pool": pool}, *behind]


@st.composite
def specs(draw: st.DrawFn) -> Values:
    """The plain values of a spec."""
    listed = draw(st.lists(blocks(), min_size=1, max_size=4))
    number = len(listed) - draw(st.sampled_from([0, 1, 1]))
    stem_settings: dict[str, st.SearchStrategy[Any]] = {
        "kernel": st.sampled_from([1, 3, 5, 7]),
        "stride": st.integers(1, 2),
        "norm": st.booleans(),
        "pool": st.sampled_from(["max", "avg", "none"]),
    }
    channels = {"channels": st.sampled_from([4, 8, 12])}
    stem_steps = st.one_of(
        st.sampled_from(["deep", "two_way"]), st.lists(placed, min_size=1, max_size=3)
    )
    optional: dict[str, st.SearchStrategy[Any]] = {
        "transition": st.fixed_dictionaries(
            {}, optional={"pool": st.sampled_from(["avg", "max", "none"])}
        ),
        "layer": layers,
        "growth_multiplier": st.sampled_from([1.0, 1.6]),
        "connectivity": st.sampled_from(
            ["dense", "log", "harmonic", "one_shot", "cross_stage_partial"]
        ),
        "bottleneck": st.integers(1, 3),
        "compression": shares,
        "norm": norms,
        "activation": activations,
        "drop_rate": st.sampled_from([0.0, 0.1]),
        "drop_after": st.sampled_from(["layer", "conv"]),
        "stem": st.one_of(
            st.fixed_dictionaries(channels, optional=stem_settings),
            st.fixed_dictionaries(channels, optional=stem_settings),
            st.fixed_dictionaries({**channels, "steps": stem_steps}),
            stem_steps,
        ),
        "features": st.lists(st.integers(1, len(listed)), unique=True, max_size=3),
    }
    head = st.one_of(
        st.sampled_from(["classifier", "pooled", "per_pixel", "none"]),
        st.fixed_dictionaries(
            {"num_classes": st.integers(1, 20)}, optional={"dropout": st.just(0.2)}
        ),
        st.lists(steps, min_size=1, max_size=2),
        vector_heads(),
        vector_heads(),
    )
    sizes = st.fixed_dictionaries(
        {"height": st.integers(24, 70), "width": st.integers(24, 70)},
        optional={"channels": st.sampled_from([1, 3, 4])},
    )
    fixed = {
        "growth_rate": st.sampled_from([2, 4, 6, 8, 12, 5]),
        "input": sizes,
        "blocks": st.just(listed),
        "head": head,
    }
    if draw(st.sampled_from([True, True, True, False])):
        fixed["transitions"] = st.tuples(*(transitions(index) for index in range(number))).map(list)
    return draw(st.fixed_dictionaries(fixed, optional=optional))
