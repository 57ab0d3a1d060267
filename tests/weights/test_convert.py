"""From a file of somebody else's to ours and back, and every way in which that is refused."""

from pathlib import Path

import numpy as np
import oracle
import pytest
from safetensors.numpy import save_file
from weights.networks import OWN_RULES, own_name, same, weights_of
from weights.torch_files import save

from archspec.errors import ArchspecError, ModelFileError
from archspec.graph.build import build_graph
from archspec.spec.load import load_spec
from archspec.spec.spec import Spec
from archspec.weights.convert import Conversion, convert_file
from archspec.weights.formats.weight_files import read_tensors, write_tensors
from archspec.weights.pairing.naming import translate_names

DIGITS = load_spec("densenetbc_digits")
WEIGHTS = weights_of("densenetbc_digits")
CASES = Path(__file__).parents[1] / "cases"
"""Files that torch wrote, each with an input and the output that torch gave."""
OF_SMALL_DENSENETS = (
    "growth_rate=4",
    "block_config=[2, 2]",
    "stem.channels=6",
    "head.num_classes=5",
)
SMALL = load_spec(str(CASES / "small_net.yaml"))


def lines(file: Path, *arguments, **options) -> list[str]:
    with pytest.raises(ArchspecError) as caught:
        convert_file(file, *arguments, **options)
    return [str(fault).replace(str(file), "FILE") for fault in caught.value.diagnostics]


def from_torchs(recorded: str, spec: Spec, found: Conversion) -> float:
    """How far the converted weights are from what torch gave, by the NumPy oracle."""
    arrays = np.load(CASES / f"{recorded}.npz")
    output = oracle.forward(build_graph(spec).ops.values(), found.tensors, arrays["x"])
    return oracle.distance(output, arrays["y"])


def in_names(naming: str, prefix: str = "") -> dict[str, np.ndarray]:
    theirs = translate_names(naming, WEIGHTS)
    return {prefix + theirs[name]: array for name, array in WEIGHTS.items()}


@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
@pytest.mark.parametrize("target", ["mindcv", "torchvision", "torchvision_old", "mindspore"])
@pytest.mark.parametrize(
    "name", ["densenetbc_digits", pytest.param("densenet121", marks=pytest.mark.slow)]
)
def test_there_and_back_is_the_same(name, target, suffix, tmp_path):
    """Bit for bit and in order; the naming is recognised."""
    spec, weights = load_spec(name), weights_of(name)
    write_tensors(tmp_path / "ours.ckpt", weights)
    convert_file(tmp_path / "ours.ckpt", spec, tmp_path / f"theirs{suffix}", target=target)
    assert set(read_tensors(tmp_path / f"theirs{suffix}")) == set(
        translate_names(target, weights).values()
    )
    convert_file(tmp_path / f"theirs{suffix}", spec, tmp_path / "back.ckpt")
    assert same(read_tensors(tmp_path / "back.ckpt"), weights)


def test_a_program_may_name_spec_and_files_in_words(tmp_path, capfd):
    """As on the command line, overrides too; nothing is printed, and the file is written."""
    write_tensors(tmp_path / "ours.safetensors", WEIGHTS)
    files = [str(tmp_path / name) for name in ("ours.safetensors", "theirs.safetensors")]
    found = convert_file(files[0], "densenetbc_digits", files[1], target="torchvision")
    assert same(dict(found.tensors), WEIGHTS)
    assert set(read_tensors(Path(files[1]))) == set(
        translate_names("torchvision", WEIGHTS).values()
    )
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ModelFileError, match="R003"):
        convert_file(files[0], "densenetbc_digits", overrides={"growth_rate": 8})


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_torchs_files_are_taken_over(prefix, legacy, tmp_path):
    """As `torch.save` writes them after training on several devices, with counters of batches."""
    theirs = in_names("torchvision", prefix)
    theirs[f"{prefix}features.norm5.num_batches_tracked"] = np.array(9, np.int64)
    file = save(tmp_path / "theirs.pth", theirs, legacy=legacy, wrap="state_dict")
    found = convert_file(file, DIGITS)
    assert same(dict(found.tensors), WEIGHTS)
    assert found.naming == "torchvision's and timm's" + (", each after 'module.'" if prefix else "")
    assert found.set_aside == {"epoch": 1, "optimizer": 1, "num_batches_tracked": 1}
    assert found.params + found.stats == sum(array.size for array in WEIGHTS.values())


