"""From what the user asks to a run: resolve spec, recipe and data, make the run directory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, get_args

from archspec.certify.built_network import certify_built
from archspec.errors import ArchspecError, DataError, Place, TrainingError
from archspec.graph.build import build_graph
from archspec.graph.digest import structure_digest
from archspec.graph.ir import Graph
from archspec.graph.parts import list_parts
from archspec.machine.processes import require_processes
from archspec.mindspore_versions import list_versions
from archspec.operators.table import OPERATORS
from archspec.runtime import (
    import_mindspore,
    import_mindspore_meanwhile,
    import_opencv,
    import_tensorboard,
)
from archspec.signals import hold_interrupts
from archspec.spec.load import is_users_choice, load_spec
from archspec.spec.override import Override, Overrides, Setting, key_of, list_overrides
from archspec.spec.spec import Spec
from archspec.train.data.datasets import open_data
from archspec.train.data.inputs import (
    check_stand_in,
    find_names_file,
    make_preprocess,
    split_by_recipe,
)
from archspec.train.data.kinds import MASKS, check_has_masks
from archspec.train.data.recipe_fit import check_recipe
from archspec.train.data.sources.data_parts import DataSet, Splits
from archspec.train.engine.half_precision import describe_kept
from archspec.train.engine.memory import plan_recompute
from archspec.train.engine.parameter_groups import find_frozen
from archspec.train.pretrained import InitialWeights, read_initial_weights
from archspec.train.recipe.ascend_settings import describe_switches
from archspec.train.recipe.choice import Choice, choose_recipe, describe_choice, doubt_rate
from archspec.train.recipe.recipe import Recipe, load_recipe
from archspec.train.recipe.scaling import describe_norms, scale_recipe
from archspec.train.run.run_directory import (
    DeviceTarget,
    Run,
    Settings,
    check_is_free,
    create_run,
    name_default_path,
)
from archspec.train.trainable_output import check_logits, tells_pixels
from archspec.verifiers.verify import verify_or_raise
from archspec.writers.mindspore.module import write_module


@dataclass(frozen=True)
class Plan:
    """All that is known before a run directory exists."""

    spec: Spec
    recipe: Recipe
    settings: Settings
    splits: Splits
    """The data set, opened: listed and looked through once, for a run in this process too."""
    choice: Choice
    """Which recipe it is, and why."""
    notes: tuple[str, ...] = ()
    """What the number of devices or the batch changed in the recipe,
    and what the run begins with; each a line."""
    initial: InitialWeights | None = None

    @property
    def recipe_line(self) -> str:
        """The recipe, why it is taken, and the numbers that matter."""
        return describe_choice(self.choice, self.recipe, self.settings.world)


def plan_run(
    spec_name: str | Path,
    *,
    data_dir: Path | str | None = None,
    recipe_name: str | Path | None = None,
    spec_overrides: Overrides = (),
    recipe_overrides: Overrides = (),
    initial: Path | str | None = None,
    weights: str = "",
    device_target: str = "CPU",
    devices: int = 1,
    nodes: int = 1,
) -> Plan:
    """Return a checked plan: the spec, with the data's number of classes unless it is given,
    and the recipe, which `choose_recipe` chooses where none is named.

    Args:
        initial: the file of weights to begin with.
        weights: what brought it, such as `--pretrained`; alone, without a file, it is planned as if
            the weights were there.
        devices: processes on each machine.
        nodes: machines that train together; see `archspec.train.distributed.nodes`.

    Raises:
        ArchspecError: spec, recipe or data are wrong, all their faults at once; T005, too few
            classes; T007, a batch that is larger than the data set;
            T010, devices that cannot share the global batch.
    """
    if not isinstance(spec_name, str | Path):
        raise TypeError("a spec to train is named, or a file; spec_overrides change it")
    if device_target not in get_args(DeviceTarget):
        raise ValueError(f"device_target (={device_target!r}) must be CPU or Ascend")
    initial = None if initial is None else Path(initial)
    asked = _Request(
        str(spec_name),
        None if data_dir is None else Path(data_dir),
        None if recipe_name is None else str(recipe_name),
        list_overrides(spec_overrides),
        list_overrides(recipe_overrides),
        weights or ("" if initial is None else str(initial)),
        device_target,
        devices,
        nodes,
    )
    read = _read(asked)
    recipe, notes = read.recipe, read.notes
    _find_packages(recipe)
    splits = split_by_recipe(recipe, read.data)
    classes = _choose_classes(read.spec, splits)
    # The later one wins: what the user says stands above the recipe's own overrides.
    overrides = [*recipe.spec_overrides(), *asked.spec_overrides, classes]
    spec = load_spec(asked.spec_name, overrides)
    check_fit(spec, recipe, splits, asked.world)
    graph = _build_trainable(spec, recipe, splits)
    recipe, line = plan_recompute(recipe, graph, device_target=device_target, devices=devices)
    ops = graph.ops.values()
    has_batch_norm = any(OPERATORS[op.kind].has_statistics for op in ops)
    norms = describe_norms(recipe, asked.world, has_batch_norm=has_batch_norm)
    kept = describe_kept(recipe, graph)
    switched = describe_switches(recipe.ascend, device_target)
    notes = (*notes, *filter(None, [norms, line, kept, switched]))
    settings = _make_settings(asked, splits, graph)
    begin = None
    if initial is not None:
        begin = read_initial_weights(initial, spec)
        notes = (*notes, begin.note)
    return Plan(spec, recipe, settings, splits, read.choice, notes, begin)


@dataclass(frozen=True)
class _Request:
    """What the user asks for; see `plan_run`."""

    spec_name: str
    data_dir: Path | None
    recipe_name: str | None
    spec_overrides: Sequence[Setting | Override]
    recipe_overrides: Sequence[Setting | Override]
    weights: str
    device_target: str
    devices: int
    nodes: int

    @property
    def world(self) -> int:
        return self.nodes * self.devices


@dataclass(frozen=True)
class _Read:
    """What there is: each right by itself, and nothing known of whether they go together."""

    spec: Spec
    data: DataSet
    choice: Choice
    recipe: Recipe
    notes: tuple[str, ...]


def _read(asked: _Request) -> _Read:
    """Spec, data and recipe, each read whatever is wrong with the others:
    all their faults are told at once.
    """
    faults: list[ArchspecError] = []
    load = partial(load_spec, asked.spec_name, asked.spec_overrides, Recipe)
    spec = _collect_faults(faults, load)
    data = _collect_faults(faults, partial(_open_data, spec, asked.data_dir))
    choice = choose_recipe(
        data, named=asked.recipe_name, weights=asked.weights, device_target=asked.device_target
    )
    scale = partial(_load_scaled_recipe, choice.name, asked.recipe_overrides, asked.world)
    found = _collect_faults(faults, scale)
    of_masks = data.faults if data else ()
    if data is not None:
        on_error = found[0].data.on_error if found else "stop"
        _collect_faults(faults, partial(data.check_broken, on_error))
    if faults or spec is None or data is None or found is None:
        listed = chain.from_iterable(fault.diagnostics for fault in faults)
        raise TrainingError([*listed, *of_masks])
    recipe, notes = found
    return _Read(spec, data, choice, recipe, notes)


def _build_trainable(spec: Spec, recipe: Recipe, splits: Splits) -> Graph:
    """The network's graph, of which all is checked that a run would end for."""
    make_preprocess(spec, recipe)
    graph = verify_or_raise(build_graph(spec))
    check_logits(spec, graph, per_pixel=splits.has_masks)
    find_frozen(recipe, list_parts(graph))
    return graph


