"""A configuration of MindCV's as a recipe, the name of its spec, and what could not be taken."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from archspec.errors import Diagnostic, SpecError
from archspec.settings import Path as KeyPath
from archspec.spec.reading.document import Document, format_path, shorten_value
from archspec.spec.reading.yaml_reader import read_file
from archspec.train.recipe.mindcv import FLAGS, Flag, Nothing, find_known_key, say_instead
from archspec.train.recipe.mindcv_values import SKIP, Config, NotTaken
from archspec.train.recipe.recipe import Recipe

DEVICES = 8
"""On which MindCV's files are meant to run: its READMEs name `msrun` with eight."""


SPEC = "model"
"""The flag that names the network."""
FORMER_DECAY_FILTER = "filter_bias_and_bn"
"""Until MindCV 0.2: whether biases and norms have no weight decay."""


@dataclass(frozen=True)
class FromMindCV:
    """What a file comes to."""

    spec: str
    """The name of its model."""
    values: Mapping[str, Any]
    """Those of the recipe that the file and MindCV's defaults say."""
    recipe: Recipe
    left: Sequence[str]
    """A line for each flag that was not taken."""


def read_mindcv(file: Path, devices: int = DEVICES) -> FromMindCV:
    """Return what a YAML file of MindCV's comes to.

    Args:
        file: of `configs/`, or one of one's own for its train.py.
        devices: that a distributed run has.

    Raises:
        SpecError: Y001..Y009; S001, no key is MindCV's; S003, values of another type.
    """
    said, unknown = _check(read_file(file), file)
    config = {name: flag.default for name, flag in FLAGS.items()} | said
    config["devices"] = devices if config["distribute"] else 1
    values: dict[str, Any] = {"name": file.stem[:64], "source": f"MindCV, {file.name}"[:1000]}
    values["data.augment"] = "random_resized_crop"
    left: list[str] = []
    for name, flag in FLAGS.items():
        if name == SPEC:
            continue
        left += _take(name, flag, config, values, is_said=name in said)
    values = _sort(_nest(values))
    recipe, refused = _drop_refused(values, str(file))
    return FromMindCV(str(config[SPEC]), values, recipe, [*unknown, *left, *refused])


# ---- the file


def _check(document: Document, file: Path) -> tuple[dict[str, Any], list[str]]:
    """What the file says, its values being of their types, and a line for each other key."""
    if not isinstance(document.value, dict):
        raise SpecError.one("S003", "must be a mapping of keys to values", str(file))
    if not FLAGS.keys() & document.value.keys():
        hint = "expected: model, epoch_size, lr, scheduler, ..."
        raise SpecError.one("S001", "holds no key of a MindCV configuration", str(file), hint)
    said: dict[str, Any] = {}
    unknown, faults = [], []
    for key, written in document.value.items():
        name, value = _rename(key, written)
        if name not in FLAGS:
            unknown.append(_describe_unknown(name, value))
            continue
        said[name] = value
        if not _fits(value, FLAGS[name]):
            kind = _describe_kind(FLAGS[name])
            message = f"{name} (={shorten_value(value)}) must be {kind}"
            faults.append(Diagnostic("S003", message, str(document.place((key,)))))
    if faults:
        raise SpecError(faults)
    return said, unknown


def _rename(key: str, value: Any) -> tuple[str, Any]:
    """A flag of earlier versions is the one that took its place."""
    if key != FORMER_DECAY_FILTER or not isinstance(value, bool):
        return key, value
    return "weight_decay_filter", "norm_and_bias" if value else "disable"


def _describe_unknown(name: str, value: Any) -> str:
    near = difflib.get_close_matches(name[:60], FLAGS, n=1)
    meant = f", did you mean {near[0]!r}?" if near else ""
    return f"{name[:60]} (={shorten_value(value)}): no flag of MindCV's{meant}"


def _kinds(flag: Flag) -> tuple[type, ...]:
    if flag.kinds or flag.default is None:
        return flag.kinds
    kinds = {float: (int, float), tuple: (list, tuple)}
    return kinds.get(type(flag.default), (type(flag.default),))