def test_factors_of_a_scale_come_from_torch_as_they_meet_feature_maps(tmp_path):
    """(C, 1, 1) there, a vector here, as a PReLU's slopes are; by name and by order."""
    file = tmp_path / "scaled.yaml"
    layer = "[norm, {activation: prelu}, {conv: {width: k, kernel: 3}}, scale]"
    file.write_text(f"extends: densenetbc_digits\nlayer: {layer}\n")
    spec, weights = load_spec(str(file)), weights_of(str(file))
    names = translate_names("torchvision", weights)
    factors = [name for name in weights if ".scale1." in name]
    theirs = {**weights, **{name: weights[name].reshape(-1, 1, 1) for name in factors}}
    assert factors
    save(tmp_path / "a.pth", {names[name]: array for name, array in theirs.items()})
    assert same(dict(convert_file(tmp_path / "a.pth", spec).tensors), weights)
    save(tmp_path / "b.pth", {own_name(name): array for name, array in theirs.items()})
    assert same(dict(convert_file(tmp_path / "b.pth", spec, by_order=True).tensors), weights)


def test_a_handwritten_networks_checkpoint_is_taken_over(tmp_path):
    """In MindCV's structure, saved by MindSpore from a training step
    with momentum and moving averages.
    """
    import mindspore as ms
    from handwritten import HandwrittenDenseNet
    from mindspore import nn

    network = HandwrittenDenseNet(8, (2, 3), 16, num_classes=5)
    optimizer = nn.Momentum(network.trainable_params(), 0.1, 0.9)
    averages = ms.ParameterTuple(network.get_parameters()).clone("ema", init="same")
    every = [*network.get_parameters(), *optimizer.get_parameters(), *averages]
    entries = [{"name": name, "data": p} for name, p in {p.name: p for p in every}.items()]
    ms.save_checkpoint(entries, str(tmp_path / "theirs.ckpt"))
    spec = load_spec("densenet121", ["growth_rate=8", "block_config=[2, 3]", "stem.channels=16"])
    found = convert_file(tmp_path / "theirs.ckpt", spec, tmp_path / "ours.ckpt")
    assert found.naming == "MindCV's"
    assert found.remarks[0].startswith("5 classes as in the file; ")
    assert set(found.set_aside) >= {"moments", "ema"}
    assert "its EMA weights, 'ema', were not" in found.remarks[1]
    values = {p.name: p.asnumpy() for p in network.get_parameters()}
    assert {theirs: found.tensors[ours].tobytes() for theirs, ours in found.pairs.items()} == {
        name: value.tobytes() for name, value in values.items()
    }
    averages = convert_file(tmp_path / "theirs.ckpt", spec, ema=True)
    assert all(name.startswith("ema.") for name in averages.pairs)
    assert same(dict(averages.tensors), dict(found.tensors))  # they begin as the same


def test_names_of_ones_own_by_rules_by_order_and_by_what_was_suggested(tmp_path):
    """Three ways to the same tensors."""
    file = save(tmp_path / "mine.pth", {own_name(name): array for name, array in WEIGHTS.items()})
    (tmp_path / "rules.yaml").write_text(OWN_RULES)
    suggestion = tmp_path / "suggested.yaml"
    by_rules = convert_file(file, DIGITS, rules=tmp_path / "rules.yaml")
    by_order = convert_file(file, DIGITS, by_order=True, suggest=suggestion)
    again = convert_file(file, DIGITS, rules=suggestion)
    assert by_order.naming == "by order"
    assert same(dict(by_rules.tensors), WEIGHTS)
    assert dict(by_rules.pairs) == dict(by_order.pairs) == dict(again.pairs)
    assert len(suggestion.read_text().splitlines()) < 25


def test_the_tensors_of_a_loss_beside_the_network_are_set_aside(tmp_path):
    """Of a module that owns both; where nothing stands before the network's names, as surplus."""
    loss = {"loss.weight": np.ones(10, np.float32), "loss.scale.bias": np.ones(1, np.float32)}
    save_file({**in_names("torchvision", "net."), **loss}, tmp_path / "x.safetensors")
    found = convert_file(tmp_path / "x.safetensors", DIGITS)
    assert same(dict(found.tensors), WEIGHTS)
    assert found.set_aside == {"loss": 2}
    save_file({**in_names("torchvision"), **loss}, tmp_path / "x.safetensors")
    assert lines(tmp_path / "x.safetensors", DIGITS) == [
        "FILE R003 has loss.scale.bias, which the network lacks",
        "FILE R003 has loss.weight, which the network lacks",
    ]


