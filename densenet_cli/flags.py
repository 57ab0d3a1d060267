"""Flags of `train` that set a key, and what is said to a flag that other tools have."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperCommand

from archspec.spec.override import Override
from densenet_cli.options import override_by_flag

# By the name of the parameter: `--log-every` is log_every.
SPEC_FLAGS: Mapping[str, tuple[str, ...]] = {
    "image_size": ("input.height", "input.width"),
    "num_classes": ("head.num_classes",),
}
RECIPE_FLAGS: Mapping[str, tuple[str, ...]] = {
    "epochs": ("epochs",),
    "batch_size": ("batch_size",),
    "lr": ("schedule.learning_rate",),
    "opt": ("optimizer.kind",),
    "seed": ("seed",),
    "amp": ("amp",),
    "ema": ("ema.decay",),
    "freeze": ("freeze",),
    "freeze_until": ("freeze",),
    "workers": ("data.workers",),
    "log_every": ("log_every",),
    "save_every": ("save_every",),
}

OMITTED: Mapping[str, str] = {"--ema": "0.9999"}
"""What a flag means that is given without a value."""

_SPEC = "SPEC, the first argument: `densenet train densenet121`"
_FILES = (
    "SPEC, the first argument, and --recipe FILE (`densenet recipe from-mindcv` reads MindCV's)"
)
FOREIGN_FLAGS: Mapping[str, str] = {
    "--model": _SPEC,
    "-m": _SPEC,
    "--arch": _SPEC,
    "-a": _SPEC,
    "--config": _FILES,
    "--cfg": _FILES,
    "-c": _FILES,
    "--data": "--data-dir",
    "--data-path": "--data-dir",
    "--root": "--data-dir",
    "--dataset": "--data-dir, which notices the kind of the data",
    "--imgsz": "--image-size",
    "--img": "--image-size",
    "--img-size": "--image-size",
    "--input-size": "--image-size",
    "--image-resize": "--image-size",
    "--nc": "--num-classes",
    "--lr0": "--lr",
    "--learning-rate": "--lr",
    "--batch": "--batch-size",
    "--bs": "--batch-size",
    "-e": "--epochs",
    "--optimizer": "--opt",
    "-j": "--workers",
    "--num-workers": "--workers",
    "--device": "--device-target",
    "--gpus": "--devices",
    "--nproc-per-node": "--devices",
    "--distribute": "--devices",
    "--nnodes": "--nodes",
    "--num-nodes": "--nodes",
    "--master-addr": "--master",
    "--master-port": "--master ADDR:PORT",
    "--host-file": "--hostfile",
    "--output": "--out",
    "--output-dir": "--out",
    "--save-dir": "--out",
    "--ckpt-save-dir": "--out",
    "--weights": "--init-from",
    "--checkpoint": "--init-from",
    "--ckpt": "--init-from",
    "--ckpt-path": "--init-from",
    "--patience": "--set recipe.early_stopping.patience=VALUE",
}
"""Flags of MindCV, timm, torchvision and Ultralytics, with hyphens, and what stands for them."""
_OPTION = re.compile(r"--[a-z-]+")


class Command(TyperCommand):
    """A command that answers flags of other tools with its own, and takes no empty word for a
    path.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; a usage error says what a foreign flag is called here."""
        known = list_names(self, ctx)
        switches = [option for option in self.params if getattr(option, "is_flag", False)]
        omitted = OMITTED.keys() - {name for option in switches for name in option.opts}
        for flag in list_flags(args):
            answer = "" if flag in known else answer_flag(flag, known)
            if answer:
                ctx.fail(f"No such option: {flag}. Here it is {answer}")
            reason = "" if flag in known else explain_flag(flag, known)
            if reason:
                ctx.fail(f"No such option: {flag}. {reason}")
        rest = super().parse_args(ctx, [*_fill_in(args, omitted & known)])
        if _has_empty_argument(args, {name for option in switches for name in option.opts}):
            ctx.fail('an empty word names nothing, as a shell makes it of "$UNSET"')
        empty = {*_list_empty(args)}
        for option in self.params:
            flags = empty & {*option.opts}
            if flags and isinstance(ctx.params[option.name], Path):
                rule = "an empty word names no file or folder"
                raise typer.BadParameter(rule, ctx=ctx, param_hint=min(flags))
        return rest


def answer_flag(flag: str, known: Collection[str]) -> str:
    """Return what stands for a foreign flag in a command that knows some, '' for nothing."""
    own = flag.lower().replace("_", "-")
    answer = own if own in known else FOREIGN_FLAGS.get(own, "")
    if not answer and own.startswith("--") and "--recipe" in known:
        answer = _answer_with_key(own.removeprefix("--").replace("-", "_"))
    (option, *_) = answer.replace(",", "").split() or [""]
    is_ours = not option.startswith("--") or option in known
    return answer if is_ours else ""


def explain_flag(flag: str, known: Collection[str]) -> str:
    """Return in a sentence what becomes of a flag of MindCV's for which no other stands, '' of
    others, and where the sentence names an option that the command does not have.
    """
    if "--recipe" not in known:
        return ""
    from archspec.train.recipe.mindcv import FLAGS, say_instead

    found = FLAGS.get(flag.lower().removeprefix("--").replace("-", "_"))
    said = say_instead(found) if found is not None and not found.keys else ""
    is_ours = {*_OPTION.findall(said)} <= {*known}
    return f"{said[:1].upper()}{said[1:]}" if is_ours else ""


def _answer_with_key(word: str) -> str:
    """A key of the recipe, or of the spec, that is called so."""
    from archspec.settings import Path as KeyPath
    from archspec.spec.reading.document import format_path
    from archspec.spec.reading.misplaced_keys import find_key
    from archspec.spec.spec import Spec
    from archspec.train.recipe.mindcv import find_recipe_key
    from archspec.train.recipe.recipe import Recipe

    path: KeyPath = find_recipe_key(word) or find_key(word, None, Recipe)
    key = format_path(path)
    for name, keys in RECIPE_FLAGS.items():
        if keys == (key,):
            return _flag_of(name)
    if path:
        of_spec = path[0] == "overrides"
        return f"--set {key.partition('.')[2] if of_spec else f'recipe.{key}'}=VALUE"
    path = find_key(word, None, Spec)
    return f"--set {format_path(path)}=VALUE" if path else ""


def override_by_flags(
    given: Mapping[str, Any], flags: Mapping[str, tuple[str, ...]]
) -> Iterator[Override]:
    """Yield what flags that set keys say, by the names of their parameters."""
    for name, keys in flags.items():
        yield from override_by_flag(_flag_of(name), given[name], *keys)


def _flag_of(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def list_names(command: Any, context: Any) -> set[str]:
    """Return what a command's options are called."""
    return {name for option in command.get_params(context) for name in option.opts}


def list_flags(args: Sequence[str]) -> Iterator[str]:
    """Yield the flags among the words of a command line, without their values."""
    for word in args:
        if word == "--":
            return
        if word.startswith("-"):
            yield word.partition("=")[0]


def _list_empty(args: Sequence[str]) -> Iterator[str]:
    """Yield the flags whose value is an empty word, as a shell makes it of "$UNSET"; read as a
    path, that is the working directory.
    """
    for flag, value in pairwise([*args, "-"]):
        if flag == "--":
            return
        if flag.startswith("-") and (not value or flag.endswith("=")):
            yield flag.removesuffix("=")


def _has_empty_argument(args: Sequence[str], switches: Collection[str]) -> bool:
    """Whether a word is empty that is no flag's value."""
    for before, word in pairwise(["", *args]):
        has_value = before.startswith("-") and "=" not in before and before not in switches
        if not word and (before == "--" or not has_value):
            return True
    return False


def _fill_in(args: Sequence[str], flags: Collection[str]) -> Iterator[str]:
    """The words of a command line, with the values that these flags leave out."""
    for number, word in enumerate(args):
        yield word
        following = args[number + 1 : number + 2]
        if word in flags and not (following and _is_number(following[0])):
            yield OMITTED[word]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True