def _fits(value: Any, flag: Flag) -> bool:
    kinds = _kinds(flag)
    if value is None or object in kinds:
        return flag.default is None or object in kinds or Nothing in kinds
    if isinstance(value, bool) and bool not in kinds:
        return False
    if isinstance(value, list):
        return list in kinds and len(value) > 0 and all(type(item) in flag.items for item in value)
    is_bounded = not isinstance(value, (int, float)) or abs(value) < 2**31  # NaN is not
    return isinstance(value, kinds) and is_bounded


def _describe_kind(flag: Flag) -> str:
    items = "words" if str in flag.items else "numbers"
    words = {bool: "true or false", int: "a whole number", str: "text", list: f"a list of {items}"}
    kinds = _kinds(flag)
    if float in kinds:
        return "a number"
    return " or ".join(words[kind] for kind in kinds if kind in words)


# ---- from flags to keys


def _take(
    name: str, flag: Flag, config: Config, values: dict[str, Any], *, is_said: bool
) -> list[str]:
    """Enter what a flag says under our keys; return a line for what is not taken."""
    value = config[name]
    if value is None or (flag.only_said and not is_said):
        return []
    shown = f"{name} (={shorten_value(_plain(value))}{'' if is_said else ', by default'})"
    if not flag.keys:
        is_lost = is_said and value not in flag.idle
        return [f"{shown}: {say_instead(flag)}"] if is_lost else []
    left = []
    try:
        converted = flag.convert(value, config)
    except NotTaken as why:
        converted, left = why.value, [f"{shown}: {why}"]
    parts = converted if len(flag.keys) > 1 else (converted,)
    if converted is SKIP:
        return left
    missing = []
    for keys, part in zip(flag.keys, parts, strict=True):
        key = "" if part is SKIP else find_known_key(keys)
        if key:
            values[key] = part
        elif part is not SKIP:
            missing.append(keys.partition("|")[0])
    return [f"{shown}: recipes have no {', '.join(missing)}"] if missing else left


def _plain(value: Any) -> Any:
    return [*value] if isinstance(value, tuple) else value


def _nest(values: Mapping[str, Any]) -> dict[str, Any]:
    """`{"data.mixup": 1}` -> `{"data": {"mixup": 1}}`; keys of overrides stay paths."""
    nested: dict[str, Any] = {}
    for key, value in values.items():
        part, _, rest = key.partition(".")
        if rest:
            nested.setdefault(part, {})[rest] = _plain(value)
        else:
            nested[part] = _plain(value)
    return nested


def _sort(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: values[key] for key in Recipe.model_fields if key in values}


# ---- what recipes refuse


def _drop_refused(values: dict[str, Any], file: str) -> tuple[Recipe, list[str]]:
    """Return the recipe of the values, which lose what is refused, and a line for each."""
    refused: list[str] = []
    while True:
        try:
            return Recipe.model_validate(values), refused
        except ValidationError as error:
            dropped = [line for path, why in _faults_of(error) for line in _drop(values, path, why)]
        refused += dropped
        if not dropped:  # what no recipe can be without was refused
            raise SpecError(Diagnostic("S004", line, file) for line in refused)


def _faults_of(error: ValidationError) -> list[tuple[KeyPath, str]]:
    found: list[tuple[KeyPath, str]] = []
    for detail in error.errors(include_url=False):
        if detail["type"] == "broken_rules":
            found += [((*detail["loc"], *path), why) for path, why in detail["ctx"]["faults"]]
        else:
            found.append((detail["loc"], detail["msg"].replace("Input", "it", 1)))
    return found


def _drop(values: dict[str, Any], path: KeyPath, why: str) -> list[str]:
    """Take the value at a path, or what encloses it, away."""
    holder, key = values, str(path[0])
    inner = values.get(key)
    if len(path) > 1 and isinstance(inner, dict) and str(path[1]) in inner:
        holder, path, key = inner, path[:2], str(path[1])
    if key not in holder:
        return []
    value = holder.pop(key)
    if not holder:
        values.pop(str(path[0]), None)
    return [f"{format_path(path)} (={shorten_value(value)}): {why}"]
