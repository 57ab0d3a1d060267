"""Moving averages of weights are told from the plain ones, in the layouts that people write."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from weights.networks import same, weights_of
from weights.torch_files import Storages, foreign, module, number, ordered, plain, word

from archspec.errors import ModelFileError
from archspec.spec.load import load_spec
from archspec.weights.averages import NoAverages, choose_weights, is_average
from archspec.weights.convert import convert_file
from archspec.weights.formats.weight_files import read_weights, write_tensors
from archspec.weights.pairing.naming import translate_names

Arrays = Mapping[str, np.ndarray]
DIGITS = load_spec("densenetbc_digits")
PLAIN = weights_of("densenetbc_digits")
AVERAGED = weights_of("densenetbc_digits", seed=1)
NAMES = translate_names("torchvision", PLAIN)


def theirs(weights: Arrays, prefix: str = "") -> dict[str, np.ndarray]:
    """In torchvision's names."""
    return {prefix + NAMES[name]: array for name, array in weights.items()}


def without_statistics(weights: Arrays) -> dict[str, np.ndarray]:
    return {name: array for name, array in weights.items() if ".moving_" not in name}


def timm(made: Storages) -> bytes:
    arguments = foreign("argparse.Namespace", b")", plain({"model": word("densenet121")}))
    return plain(
        {
            "epoch": number(3),
            "arch": word("densenet121"),
            "state_dict": ordered(made.tensors(theirs(PLAIN))),
            "args": arguments,
            "state_dict_ema": ordered(made.tensors(theirs(AVERAGED))),
        }
    )


def torchvision_references(made: Storages) -> bytes:
    averages = {"n_averaged": np.array(7), **theirs(AVERAGED, "module.")}
    return plain(
        {
            "model": ordered(made.tensors(theirs(PLAIN))),
            "epoch": number(3),
            "model_ema": ordered(made.tensors(averages)),
        }
    )


def lightning_module(made: Storages) -> bytes:
    both = {**theirs(PLAIN, "net."), **theirs(AVERAGED, "ema_net.module.")}
    state = made.tensors({**both, "ema_net.decay": np.array(0.5, np.float32)})
    return plain({"state_dict": ordered(state), "pytorch-lightning_version": word("2.5")})


def lightning_averaging(made: Storages) -> bytes:
    """Its WeightAveraging puts the averages in the place of the plain weights; beside a loss."""
    loss = {"loss.weight": np.ones(10, np.float32)}
    return plain(
        {
            "state_dict": plain(made.tensors({**theirs(AVERAGED, "net."), **loss})),
            "current_model_state": ordered(made.tensors({**theirs(PLAIN, "net."), **loss})),
            "averaging_state": plain({"n_averaged": made.tensor(np.array(7))}),
        }
    )


def lightning_callback(made: Storages) -> bytes:
    state = plain({"decay": number(1), "ema_state_dict": plain(made.tensors(theirs(AVERAGED)))})
    return plain(
        {
            "callbacks": plain({"Averages": state}),
            "state_dict": ordered(made.tensors(theirs(PLAIN, "model."))),
        }
    )


def modules(made: Storages) -> bytes:
    """Whole ones, as `torch.save({"model": model, "ema": ema.ema})` has them."""
    return plain(
        {
            "ema": module(made.tensors(theirs(AVERAGED))),
            "updates": number(9),
            "model": module(made.tensors(theirs(PLAIN))),
        }
    )


def both_inside(made: Storages) -> bytes:
    """The averaging module keeps the plain weights along."""
    inside = {**theirs(PLAIN, "online_model."), **theirs(AVERAGED, "ema_model.")}
    state = made.tensors({**inside, "initted": np.array(1.0, np.float32)})
    return plain({"model": ordered(made.tensors(theirs(PLAIN))), "ema": ordered(state)})


def with_a_decay(made: Storages) -> bytes:
    averages = plain({"module": ordered(made.tensors(theirs(AVERAGED))), "decay": number(1)})
    return plain({"params": ordered(made.tensors(theirs(PLAIN))), "ema": averages})


LAYOUTS = {
    "state_dict_ema": timm,
    "model_ema": torchvision_references,
    "ema_net": lightning_module,
    "state_dict": lightning_averaging,
    "callbacks.Averages.ema_state_dict": lightning_callback,
    "ema": modules,
    "ema ": both_inside,
    "ema.module": with_a_decay,
}