def test_what_differs_is_listed_in_the_files_names(tmp_path):
    """Missing with the nearest, of another shape, surplus;
    the number of those that are not listed.
    """
    theirs = in_names("torchvision")
    theirs["features.norm5.extra"] = theirs.pop("features.norm5.weight")
    theirs["features.conv0.weight"] = np.zeros((24, 2, 3, 3), np.float32)
    save_file(theirs, tmp_path / "x.safetensors")
    assert lines(tmp_path / "x.safetensors", DIGITS) == [
        "FILE R003 has features.conv0.weight as (24, 2, 3, 3), the network needs (24, 1, 3, 3)",
        "FILE R003 lacks features.norm5.weight (it has features.norm5.extra)",
        "FILE R003 has features.norm5.extra, which the network lacks",
    ]
    found = lines(tmp_path / "x.safetensors", load_spec("densenetbc_digits", ["growth_rate=8"]))
    assert (len(found), found[-1][-24:]) == (21, "more parameters do not fit"[-24:])


def test_a_naming_that_is_said_is_believed(tmp_path):
    """`--from`: what the file lacks is told in that naming."""
    save_file(in_names("torchvision"), tmp_path / "x.safetensors")
    found = lines(tmp_path / "x.safetensors", DIGITS, source="mindcv")
    assert found[0].startswith("FILE R003 lacks features.denseblock1.cell_list.0.norm1.moving_mean")


def test_the_files_classes_count_unless_somebody_chose_them(tmp_path):
    """As for certify; where the user chose, a classifier of another size is told as such."""
    save_file(weights_of("densenetbc_digits", "head.num_classes=7"), tmp_path / "x.safetensors")
    found = convert_file(tmp_path / "x.safetensors", DIGITS)
    assert found.tensors["classifier.weight"].shape[0] == 7
    assert (
        found.remarks[0]
        == "7 classes as in the file; densenetbc_digits has 10 where nothing else is said"
    )
    assert convert_file(tmp_path / "x.safetensors", DIGITS, by_order=False).params == found.params
    refused = lines(
        tmp_path / "x.safetensors", load_spec("densenetbc_digits", ["head.num_classes=10"])
    )
    assert len(refused) == 2
    assert "another number of classes" in refused[0]


def test_nothing_is_written_where_something_is_wrong(tmp_path):
    """Neither the weights nor the suggestion; the file itself is never replaced."""
    file = tmp_path / "x.safetensors"
    save_file({"a.weight": np.zeros(3, np.float32)}, file)
    assert "R011" in lines(file, DIGITS, tmp_path / "out.ckpt", suggest=tmp_path / "map.yaml")[0]
    assert lines(file, DIGITS, file) == ["FILE W002 would replace the file that is read"]
    assert "W001" in lines(file, DIGITS, tmp_path / "out.pth")[0]
    assert [path.name for path in tmp_path.iterdir()] == ["x.safetensors"]
    save_file(WEIGHTS, file)
    assert "W002 cannot be written" in lines(file, DIGITS, suggest=tmp_path / "no" / "map.yaml")[0]


def test_rules_that_give_the_wrong_names_are_told_in_the_new_names(tmp_path):
    """They are matched as any other naming."""
    save_file(WEIGHTS, tmp_path / "x.safetensors")
    (tmp_path / "rules.yaml").write_text(
        "- 'features\\.conv0\\.(.*)': 'features.conv9.{1}'\n- '(.*)': '{1}'\n"
    )
    with pytest.raises(
        ModelFileError, match=r"lacks features\.conv0\.weight \(it has features\.conv9\.weight\)"
    ):
        convert_file(tmp_path / "x.safetensors", DIGITS, rules=tmp_path / "rules.yaml")


def test_a_pickled_module_gives_what_torch_gave():
    """`torch.save(model)`, read without its class, by order: torch's recorded output."""
    found = convert_file(CASES / "whole_module.pth", SMALL, by_order=True, order="oldest_first")
    assert found.remarks == (
        "the file asks for __main__.Net, __builtin__.set, torch.nn.modules.conv.Conv2d and 6 more "
        "beside its numbers; nothing of it was run",
    )
    assert from_torchs("whole_module", SMALL, found) < 1e-5


