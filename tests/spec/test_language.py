"""The language of specs: widths, growth, templates, short forms,
and any network that it can say.
"""

from collections import Counter
from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError
from spec.language import specs

from archspec.errors import ArchspecError, Diagnostic, GraphError
from archspec.files import to_yaml
from archspec.graph.build import build_graph
from archspec.graph.digest import digest_with_names
from archspec.graph.expand import Part, expand_part
from archspec.graph.parameters import list_parameters
from archspec.graph.report import report
from archspec.operators.named_widths import Width, width_of
from archspec.spec.identity import comparable_values
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec, layer_widths
from archspec.spec.steps import ActivationSpec, NormSpec
from archspec.spec.templates import load_templates
from archspec.verifiers.verify import verify
from archspec.writers.mindspore.module import write_module

WIDTHS = TypeAdapter(Width)
STATISTICS = ("moving_mean", "moving_variance")


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def load(folder: Path, text: str, *overrides: str, name: str = "net.yaml") -> Spec:
    return load_spec(write(folder, name, text), overrides)


def kinds(steps: Any) -> list[str]:
    return [step.kind for step in steps]


# Widths and growth.


@given(
    st.sampled_from(["", "2", "4", "0.5", "1.25"]),
    st.sampled_from(["in", "out", "k", "bottleneck"]),
    st.sampled_from(["", "/2", "/16", " / 3"]),
    st.integers(1, 10_000),
)
def test_a_width_is_a_multiple_or_a_part_rounded_down(
    factor: str, name: str, part: str, value: int
) -> None:
    """Exact, as on paper: 1.25k/3 of 10 is floor(12.5 / 3)."""
    divisor = int(part.strip(" /") or 1)
    width = WIDTHS.validate_python(f"{factor}{name}{part}")
    assert width_of(width, {name: value}) == floor(Fraction(factor or "1") * value / divisor)


@pytest.mark.parametrize(
    "text", ["", "k/", "/2", "kk", "k*2", "2 k/2/2", "-k", "k/0x2", "K", "1e3", "in + 1", True, 1.5]
)
def test_what_is_no_width_is_refused(text: Any) -> None:
    """The grammar is one multiple of one name."""
    with pytest.raises(ValidationError):
        WIDTHS.validate_python(text)


@pytest.mark.parametrize("divisor", ["0", "00"])
def test_a_width_is_never_divided_by_nothing(tmp_path: Path, divisor: str) -> None:
    """A refusal, not an arithmetic error."""
    text = f"growth_rate: 4\nblock_config: [1]\nlayer: [conv: {{width: k/{divisor}, kernel: 1}}]\n"
    with pytest.raises(ArchspecError):
        build_graph(load(tmp_path, text))


@pytest.mark.parametrize(
    ("k", "m", "widths"),
    [
        (14, 1.7, (14, 24, 40, 68, 116)),
        (16, 1.7, (16, 28, 46, 78, 134)),
        (20, 1.7, (20, 34, 58, 98, 168)),
        (40, 1.7, (40, 68, 116, 196, 334)),
        (160, 1.7, (160, 272, 462, 786, 1336)),
        (16, 1.6, (16, 26, 40, 66, 104)),
        (20, 1.6, (20, 32, 52, 82, 132)),
        (64, 1.6, (64, 102, 164, 262, 420)),
        (160, 1.6, (160, 256, 410, 656, 1048)),
        (10, 1.7, (10, 18)),
    ],
)
def test_growth_is_multiplied_and_rounded_as_published(
    k: int, m: float, widths: tuple[int, ...]
) -> None:
    """HarDNet's own code, for layers that 2 divides no, one, two, ... times;
    k=10 gives 18, not 16.
    """
    found = layer_widths(k, m, 16)
    assert tuple(found[(1 << v) - 1] for v in range(len(widths))) == widths
    odd = [found[layer - 1] for layer in range(1, 17, 2)]
    assert set(odd) == {k}


