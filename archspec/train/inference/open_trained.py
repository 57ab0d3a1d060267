"""Opening a trained network: a run directory, one of its checkpoints, a spec with a checkpoint, or
an exported file.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from operator import attrgetter
from pathlib import Path
from typing import Any, TypedDict

from archspec.certify.certify_file import certify_file
from archspec.errors import DataError, ModelFileError, Place, SpecError
from archspec.graph.build import build_graph
from archspec.graph.shapes import infer_shapes
from archspec.readers.frontends import MINDIR, frontend_of
from archspec.shell_words import quote_word
from archspec.spec.catalogue import hint_at_nearest, shipped
from archspec.spec.load import is_overridden, load_spec
from archspec.spec.override import Override, Setting
from archspec.spec.spec import Spec
from archspec.train.data.inputs import can_stand_in, find_names_file, make_preprocess
from archspec.train.data.kinds import identify_data
from archspec.train.data.sources.class_names import read_class_list
from archspec.train.recipe.choice import RECIPES
from archspec.train.recipe.recipe import Recipe, load_recipe
from archspec.train.run.recovery import find_best
from archspec.train.run.run_directory import SPEC, WRITTEN_FILES, Run, open_run
from archspec.train.trainable_output import tells_pixels
from archspec.train.trained.engines import (
    ENGINES,
    EngineName,
    ImageNetwork,
    check_outputs,
    load_network,
)
from archspec.train.trained.exported import ToldNetwork, is_mindir, read_network
from archspec.train.trained.trained import DeviceTarget, Trained
from archspec.weights.convert import convert_file
from archspec.weights.formats.number_types import Floats
from archspec.weights.pairing.classifier_weights import find_classifier

OF_IMAGES = attrgetter("mean", "std", "crop_pct", "interpolation", "resize")
"""What evaluation does with an image."""
INPUT_SIZE = ("input.height", "input.width")
"""What may be set of a run's network: its weights do not depend on it."""


class HowToOpen(TypedDict, total=False):
    """What `open_trained` can be told."""

    ckpt: Path | None
    recipe: str | None
    overrides: Sequence[Setting | Override]
    recipe_overrides: Sequence[Override]
    data_dir: Path | None
    ema: bool
    device_target: DeviceTarget | None
    engine: EngineName | None


def open_trained(
    target: str,
    *,
    ckpt: Path | None = None,
    recipe: str | None = None,
    overrides: Sequence[Setting | Override] = (),
    recipe_overrides: Sequence[Override] = (),
    data_dir: Path | None = None,
    ema: bool = False,
    device_target: DeviceTarget | None = None,
    engine: EngineName | None = None,
) -> Trained:
    """Return the trained network of a run directory, of a checkpoint in one, of a spec with a
    checkpoint, or of an ONNX or MINDIR that `densenet export` wrote, which an engine runs. Of any
    other an engine runs the export, which is kept: see `open_in_engine`.

    Without a recipe, a run has its own; for a checkpoint the kind of data decides how images are
    prepared, and without data a grey network is taken for one of digits. With `ema` it is that of
    the checkpoint's moving averages of weights.

    Raises:
        ArchspecError: S..., T004; R001..R003 and others of `convert_file`; R004, a spec without a
            checkpoint, or a checkpoint without a spec; R004..R008, an exported file that is none.
    """
    suffix = Path(target).suffix.lower()
    if suffix in ENGINES and not os.path.isdir(target):
        _check_runs(engine, suffix, target)
        said: dict[str, Any] = {"--ckpt": ckpt, "--ema": ema}
        said |= dict.fromkeys(map(_name_override, overrides), True)
        if not is_mindir(Path(target)):
            said["--device-target"] = device_target
        exported = _open_exported(target, engine, said, recipe, recipe_overrides)
        return replace(exported, device_target=device_target)
    if target.endswith(".ckpt"):
        if ckpt is not None:
            message = f"is a checkpoint, and --ckpt {ckpt} another one"
            raise ModelFileError.one("R004", message, target, "name one of them")
        run_path, ckpt = _locate_in_run(Path(os.path.expanduser(target)))
        target = str(run_path)
    if os.path.isdir(target):  # pathlib's own raises for a name that is too long
        run = open_run(Path(target))
        spec = _resize_input(run, overrides)
        chosen = load_recipe(
            run.path / "recipe.yaml" if recipe is None else recipe, recipe_overrides
        )
        trained = Trained(spec, chosen, ckpt or find_best(run), run.settings.classes, run)
        if ckpt is not None or ema:
            found = convert_file(trained.checkpoint, spec, ema=ema)
            trained = replace(trained, tensors=found.tensors, notes=found.adaptations)
    else:
        trained = _open_spec(target, ckpt, recipe, overrides, recipe_overrides, data_dir, ema)
    trained = replace(trained, device_target=device_target, ema=ema)
    if engine is None:
        return trained
    # Nobody waits for onnx who does not ask for an engine.
    from archspec.train.export.kept_export import open_in_engine

    return open_in_engine(trained, engine)


