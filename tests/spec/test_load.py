"""From a name or a file to a Spec: extending, overriding, defaults, and writing it back."""

import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from archspec.errors import SpecError
from archspec.graph.build import build_graph
from archspec.spec.catalogue import shipped
from archspec.spec.compression import compress
from archspec.spec.load import is_overridden, is_users_choice, load_spec, validate
from archspec.spec.reading.yaml_reader import read_file
from archspec.spec.spec import Block, Spec
from archspec.spec.templates import load_templates

PARENT = """\
name: parent
growth_rate: 12
blocks: [{layers: 2}, {layers: 3, growth_rate: 8}]
stem: {channels: 16, kernel: 3, pool: none}
compression: 0.5
"""


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def layers(spec: Spec) -> list[int]:
    return [block.layers for block in spec.blocks]


def fault(path: Path | str, *overrides: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    (diagnostic,) = caught.value.diagnostics
    return str(diagnostic)


def test_a_spec_extends_a_shipped_one_by_name(tmp_path: Path) -> None:
    """All of densenet121 but what the child says; without a name it is called after its file."""
    path = write(tmp_path, "small-net.yaml", "extends: densenet121\ngrowth_rate: 12\n")
    spec = load_spec(path)
    assert (spec.name, spec.growth_rate, layers(spec)) == ("small-net", 12, [6, 12, 24, 16])


def test_a_path_to_a_parent_is_relative_to_the_child(tmp_path: Path) -> None:
    """Not to the directory in which the command runs;
    in a chain each step counts from its own file.
    """
    write(tmp_path, "base/parent.yaml", PARENT)
    write(tmp_path, "base/mid.yaml", "extends: parent.yaml\ngrowth_rate: 16\n")
    write(tmp_path, "plain", PARENT)
    child = write(tmp_path, "nets/child.yaml", "extends: ../base/mid.yaml\ncompression: 1\n")
    spec = load_spec(child)
    assert (spec.growth_rate, spec.compression, spec.stem.kernel, spec.name) == (
        16,
        1.0,
        3,
        "child",
    )
    bare = load_spec(write(tmp_path, "bare.yaml", "extends: plain\n"))
    assert bare.growth_rate == 12


def test_an_absolute_path_and_a_home_directory_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`~` is the user's home directory."""
    parent = write(tmp_path, "parent.yaml", PARENT)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (str(parent), "~/parent.yaml"):
        assert load_spec(write(tmp_path, "child.yaml", f"extends: {name}\n")).growth_rate == 12


def test_a_nested_mapping_is_overridden_key_by_key(tmp_path: Path) -> None:
    """stem.channels alone changes; kernel and pool stay the parent's, with their places."""
    parent = write(tmp_path, "parent.yaml", PARENT)
    spec = load_spec(write(tmp_path, "child.yaml", "extends: parent.yaml\nstem: {channels: 20}\n"))
    assert (spec.stem.channels, spec.stem.kernel, spec.stem.pool) == (20, 3, "none")
    assert spec.place(("stem", "kernel")) == f"{parent}:4:30"
    assert spec.place(("stem", "channels")) == f"{tmp_path}/child.yaml:2:18"


def test_a_null_takes_an_optional_setting_of_the_parent_back(tmp_path: Path) -> None:
    """stem.channels: null means its default again, twice the growth rate."""
    write(tmp_path, "parent.yaml", PARENT)
    spec = load_spec(
        write(tmp_path, "child.yaml", "extends: parent.yaml\nstem: {channels: null}\n")
    )
    assert (spec.stem.channels, build_graph(spec).ops["features.conv0"].attrs["out_channels"]) == (
        None,
        24,
    )


@pytest.mark.parametrize(
    ("parent", "child"),
    [
        ("block_config: [2, 2]", "blocks: [{layers: 4}]"),
        ("blocks: [{layers: 2}]", "block_config: [4]"),
    ],
)
def test_either_way_of_listing_blocks_overrides_the_other(
    tmp_path: Path, parent: str, child: str
) -> None:
    """A child that lists its blocks replaces the parent's list, whichever key each of them uses."""
    write(tmp_path, "parent.yaml", f"growth_rate: 12\n{parent}\n")
    path = write(tmp_path, "child.yaml", f"extends: parent.yaml\n{child}\n")
    spec = load_spec(path)
    assert layers(spec) == [4]
    assert spec.place(("blocks", 0, "layers")).startswith(f"{path}:2:")


@pytest.mark.parametrize(
    ("parent", "child", "field"),
    [
        ("block_config: [2, 2]", "blocks: [{layers: 0}]", "blocks[0].layers"),
        ("blocks: [{layers: 2}]", "block_config: [0]", "block_config[0]"),
    ],
)
def test_a_fault_names_the_key_that_the_user_wrote(
    tmp_path: Path, parent: str, child: str, field: str
) -> None:
    """Though both are blocks inside, a fault in block_config is told of block_config."""
    write(tmp_path, "parent.yaml", f"growth_rate: 12\n{parent}\n")
    assert f" S004 {field} (=0) must be in [1, 4096]" in fault(
        write(tmp_path, "child.yaml", f"extends: parent.yaml\n{child}\n")
    )


@pytest.mark.parametrize(
    ("parent", "child", "resolved"),
    [
        (
            "norm: group",
            "norm: {groups: 16}",
            {"norm": {"kind": "group", "eps": 1e-5, "groups": 16}},
        ),
        (
            "norm: {kind: group, eps: 0.1}",
            "norm: {kind: group, groups: 8}",
            {"norm": {"kind": "group", "eps": 0.1, "groups": 8}},
        ),
        (
            "norm: {kind: group, groups: 16}",
            "norm: layer",
            {"norm": {"kind": "layer", "eps": 1e-5}},
        ),
        (
            "activation: leaky_relu",
            "activation: {slope: 0.3}",
            {"activation": {"kind": "leaky_relu", "slope": 0.3}},
        ),
        ("activation: {kind: leaky_relu, slope: 0.3}", "activation: silu", {"activation": "silu"}),
    ],
)
def test_a_short_form_is_extended_as_the_long_one_is(
    tmp_path: Path, parent: str, child: str, resolved: dict[str, object]
) -> None:
    """Settings are added to a kind that a parent names;
    another kind leaves nothing of the parent's settings.
    """
    write(
        tmp_path,
        "parent.yaml",
        f"growth_rate: 16\nblock_config: [2]\nstem: {{channels: 64}}\n{parent}\n",
    )
    spec = load_spec(write(tmp_path, "child.yaml", f"extends: parent.yaml\n{child}\n")).resolved()
    assert {key: spec[key] for key in resolved} == resolved


def test_settings_below_a_short_form_can_be_set(tmp_path: Path) -> None:
    """Of norm, activation and connectivity, for the spec and for a block."""
    write(
        tmp_path,
        "net.yaml",
        "growth_rate: 16\nblocks: [{layers: 4, connectivity: log}]\nnorm: group\n",
    )
    given = [
        "norm.groups=8",
        "activation=leaky_relu",
        "activation.slope=0.3",
        "blocks.0.connectivity.output=all",
    ]
    spec = load_spec(tmp_path / "net.yaml", given)
    assert (spec.norm.kind, spec.norm.groups) == ("group", 8)
    assert (spec.activation.kind, spec.activation.slope) == ("leaky_relu", 0.3)
    wiring = spec.blocks[0].connectivity
    assert wiring is not None
    assert (wiring.kind, wiring.output) == ("log", "all")


def test_a_cycle_of_extends_is_told_with_all_its_files(tmp_path: Path) -> None:
    """Of three files, of two by another spelling of the path, of one;
    at the line that closes the circle.
    """
    write(tmp_path, "a.yaml", "extends: b.yaml\n")
    write(tmp_path, "b.yaml", "name: b\nextends: sub/../c.yaml\n")
    (tmp_path / "sub").mkdir()
    write(tmp_path, "c.yaml", "extends: ./a.yaml\n")
    assert fault(tmp_path / "a.yaml").endswith(
        "c.yaml:1:10 S010 extends itself: a.yaml -> b.yaml -> c.yaml -> a.yaml"
    )
    itself = write(tmp_path, "self.yaml", "extends: self.yaml\n")
    assert fault(itself) == f"{itself}:1:10 S010 extends itself: self.yaml -> self.yaml"


def test_an_endless_chain_is_cut(tmp_path: Path) -> None:
    """A thousand files that extend each other in a row do not exhaust the interpreter."""
    for number in range(1_000):
        write(tmp_path, f"{number}.yaml", f"extends: {number + 1}.yaml\n")
    assert "S010 extends a chain of more than 32 files" in fault(tmp_path / "0.yaml")


def test_a_missing_parent_is_told_at_the_line_that_asks_for_it(tmp_path: Path) -> None:
    """The child's file, line and column, not the missing file alone."""
    child = write(tmp_path, "child.yaml", "name: x\nextends: nowhere.yaml\n")
    assert fault(child).startswith(f"{child}:2:10 S010 there is no spec 'nowhere.yaml'")


def test_an_unreadable_parent_is_told(tmp_path: Path) -> None:
    """A parent that is no YAML: its own place."""
    write(tmp_path, "parent.yaml", "a: [1\n")
    child = write(tmp_path, "child.yaml", "extends: parent.yaml\n")
    assert fault(child).startswith(f"{tmp_path}/parent.yaml:2:1 Y006 is not YAML")


def test_a_parents_faults_stand_in_the_parents_file(tmp_path: Path) -> None:
    """Faults of parent and child are told together, each in its own file."""
    write(tmp_path, "parent.yaml", PARENT.replace("0.5", "1.5").replace("12", "0"))
    child = write(tmp_path, "child.yaml", "extends: parent.yaml\ngrowth_rate: 12\ndrop_rate: 3\n")
    with pytest.raises(SpecError) as caught:
        load_spec(child)
    assert [fault.where for fault in caught.value.diagnostics] == [
        f"{child}:3:12",
        f"{tmp_path}/parent.yaml:5:14",
    ]


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("blocks.2.growth_rate=8", ("blocks", 2, "growth_rate"), 8),
        ("blocks[2].growth_rate=8", ("blocks", 2, "growth_rate"), 8),
        ("blocks[2].layer=basic", ("blocks", 2, "layer"), "basic"),
        ("block_config[1]=3", ("blocks", 1, "layers"), 3),
        ("block_config.1=3", ("blocks", 1, "layers"), 3),
        ("transitions.1.compression=0.25", ("transitions", 1, "compression"), 0.25),
        ("transitions[2].pool=max", ("transitions", 2, "pool"), "max"),
        ("stem.channels=48", ("stem", "channels"), 48),
        ("stem.channels=null", ("stem", "channels"), None),
        ("stem.channels=", ("stem", "channels"), None),
        (" head.num_classes =10", ("head", "num_classes"), 10),
        ("norm.eps=1e-3", ("norm", "eps"), 1e-3),
        ("stem={kernel: 3, stride: 1}", ("stem", "kernel"), 3),
        ("description=a=b, c", ("description",), "a=b, c"),
        ("name=no", ("name",), "no"),
    ],
)
def test_an_override_sets_one_value(override: str, path: tuple[str | int, ...], value: Any) -> None:
    """Dots or brackets for indices, values as in YAML, `=` inside the value."""
    found: Any = load_spec("densenet121", [override])
    for part in path:
        found = found[part] if isinstance(part, int) else getattr(found, part)
    assert (found, type(found)) == (value, type(value))