def test_growth_may_differ_by_block_and_by_layer(tmp_path: Path) -> None:
    """A list has one number for each layer; a block's own wins over the spec's."""
    spec = load(
        tmp_path,
        "growth_rate: 4\nstem: {channels: 8}\n"
        "blocks: [{layers: 2}, {layers: 3, growth_rate: [8, 6, 4]}, {layers: 2, growth_rate: 5}]\n",
    )
    assert [block.widths for block in spec.dense_blocks()] == [(4, 4), (8, 6, 4), (5, 5)]
    assert [block.out_channels for block in report(build_graph(spec)).blocks] == [16, 26, 23]


# Templates.

TEMPLATES = [
    (kind, name)
    for kind in ("layers", "stems", "transitions", "heads")
    for name in load_templates(kind)
]


@pytest.mark.parametrize(("kind", "name"), TEMPLATES)
def test_every_template_comes_to_operators(kind: str, name: str) -> None:
    """Each with names that are all different, behind what it reads; `none` to none."""
    steps = load_templates(kind)[name]
    widths = tuple({"out": 8, "k": 8, "bottleneck": 32}.items())
    pieces = expand_part(Part(steps, 16, widths, NormSpec(), ActivationSpec(), 0.1))
    assert bool(pieces) == (name != "none")
    assert max(Counter(piece.name for piece in pieces).values(), default=1) == 1
    assert all(-1 <= read < index for index, piece in enumerate(pieces) for read in piece.reads)
    assert not pieces or pieces[-1].channels == 8


@pytest.mark.parametrize(("kind", "name"), TEMPLATES)
def test_a_copied_template_is_the_template(kind: str, name: str, tmp_path: Path) -> None:
    """Its YAML in the place of its name gives the same network, parameter by parameter."""
    part = {"layers": "layer", "stems": "stem", "transitions": "transition", "heads": "head"}[kind]
    if name == "none":
        pytest.skip("an empty list is written `none`")
    text = "growth_rate: 8\nblock_config: [2, 2]\n"
    steps = yaml.safe_dump(
        [step.model_dump(mode="json") for step in load_templates(kind)[name]],
        default_flow_style=True,
    )
    written = name
    if kind in ("stems", "transitions"):
        written = f"{{steps: {name}, pool: none}}"
    named = load(tmp_path, f"{text}{part}: {written}\n")
    copied = load(tmp_path, f"{text}{part}: {steps}")
    assert dict(list_parameters(build_graph(named))) == dict(list_parameters(build_graph(copied)))


# Short forms, extends and overrides.

SHORT = "growth_rate: 8\nblock_config: [2, 2]\n"
PARTS = {"stem": "deep", "transition": "conv", "head": "pooled", "layer": "post_activation"}


@pytest.mark.parametrize("part", ["stem", "transition", "head"])
def test_a_bare_name_or_list_is_short_for_the_parts_steps(part: str, tmp_path: Path) -> None:
    """In the file, in a child and on the command line alike."""
    name = PARTS[part]
    whole = load(tmp_path, f"{SHORT}{part}: {{steps: {name}}}\n")
    write(tmp_path, "plain.yaml", SHORT)
    shorts = [
        load(tmp_path, f"{SHORT}{part}: {name}\n"),
        load(tmp_path, f"name: net\nextends: plain.yaml\n{part}: {name}\n", name="child.yaml"),
        load(tmp_path, SHORT, f"{part}={name}"),
        load(tmp_path, SHORT, f"{part}.steps={name}"),
    ]
    assert [comparable_values(short) == comparable_values(whole) for short in shorts] == [True] * 4
    listed = load(tmp_path, f"{SHORT}{part}: [norm, activation]\n")
    assert kinds(getattr(listed, part).steps) == ["norm", "activation"]


