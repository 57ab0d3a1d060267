"""Every command does what its help says, on the screen and in files,
and keeps MindSpore off the screen.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import EPOCHS_OF_DIGITS_RUN, densenet, passed, refused
from PIL import Image
from sklearn.datasets import load_digits

from archspec.runtime import prepare
from archspec.spec.load import load_spec
from archspec.train.inference.open_trained import open_trained

COMMANDS = (
    "list",
    "check",
    "inspect",
    "build",
    "lift",
    "plot",
    "train",
    "validate",
    "predict",
    "export",
    "certify",
    "convert",
    "data",
    "doctor",
    "recipe",
    "weights",
)
# DenseNet-121 as published: torchvision counts 7,978,856 parameters and 2.83 G multiply-adds.
DENSENET121 = {
    "name": "densenet121",
    "input": [3, 224, 224],
    "params": 7_978_856,
    "edges": 535,
    "depth": 121,
}
DENSENET121_BLOCKS = [
    (6, 64, 256, 21),
    (12, 128, 512, 78),
    (24, 256, 1024, 300),
    (16, 512, 1024, 136),
]


# ---- help and usage


def test_the_block_on_mindspore_does_block(no_mindspore):
    """Importing it fails in the environment in which the commands below answer."""
    run = [sys.executable, "-c", "import mindspore"]
    done = subprocess.run(
        run, env={**os.environ, **no_mindspore}, capture_output=True, text=True, check=False
    )
    assert "mindspore was imported" in done.stderr


def test_no_command_starts_a_thread_before_it_is_asked_for():
    """NumPy's would take a Ctrl-C meant for the training loop:
    `signals.watch_interrupts` must come first.
    """
    code = (
        "import os, sys; from densenet_cli.app import make_app; make_app(); "
        "print('numpy' in sys.modules, "
        "len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False 1\n"


def test_a_command_that_is_typed_imports_no_other():
    """All of them together take longer than the help of one."""
    code = (
        "import sys; from densenet_cli.app import COMMANDS, make_app; make_app(['train']); "
        "print([name for name in COMMANDS if f'densenet_cli.{name}' in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "['train', 'weights']\n"  # which a run begins with


def test_a_network_is_built_verified_and_counted_before_networkx_is_needed():
    """Its import takes as long as these three together."""
    code = (
        "import sys; from archspec import build_graph, load_spec, verify; "
        "from archspec.graph.report import report; "
        "graph = build_graph(load_spec('densenet201')); print(verify(graph), report(graph).edges); "
        "print('networkx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "() 1803\nFalse\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_shows_an_example_of_the_command(name, no_mindspore, tmp_path):
    """A reader sees how to call it, and does not wait for MindSpore."""
    assert f"Example: densenet {name}" in passed(
        densenet(name, "--help", cwd=tmp_path, env=no_mindspore)
    )


def test_no_argument_at_all_shows_the_commands(tmp_path):
    """It is a usage error, but one that helps."""
    done = densenet(cwd=tmp_path)
    assert done.returncode == 2
    assert not [name for name in COMMANDS if name not in done.stdout + done.stderr]


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("trian",), "trian"),
        (("inspect",), "spec"),
        (("inspect", "densenet121", "--jason"), "--jason"),
        (("train", "--epochs", "many"), "--epochs"),
        (("train", "--device-target", "TPU"), "TPU"),
        (("train", "--devices", "0"), "--devices"),
        (("train", "--resume", "run", "--lr", "9"), "--lr"),
        (("predict", "run"), "images"),
        (("export", "run", "--format", "tflite"), "tflite"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_line_exits_with_2_and_names_what_is_wrong(arguments, word, tmp_path):
    """Usage errors are told apart from wrong input."""
    done = densenet(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert word.lower() in done.stderr.lower()
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.iterdir())


def test_version_names_the_distribution(no_mindspore, tmp_path):
    """Which is not called as the command is."""
    assert passed(densenet("--version", cwd=tmp_path, env=no_mindspore)).startswith(
        "densenet-archspec "
    )


# ---- list, check, inspect, build


def test_list_shows_every_shipped_spec(no_mindspore, tmp_path):
    """With its parameters and connections."""
    text = passed(densenet("list", cwd=tmp_path, env=no_mindspore))
    specs = Path(__file__).parents[2] / "specs"
    assert not [file.stem for file in specs.glob("*.yaml") if f"{file.stem} " not in text]
    (line,) = [line for line in text.splitlines() if line.startswith("densenet121 ")]
    assert line.split()[1:7] == ["7,978,856", "2.834", "535", "75.64", "92.84", "ImageNet"]
    assert "MindCV" in line
    assert "Next: densenet inspect" in text


def test_list_gives_the_accuracies_that_mindcv_publishes(no_mindspore, tmp_path):
    """configs/densenet/README.md: 75.64, 79.09, 77.26, 78.14 % top-1;
    no child inherits its parent's.
    """
    rows = {
        row["name"]: row
        for row in json.loads(passed(densenet("list", "--json", cwd=tmp_path, env=no_mindspore)))
    }
    top1 = {
        name: [p["top1"] for p in row["published"] if "MindCV" in p["source"]]
        for name, row in rows.items()
    }
    found = {name: values for name, values in top1.items() if values}
    assert found == {
        "densenet121": [75.64],
        "densenet161": [79.09],
        "densenet169": [77.26],
        "densenet201": [78.14],
    }
    assert rows["densenet264"]["published"] == []


def test_check_says_what_is_right_and_lists_every_fault_of_every_file(no_mindspore, tmp_path):
    """A good spec beside two bad ones: all faults, each with its place, and exit code 1."""
    (tmp_path / "a.yaml").write_text(
        "name: a\ngrowth_rte: 12\ncompression: 1.5\nblock_config: [2, 2]\n"
    )
    (tmp_path / "b.yaml").write_text("name: b\nextends: densenetbc_digits\ndrop_rate: 2\n")
    done = densenet("check", "densenet121", "a.yaml", "b.yaml", cwd=tmp_path, env=no_mindspore)
    lines = refused(
        done, "a.yaml:2:1 S001", "'growth_rate'", "a.yaml:3:14 S004", "b.yaml:3:12 S004"
    )
    assert "densenet121: right" in done.stdout
    assert all(line.startswith(("a.yaml", "b.yaml")) for line in lines.splitlines())


def test_inspect_gives_the_published_counts_as_json(no_mindspore, tmp_path):
    """Parameters, multiply-adds, connections and widths of DenseNet-121."""
    found = json.loads(
        passed(densenet("inspect", "densenet121", "--json", cwd=tmp_path, env=no_mindspore))
    )
    assert {key: found[key] for key in DENSENET121} == DENSENET121
    assert round(found["macs"] / 1e9, 2) == 2.83
    assert found["flops"] == 2 * found["macs"]
    # Moving mean and variance of each normalised channel: as many as gammas and betas.
    assert found["params_with_stats"] - found["params"] == 83_648
    keys = ("layers", "in_channels", "out_channels", "edges")
    assert [tuple(block[key] for key in keys) for block in found["blocks"]] == DENSENET121_BLOCKS
    assert {block["growth_rate"] for block in found["blocks"]} == {32}
    assert all(block["edges"] == block["expected_edges"] for block in found["blocks"])


def test_inspect_shows_found_connections_beside_the_expected_ones(no_mindspore, tmp_path):
    """A table for people, and the tree of operators unless it is not wanted."""
    text = passed(
        densenet(
            "inspect",
            "densenetbc_digits",
            "--set",
            "blocks.1.layers=6",
            cwd=tmp_path,
            env=no_mindspore,
        )
    )
    rows = {line.split()[0]: line.split() for line in text.splitlines() if line.startswith("dense")}
    assert rows["denseblock1"][-2:] == ["10", "10"]
    assert rows["denseblock2"][-2:] == ["21", "21"]  # L (L + 1) / 2
    assert "conv0" in text
    assert "conv0" not in passed(
        densenet("inspect", "densenetbc_digits", "--no-tree", cwd=tmp_path, env=no_mindspore)
    )


def test_inspect_puts_out_one_thing_at_a_time(no_mindspore, tmp_path):
    """Asked for two, it would have to leave one out without a word."""
    done = densenet(
        "inspect", "densenet121", "--json", "-o", "x.svg", cwd=tmp_path, env=no_mindspore
    )
    assert done.returncode == 2
    assert "--json and -o" in done.stderr
    assert not list(tmp_path.iterdir())


def test_inspect_yaml_reads_back_as_the_same_network(no_mindspore, tmp_path):
    """What is printed is a spec by itself, overrides included."""

    def inspect(spec, *more):
        return passed(densenet("inspect", spec, *more, cwd=tmp_path, env=no_mindspore))

    override = ("--set", "growth_rate=20")
    (tmp_path / "copy.yaml").write_text(inspect("densenetbc_digits", *override, "--yaml"))
    assert inspect("copy.yaml", "--json") == inspect("densenetbc_digits", *override, "--json")


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("g.svg", b"<?xml"),
        ("g.png", b"\x89PNG\r\n\x1a\n"),
        ("g.dot", b"digraph"),
        ("g.html", b"<!DOCTYPE html>"),
    ],
)
def test_inspect_draws_the_kind_of_picture_that_the_name_says(name, start, no_mindspore, tmp_path):
    """And says where it lies."""
    assert name in passed(
        densenet("inspect", "densenetbc_digits", "-o", name, cwd=tmp_path, env=no_mindspore)
    )
    assert (tmp_path / name).read_bytes().lower().startswith((start.lower(), b"<svg"))


@pytest.mark.parametrize(
    ("setting", "name"),
    [
        ("growth_rate=24", "densenet121_growth_rate_24"),
        ("head.num_classes=10", "densenet121"),
    ],
)
def test_what_is_built_goes_by_no_other_networks_name_and_figures(
    setting, name, no_mindspore, tmp_path
):
    """Folder, spec and report are those of the changed network."""
    given = ("build", "densenet121", "--set", setting, "--no-certify")
    text = passed(densenet(*given, cwd=tmp_path, env=no_mindspore))
    assert f"Next: densenet train build/{name}/spec.yaml --data-dir DIR" in text
    folder = tmp_path / "build" / name
    built = load_spec(folder / "spec.yaml")
    assert (built.name, built.published) == (name, ())
    assert built.description == f"densenet121 with {setting}"
    assert json.loads((folder / "report.json").read_text())["name"] == name


def test_build_saves_spec_report_and_a_module_of_its_own(no_mindspore, tmp_path):
    """The spec reads back, the report is inspect's,
    the module imports mindspore and nothing of ours.
    """
    text = passed(
        densenet(
            "build",
            "densenetbc_digits",
            "-o",
            "made",
            "--no-certify",
            cwd=tmp_path,
            env=no_mindspore,
        )
    )
    assert "Next: densenet train made/spec.yaml\n" in text
    report = json.loads((tmp_path / "made/report.json").read_text())
    found = json.loads(
        passed(densenet("inspect", "made/spec.yaml", "--json", cwd=tmp_path, env=no_mindspore))
    )
    assert found.items() <= report.items()
    tree = ast.parse((tmp_path / "made/network.py").read_text())
    froms = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    plain = {
        name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names
    }
    assert {str(name).partition(".")[0] for name in froms | plain} - set(
        sys.stdlib_module_names
    ) == {"mindspore"}


# ---- train, validate, predict, export of the run that all share


def test_train_tells_what_it_does_and_how_well_it_did(digits_training):
    """Classes, images, one line an epoch, the accuracy on untouched images, where the run lies."""
    path, done = digits_training
    text = passed(done)
    assert "10 classes, images 8 x 8" in text
    assert [f"epoch {epoch}/{EPOCHS_OF_DIGITS_RUN}  loss" in text for epoch in range(1, 5)] == [
        True
    ] * 4
    assert "359 images that played no part in training or choosing" in text
    assert text.endswith(f"Run: {path}\nNext: densenet validate {path}\n")


def test_validate_gives_the_figures_with_which_training_ended(digits_run, tmp_path):
    """Whatever the batch size, over every one of the 359 held-out scans."""
    end = json.loads((digits_run / "metrics.jsonl").read_text().splitlines()[-1])
    found = json.loads(
        passed(densenet("validate", digits_run, "--json", "--batch-size", 50, cwd=tmp_path))
    )
    assert [end[key] for key in ("top1", "top5", "images")] == [
        found[key] for key in ("top1", "top5", "images")
    ]
    assert found["loss"] == pytest.approx(end["loss"], rel=1e-5)
    assert found["images"] == 359
    assert found["top1"] <= found["top5"]


def test_validate_names_checkpoint_and_data_for_people(digits_run, tmp_path):
    """The same figures as text; a checkpoint to resume from serves as well."""
    last = digits_run / "checkpoints/last.ckpt"
    text = passed(densenet("validate", digits_run, "--ckpt", last, cwd=tmp_path))
    assert str(last) in text
    assert "over 359 images" in text


@pytest.mark.slow
def test_validate_takes_a_grey_network_with_a_checkpoint_to_the_digits(digits_run, tmp_path):
    """With the digits' own recipe, so that the figures are the run's, and it says so."""
    arguments = ("validate", "densenetbc_digits", "--ckpt", digits_run / "checkpoints/best.ckpt")
    text = passed(densenet(*arguments, cwd=tmp_path))
    assert "on 359 held-out images of digits, prepared as in recipe digits\n" in text
    found = json.loads(passed(densenet(*arguments, "--json", cwd=tmp_path)))
    assert found == json.loads(passed(densenet("validate", digits_run, "--json", cwd=tmp_path)))


def test_validate_says_which_files_of_a_folder_were_no_images(digits_run, tmp_path):
    """A line before the figures."""
    scans = load_digits()
    for number in range(20):
        (tmp_path / f"data/{number % 10}").mkdir(parents=True, exist_ok=True)
        pixels = (scans.images[number] * 15.9).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"data/{number % 10}/{number}.png")
        Image.fromarray(pixels).save(tmp_path / f"data/{number % 10}/{number}.gif")
    text = passed(densenet("validate", digits_run, "--data-dir", "data", cwd=tmp_path))
    assert text.startswith(
        "data: skipped .gif (20); images are .jpg, .jpeg, .png, .bmp, .webp, .tif, .tiff\n"
    )
    assert "over 20 images" in text


@pytest.mark.slow
def test_predict_names_five_classes_in_falling_order(digits_run, digit_files, tmp_path):
    """A line an image: distinct classes, probabilities that add up to at most 1."""
    lines = passed(densenet("predict", digits_run, *digit_files, cwd=tmp_path)).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(file) for file in digit_files]
    right = 0
    for digit, line in enumerate(lines):
        guesses = [guess.split() for guess in line.partition(": ")[2].split(", ")]
        shares = [float(share.rstrip("%")) / 100 for _, share in guesses]
        assert len({name for name, _ in guesses}) == 5
        assert shares == sorted(shares, reverse=True)
        assert sum(shares) <= 1 + 5 * 0.0005  # each is rounded to a thousandth
        right += guesses[0][0] == str(digit)
    assert right >= 7  # after four epochs; by chance it would be one
    found = json.loads(
        passed(densenet("predict", digits_run, *digit_files, "--json", cwd=tmp_path))
    )
    assert [
        f"{each['image']}: " + ", ".join(map(shown, each["classes"])) for each in found
    ] == lines


def shown(guess):
    """One of the five, as the text has it."""
    return f"{guess['class']} {guess['probability']:.1%}"


def test_export_loads_back_and_gives_the_networks_outputs(digits_run, tmp_path):
    """Named after the spec, in evaluation mode, to float accuracy, for any number of images."""
    assert "wrote densenetbc_digits.mindir" in passed(densenet("export", digits_run, cwd=tmp_path))
    assert [file.name for file in tmp_path.iterdir()] == ["densenetbc_digits.mindir"]
    prepare()
    import mindspore as ms

    images = ms.Tensor(np.random.default_rng(0).normal(size=(7, 1, 8, 8)).astype(np.float32))
    ours = open_trained(str(digits_run)).network()(images).asnumpy()
    loaded = ms.nn.GraphCell(ms.load(str(tmp_path / "densenetbc_digits.mindir")))(images).asnumpy()
    assert ours.shape == (7, 10)
    assert np.abs(ours - loaded).max() <= 1e-6 * np.abs(ours).max()


@pytest.mark.slow
def test_export_of_a_fixed_batch_lies_where_it_was_wanted(digits_run, tmp_path):
    """Under the name after -o."""
    passed(densenet("export", digits_run, "--batch-size", 2, "-o", "two.mindir", cwd=tmp_path))
    assert (tmp_path / "two.mindir").is_file()