def test_an_override_of_one_transition_leaves_the_others() -> None:
    """densenet121 lists no transitions; setting one lists all three,
    two of them with the defaults.
    """
    spec = load_spec("densenet121", ["transitions.1.compression=0.25"])
    assert [t.compression for t in spec.transitions_in_order()] == [0.5, 0.25, 0.5]


def test_lists_are_replaced_whole_and_overrides_apply_in_order() -> None:
    """A later index goes into an earlier list, a later key into an earlier mapping."""
    spec = load_spec("densenet121", ["block_config=[2, 5]", "blocks[1].growth_rate=8"])
    assert (layers(spec), spec.blocks[1].growth_rate) == ([2, 5], 8)
    spec = load_spec("densenet121", ["head={dropout: 0.5}", "head.num_classes=7"])
    assert (spec.head.dropout, spec.head.num_classes) == (0.5, 7)


REPLACED = {
    "another value": (["growth_rate=8", "growth_rate=9"], "growth_rate"),
    "the list that it is in": (["blocks.1.layers=8", "block_config=[1, 2]"], "blocks[1].layers"),
    "by its other name": (["blocks=[{layers: 7}]", "block_config=[1, 2, 3]"], "blocks"),
    "an entry of it": (
        ["block_config.1=8", "blocks=[{layers: 2}, {layers: 2}]"],
        "blocks[1].layers",
    ),
    "the mapping that it is in": (["norm.eps=0.1", "norm=group"], "norm.eps"),
    "a part's steps": (["stem.channels=8", "stem=[norm]"], "stem.channels"),
    "a part of it": (["block_config=[2, 2]", "blocks.1.layers=5"], "blocks"),
    "a key of the mapping": (["input={height: 64}", "input.height=32"], "input"),
    "from Python": ([("growth_rate", 8), ("growth_rate", 9)], "growth_rate"),
}