def test_transitions_may_be_short_one_by_one(tmp_path: Path) -> None:
    """A name, a list and a mapping beside each other; an override of one leaves the others."""
    text = "growth_rate: 8\nblock_config: [1, 1, 1, 1]\n"
    text += "transitions: [none, [norm, avg_pool: {kernel: 2, stride: 2}], {}]\n"
    first, second, third = load(tmp_path, text).transitions_in_order()
    assert (kinds(first.steps_resolved()), kinds(second.steps_resolved())) == (
        [],
        ["norm", "avg_pool"],
    )
    assert kinds(third.steps_resolved()) == ["norm", "activation", "conv", "avg_pool"]
    changed = load(tmp_path, text, "transitions.0=post_activation", "transitions[1].steps=conv")
    first, second, third = changed.transitions_in_order()
    assert kinds(first.steps_resolved()) == ["conv", "norm", "activation", "avg_pool"]
    assert kinds(second.steps_resolved()) == ["conv", "avg_pool"]


def test_one_setting_of_a_step_can_be_overridden(tmp_path: Path) -> None:
    """Also below a part's short list, whose path has `steps` in it."""
    text = (
        f"{SHORT}stem: [conv: {{width: 8, kernel: 3}}, norm]\n"
        f"layer: [norm, conv: {{width: k, kernel: 3}}]\n"
    )
    spec = load(tmp_path, text, "stem.steps[0].conv.kernel=5", "layer[1].conv.kernel=7")
    assert spec.stem.steps[0].conv.kernel == 5  # type: ignore[union-attr, index]
    assert spec.layer[1].conv.kernel == 7  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "child", ["stem: [conv: {width: 8, kernel: 3}, norm]", "stem: {steps: deep}", "stem: deep"]
)
def test_a_childs_stem_leaves_nothing_of_the_parents_convolution(
    child: str, tmp_path: Path
) -> None:
    """Kernel, stride, norm and pool were the parent's stem; its channels still are `out`."""
    write(
        tmp_path,
        "parent.yaml",
        f"{SHORT}stem: {{channels: 20, kernel: 3, stride: 1, norm: false, pool: none}}\n",
    )
    spec = load(tmp_path, f"extends: parent.yaml\n{child}\n", name="child.yaml")
    assert spec.stem.channels == 20
    assert {"kernel", "stride", "norm", "pool"}.isdisjoint(spec.stem.model_fields_set)
    alone = load(tmp_path, f"{SHORT}{child}\n")
    assert kinds(spec.stem.steps_resolved()) == kinds(alone.stem.steps_resolved())


def test_a_childs_connectivity_replaces_the_parents_whole(tmp_path: Path) -> None:
    """A window of the parent's is no setting of the child's rule."""
    write(tmp_path, "parent.yaml", f"{SHORT}connectivity: {{window: 2, output: all}}\n")
    spec = load(tmp_path, "extends: parent.yaml\nconnectivity: log\n", name="child.yaml")
    assert (spec.connectivity.kind, spec.connectivity.window, spec.connectivity.output) == (
        "log",
        None,
        None,
    )
    same = load(tmp_path, "extends: parent.yaml\n", name="same.yaml")
    assert (same.connectivity.kind, same.connectivity.window) == ("window", 2)


def test_a_childs_layer_and_head_replace_the_parents(tmp_path: Path) -> None:
    """Lists are replaced whole, whichever of name and list the parent had."""
    write(
        tmp_path,
        "parent.yaml",
        f"{SHORT}layer: [conv: {{width: k, kernel: 3}}, norm]\nhead: [norm, activation]\n",
    )
    spec = load(tmp_path, "extends: parent.yaml\nlayer: basic\nhead: pooled\n", name="child.yaml")
    assert (spec.layer, spec.head.steps) == ("basic", "pooled")
    listed = load(
        tmp_path, "extends: parent.yaml\nlayer: [conv: {width: k, kernel: 5}]\n", name="other.yaml"
    )
    assert kinds(listed.layer) == ["conv"]


@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("connectivity=log", "log"),
        ("connectivity.window=3", "window"),
        ("connectivity={rule: one_shot}", "one_shot"),
    ],
)
def test_connectivity_can_be_overridden(override: str, rule: str, tmp_path: Path) -> None:
    """By name, by one setting, by a mapping."""
    assert load(tmp_path, SHORT, override).connectivity.kind == rule


