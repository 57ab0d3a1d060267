"""Flags and `--set` through the command: each fault quotes what the user typed,
and all come at once.
"""

import pytest
from conftest import densenet, refused

from archspec.errors import ModelFileError
from archspec.spec.override import Override
from archspec.train.inference.open_trained import open_trained
from densenet_cli.options import override_by_flag, place_typed, split_overrides


def faults_of(text: str) -> list[str]:
    """The lines of the screen without the lists of known keys."""
    return [line.partition(" (known keys")[0] for line in text.splitlines()]


def test_every_fault_of_a_flag_quotes_the_flag_and_all_come_at_once(tmp_path, no_mindspore):
    """Flags of their own, `--set` for the spec, `--set recipe.` for the recipe; readable or not."""
    flags = (
        "--epochs",
        0,
        "--lr",
        -1,
        "--batch-size",
        0,
        "--seed",
        -1,
        "--image-size",
        0,
        "--num-classes",
        0,
    )
    texts = (
        "recipe.foo=1",
        "recipe.seed",
        " recipe.data.3=2",
        "stem.kernal=3",
        "blocks.9.layers=1",
    )
    sets = [part for text in texts for part in ("--set", text)]
    done = densenet("train", "--dry-run", *flags, *sets, cwd=tmp_path, env=no_mindspore)
    assert faults_of(refused(done)) == [
        "--set blocks.9.layers=1 S011 blocks[9].layers: 9 must be an index below 2",
        "--image-size 0 S004 input.height (=0) must be in [1, 8192]",
        "--image-size 0 S004 input.width (=0) must be in [1, 8192]",
        "--set stem.kernal=3 S001 unknown key 'stem.kernal' (did you mean 'kernel'?)",
        "--num-classes 0 S004 head.num_classes (=0) must be in [1, 1000000]",
        "--set recipe.seed S011 an override is key.path=value",
        "--set  recipe.data.3=2 S011 data[3]: 3 must be a key: there is no list",
        "--epochs 0 S004 epochs (=0) must be in [1, 100000]",
        "--batch-size 0 S004 batch_size (=0) must be in [1, 65536]",
        "--seed -1 S004 seed (=-1) must be in [0, 2147483648)",
        "--lr -1 S004 schedule.learning_rate (=-1.0) must be in (0, 100]",
        "--set recipe.foo=1 S001 unknown key 'foo'",
    ]


@pytest.mark.parametrize(
    ("flags", "start"),
    [
        (
            ("--num-classes", 2),
            "--num-classes 2 T005 num_classes (=2) must be at least the 10 of the data",
        ),
        (
            ("--set", "head.num_classes=2"),
            "--set head.num_classes=2 T005 num_classes (=2) must be at least the 10 of the data",
        ),
        (
            ("--batch-size", 3000),
            "--batch-size 3000 T007 batch_size (=3000) must be at most the 1295 training images",
        ),
        (
            ("--image-size", 1),
            "--image-size 1 G006 input.height and input.width (=1) must be at least 2",
        ),
        (
            ("--lr", "nan"),
            "--lr nan S004 schedule.learning_rate (=nan) must be a finite number in (0, 100]",
        ),
        (
            ("--set", "input.channels=2"),
            "--set input.channels=2 T008 input.channels (=2) must be 1 or 3",
        ),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_a_conflict_that_shows_later_quotes_the_flag_too(flags, start, tmp_path, no_mindspore):
    """With the data, with the graph: the value still knows where it came from."""
    (found,) = faults_of(
        refused(densenet("train", "--dry-run", *flags, cwd=tmp_path, env=no_mindspore))
    )
    assert found.startswith(start)


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        (
            "nothing",
            "S010 there is no 'nothing', neither a run directory nor a spec (densenet list names",
        ),
        (
            "runs/densenet121",
            "S010 there is no 'runs/densenet121', neither a run directory nor a spec (did you mean",
        ),
        ("a" * 300, f"S010 there is no '{'a' * 60}', neither a run directory nor a spec"),
    ],
    ids=["a word", "a path", "a name that no file can have"],
)
def test_a_target_that_is_neither_run_nor_spec_is_told_as_such(
    target, fault, tmp_path, no_mindspore
):
    """Whoever mistypes a run directory does not read of specs alone."""
    assert refused(densenet("validate", target, cwd=tmp_path, env=no_mindspore)).startswith(fault)


@pytest.mark.parametrize("text", [" head.num_classes =3", "head={num_classes: 3}"])
def test_an_override_of_the_classes_holds_against_the_checkpoint(text, digits_run):
    """However it is spelt: the checkpoint of ten classes does not fit then."""
    with pytest.raises(
        ModelFileError,
        match=r"R003 has classifier.weight as \(10, 84\), the network needs \(3, 84\)",
    ):
        open_trained(
            "densenetbc_digits", ckpt=digits_run / "checkpoints/best.ckpt", overrides=[text]
        )


def test_the_checkpoint_says_how_many_classes_there_are_where_no_override_does(digits_run):
    """An override that sets the head anew without them leaves it to the checkpoint."""
    best = digits_run / "checkpoints/best.ckpt"
    found = open_trained("densenetbc_digits", ckpt=best, overrides=["head={dropout: 0.5}"])
    assert found.spec.head.num_classes == 10


def test_flags_become_overrides_that_quote_them():
    """One for each key, none where the flag was not given; numbers as a person writes them."""
    assert override_by_flag("--epochs", None, "epochs") == []
    assert override_by_flag("--image-size", 8, "a", "b") == [
        Override(("a", 8), place_typed("--image-size 8")),
        Override(("b", 8), place_typed("--image-size 8")),
    ]
    assert [str(override_by_flag("--lr", rate, "x")[0].place) for rate in (1.0, 0.05, 1e-5)] == [
        "--lr 1",
        "--lr 0.05",
        "--lr 1e-05",
    ]


def test_overrides_are_split_between_spec_and_recipe():
    """In order; the recipe's lose the prefix and keep it in their place."""
    for_spec, for_recipe = split_overrides(
        ["growth_rate=3", "recipe.epochs=2", "recipes=1", "recipe.seed"]
    )
    assert for_spec == ["growth_rate=3", "recipes=1"]
    assert for_recipe == [
        Override("epochs=2", place_typed("--set recipe.epochs=2")),
        Override("seed", place_typed("--set recipe.seed")),
    ]
    assert split_overrides(None) == ([], [])