def _check_runs(engine: EngineName | None, suffix: str, target: str) -> None:
    """Raise ModelFileError (R004) where an engine runs no such files."""
    engines = ENGINES[suffix]
    if engine is not None and engine not in engines:
        message = f"{engine} does not run {suffix} files"
        raise ModelFileError.one("R004", message, target, f"--engine {' or '.join(engines)}")


def _open_exported(
    target: str,
    engine: EngineName | None,
    said: Mapping[str, Any],
    recipe: str | None,
    recipe_overrides: Sequence[Override],
) -> Trained:
    file, others = Path(os.path.expanduser(target)), [flag for flag, given in said.items() if given]
    if others:
        message = f"an exported network is as it was written: leave out {', '.join(others)}"
        raise ModelFileError.one("R004", message, target)
    told = read_network(file, recipe, recipe_overrides)
    if is_mindir(file):  # before MindSpore's own loader sees it
        _check_is_network(file, told.spec)
    exported = load_network(file, engine or ENGINES[file.suffix.lower()][0])
    graph = build_graph(told.spec)
    shapes, _ = infer_shapes(graph)
    check_outputs(exported, file, [shapes[name] for name in graph.outputs])
    if told.reads_images:
        _check_prepares_so(file, told)
        are_independent = told.own_recipe.loss.kind == "bce"
        exported = ImageNetwork(exported, are_independent=are_independent)
    return Trained(told.spec, told.recipe, file, told.classes, exported=exported)


def _check_is_network(file: Path, spec: Spec) -> None:
    """Raise ModelFileError where a file is no MINDIR (R006), or another network than it says
    (R004).
    """
    if frontend_of(file) is not MINDIR:
        raise ModelFileError.one("R006", "is no MINDIR", str(file))
    differences = certify_file(file, spec).differences
    if differences:
        message = f"is another network than it says: {differences[0].message}"
        raise ModelFileError.one("R004", message, str(file))


def _check_prepares_so(file: Path, told: ToldNetwork) -> None:
    """Raise ModelFileError (R004) where a recipe says otherwise than a file does."""
    own, asked = (make_preprocess(told.spec, each) for each in (told.own_recipe, told.recipe))
    if OF_IMAGES(own) != OF_IMAGES(asked):
        message = "prepares images itself, otherwise than is asked for"
        cure = "leave that out, or export without --with-preprocess"
        raise ModelFileError.one("R004", message, str(file), cure)


def _locate_in_run(file: Path) -> tuple[Path, Path]:
    """Return the run of a checkpoint, and where in it the file lies: people leave out
    `checkpoints`, the folder that a run has for them.
    """
    folder = file.parent
    if not file.exists() and (folder / "checkpoints" / file.name).exists():
        file = folder / "checkpoints" / file.name
    for run_path in (folder, folder.parent):
        if all((run_path / name).is_file() for name in WRITTEN_FILES):
            return run_path, file
    if not file.exists():
        raise ModelFileError.one("R001", "there is no such checkpoint", str(file))
    message = "is a checkpoint that lies in no run directory, so its network is not known"
    cure = f"name the spec, and --ckpt {quote_word(str(file))}"
    raise ModelFileError.one("R004", message, str(file), cure)


