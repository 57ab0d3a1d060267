"""Any value in place of any other gives errors with places: no traceback, none from nowhere."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from operators.examples import step_of
from pydantic import BaseModel

from archspec.errors import ArchspecError
from archspec.files import to_yaml
from archspec.graph.build import build_graph
from archspec.operators.table import OPERATORS
from archspec.settings import Path as KeyPath
from archspec.spec.load import load_spec
from archspec.spec.reading.document import Document
from archspec.spec.reading.shorthand import expand_short_forms
from archspec.spec.spec import Spec
from archspec.train.recipe.recipe import Recipe, load_recipe

SPEC = yaml.safe_load("""
name: every_key
description: of the language
source: this file
published: [{data: mine, top1: 1, top5: 2, source: me}]
input: {channels: 3, height: 64, width: 64}
stem: {channels: 16, kernel: 3, stride: 2, norm: true, pool: max, steps: null}
growth_rate: 8
growth_multiplier: 1.0
layer:
  - norm: {kind: batch, eps: 1.0e-5, momentum: 0.9}
  - activation: {kind: leaky_relu, slope: 0.1}
  - name: one
    conv: {width: 4k, kernel: 1, stride: 1, padding: 0, dilation: 1, groups: 1, bias: false}
  - squeeze_excite: {reduction: 16, activation: relu, gate: sigmoid}
  - branches: {join: concat, of: [[{slice: {start: 0, stop: 4}}], [{slice: {start: 4, stop: 8}}]]}
  - shuffle: {groups: 2}
  - activation: {kind: elu, alpha: 0.5}
  - activation: {kind: softplus, beta: 2.0}
  - activation: {kind: hard_tanh, low: -1.0, high: 2.0}
  - scale: {value: 0.2}
  - scale: {initial: 1.0e-6}
  - dropout: {rate: 0.1}
  - dropout2d: {rate: 0.1}
  - drop_path: {rate: 0.1, over: depth}
  - conv: {width: k, kernel: 3, standardized: true, weight_eps: 1.0e-6}
bottleneck: 4
connectivity:
  rule: window
  window: 2
  order: newest_first
  output: all
  output_order: oldest_first
  share: 1.0
  bypass: last
blocks:
  - layers: 2
    growth_rate: [8, 8]
    growth_multiplier: 1.0
    layer: bottleneck
    layer_at: {'2': [norm, {conv: {width: k, kernel: 3}}]}
    bottleneck: 2
    drop_rate: 0.1
    connectivity: {rule: edges, edges: [[0], [0, 1]], output: [0, 1, 2]}
    aggregate: {compression: 0.5, steps: post_activation}
    residual: false
  - {layers: 2, aggregate: {channels: 8}}
compression: 0.5
transition: {pool: avg, steps: pre_activation}
transitions:
  - channels: 16
    steps:
      - upsample: {factor: 2, mode: bilinear, align_corners: true}
      - conv_transpose: {width: out, kernel: 2, stride: 2, padding: 0, bias: true}
      - avg_pool: {kernel: 2, stride: 2, padding: 0, ceil: false}
      - max_pool: {kernel: 2, stride: 2}
      - blur_pool: {kernel: 3, stride: 2}
      - upsample
      - pixel_unshuffle: {factor: 2}
      - pixel_shuffle: {factor: 2}
    skip: stem
    crop: true
    join: concat
    order: skip_first
    after: [{conv: {width: 16, kernel: 1}}]
norm: {kind: group, eps: 1.0e-5, groups: 2}
activation: relu
drop_rate: 0.0
drop_after: layer
head:
  num_classes: 5
  dropout: 0.1
  steps: [{global_pool: {kind: avg, keep: false}}, {dense: {width: out, bias: true}}]
features: [1]
""")
RECIPE = yaml.safe_load("""
name: every_key
source: this file
epochs: 4
batch_size: 8
global_batch: 16
scaling: scale_rate
seed: 1
initialisation: he_normal_fan_in
label_smoothing: 0.1
amp: O2
amp_keep_float32: [dense]
val_amp: O0
loss_scale: 2.0
loss: {kind: focal, gamma: 2.0, class_weights: [1.0, 2.0]}
clip: {norm: 1.0}
recompute: {kind: auto, memory: 8GB}
sync_batch_norm: true
accumulate: 2
ema: {decay: 0.99, warmup: true}
freeze: [stem, blocks 1-2]
on_nan: skip
optimizer:
  kind: sgd
  momentum: 0.9
  nesterov: true
  weight_decay: 1.0e-4
  decay_norm_and_bias: true
  layer_decay: 0.75
