"""densenet launch-script."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from archspec.errors import ArchspecError
from archspec.shell_words import join_words
from archspec.spec.reading.document import shorten_value
from densenet_cli.flags import Command, list_flags, list_names
from densenet_cli.options import console, save
from densenet_cli.this_machine import USUAL_WAIT
from densenet_cli.words_of_train import read_words, train_command

Text = str | None

ONLY_SLURM, ONLY_KUBERNETES = ("time", "account"), ("image", "claim", "namespace")
WORD = (r"[\w.@+-]+", "letters, digits and . _ + -")
LABEL = (r"[a-z]([a-z0-9-]{0,48}[a-z0-9])?", "at most 50 small letters, digits and -")
RULES_OF_SLURM = {
    "name": WORD,
    "partition": (r"[\w.@+,-]+", "a name, or several with commas"),
    "account": WORD,
    "time": (
        r"\d{1,9}|\d{1,9}:[0-5]\d(:[0-5]\d)?|\d{1,6}-(0?\d|1\d|2[0-3])(:[0-5]\d){0,2}",
        "90 (minutes), 24:00:00 or 2-12:00:00 (days)",
    ),
    "memory": (r"[1-9]\d*[KMGT]?", "64G"),
    "resource": (r"[\w.-]+(:[\w.-]+)?", "a GRES such as npu or npu:910b; --devices counts them"),
}
RULES_OF_KUBERNETES = {
    "name": LABEL,
    "namespace": LABEL,
    "partition": LABEL,
    "memory": (r"[1-9]\d*([kMGT]|[KMGT]i)?", "64Gi"),
    "resource": (r"[a-z0-9.-]+/[\w.-]+", "such as huawei.com/Ascend910"),
    "image": (r"[\w.:/@-]+", "such as registry.example.org/densenet:1.0"),
    "claim": (r"[a-z0-9.-]+(:/[\w./-]*)?", "NAME or NAME:/FOLDER"),
}
"""What an option may say, as a pattern and in words."""
FOLDER = "/workspace"
ASCEND = "huawei.com/Ascend910"


class LaunchScript(Command):
    """A command behind whose -- stand the words of `densenet train`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the command line; a usage error says where the words of the other belong."""
        own, others = list_names(self, ctx), list_names(train_command(), ctx)
        for flag in list_flags(args):
            if flag not in own and flag in others:
                ctx.fail(f"{flag} is a word of `densenet train`: it stands behind a --")
        return super().parse_args(ctx, args)


COMMAND = LaunchScript


def launch_script(
    context: typer.Context,
    words: Annotated[
        list[str] | None,
        typer.Argument(help="Behind --: what would stand behind `densenet train`."),
    ] = None,
    slurm: Annotated[bool, typer.Option("--slurm", help="A file for sbatch.")] = False,
    kubernetes: Annotated[
        bool, typer.Option("--kubernetes", help="An Indexed Job and its Service.")
    ] = False,
    volcano: Annotated[
        bool, typer.Option("--volcano", help="Volcano's Job: all machines at once, or none.")
    ] = False,
    nodes: Annotated[int, typer.Option(min=1, help="Machines.")] = 1,
    devices: Annotated[int, typer.Option(min=1, help="Processes on each machine.")] = 1,
    cpus: Annotated[
        int | None, typer.Option(min=1, help="Cores on each machine (Slurm's default: all).")
    ] = None,
    memory: Annotated[Text, typer.Option(help="On each machine: 64G; Kubernetes: 64Gi.")] = None,
    resource: Annotated[
        Text,
        typer.Option(
            help="What a device is called: Slurm's GRES, such as npu; Kubernetes' resource "
            f"(default with Ascend: {ASCEND})."
        ),
    ] = None,
    name: Annotated[Text, typer.Option(help="Of the job (default: the spec's).")] = None,
    partition: Annotated[Text, typer.Option(help="Slurm's, or Volcano's queue.")] = None,
    account: Annotated[Text, typer.Option(help="Slurm's.")] = None,
    time: Annotated[Text, typer.Option(help="Slurm's limit: 24:00:00, 2-12:00:00.")] = None,
    image: Annotated[Text, typer.Option(help="A container image that has densenet.")] = None,
    claim: Annotated[
        Text,
        typer.Option(
            help="A PersistentVolumeClaim for data and run, where relative paths begin: "
            f"NAME, or NAME:FOLDER ({FOLDER})."
        ),
    ] = None,
    namespace: Annotated[Text, typer.Option(help="Kubernetes' (default: the user's).")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file (default: the screen).")
    ] = None,
) -> None:
    """Write a file by which Slurm or Kubernetes runs `densenet train`, on one machine or several.

    Example: densenet launch-script --slurm --nodes 2 --devices 8 -- densenet121 --data-dir photos
    """
    given = context.params
    if slurm + (kubernetes or volcano) != 1:
        raise typer.BadParameter("say --slurm, --kubernetes or --volcano, one of them")
    _refuse_idle_options(given)
    _check_values(given)
    said = read_words(context, words or [], devices, nodes)
    write = _write_for_slurm if slurm else _write_for_kubernetes
    text = write(given, said)
    if output is None:
        typer.echo(text, nl=False)
        return
    _make_folder(output)
    save(output, text, replace=False)
    submit = ["sbatch"] if slurm else ["kubectl", "create", "-f"]
    console.out(f"wrote {output}\nNext: {join_words([*submit, str(output)])}")


def _refuse_idle_options(given: Mapping[str, Any]) -> None:
    """Refuse what the scheduler has no place for, and ask for what it cannot do without."""
    scheduler = "Slurm" if given["slurm"] else "Kubernetes"
    idle = ONLY_KUBERNETES if given["slurm"] else ONLY_SLURM
    if not given["slurm"] and not given["volcano"]:
        idle = (*idle, "partition")
    for option in idle:
        if given[option] is not None:
            raise typer.BadParameter(f"means nothing to {scheduler}", param_hint=f"--{option}")
    if given["slurm"] and given["resource"] is not None and given["cpus"] is None:
        rule = "a part of each machine is asked for by --resource: say how many cores go with it"
        raise typer.BadParameter(rule, param_hint="--cpus")
    missing = [f"--{option}" for option in ("image", "claim") if given[option] is None]
    if missing and not given["slurm"]:
        rule = "a pod needs an image that has densenet, and a claim for data and run"
        raise typer.BadParameter(f"{rule}: say {' and '.join(missing)}")


def _check_values(given: Mapping[str, Any]) -> None:
    """Refuse what the scheduler would not read as it is meant."""
    scheduler = "Slurm" if given["slurm"] else "Kubernetes"
    rules = RULES_OF_SLURM if given["slurm"] else RULES_OF_KUBERNETES
    for option, (pattern, takes) in rules.items():
        value = given[option]
        if value is not None and not re.fullmatch(pattern, value, re.ASCII):
            rule = f"{shorten_value(value)} is not what {scheduler} takes: {takes}"
            raise typer.BadParameter(rule, param_hint=f"--{option}")
    if given["time"] is not None:
        _check_time(given["time"])


def _check_time(time: str) -> None:
    """Refuse a limit that leaves no time to train: such a job would be saved and go back into the
    queue for ever, or, of none, wait there for ever.
    """
    from archspec.train.cluster.slurm import LEAST_MINUTES, read_minutes

    minutes, rule = read_minutes(time), ""
    if minutes == 0:
        rule = "is no limit to Slurm, and a job without one may wait for ever: leave it out"
    elif minutes < LEAST_MINUTES:
        rule = f"leaves no time to train, as runs are saved before: say {LEAST_MINUTES} or more"
    if rule:
        raise typer.BadParameter(f"{time} {rule}", param_hint="--time")


def _write_for_slurm(given: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    from archspec.train.cluster.slurm import write_sbatch

    name = re.sub(r"[^\w.@+-]", "-", _name_of(said), flags=re.ASCII)
    job = _make_job(given, said, name, given["resource"])
    named = {option: given[option] for option in ("time", "partition", "account")}
    return write_sbatch(job, **named)


def _write_for_kubernetes(given: Mapping[str, Any], said: Mapping[str, Any]) -> str:
    from archspec.train.cluster.kubernetes import Place, write_indexed_job, write_volcano_job

    stem = re.sub(r"[^a-z0-9]+", "-", _name_of(said).lower())
    name = stem.lstrip("-0123456789")[:50].strip("-") or "train"
    on_ascend = said["device_target"] == "Ascend"
    job = _make_job(given, said, name, given["resource"] or (ASCEND if on_ascend else None))
    claim, _, folder = given["claim"].partition(":")
    _refuse_root(given["claim"], folder)
    place = Place(given["image"], claim, folder or FOLDER, given["namespace"])
    _refuse_outside(said, place.folder)
    if given["volcano"]:
        return write_volcano_job(job, place, given["partition"])
    return write_indexed_job(job, place)


def _refuse_root(claim: str, folder: str) -> None:
    """A volume in the place of the image's own files would leave a pod without programs."""
    if folder and (".." in folder.split("/") or not folder.strip("/.")):
        rule = f"{claim} would hide the image's own files: say a folder, such as NAME:{FOLDER}"
        raise typer.BadParameter(rule, param_hint="--claim")