@pytest.mark.parametrize("key", LAYOUTS)
def test_plain_weights_or_averages_are_taken_as_asked(key, tmp_path):
    """Bit for bit, and it is said which."""
    made = Storages()
    file = made.save(tmp_path / "theirs.pth", LAYOUTS[key](made))
    plain_ones, averages = (convert_file(file, DIGITS, ema=ema) for ema in (False, True))
    assert same(dict(plain_ones.tensors), PLAIN)
    assert same(dict(averages.tensors), AVERAGED)
    shown = f"'{key.strip()}'"
    assert plain_ones.adaptations == (
        f"the file's plain weights were taken; its EMA weights, {shown}, were not",
    )
    assert averages.adaptations == (f"the file's EMA weights, {shown}, were taken",)


@pytest.mark.parametrize("prefix", ["ema.", "module.ema_model."])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_averages_behind_a_prefix_are_told_in_every_format(suffix, prefix, tmp_path):
    """MindCV's and our `ema.`; that of a module with both, trained on several devices."""
    names = translate_names("mindcv", PLAIN)
    ahead = prefix.partition("ema")[0]
    held = {f"{ahead}{names[name]}": array for name, array in PLAIN.items()}
    held |= {f"{prefix}{names[name]}": array for name, array in AVERAGED.items()}
    file = tmp_path / f"theirs{suffix}"
    write_tensors(file, held)
    assert same(dict(convert_file(file, DIGITS).tensors), PLAIN)
    assert same(dict(convert_file(file, DIGITS, ema=True).tensors), AVERAGED)


def test_of_a_file_that_has_averages_alone_these_are_taken_and_it_is_said(tmp_path):
    """A loss beside them is no network."""
    made = Storages()
    loss = module(made.tensors({"weight": np.ones(10, np.float32)}))
    averages = ordered(made.tensors(theirs(AVERAGED)))
    file = made.save(tmp_path / "x.pth", plain({"criterion": loss, "model_ema": averages}))
    save_file(theirs(AVERAGED, "ema."), tmp_path / "x.safetensors")
    for found in (convert_file(file, DIGITS), convert_file(tmp_path / "x.safetensors", DIGITS)):
        assert same(dict(found.tensors), AVERAGED)
        assert "EMA weights" in found.adaptations[0]
        assert "were taken" in found.adaptations[0]
    assert convert_file(file, DIGITS).set_aside == {"criterion": 1}


@pytest.mark.parametrize("by_order", [False, True])
def test_statistics_that_averages_lack_are_those_of_the_plain_weights(by_order, tmp_path):
    """Who averages parameters alone evaluates with the network's own moving statistics."""
    made = Storages()
    shadow = plain({"shadow": plain(made.tensors(theirs(without_statistics(AVERAGED))))})
    body = plain({"model": ordered(made.tensors(theirs(PLAIN))), "ema": shadow})
    file = made.save(tmp_path / "x.pth", body)
    found = convert_file(file, DIGITS, ema=True, by_order=by_order)
    assert same(dict(found.tensors), {**PLAIN, **without_statistics(AVERAGED)})
    assert found.adaptations == (
        "the file's EMA weights, 'ema.shadow', were taken; "
        "the moving statistics, which they lack, are the plain weights'",
    )


@pytest.mark.parametrize("stem", ["best_ema", "ema", "last-EMA", "model.ema.3"])
def test_a_file_whose_name_says_so_is_one_of_averages(stem, tmp_path):
    """As where it has both: then the averages within it are meant."""
    file = tmp_path / f"{stem}.safetensors"
    save_file(theirs(AVERAGED), file)
    found = convert_file(file, DIGITS, ema=True)
    assert same(dict(found.tensors), AVERAGED)
    assert found.adaptations == ("the file's name says that its weights are EMA weights",)
    assert convert_file(file, DIGITS).adaptations == ()
    save_file({**theirs(PLAIN), **theirs(AVERAGED, "ema.")}, file)
    assert same(dict(convert_file(file, DIGITS, ema=True).tensors), AVERAGED)


def refusal(file: Path, spec=DIGITS, *, ema: bool = True) -> list[str]:
    with pytest.raises(ModelFileError) as caught:
        convert_file(file, spec, ema=ema)
    return [str(fault).replace(str(file), "FILE") for fault in caught.value.diagnostics]


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".ckpt"])
def test_a_file_without_averages_is_refused_where_they_are_asked_for(suffix, tmp_path):
    """A word such as `schema` or `cinema` is none."""
    file, held = tmp_path / f"cinema{suffix}", theirs(PLAIN, "schema.")
    made = Storages()
    if suffix == ".pth":
        made.save(file, plain({"schema": ordered(made.tensors(held)), "ema": number(1)}))
    else:
        write_tensors(file, held)
    assert refusal(file) == [
        "FILE R003 has no EMA weights that could be taken "
        "(without --ema its plain weights are taken)"
    ]