# Layers of other steps, and the stem's output further on.

CONV = "[conv: {width: k, kernel: 3}, norm, activation]"
POINT = "[conv: {width: k, kernel: 1}, norm, activation]"
AGGREGATION = f"""\
growth_rate: 16
stem: {{channels: 12}}
layer: {CONV}
blocks:
  - layers: 6
    connectivity: {{edges: [[0], [0], [2], [3], [4], [5]], output: [1, 2, 4, 6]}}
    layer_at: {{1: &point {POINT}, 2: *point}}
    aggregate: {{channels: 40}}
head: pooled
"""


def test_named_layers_consist_of_their_own_steps(tmp_path: Path) -> None:
    """Two 1 x 1 convolutions of the input, a chain of four 3 x 3, a join of four:
    counted by hand, norms included.
    """
    spec = load(tmp_path, AGGREGATION)
    (block,) = spec.dense_blocks()
    assert [block.steps_of_layer(n)[0].conv.kernel for n in range(1, 7)] == [1, 1, 3, 3, 3, 3]
    graph = build_graph(spec)
    found = {stage.name: stage.params for stage in report(graph).stages}["features.denseblock1"]
    assert found == 2 * (12 * 16 + 32) + 4 * (16 * 16 * 9 + 32) + 4 * 16 * 40 + 80
    assert verify(graph) == ()


@pytest.mark.parametrize("wiring", ["dense", "log", "one_shot", "cross_stage_partial"])
def test_naming_every_layer_is_the_same_as_one_list_for_all(wiring: str, tmp_path: Path) -> None:
    """Operator by operator, names included;
    and the module is written as a loop again where it was one.
    """
    text = f"growth_rate: 4\nconnectivity: {wiring}\nstem: {{channels: 8}}\n"
    usual = load(tmp_path, f"{text}blocks: [{{layers: 3, layer: basic}}]\n")
    each = load(
        tmp_path, f"{text}blocks: [{{layers: 3, layer_at: {{1: basic, 2: basic, 3: basic}}}}]\n"
    )
    graphs = build_graph(usual), build_graph(each)
    assert digest_with_names(graphs[0]) == digest_with_names(graphs[1])
    assert write_module(graphs[0]) == write_module(graphs[1])


def test_layers_of_their_own_can_be_overridden_and_inherited(tmp_path: Path) -> None:
    """`--set` by number where the block has some and where it has none, from Python too;
    a child's blocks are whole.
    """
    text = f"{SHORT}layer: basic\n"
    changed = load(
        tmp_path, text, "blocks.1.layer_at.2=bottleneck", "blocks[0].layer_at={1: post_activation}"
    )
    assert [dict(block.layer_at or {}) for block in changed.blocks] == [
        {1: "post_activation"},
        {2: "bottleneck"},
    ]
    again = load(
        tmp_path, AGGREGATION, "blocks.0.layer_at.2.0.conv.kernel=5", "blocks[0].layer_at.6=basic"
    )
    (block,) = again.dense_blocks()
    assert [block.steps_of_layer(n)[0].kind for n in (1, 2, 6)] == ["conv", "conv", "norm"]
    convs = [block.steps_of_layer(n)[0].conv for n in (1, 2, 3)]
    assert [conv.kernel for conv in convs] == [1, 5, 3]  # type: ignore[union-attr]
    given = load_spec(
        tmp_path / "net.yaml", {"blocks.0.layer_at": {3: "basic"}, "blocks.0.layer_at.4": "basic"}
    )
    assert [*(given.blocks[0].layer_at or {})] == [3, 4]
    write(tmp_path, "parent.yaml", AGGREGATION)
    child = load(tmp_path, "extends: parent.yaml\ngrowth_rate: 8\n", name="child.yaml")
    assert [*(child.blocks[0].layer_at or {})] == [1, 2]
    other = load(tmp_path, "extends: parent.yaml\nblocks: [{layers: 2}]\n", name="other.yaml")
    assert other.blocks[0].layer_at is None


