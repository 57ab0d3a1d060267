"""Levels of names that hold one thing alone tell nothing, and are passed over."""

from weights.networks import parameters_of

from archspec.weights.pairing.lone_levels import drop_lone_levels, list_dropped
from archspec.weights.pairing.naming import NAMINGS, recognise_naming, translate_names

NAMES = list(parameters_of("densenet121"))


def wrap(name: str, *levels: str) -> str:
    """`net.features.denseblock1.denselayer1.layers.norm1.weight`"""
    layer, block = levels
    name = name.replace(".norm1.", f".{layer}.norm1.").replace(".norm2.", f".{layer}.norm2.")
    name = name.replace(".conv1.", f".{layer}.conv1.").replace(".conv2.", f".{layer}.conv2.")
    return f"{block}.{name}"


def test_levels_that_are_alone_go_wherever_they_stand():
    """At the beginning, in the middle and before the last; the last part always stays."""
    names = ["m.n.a.x.b.w", "m.n.a.x.c.w", "m.n.d.0.w", "m.n.d.0.v", "m.n.e.w"]
    assert list(drop_lone_levels(names).values()) == ["a.b.w", "a.c.w", "d.w", "d.v", "e.w"]
    assert list_dropped(names) == ["m", "n", "x", "0"]
    assert drop_lone_levels(["w"]) == {"w": "w"}
    assert drop_lone_levels(["a.b.w"]) == {"a.b.w": "w"}
    assert drop_lone_levels([]) == {}


def test_a_level_that_tells_two_things_apart_stays():
    """In one place alone, and absent in the other."""
    names = ["a.x.w", "a.y.w", "b.x.w"]
    assert list(drop_lone_levels(names).values()) == ["a.x.w", "a.y.w", "b.w"]


def test_no_two_names_become_one():
    """A tensor may be called as the level that holds another."""
    names = ["a.w", "a.w.w", "b"]
    assert len(set(drop_lone_levels(names).values())) == 3


def test_names_with_levels_of_their_own_are_recognised():
    """In every naming; which levels they were is said."""
    for naming in NAMINGS:
        theirs = translate_names(naming, NAMES)
        wrapped = {name: wrap(other, "layers", "net") for name, other in theirs.items()}
        found = recognise_naming(list(wrapped.values()), NAMES, "file")
        assert found.theirs == wrapped
        if "layers" in " ".join(wrapped.values()):
            assert found.title.endswith(", with levels of its own ('layers', 'net')")


def test_a_naming_whose_levels_alone_differ_is_taken_over_one_that_fits_in_part():
    """MindCV's transitions have a level more; without it the layers' numbers decide."""
    theirs = translate_names("mindcv", NAMES)
    found = recognise_naming([f"net.{name}" for name in theirs.values()], NAMES, "file")
    assert (found.naming, found.prefix, found.levels) == ("mindcv", "net.", ())