def _make_settings(asked: _Request, splits: Splits, graph: Graph) -> Settings:
    return Settings(
        data_dir=str(asked.data_dir.resolve()) if asked.data_dir else None,
        data_kind=splits.kind,
        classes=splits.classes,
        device_target=asked.device_target,
        devices=asked.devices,
        nodes=asked.nodes,
        structure_digest=structure_digest(graph),
        versions=list_versions(),
    )


def _open_data(spec: Spec | None, data_dir: Path | None) -> DataSet:
    if spec is None:
        return open_data(data_dir, on_error="keep")
    if data_dir is None:
        check_stand_in(spec)
        return open_data(None, on_error="keep")
    needs_masks = tells_pixels(spec)
    try:
        data = open_data(data_dir, on_error="keep")
    except DataError:
        if needs_masks:  # what is wrong with them as classes of images helps nobody
            check_has_masks(data_dir, spec.name)
        raise
    if needs_masks and data.kind != MASKS:
        check_has_masks(data_dir, spec.name)
    return data


def _load_scaled_recipe(
    name: str, overrides: Sequence[Setting | Override], devices: int
) -> tuple[Recipe, tuple[str, ...]]:
    """The recipe for so many devices, and what that changed, or what is to be doubted in it:
    saved so, since a run that goes on repeats it.
    """
    recipe = load_recipe(name, overrides)
    scaling = scale_recipe(recipe, devices)
    notes = tuple(filter(None, (doubt_rate(recipe), scaling.note)))
    recipe = load_recipe(name, [*overrides, *scaling.overrides])
    names = find_names_file(recipe)
    if names is None:
        return recipe, notes
    # A run has its recipe elsewhere, and may be taken up from anywhere.
    place = recipe.written()[("data", "class_names")]
    fixed = Override(("data.class_names", str(names.resolve())), place)
    others = [setting for setting in overrides if key_of(setting) != "data.class_names"]
    return load_recipe(name, [*others, *scaling.overrides, fixed]), notes