schedule:
  kind: step
  learning_rate: 0.1
  milestones: [0.5, 0.75]
  factor: 0.1
  warmup_epochs: 1
  warmup_factor: 0.1
  per: epoch
data:
  augment: random_resized_crop
  scale: [0.1, 1.0]
  ratio: [0.5, 2.0]
  hflip: 0.5
  vflip: 0.1
  interpolation: bicubic
  resize: mindspore
  image_backend: pillow
  auto_augment: {kind: augmix, magnitude: 3.0, width: 3, depth: 2, alpha: 1.0}
  color_jitter: 0.0
  random_erasing: {probability: 0.2, scale: [0.1, 0.2], ratio: [0.5, 2.0], value: 1.0, attempts: 3}
  mixup: 0.2
  cutmix: 1.0
  mix_probability: 0.5
  repeats: 3
  samples: 100
  shuffle: false
  mean: [1, 2, 3]
  std: [2.0, 3.0, 4.0]
  crop_pct: 0.875
  val_fraction: 0.1
  on_error: skip
  white_level: 4095
  class_names: classes.txt
  workers: 1
ascend: {jit_level: O1, max_device_memory: 30GB, deterministic: true}
tensorboard: true
compile_cache: true
overrides: {drop_rate: 0.1}
log_every: 2
validate_every: 2
save_every: 10m
keep: {last: 1, best: 2, by: loss}
early_stopping: {patience: 3, min_delta: 0.01}
time_budget: 8h
on_nan: skip
""")
OTHER_RECIPE = yaml.safe_load("""
epochs: 9
batch_size: 8
amp: O3
loss_scale: dynamic
dynamic_loss_scale: {initial: 16.0, factor: 2.0, window: 10}
loss: {kind: bce, label_smoothing: 0.1}
clip: {value: 0.5}
optimizer: {kind: adam, betas: [0.9, 0.99], eps: 1.0e-6}
schedule: {kind: cosine, final: 0.01, cycles: 2, cycle_decay: 0.5, decay_epochs: 3}
""")
THIRD_RECIPE = yaml.safe_load("""
epochs: 9
batch_size: 8
optimizer: {kind: rmsprop, alpha: 0.9}
schedule: {kind: step, every: 3}
""")
FOURTH_RECIPE = yaml.safe_load("""
epochs: 9
batch_size: 8
schedule: {kind: polynomial, power: 2.0}
data: {classes: [sky, road], mask_values: [0, 255], ignore_index: 11}
""")
RECIPES = (RECIPE, OTHER_RECIPE, THIRD_RECIPE, FOURTH_RECIPE)
"""Settings of one kind stand beside none of another, so that no one recipe has all keys."""
OF_OTHER_KINDS = {"operations", "magnitude_std", "policy", "keep_checkpoints"}
"""Settings of other policies, and what is short for a key that is there."""
SCALARS = (3, 0, -1, 3.5, 10**400, True, None, "", "x", "k/2", "\u00e9")
OTHERS = (
    *SCALARS,
    *([value] for value in SCALARS),
    *([], [[]], {}, [{}], {"a": 1}, [{"a": 1}], {"1": 3}),
    *({key: 3} for key in ("kind", "steps", "rule", "layers", "conv", "of")),
)


def paths(value: Any, path: KeyPath = ()) -> Iterator[KeyPath]:
    """All places of a value, the whole first."""
    yield path
    items = value if isinstance(value, dict) else {}
    items = dict(enumerate(value)) if isinstance(value, list) else items
    for key, item in items.items():
        yield from paths(item, (*path, key))


def complete(values: Any) -> Any:
    """A spec with an example of each kind of step, or of settings, that is not written in it."""
    written = {part for path in paths(values) for part in path}
    steps = [step_of(kind) for kind, row in OPERATORS.items() if row.step or row.settings]
    missing = []
    for step in steps:
        if {part for path in paths(step) for part in path} - written:
            missing.append(step)
    values["transitions"][0]["steps"] += missing
    return values


def put(value: Any, path: KeyPath, other: Any) -> Any:
    """The value with another one at a path, where there is one still."""
    if not path:
        return other
    if isinstance(value, dict):
        return {k: put(v, path[1:], other) if k == path[0] else v for k, v in value.items()}
    if isinstance(value, list):
        return [put(v, path[1:], other) if i == path[0] else v for i, v in enumerate(value)]
    return value


def places(read: Callable[[], Any]) -> list[str]:
    """Where the faults are that reading raises; none where nothing is wrong."""
    try:
        read()
    except ArchspecError as error:
        return [fault.where for fault in error.diagnostics]
    return []


def in_a_file(values: Any, folder: Path) -> Path:
    file = folder / "any.yaml"
    file.write_text(to_yaml(values) if isinstance(values, dict) else yaml.safe_dump(values))
    return file


def check_spec(values: Any, folder: Path) -> None:
    """Load and build what may be anything; every fault has its place in the file."""
    file = in_a_file(values, folder)
    found = places(lambda: build_graph(load_spec(file)))
    assert not [where for where in found if not where.startswith(str(file))]


def check_recipe(values: Any, folder: Path) -> None:
    """As a spec."""
    file = in_a_file(values, folder)
    found = places(lambda: load_recipe(file))
    assert not [where for where in found if not where.startswith(str(file))]


SPEC = complete(SPEC)
WHOLE = {check_spec: (SPEC,), check_recipe: RECIPES}


def models(annotation: Any, seen: dict[str, type[BaseModel]]) -> Mapping[str, type[BaseModel]]:
    """All models that a document consists of, by name."""
    is_model = isinstance(annotation, type) and issubclass(annotation, BaseModel)
    if is_model and annotation.__name__ not in seen:
        seen[annotation.__name__] = annotation
        for field in annotation.model_fields.values():
            models((field.annotation, *field.metadata), seen)
    for part in annotation if isinstance(annotation, tuple) else get_args(annotation):
        models(part, seen)
    return seen


@pytest.mark.parametrize(("model", "values"), [(Spec, (SPEC,)), (Recipe, RECIPES)])
def test_every_key_of_the_language_stands_in_the_examples(
    model: type[BaseModel], values: Any
) -> None:
    """A key that is added later is to be tried too."""
    found = {part for each in values for path in paths(each) for part in path}
    keys = {key for each in models(model, {}).values() for key in each.model_fields}
    assert keys - found - OF_OTHER_KINDS == set()
    for each in values:
        assert model.model_validate(expand_short_forms(Document(each)).value)


@pytest.mark.parametrize("check", WHOLE)
@given(data=st.data())
@settings(max_examples=120)
def test_any_values_in_place_of_others_are_faults_with_places(
    check: Any, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One or several at once, at any depth."""
    values = data.draw(st.sampled_from(WHOLE[check]))
    for _ in range(data.draw(st.integers(1, 4))):
        path = data.draw(st.sampled_from(sorted(paths(values), key=repr)))
        values = put(values, path, data.draw(st.sampled_from(OTHERS)))
    check(values, tmp_path_factory.getbasetemp())


@pytest.mark.parametrize("check", WHOLE)
def test_any_key_alone_with_any_value_is_a_fault_with_a_place(check: Any, tmp_path: Path) -> None:
    """`blocks: 3` and nothing else."""
    for key in {key: None for whole in WHOLE[check] for key in whole}:
        for value in OTHERS:
            check({key: value}, tmp_path)


@given(
    st.lists(
        st.tuples(st.sampled_from([*SPEC, "block_config"]), st.sampled_from(OTHERS)), max_size=3
    )
)
@settings(max_examples=80)
def test_any_override_and_any_child_is_a_fault_with_a_place(
    tmp_path_factory: pytest.TempPathFactory, said: list[tuple[str, Any]]
) -> None:
    """Of a shipped spec, whose own keys are right."""
    found = places(lambda: build_graph(load_spec("densenetbc_digits", said)))
    assert all(found)
    check_spec({"extends": "densenetbc_digits", **dict(said)}, tmp_path_factory.getbasetemp())