def test_several_sets_of_averages_are_refused_unless_plain_weights_are_meant(tmp_path):
    """Of two decays nobody can say which is meant."""
    held = {**theirs(AVERAGED, "ema_0999."), **theirs(AVERAGED, "ema_09999.")}
    save_file({**theirs(PLAIN), **held}, tmp_path / "x.safetensors")
    (line,) = refusal(tmp_path / "x.safetensors")
    assert line.startswith("FILE R003 has several sets of EMA weights: 'ema_0999' and 'ema_09999'")
    assert same(dict(convert_file(tmp_path / "x.safetensors", DIGITS).tensors), PLAIN)
    save_file(held, tmp_path / "x.safetensors")
    assert "several sets" in refusal(tmp_path / "x.safetensors", ema=False)[0]


def test_averages_of_another_shape_are_told_by_the_files_names(tmp_path):
    """Weights that are plain are taken all the same."""
    averages = theirs(AVERAGED, "ema.")
    averages["ema.features.norm5.weight"] = np.ones(3, np.float32)
    del averages["ema.classifier.bias"]
    save_file({**theirs(PLAIN), **averages}, tmp_path / "x.safetensors")
    found = refusal(tmp_path / "x.safetensors")
    assert found[0].startswith("FILE R003 has ema.features.norm5.weight as (3,), the network needs")
    assert found[1].startswith("FILE R003 lacks ema.classifier.bias")
    assert len(found) == 2
    assert same(dict(convert_file(tmp_path / "x.safetensors", DIGITS).tensors), PLAIN)


def test_averages_that_are_damaged_are_refused_when_they_are_asked_for(tmp_path):
    """No number, a storage that is missing, tensors that are not plain."""
    broken = {**theirs(AVERAGED), "features.norm5.bias": np.full(84, np.nan, np.float32)}
    faults = {}
    for name in ("NaN", "storage", "special", "sets"):
        made = Storages()
        whole = ordered(made.tensors(theirs(PLAIN)))
        entries = made.tensors(broken if name == "NaN" else theirs(AVERAGED))
        if name == "storage":
            made.raws.pop()
        if name == "special":
            entries["classifier.bias"] = foreign("torch._utils._rebuild_qtensor")
        averages = ordered(entries)
        if name == "sets":
            averages = plain({"one": averages, "two": averages})
        file = made.save(tmp_path / f"{name}.pth", plain({"model": whole, "ema": averages}))
        assert same(dict(convert_file(file, DIGITS).tensors), PLAIN)
        faults[name] = refusal(file)[0]
    assert "R110 features.norm5.bias has" in faults["NaN"]
    assert "R010" in faults["storage"]
    assert "'classifier.bias' is not plain" in faults["special"]
    assert "R003 has no EMA weights that could be taken" in faults["sets"]


def test_the_search_for_averages_looks_once_at_a_dict_that_stands_in_many_places(tmp_path):
    """A million million ways lead down these four dicts; the averages lie too deep for any."""
    made = Storages()
    deep = plain({"ema": ordered(made.tensors(theirs(AVERAGED)))})
    for level in range(4):
        again = {f"k{index}": b"h" + bytes([level]) for index in range(1000)}
        deep = plain({"first": deep + b"q" + bytes([level]), **again})
    body = plain({"model": ordered(made.tensors(theirs(PLAIN))), "config": deep})
    file = made.save(tmp_path / "x.pth", body)
    assert same(dict(read_weights(file).tensors), theirs(PLAIN))
    assert refusal(file)[0].startswith("FILE R003 has no EMA weights")


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("ema", True),
        ("model_EMA", True),
        ("EMA-model", True),
        ("ema2", True),
        ("schema", False),
        ("emax", False),
        ("semantic", False),
        ("", False),
    ],
)
def test_the_word_is_told_from_others(word, says):
    """Not within another word."""
    assert is_average(word) == says


def test_a_layer_of_that_name_deep_in_a_network_is_no_average():
    """An attention of that name exists; only what all names begin with may stand before."""
    held = {"net.stem.w": np.ones(1), "net.body.ema.w": np.ones(1), "net.body.conv.w": np.ones(1)}
    assert choose_weights(held, {}, ema=False).tensors == held
    with pytest.raises(NoAverages):
        choose_weights(held, {}, ema=True)