def _find_packages(recipe: Recipe) -> None:
    """Raise EnvironmentFault (E009) where a package that the recipe needs is not installed."""
    if recipe.tensorboard:
        import_tensorboard()
    if recipe.data.image_backend == "opencv":
        import_opencv()


def _collect_faults(faults: list[ArchspecError], read: Callable[[], Any]) -> Any:
    try:
        return read()
    except ArchspecError as error:
        faults.append(error)
        return None


def _choose_classes(spec: Spec, splits: Splits) -> Override:
    """The user's number of classes, whatever a recipe says of it, else as many as the data has."""
    path = ("head", "num_classes")
    if is_users_choice(spec, path):
        return Override(("head.num_classes", spec.head.num_classes), spec.written()[path])
    place = Place(splits.train.name, "found")
    return Override(("head.num_classes", len(splits.classes)), place)


def check_fit(spec: Spec, recipe: Recipe, splits: Splits, devices: int) -> None:
    """Raise TrainingError for a network of fewer classes than the data's (T005), and what
    `check_recipe` raises.
    """
    if spec.head.num_classes < len(splits.classes):
        raise TrainingError.one(
            "T005",
            f"num_classes (={spec.head.num_classes}) must be at least "
            f"the {len(splits.classes)} of the data",
            spec.place(("head", "num_classes")),
        )
    check_recipe(recipe, splits, classes=spec.head.num_classes, devices=devices)


def create(plan: Plan, path: Path | None, *, certify: bool = False) -> Run:
    """Make the run directory of a plan, with a certificate of the network if one is asked for.

    Raises:
        TrainingError: T001, T002; nothing is left behind.
        EnvironmentFault: E004, there are fewer devices here; E001, there is no MindSpore.
        ArchspecError: W002, the initial weights cannot be written; see `certify_built`.
    """
    require_processes(plan.settings.devices, plan.settings.device_target)
    path, graph = path or name_default_path(plan.spec), build_graph(plan.spec)
    check_is_free(path)  # before a certificate is made, which may take minutes
    network = write_module(graph)
    found = _certify(plan, graph, network) if certify else None
    if plan.settings.world == 1:
        # Before there is a folder: a MindSpore that cannot be imported trains nothing.
        with hold_interrupts():
            import_mindspore()
    return create_run(
        path,
        plan.spec,
        plan.recipe,
        plan.settings,
        network,
        certificate=found,
        initial=plan.initial.tensors if plan.initial else None,
    )


def _certify(plan: Plan, graph: Graph, network: str) -> Mapping[str, Any]:
    """A child process makes the certificate; this one, if it will train, gets ready meanwhile."""
    if plan.settings.world > 1:
        return certify_built(plan.spec, graph, network)
    with import_mindspore_meanwhile():
        return certify_built(plan.spec, graph, network)