def _refuse_outside(said: Mapping[str, Any], folder: str) -> None:
    """A run outside the claim would end with its pod, and no other pod would see it."""
    for flag in ("out", "resume"):
        run = said[flag]
        inside = None if run is None else os.path.normpath(os.path.join(folder, run))
        if inside is not None and os.path.commonpath([inside, folder]) != os.path.normpath(folder):
            rule = f"{run} is outside the claim, which pods have at {folder}: say a path in there"
            raise typer.BadParameter(rule, param_hint=f"--{flag}")


def _name_of(said: Mapping[str, Any]) -> str:
    return Path(said["resume"] or said["spec"]).stem


def _make_job(
    given: Mapping[str, Any], said: Mapping[str, Any], name: str, resource: str | None
) -> Any:
    from archspec.train.cluster.job import Job

    return Job(
        given["name"] or name,
        tuple(given["words"] or ()),
        None if said["out"] is None else str(said["out"]),
        resumes=said["resume"] is not None,
        repeated=tuple(_list_repeated(said)),
        nodes=given["nodes"],
        devices=given["devices"],
        cpus=given["cpus"],
        memory=given["memory"],
        resource=resource,
    )


def _list_repeated(said: Mapping[str, Any]) -> Iterator[str]:
    for name in ("restarts", "hang_after", "node_wait"):
        value = said[name]
        if value in (None, USUAL_WAIT) or (name, value) == ("restarts", 0):
            continue
        yield f"--{name.replace('_', '-')}"
        yield f"{value:g}" if isinstance(value, float) else str(value)


def _make_folder(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        message = f"cannot be written: {error.strerror}"
        raise ArchspecError.one("W002", message, str(file)) from None