def _name_override(given: Setting | Override) -> str:
    """The flag that asks for it: `--image-size`."""
    return str(given.place).split()[0] if isinstance(given, Override) else "--set"


def _resize_input(run: Run, overrides: Sequence[Setting | Override]) -> Spec:
    """Return a run's spec, with another size of images where that is asked for."""
    for given in overrides:
        setting = given.setting if isinstance(given, Override) else given
        key = setting[0] if isinstance(setting, tuple) else setting.partition("=")[0].strip()
        if key not in INPUT_SIZE:
            words = given.place if isinstance(given, Override) else f"--set {setting}"
            message = f"{words}: a run's network is fixed"
            raise SpecError.one("S011", message, str(run.path), "leave --set out")
    return load_spec(run.path / SPEC, overrides) if overrides else run.spec


def _open_spec(
    target: str,
    ckpt: Path | None,
    recipe: str | None,
    overrides: Sequence[Setting | Override],
    recipe_overrides: Sequence[Override],
    data_dir: Path | None,
    ema: bool,
) -> Trained:
    if target not in shipped() and not os.path.exists(os.path.expanduser(target)):
        message = f"there is no {target[:60]!r}, neither a run directory nor a spec"
        hint = hint_at_nearest(Path(target).stem) or "densenet list names the shipped specs"
        raise SpecError.one("S010", message, "", hint)
    spec = load_spec(target, overrides, Recipe)
    if ckpt is None:
        cure = "--ckpt FILE or --pretrained, or name a run"
        raise ModelFileError.one("R004", f"{target} is a spec; it needs weights", "", cure)
    any_classes = not is_overridden(spec, ("head", "num_classes"))
    found = convert_file(ckpt, spec, any_classes=any_classes, ema=ema)
    # All but the classifier must fit, so the file may have been trained for other classes.
    classes = _count_classes(spec, found.tensors)
    if classes and classes != spec.head.num_classes:
        found_classes = Override(("head.num_classes", classes), Place(str(ckpt), "found"))
        spec = load_spec(target, [*overrides, found_classes])
    chosen = load_recipe(
        _choose_recipe(spec, data_dir) if recipe is None else recipe, recipe_overrides
    )
    classes_told = _read_class_names(spec, chosen)
    return Trained(spec, chosen, ckpt, classes_told, None, found.tensors, found.adaptations)


def _read_class_names(spec: Spec, recipe: Recipe) -> tuple[str, ...]:
    """Names of classes where the recipe says a file of them; none of a network of pixels, whose
    data set says them.

    Raises DataError: D001, D012, the file is none, or has others than the network.
    """
    file = find_names_file(recipe)
    if file is None or tells_pixels(spec):
        return ()
    names, count = read_class_list(file).names, spec.head.num_classes
    if len(names) != count:
        rule = f"names {len(names):,} classes, the network has {count:,}"
        raise DataError.one("D012", rule, str(file))
    return names


def _count_classes(spec: Spec, tensors: Mapping[str, Floats]) -> int:
    classifier = find_classifier(spec)
    return 0 if classifier is None else tensors[classifier[0]].shape[0]


def _choose_recipe(spec: Spec, data_dir: Path | None) -> str:
    if data_dir:
        return RECIPES[identify_data(data_dir)].from_scratch
    return RECIPES["digits" if can_stand_in(spec, grey=True) else "folder"].from_scratch


def opened(target: Trained | Run | Path | str, how: HowToOpen) -> Trained:
    """Return a trained network that is open already, or open it as is told."""
    if not isinstance(target, Trained):
        return open_trained(str(target.path if isinstance(target, Run) else target), **how)
    others = how.keys() - {"data_dir"}
    if others:
        raise TypeError(f"{', '.join(sorted(others))}: say it to open_trained")
    return target