@pytest.mark.parametrize(("given", "key"), REPLACED.values(), ids=REPLACED)
def test_an_override_that_a_later_one_replaces_is_refused(given: Any, key: str) -> None:
    """It would do nothing, and its author does not know."""
    with pytest.raises(SpecError) as caught:
        load_spec("densenet121", given)
    (fault,) = caught.value.diagnostics
    assert fault.code == "S011"
    assert fault.message.startswith(f"{key} is replaced by ")


@pytest.mark.parametrize(
    "given",
    [
        ["growth_rate=8", "growth_rate=8"],
        ["blocks.1.layers=2", "block_config=[1, 2]"],
        ["norm.kind=group", "norm={kind: group, groups: 8}"],
        ["norm=layer", "norm.eps=0.1"],
    ],
)
def test_saying_a_thing_twice_is_no_fault(given: list[str]) -> None:
    """Nor is saying more of it."""
    assert load_spec("densenet121", given)


def test_overrides_from_python_are_plain_values() -> None:
    """A mapping's texts are texts, not YAML; None takes a setting back;
    tuples will do for lists.
    """
    overrides = {"description": "a: b", "stem.channels": None, "block_config": (2, 3), "name": "no"}
    spec = load_spec("densenetbc100_k12", overrides)
    assert (spec.description, spec.stem.channels, layers(spec), spec.name) == (
        "a: b",
        None,
        [2, 3],
        "no",
    )
    with pytest.raises(
        SpecError, match=r"^override growth_rate S004 growth_rate \(=0\) must be in \[1, 4096\]$"
    ):
        load_spec("densenet121", {"growth_rate": 0})