def test_numbers_of_layers_are_written_without_quotes(tmp_path: Path) -> None:
    """As people write them; a file that is saved reads back equal."""
    spec = load(tmp_path, AGGREGATION)
    text = to_yaml(spec.resolved())
    assert "\n    1:\n" in text
    assert load(tmp_path, text, name="again.yaml") == spec.model_copy(update={"name": "net"})


@pytest.mark.parametrize(
    ("settings", "channels"),
    [
        ("{steps: conv, pool: none, channels: 9, skip: stem}", 9 + 12),
        ("{steps: conv, pool: none, channels: 12, skip: stem, join: add}", 12),
        ("{steps: conv, pool: none, channels: 9, skip: stem, after: conv}", 9),
        (
            "{steps: [upsample, conv: {width: out, kernel: 1}], channels: 9, skip: "
            "stem, crop: true}",
            9 + 12,
        ),
        ("{steps: none, skip: stem}", 12 + 2 * 5 + 12),
    ],
)
def test_the_stems_output_is_joined_as_a_blocks_is(
    settings: str, channels: int, tmp_path: Path
) -> None:
    """Behind the last block, and behind the first,
    before which there is no other block to skip from.
    """
    text = (
        "growth_rate: 5\ninput: {height: 32, width: 40}\n"
        "stem: {channels: 12, kernel: 3, stride: 1, pool: none}\n"
    )
    graph = build_graph(
        load(tmp_path, f"{text}blocks: [{{layers: 2}}]\ntransitions: [{settings}]\n")
    )
    assert verify(graph) == ()
    join = graph.ops["features.transition1.join"]
    assert join.inputs[1] == "features.relu0"
    assert report(graph).stages[2].output[0] == channels


def test_a_stem_of_no_operator_passes_on_the_image(tmp_path: Path) -> None:
    """Then a skip of it joins the image."""
    text = (
        "growth_rate: 4\nnorm: none\nstem: {steps: [norm], pool: none}\n"
        "blocks: [{layers: 2, layer: basic}]\n"
    )
    graph = build_graph(load(tmp_path, f"{text}transitions: [{{steps: none, skip: stem}}]\n"))
    assert graph.ops["features.transition1.join"].inputs[1] == "input"
    assert verify(graph) == ()


# Any network.


@settings(
    max_examples=200, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)
@given(specs())
def test_any_spec_is_refused_at_a_place_or_proved_right(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    """Faults are placed in the file, each once;
    what is built verifies, counts alike twice, and reads back equal.
    """
    path = tmp_path_factory.getbasetemp() / "random.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    faults: tuple[Diagnostic, ...] = ()
    try:
        spec = load_spec(path)
        graph = build_graph(spec)
    except ArchspecError as error:
        faults = error.diagnostics
    assert all(fault.where.startswith(f"{path}:") for fault in faults)
    assert max(Counter(map(str, faults)).values(), default=1) == 1
    if faults:
        return
    assert verify(graph) == ()
    found, tensors = report(graph), list_parameters(graph).values()
    assert found.params == sum(_size(t.shape) for t in tensors if t.role not in STATISTICS)
    assert found.params_with_stats == sum(_size(tensor.shape) for tensor in tensors)
    assert all(block.edges == block.expected_edges for block in found.blocks)
    assert found.output == found.stages[-1].output
    again = path.with_name("again.yaml")
    again.write_text(yaml.safe_dump(spec.resolved(), sort_keys=False), encoding="utf-8")
    assert load_spec(again) == spec


def _size(shape: tuple[int, ...]) -> int:
    product = 1
    for length in shape:
        product *= length
    return product


def test_enough_random_specs_build() -> None:
    """A strategy whose networks are all refused would test nothing."""
    built = Counter[bool]()

    @settings(
        max_examples=150, database=None, derandomize=True, suppress_health_check=list(HealthCheck)
    )
    @given(specs())
    def count(values: dict[str, Any]) -> None:
        try:
            build_graph(Spec.model_validate(values))
            built[True] += 1
        except (GraphError, ValidationError):
            built[False] += 1

    count()
    assert built[True] > 30