def test_lists_that_stand_apart_give_what_torch_gave():
    """Blocks in one list, transitions in another: torch's recorded output."""
    found = convert_file(CASES / "lists_apart.pth", SMALL, by_order=True, order="oldest_first")
    assert found.remarks == (
        "the file's lists stand apart; they were joined in the one way that shapes allow",
    )
    assert from_torchs("lists_apart", SMALL, found) < 1e-5


def test_monais_file_gives_what_torch_gave():
    """Its layers have a level more, its classifier is another's child: torch's recorded output."""
    grey = ["input={channels: 1, height: 32, width: 32}", *OF_SMALL_DENSENETS]
    spec = load_spec("densenet121", grey)
    found = convert_file(CASES / "monai_names.pth", spec)
    assert found.naming.endswith("with levels of its own ('layers', 'out')")
    assert found.adaptations == ("'class_layers.out' in the file was taken for the classifier",)
    assert from_torchs("monai_names", spec, found) < 1e-5


@pytest.mark.parametrize("channels", [3, 1])
@pytest.mark.parametrize("ema", [False, True])
def test_a_file_of_torchvisions_own_training_gives_what_torch_gave(ema, channels):
    """Plain weights and averages, a classifier behind dropout, images in colour and in grey:
    torch's recorded output on images whose three channels are the same.
    """
    said = f"input={{channels: {channels}, height: 32, width: 32}}"
    spec = load_spec("densenet121", [said, *OF_SMALL_DENSENETS])
    found = convert_file(CASES / "references_ema.pth", spec, ema=ema)
    arrays = np.load(CASES / "references_ema.npz")
    output = oracle.forward(
        build_graph(spec).ops.values(), found.tensors, arrays["x"][:, :channels]
    )
    assert oracle.distance(output, arrays["ema" if ema else "plain"]) < 1e-5
    assert len(found.adaptations) == (1 if channels == 3 else 2)


BROKEN = {
    "a NaN": ("features.norm5.gamma", [np.nan], "1 value that is NaN or infinite"),
    "infinities": ("classifier.bias", [np.inf, -np.inf], "2 values that are NaN or infinite"),
    "a variance": (
        "features.norm5.moving_variance",
        [-1.0, -1e-5],
        "2 variances that with eps are not above zero",
    ),
}


@pytest.mark.parametrize("way", ["names", "by order"])
@pytest.mark.parametrize("name", BROKEN)
def test_weights_that_are_no_numbers_are_refused_by_name(name, way, tmp_path):
    """By the file's names; nothing is written; by force they are taken, and it is said."""
    tensor, values, fault = BROKEN[name]
    message = f"{tensor} has {fault}"
    weights = {own: array.copy() for own, array in WEIGHTS.items()}
    weights[tensor][: len(values)] = values
    write_tensors(tmp_path / "x.safetensors", weights)
    file, out = tmp_path / "x.safetensors", tmp_path / "out.safetensors"
    options = {"by_order": way == "by order"}
    (line,) = lines(file, DIGITS, out, **options)
    assert line.startswith(f"FILE R110 {message} (")
    assert "--force" in line
    assert not out.exists()
    found = convert_file(file, DIGITS, out, force=True, **options)
    assert f"taken by force: {message}" in found.remarks
    assert same(dict(found.tensors), weights)


def test_many_broken_tensors_are_counted(tmp_path):
    """Twenty lines, and how many more; small negative numbers that are no variances are welcome."""
    save_file(
        {name: np.full_like(array, np.nan) for name, array in WEIGHTS.items()},
        tmp_path / "x.safetensors",
    )
    found = lines(tmp_path / "x.safetensors", DIGITS)
    assert (len(found), found[-1]) == (21, f"FILE R110 and {len(WEIGHTS) - 20} more")
    assert (WEIGHTS["features.norm5.moving_mean"] < 0).any()


def test_a_variance_a_trace_below_zero_has_a_root(tmp_path):
    """Rounding makes such; with eps it is above zero."""
    weights = {name: array.copy() for name, array in WEIGHTS.items()}
    weights["features.norm5.moving_variance"][0] = -1e-9
    save_file(weights, tmp_path / "x.safetensors")
    assert convert_file(tmp_path / "x.safetensors", DIGITS).remarks == ()
