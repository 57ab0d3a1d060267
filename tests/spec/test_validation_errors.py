"""Errors in a spec: every fault at once, each at its place,
with the rule it breaks and the likely cure.

Each file of tests/invalid opens with one `# expect: LINE:COLUMN CODE message` for every diagnostic.
"""

from pathlib import Path
from typing import get_args

import pytest

from archspec.errors import ArchspecError
from archspec.graph.build import build_graph
from archspec.operators.table import NORMS, find_by_word, letters_of, norm_name
from archspec.spec.catalogue import shipped
from archspec.spec.load import load_spec
from archspec.spec.override import Override
from archspec.spec.reading.foreign_keys import STEPS_OF_OTHERS, WORDS_OF_NOTHING
from archspec.spec.steps import ActivationKind, NormKind, StepSpec
from densenet_cli.options import place_typed

INVALID = Path(__file__).resolve().parents[1] / "invalid"
FILES = sorted(INVALID.glob("*.yaml"))
BASE = "growth_rate: 12\nblock_config: [2, 2]\n"


def faults(path: Path, *overrides: str | Override) -> list[str]:
    with pytest.raises(ArchspecError) as caught:
        build_graph(load_spec(path, overrides))
    return [str(fault) for fault in caught.value.diagnostics]


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "net.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def written_out(line: str) -> str:
    """A line with the choices in it that grow: what is shipped, and what rows say."""
    steps = [kind for kind in StepSpec.model_fields if kind != "name"]
    line = line.replace("{shipped}", ", ".join(shipped()))
    line = line.replace("{steps}", ", ".join(map(repr, steps)))
    for key, kinds in (("{activations}", ActivationKind), ("{norms}", NormKind)):
        *first, last = map(repr, get_args(kinds))
        line = line.replace(key, f"{', '.join(first)} or {last}")
    return line


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_an_invalid_spec_gives_exactly_the_faults_that_it_announces(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every expected diagnostic, and no other, in the order of the file."""
    monkeypatch.chdir(INVALID)
    lines = path.read_text(encoding="utf-8").splitlines()
    announced = [line.removeprefix("# expect: ") for line in lines if line.startswith("# expect: ")]
    expected = [written_out(line) for line in announced]
    found = [fault.removeprefix(f"{path.name}:") for fault in faults(Path(path.name))]
    assert found == expected


def test_the_invalid_files_cover_every_code_of_reading_and_checking() -> None:
    """A code that no file expects would be untested; G006 is a graph's;
    Y001 and Y002 need other files than text.
    """
    text = "\n".join(path.read_text(encoding="utf-8") for path in FILES)
    codes = [*(f"Y00{n}" for n in range(3, 10)), *(f"S00{n}" for n in range(1, 7)), "S010", "G006"]
    assert [code for code in codes if f" {code} " not in text] == []


def test_a_fault_of_a_command_line_override_says_so(tmp_path: Path) -> None:
    """Faults of --set and of the file stand side by side, each with its own place."""
    path = written(tmp_path, BASE + "drop_rate: 2\n")
    assert faults(path, "compression=1.5", "stem.kernal=3", "head={num_classes: 0}") == [
        f"{path}:3:12 S004 drop_rate (=2) must be in [0, 1)",
        "--set stem.kernal=3 S001 unknown key 'stem.kernal' (did you mean 'kernel'?)",
        "--set compression=1.5 S004 compression (=1.5) must be in (0, 1]",
        "--set head={num_classes: 0} S004 head.num_classes (=0) must be in [1, 1000000]",
    ]


def test_an_unreadable_override_hides_no_other_fault(tmp_path: Path) -> None:
    """The overrides that can be read apply, what they leave is checked,
    and all faults come: the file's first.
    """
    path = written(tmp_path, BASE + "drop_rate: 2\nactivation: ReLU\ncompression: 3\n")
    found = faults(
        path, "nothing", "compression=0.5", "stem=[1", "blocks.9.layers=1", "bottleneck=0"
    )
    assert [fault.replace(str(path), "net.yaml").partition(" (")[0] for fault in found] == [
        "net.yaml:3:12 S004 drop_rate",
        "net.yaml:4:13 S005 activation",
        "--set nothing S011 an override is key.path=value",
        "--set stem=[1 Y006 is not YAML: did not find expected ',' or ']' while "
        "parsing a flow sequence",
        "--set blocks.9.layers=1 S011 blocks[9].layers: 9 must be an index below 2",
        "--set bottleneck=0 S004 bottleneck",
    ]


def test_overrides_that_cannot_be_read_are_told_beside_a_file_that_cannot(tmp_path: Path) -> None:
    """One round of mending is enough, even where there is nothing to override."""
    path = written(tmp_path, "a: [1")
    found = faults(path, "nothing", "growth_rate=3")
    assert found[0].startswith(f"{path}:2:1 Y006 ")
    assert found[1:] == ["--set nothing S011 an override is key.path=value"]


def test_an_override_from_elsewhere_is_told_at_its_own_place(tmp_path: Path) -> None:
    """A flag of its own, a key with a prefix: what the user typed,
    whether it is unreadable, lost or wrong.
    """
    overrides = [
        Override("drop_rate", place_typed("--set x.drop_rate")),
        Override("blocks.7.layers=1", place_typed("--set x.blocks.7.layers=1")),
        Override(("head.num_classes", 0), place_typed("--num-classes 0")),
        Override(("name", "1.5"), place_typed("--name 1.5")),
    ]
    found = faults(written(tmp_path, BASE), *overrides)
    assert [fault.partition(" (")[0] for fault in found] == [
        "--set x.drop_rate S011 an override is key.path=value",
        "--set x.blocks.7.layers=1 S011 blocks[7].layers: 7 must be an index below 2",
        "--name 1.5 S004 name",
        "--num-classes 0 S004 head.num_classes",
    ]


def test_faults_of_files_come_line_by_line_whatever_the_file_is_called(tmp_path: Path) -> None:
    """Line 10 after line 9, colons and blanks in the name."""
    path = tmp_path / "a 7:3 b.yaml"
    path.write_text(
        "growth_rate: 12\nblock_config: [2]\n" + "\n" * 6 + "drop_rate: 2\ncompression: 0\n",
        encoding="utf-8",
    )
    assert [fault.split(" S004")[0] for fault in faults(path)] == [f"{path}:9:12", f"{path}:10:14"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("growth_rate", "--set growth_rate S011 an override is key.path=value"),
        ("=3", "--set =3 S011 an override is key.path=value"),
        ("...=3", "--set ...=3 S011 an override is key.path=value"),
        (
            "blocks.4.layers=3",
            "--set blocks.4.layers=3 S011 blocks[4].layers: 4 must be an index below 2",
        ),
        (
            "blocks.-1.layers=3",
            "--set blocks.-1.layers=3 S011 blocks.-1.layers: '-1' must be an index of the list",
        ),
        ("blocks.²=3", "--set blocks.²=3 S011 blocks.²: '²' must be an index of the list"),
        (
            "growth_rate.k=3",
            "--set growth_rate.k=3 S011 growth_rate.k: 'k' must be below a mapping, not a value",
        ),
        (
            "transitions.1.pool=max",
            "--set transitions.1.pool=max S011 transitions[1].pool: 1 must be an index below 1",
        ),
        ("stem=[1", "--set stem=[1 Y006 is not YAML: did not find expected ',' or ']'"),
        ("stem={a: 1, a: 2}", "--set stem={a: 1, a: 2} Y009 the key 'a' stands twice"),
        ("stem=!!python/name:os.x", "--set stem=!!python/name:os.x Y008 the tag"),
        (
            "extends=densenet121",
            "--set extends=densenet121 S011 extends cannot be overridden: name that spec instead",
        ),
        (
            "stem.channels=no",
            "--set stem.channels=no S003 stem.channels (=no) must be a whole number",
        ),
    ],
)
def test_an_override_that_leads_nowhere_is_one_clear_error(
    tmp_path: Path, text: str, fault: str
) -> None:
    """No `=`, no key, an index beyond the end, a key into a number, text that is no YAML."""
    found = faults(written(tmp_path, BASE), text)
    assert len(found) == 1
    assert found[0].startswith(fault)


def test_all_faulty_overrides_are_reported_at_once(tmp_path: Path) -> None:
    """The second broken override is not hidden by the first."""
    found = faults(written(tmp_path, BASE), "nothing", "blocks.9.layers=1", "stem.kernel=3")
    assert [fault.split(" S011 ")[0] for fault in found] == [
        "--set nothing",
        "--set blocks.9.layers=1",
    ]


def test_hostile_overrides_are_cut_short_and_printable(tmp_path: Path) -> None:
    """A path of 50,000 keys, a value of 200 KB, escape codes for the terminal:
    one short line each.
    """
    path = written(tmp_path, BASE)
    for text in (
        "a." * 50_000 + "b=1",
        "name=" + "x" * 200_000,
        'name="\\e[31m\\n"',
        "blocks." + "9" * 9_000 + "=1",
    ):
        (found,) = faults(path, text)
        assert len(found) < 250
        assert found.isprintable()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("compression: 1.5", "3:14 S004 compression (=1.5) must be in (0, 1]"),
        ("compression: .nan", "3:14 S004 compression (=nan) must be a finite number in (0, 1]"),
        ("drop_rate: 1", "3:12 S004 drop_rate (=1) must be in [0, 1)"),
        ("bottleneck: 65", "3:13 S004 bottleneck (=65) must be in [1, 64]"),
        ("stem: {channels: 0}", "3:18 S004 stem.channels (=0) must be in [1, 65536]"),
        (
            "transitions: [{compression: 2}]",
            "3:29 S004 transitions[0].compression (=2) must be in (0, 1]",
        ),
    ],
)
def test_a_range_is_named_with_both_ends_as_the_field_declares_them(
    tmp_path: Path, text: str, message: str
) -> None:
    """Open and closed ends, optional fields and fields of list entries alike."""
    path = written(tmp_path, BASE + text + "\n")
    assert faults(path) == [f"{path}:{message}"]


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("se", "write squeeze_excite"),
        ("SELayer", "write squeeze_excite"),
        ("lrn", f"norm may be {', '.join(map(norm_name, NORMS))}"),
        ("LocalResponseNorm", "there is no local response norm"),
        ("flatten", "leave it out: global_pool gives a vector"),
        ("Identity", "leave it out"),
        ("softmax", "leave it out"),
        ("DepthToSpace", "did you mean 'pixel_shuffle'?"),
        ("space_to_depth", "did you mean 'pixel_unshuffle'?"),
        ("interpolate", "did you mean 'upsample'?"),
        ("Deconv", "did you mean 'conv_transpose'?"),
        ("BatchNorm2d", "write {norm: batch}"),
        ("InstanceNorm2d", "write {norm: instance}"),
        ("StdConv2d", "write {conv: {kernel: ..., standardized: true}}"),
        ("ws_conv", "write {conv: {kernel: ..., standardized: true}}"),
        ("weight_standardization", "write {conv: {kernel: ..., standardized: true}}"),
        ("AdaptiveMaxPool2d", "write {global_pool: {kind: max}}"),
        ("gap", "did you mean 'global_pool'?"),
        ("unshuffle", "did you mean 'pixel_unshuffle'?"),
        ("shuffle_pixels", "did you mean 'pixel_shuffle'?"),
        ("alpha_dropout", "(there is no alpha dropout)"),
        ("MaxUnpool2d", "(there is no max unpool)"),
        ("MaxUnpool3d", "(there is no max unpool)"),
        ("concat", "write {branches: {join: concat, of: [...]}}"),
    ],
)
@pytest.mark.parametrize("form", ["{word}", "{{{word}: {{kernel: 3}}}}"])
def test_a_step_of_other_frameworks_is_answered(
    word: str, hint: str, form: str, tmp_path: Path
) -> None:
    """As a word, or as a key with settings: what it is called here, or that there is none."""
    step = form.format(word=word)
    (fault,) = faults(written(tmp_path, f"{BASE}layer: [{step}, {{conv: {{kernel: 3}}}}]\n"))
    assert fault.endswith(")")
    assert hint in fault


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("selu", "there is no SELU"),
        ("celu", "there is no CELU"),
        ("LogSigmoid", "there is no log sigmoid"),
        ("hardshrink", "there is no hard shrink"),
        ("quick_gelu", "there is no quick GELU"),
        ("hard_mish", "there is no hard mish"),
        ("hardtanh", "did you mean 'hard_tanh'?"),
        ("sillu", "did you mean 'silu'?"),
    ],
)
def test_another_function_is_never_offered_for_one_that_is_not_here(
    word: str, hint: str, tmp_path: Path
) -> None:
    """However near its spelling; whoever followed would have another network."""
    (fault,) = faults(written(tmp_path, f"{BASE}activation: {word}\n"))
    assert fault.endswith(f"({hint})")


@pytest.mark.parametrize(
    ("step", "hint"),
    [
        ("norm: {affine: false}", "write nothing: each norm has a scale, and a shift but for rms"),
        ("drop_path: {drop_prob: 0.2}", "write rate"),
        ("drop_path: {p: 0.2}", "write rate"),
        ("dropout2d: {p: 0.2}", "write rate"),
        ("dropout: {p: 0.2}", "write rate"),
        ("pixel_shuffle: {upscale_factor: 2}", "write factor"),
        ("pixel_unshuffle: {downscale_factor: 2}", "write factor"),
        ("conv: {kernel: 3, weight_standardization: true}", "write standardized"),
        (
            "conv: {kernel: 3, p: 0.2}",
            "known keys: width, kernel, stride, padding, dilation, groups",
        ),
    ],
)
def test_a_setting_of_other_frameworks_is_answered_where_ours_may_stand(
    step: str, hint: str, tmp_path: Path
) -> None:
    """And nothing more is said of it: ours is not missing as well."""
    (fault,) = faults(written(tmp_path, f"{BASE}layer: [{step}, conv: {{kernel: 3}}]\n"))
    assert f"S001 unknown key 'layer[0].{step.split(':')[0]}." in fault
    assert f"({hint}" in fault


@pytest.mark.parametrize("step", ["dropout2d", "dropout2d:", "dropout2d: {}"])
def test_a_step_alone_that_needs_a_setting_is_named(step: str, tmp_path: Path) -> None:
    """As one with a mapping is, though no key of the file says it."""
    path = written(tmp_path, f"{BASE}layer:\n- norm\n- {step}\n- conv: {{kernel: 3}}\n")
    (fault,) = faults(path)
    assert fault.endswith("S002 layer[1].dropout2d must have the key 'rate'")


def test_no_word_for_a_step_is_an_operators_too() -> None:
    """Else one of the two answers would never be given."""
    words = STEPS_OF_OTHERS.keys() | WORDS_OF_NOTHING.keys()
    assert {word for word in words if find_by_word(word)} == set()
    assert STEPS_OF_OTHERS.keys().isdisjoint(WORDS_OF_NOTHING)
    assert {word for word in STEPS_OF_OTHERS if letters_of(word) != word} == set()
