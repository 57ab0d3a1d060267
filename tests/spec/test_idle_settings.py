"""Settings without a use are refused beside their cause, and nowhere else.

What is said of each kind stands in tests/invalid/settings_without_a_use.yaml.
"""

from pathlib import Path
from typing import Any

import pytest

from archspec.errors import SpecError
from archspec.files import to_yaml
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.spec.catalogue import shipped
from archspec.spec.idle_settings import without_idle_settings
from archspec.spec.load import load_spec

BASE = "growth_rate: 12\nblock_config: [2, 2]\n"
OPEN = "head: {steps: [global_pool, dropout, dense], dropout: 0.5}\n"
PLAIN = "layer: [norm, activation, conv: {width: k, kernel: 3}]\n"


def written(folder: Path, text: str, name: str = "net.yaml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder / name


def faults(path: Path | str, *overrides: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        load_spec(path, overrides)
    return [str(fault) for fault in caught.value.diagnostics]


PLAIN_BUT = f"{PLAIN}growth_rate: 4\nbottleneck: 2\n"
USED = {
    "all": f"{BASE}bottleneck: 2\ndrop_rate: 0.1\ncompression: 0.7\n{OPEN}",
    "off": f"{BASE}bottleneck: 4\ndrop_rate: 0\n{PLAIN}head: {{dropout: 0, steps: none}}\n",
    "behind convolutions": f"{BASE}drop_rate: 0.1\ndrop_after: conv\n{PLAIN}",
    "by one block": f"{PLAIN_BUT}blocks: [{{layers: 1, layer: bottleneck}}, {{layers: 1}}]\n",
    "of a list in another block": "growth_rate: 4\ngrowth_multiplier: 1.7\n"
    "blocks: [{layers: 2, growth_rate: [4, 8]}, {layers: 2}]\n",
    "turned off": "growth_rate: 4\ngrowth_multiplier: 1\n"
    "blocks: [{layers: 2, growth_rate: [4, 8], growth_multiplier: 1.0}]\n",
    "by one layer": f"{PLAIN_BUT}blocks: [{{layers: 2, layer_at: {{2: two_way}}}}]\n",
    "behind the last": "growth_rate: 4\nblock_config: [2]\ntransitions: [{}]\ncompression: 0.7\n",
}


@pytest.mark.parametrize("text", USED.values(), ids=USED)
def test_a_setting_that_is_used_anywhere_is_none(text: str, tmp_path: Path) -> None:
    """By one block, by one layer, or by a transition behind the last block; what turns off too."""
    assert load_spec(written(tmp_path, text))


def test_what_is_typed_is_refused_whoever_leaves_it_without_a_use(tmp_path: Path) -> None:
    """By the file, or by another that is typed."""
    words = "bottleneck (=2) does nothing: no layer has a width of it (leave it out)"
    path = written(tmp_path, BASE + PLAIN)
    assert faults(path, "bottleneck=2") == [f"--set bottleneck=2 S006 {words}"]
    assert faults("densenet121", "layer=basic", "bottleneck=2") == [
        f"--set bottleneck=2 S006 {words}"
    ]


def test_what_a_parent_says_is_not_refused(tmp_path: Path) -> None:
    """A child's layers, or those that are typed, leave it without a use."""
    written(tmp_path, f"{BASE}bottleneck: 2\ndrop_rate: 0.1\n{OPEN}", "parent.yaml")
    child = written(tmp_path, f"extends: parent.yaml\n{PLAIN}head: [global_pool, dense]\n")
    for path, overrides in ((child, []), (tmp_path / "parent.yaml", ["layer=post_activation"])):
        spec = load_spec(path, overrides)
        again = load_spec(written(tmp_path, to_yaml(without_idle_settings(spec)), "again.yaml"))
        digests = {structure_digest(build_graph(each)) for each in (spec, again)}
        assert len(digests) == 1
    assert load_spec("peleenet", ["layer=basic", "blocks=[{layers: 2}]", "transitions=null"])


def test_what_a_child_says_beside_its_parents_layers_is_refused(tmp_path: Path) -> None:
    """At its own line; beside what is typed it may stand, as a parent's."""
    written(tmp_path, BASE + PLAIN, "parent.yaml")
    child = written(tmp_path, "extends: parent.yaml\ndrop_rate: 0.1\n")
    [fault] = faults(child)
    assert fault.startswith(f"{child}:2:12 S006 drop_rate (=0.1) does nothing: no dropout")
    assert load_spec(child, ["growth_rate=8"]).drop_rate == 0.1


def test_a_spec_without_idle_settings_says_all(tmp_path: Path) -> None:
    """Nothing of a shipped one is left out."""
    for name in shipped():
        values: Any = without_idle_settings(load_spec(name))
        assert values == load_spec(name).resolved()
