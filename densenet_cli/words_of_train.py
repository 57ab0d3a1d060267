"""The words of `densenet train` that another program will say: what is wrong with them is told now,
and not when that program says them at night.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import typer
from typer.main import get_command

from archspec.errors import ArchspecError, make_printable
from archspec.spec.catalogue import locate
from archspec.spec.override import Override
from densenet_cli.app import make_app
from densenet_cli.faults import choose_policy
from densenet_cli.profile import refuse_to_profile_several
from densenet_cli.resumption import refuse_others
from densenet_cli.train import collect_overrides

NOT_BEHIND: Mapping[str, str] = {
    "devices": "belongs before the --",
    "nodes": "belongs before the --",
    "node_rank": "each machine says its own",
    "master": "the file finds the first machine out",
    "hostfile": "the scheduler chooses machines: say how many, --nodes before the --",
    "device_ids": "the scheduler chooses devices: say how many, --devices before the --",
    "ssh": "the scheduler starts each machine's command",
    "ssh_setup": "the scheduler starts each machine's command",
    "dry_run": "starts nothing",
}
"""What may not be among the words, by the name of train's parameter, and why."""
UNWRITTEN = {"Cc", "Cs", "Cn", "Zl", "Zp"}
"""Kinds of characters that no line of a file can hold: line feeds, bytes that are no UTF-8."""


def train_command() -> Any:
    """Return `densenet train` as what parses its words."""
    return get_command(make_app(["train"])).commands["train"]  # type: ignore[attr-defined]


def read_words(
    context: typer.Context, words: Sequence[str], devices: int, nodes: int
) -> dict[str, Any]:
    """Return what `densenet train` will understand, by the names of its parameters; on so many
    devices of each of so many machines.

    Raises:
        ArchspecError: spec, recipe or `--set` are wrong, as far as their files are at hand.
        click.UsageError: what train itself would say, or a word that is not for it to say here.
    """
    train = train_command()
    parsed = train.make_context("train", [*words], parent=context.find_root())
    for option in train.params:
        is_typed = str(parsed.get_parameter_source(option.name)).endswith("COMMANDLINE")
        if is_typed and option.name in NOT_BEHIND:
            raise typer.BadParameter(NOT_BEHIND[option.name], param_hint=option.opts[0])
    for word in words:
        if any(unicodedata.category(sign) in UNWRITTEN for sign in word):
            rule = "has a character that no line of a file can hold"
            raise typer.BadParameter(f"{make_printable(word)} {rule}", param_hint="WORDS")
    said: dict[str, Any] = parsed.params
    if said["profile"]:
        refuse_to_profile_several(devices * nodes)
    choose_policy(said["restarts"], said["hang_after"], devices, nodes)
    if said["resume"] is None:
        _check_files(said)
    else:
        refuse_others(parsed)
    return said


def _check_files(said: Mapping[str, Any]) -> None:
    """Read spec and recipe as `densenet train` will; a path that is not here may be where it runs.

    Raises:
        ArchspecError: all their faults.
    """
    from archspec.spec.load import load_spec
    from archspec.train.recipe.recipe import Recipe

    for_spec, for_recipe = collect_overrides(dict(said))
    faults = [
        *_faults_of("spec", said["spec"], partial(load_spec, said["spec"], for_spec, Recipe)),
        *_faults_of("recipe", said["recipe"], partial(_load_recipe, said["recipe"], for_recipe)),
    ]
    if faults:
        raise ArchspecError(chain.from_iterable(fault.diagnostics for fault in faults))


def _faults_of(kind: str, name: str | None, load: Callable[[], object]) -> list[ArchspecError]:
    try:
        if name is None or locate(name, kind=kind).is_file():
            load()
        else:
            typer.echo(f"note: {name} is not here, and was not read", err=True)
    except ArchspecError as error:
        return [error]
    return []


def _load_recipe(named: str | None, overrides: Sequence[Override]) -> None:
    """The recipe that is named; else what is set must fit one of those that the data may take."""
    from archspec.train.recipe.choice import ON_ASCEND, RECIPES
    from archspec.train.recipe.recipe import load_recipe

    if named is not None:
        load_recipe(named, overrides)
        return
    faults = []
    of_kinds = [name for kind in RECIPES.values() for name in (kind.from_scratch, kind.fine_tuning)]
    for name in (*of_kinds, ON_ASCEND):
        try:
            load_recipe(name, overrides)
            return
        except ArchspecError as error:
            faults.append(error)
    raise faults[0]