def test_texts_and_pairs_may_be_mixed() -> None:
    """A command's --set texts and its own flags, in one list and in that order."""
    spec = load_spec("densenet121", ["growth_rate=9", ("stem.channels", None)])
    assert (spec.growth_rate, spec.stem.channels) == (9, None)


def test_an_override_knows_its_place() -> None:
    """Later faults of the graph can say that the value came from the command line."""
    spec = load_spec("densenet121", ["blocks.1.growth_rate=8"])
    assert spec.place(("blocks", 1, "growth_rate")) == "--set blocks.1.growth_rate=8"
    assert spec.place(("blocks", 0)).endswith("densenet121.yaml:9:16")


@pytest.mark.parametrize(
    "text", ["head.num_classes=7", " head.num_classes =7", "head={num_classes: 7}"]
)
def test_a_value_of_the_command_line_is_told_from_one_of_a_file(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the override is spelt and wherever one stands;
    a shipped spec's value is nobody's choice.
    """
    path = ("head", "num_classes")
    monkeypatch.chdir(shipped()["densenet121"].parent)
    own = load_spec(
        write(tmp_path, "own.yaml", "extends: densenetbc_digits\nhead: {num_classes: 7}\n")
    )
    plain, given = load_spec("densenetbc_digits"), load_spec("densenetbc_digits", [text])
    assert [is_users_choice(spec, path) for spec in (own, plain, given)] == [True, False, True]
    assert [is_overridden(spec, path) for spec in (own, plain, given)] == [False, False, True]


NAMES_LIKE_PLACES = ("--set x.yaml", "override x.yaml", "--lr 3.yaml", "a:3:4.yaml", "a:b c.yaml")


@pytest.mark.parametrize("name", NAMES_LIKE_PLACES)
def test_a_file_is_a_file_whatever_it_is_called(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name like a setting or a place changes neither the origin nor the order of faults."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, name, "extends: densenet121\nhead: {num_classes: 7}\n")
    spec, path = load_spec(name), ("head", "num_classes")
    assert (is_users_choice(spec, path), is_overridden(spec, path)) == (True, False)
    assert spec.place(path) == f"{name}:2:21"
    write(tmp_path, name, "growth_rate: 0\nblock_config: [0]\nnorm: 3\n")
    with pytest.raises(SpecError) as caught:
        load_spec(name, ["head.num_classes=0"])
    assert [fault.where for fault in caught.value.diagnostics] == [
        f"{name}:1:14",
        f"{name}:2:16",
        f"{name}:3:7",
        "--set head.num_classes=0",
    ]


@pytest.mark.parametrize("name", NAMES_LIKE_PLACES)
def test_transitions_listed_for_other_blocks_are_found_in_a_file_of_any_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parent is read anew to see how many blocks its transitions were meant for."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path, name, "growth_rate: 8\nblock_config: [1, 1, 1]\ntransitions: [{}, {}]\n")
    with pytest.raises(
        SpecError, match=r"S006 transitions \(=2 entries\) were listed for 3 blocks"
    ):
        load_spec(name, ["block_config=[1, 1]"])


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("my_net.yaml", "my_net"),
        ("my net.yaml", "my_net"),
        ("7.yaml", "network_7"),
        ("ü.yml", "network__"),
    ],
)
def test_a_spec_without_a_name_is_called_after_its_file(
    tmp_path: Path, file: str, name: str
) -> None:
    """Signs that a name may not have are replaced."""
    assert load_spec(write(tmp_path, file, "growth_rate: 2\nblock_config: [1]\n")).name == name


def test_the_file_may_lie_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path with blanks, colons and a relative spelling; the place is what the user typed."""
    write(tmp_path, "a b/c:d.yaml", "growth_rate: 0\nblock_config: [1]\n")
    monkeypatch.chdir(tmp_path)
    found = fault(os.path.join("a b", "c:d.yaml"))
    assert found == "a b/c:d.yaml:1:14 S004 growth_rate (=0) must be in [1, 4096]"


def test_a_spec_is_immutable() -> None:
    """Frozen at every level."""
    spec = load_spec("densenet121")
    with pytest.raises(ValidationError, match="frozen"):
        spec.growth_rate = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        spec.stem.kernel = 3  # type: ignore[misc]


def test_specs_are_equal_when_their_settings_are(tmp_path: Path) -> None:
    """Where a spec was written plays no part."""
    copy = write(tmp_path, "densenet264.yaml", "extends: densenet264\nsource: x\n")
    same = load_spec(copy, [f"source={load_spec('densenet264').source}"])
    assert same == load_spec("densenet264")
    assert len({same, load_spec("densenet264")}) == 1
    assert same != load_spec("densenet169")
    assert same != "densenet264"


def _said(block: Block) -> tuple[object, ...]:
    return block.widths, block.growth_rate, block.steps, block.bottleneck, block.drop_rate


def test_defaults_are_filled_in_block_by_block() -> None:
    """What a block does not say is the spec's."""
    spec = load_spec(
        "densenet121",
        [
            "blocks=[{layers: 2}, {layers: 3, growth_rate: 8, layer: post_bottleneck, "
            "bottleneck: 2, drop_rate: 0}]",
            "drop_rate=0.1",
        ],
    )
    first, second = spec.dense_blocks()
    layers = load_templates("layers")
    assert _said(first) == ((32, 32), 32, layers["bottleneck"], 4, 0.1)
    assert _said(second) == ((8, 8, 8), 8, layers["post_bottleneck"], 2, 0.0)


rates = st.floats(0, 0.99, allow_nan=False)
blocks = st.fixed_dictionaries(
    {"layers": st.integers(1, 4096)},
    optional={
        "growth_rate": st.integers(1, 4096),
        "layer": st.sampled_from(["basic", "bottleneck"]),
        "bottleneck": st.integers(1, 64),
        "drop_rate": rates,
    },
)
transitions = st.fixed_dictionaries(
    {},
    optional={"compression": st.floats(1e-9, 1), "pool": st.sampled_from(["avg", "max", "none"])},
)


def bounded(listed: Any) -> bool:
    return bool(sum(block["layers"] for block in listed) < 2800)


@st.composite
def settings_of_specs(draw: st.DrawFn) -> dict[str, Any]:
    listed = draw(st.lists(blocks, min_size=1, max_size=3).filter(bounded))
    between = st.lists(transitions, min_size=len(listed) - 1, max_size=len(listed) - 1)
    optional: dict[str, st.SearchStrategy[Any]] = {
        "name": st.sampled_from(["net", "no", "null", "Infinity", "e1", "on"]),
        "description": st.text("aé🙂\"'\n\t\\ :#-{}[]~%@&*!|>?,\u2028", max_size=12),
        "transitions": between,
        "compression": st.floats(1e-9, 1),
        "drop_rate": rates,
        "activation": st.sampled_from(["relu", "silu"]),
        "norm": st.fixed_dictionaries(
            {}, optional={"eps": st.floats(1e-12, 1), "momentum": st.floats(0, 1)}
        ),
        "stem": st.fixed_dictionaries(
            {}, optional={"channels": st.integers(1, 9), "norm": st.booleans()}
        ),
    }
    rest = draw(st.fixed_dictionaries({"growth_rate": st.integers(1, 4096)}, optional=optional))
    return {**rest, "blocks": listed}


@settings(max_examples=100)
@given(settings_of_specs())
def test_any_resolved_spec_reads_back_equal(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any]
) -> None:
    """Dumped as YAML and read again: the same spec, whatever its numbers and texts."""
    spec = Spec.model_validate(values)
    path = tmp_path_factory.getbasetemp() / "resolved.yaml"
    path.write_text(yaml.safe_dump(spec.resolved(), sort_keys=False), encoding="utf-8")
    assert validate(Spec, read_file(path)) == spec


@given(st.integers(1, 10**6), st.decimals(min_value="0.001", max_value=1, places=3))
def test_compression_rounds_down_the_decimal_product(channels: int, share: Any) -> None:
    """The exact decimal product, as a person computes it on paper."""
    assert compress(channels, float(share)) == int(channels * share)


def test_every_shipped_spec_loads_with_overrides() -> None:
    """The flags that everyone reaches for work on the whole catalogue."""
    for name in shipped():
        spec = load_spec(name, ["head.num_classes=7", "input.height=64", "input.width=64"])
        assert (spec.head.num_classes, spec.input.height, spec.name) == (7, 64, name)


@pytest.mark.parametrize("name", ["run", "./run", "run/"])
def test_a_run_directory_is_no_spec_and_its_spec_is_named(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands that take a spec alone say which file to name; `certify` takes the folder."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "spec.yaml").write_text("extends: densenet121")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"S010 .* is a folder, not a spec .*: run/spec.yaml\)"):
        load_spec(name)
