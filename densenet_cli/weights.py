"""densenet weights: get, list."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from archspec.spec.override import Overrides
from densenet_cli.options import console

weights = typer.Typer(
    help="Get and list published weights.\n\nExample: densenet weights get densenet121",
    no_args_is_help=True,
)


def _list_names() -> list[str]:
    from archspec.weights.published import PUBLISHED

    return list(PUBLISHED)


@weights.command()
def get(
    name: Annotated[
        str, typer.Argument(help="A name of `densenet weights list`.", autocompletion=_list_names)
    ],
    from_file: Annotated[
        Path | None,
        typer.Option(help="A file that was downloaded elsewhere, for a machine without network."),
    ] = None,
) -> None:
    """Download published weights into the cache folder, or find them there, and check them.

    An interrupted download goes on where it stopped.
    A file must have the sha256 that the first one had.

    DENSENET_CACHE: the cache folder, instead of ~/.cache/densenet-archspec.

    DENSENET_WEIGHTS_URL: an https folder that has the same files, such as a mirror's.

    SSL_CERT_FILE, HTTPS_PROXY: authorities to trust, and a proxy.

    Example: densenet weights get densenet121
    """
    from archspec.weights.published import keep_local_file, read_kept

    file = find_published_weights(name) if from_file is None else keep_local_file(name, from_file)
    note = read_kept(file)
    if note:
        console.out(f"{file}\n{note.bytes:,} bytes, sha256 {note.sha256}", highlight=False)
    console.out(f"Next: densenet validate {name} --pretrained --data-dir IMAGENET", highlight=False)


@weights.command("list")
def list_weights() -> None:
    """List published weights with their addresses,
    and those that are in the cache folder with their sha256.

    Example: densenet weights list
    """
    from archspec.runtime import cache_folder
    from archspec.weights.published import PUBLISHED, find_address, find_cached_file, read_kept

    for name in PUBLISHED:
        file = find_cached_file(name)
        note = read_kept(file)
        state = f"cached, {file.stat().st_size:,} bytes" if file.is_file() else "not cached"
        console.out(f"{name}  {state}\n  {find_address(name)}", highlight=False)
        if note:
            console.out(f"  sha256 {note.sha256}", highlight=False)
    console.out(
        f"cache folder: {cache_folder()}\nNext: densenet weights get densenet121", highlight=False
    )


def find_published_weights(name: str, screen: Console = console) -> Path:
    """Return the published weights of a name as a file in the cache folder,
    and show a download on the screen.

    Raises:
        DownloadError, ModelFileError: as `archspec.weights.published.fetch_weights` does.
    """
    from archspec.weights.published import fetch_weights, find_cached_file
    from densenet_cli.download_progress import DownloadProgress

    try:
        with DownloadProgress(screen) as progress:
            return fetch_weights(name, progress.show)
    except (KeyboardInterrupt, SystemExit):
        partial = Path(f"{find_cached_file(name)}.partial")
        if partial.is_file() and os.path.getsize(partial):
            typer.echo(f"{partial} is kept; the same command goes on from there", err=True)
        raise


def weights_for(
    target: str,
    ckpt: Path | None,
    pretrained: bool,
    overrides: Overrides = (),
    screen: Console = console,
    *,
    dry_run: bool = False,
) -> Path | None:
    """Return the file of weights that --ckpt or --pretrained mean, None for neither.

    In a dry run nothing is downloaded: it is said what would be, and None is returned.

    Raises:
        SpecError: the spec or its overrides are wrong.
        DownloadError, ModelFileError: N001, no published network; else as `published_weights`.
    """
    if not pretrained:
        return ckpt
    if ckpt is not None:
        raise typer.BadParameter(
            "--pretrained is one file of weights, --ckpt or --init-from another: give one of them"
        )
    from archspec.spec.load import load_spec
    from archspec.weights.published_networks import find_published_for

    name = find_published_for(load_spec(target, overrides))
    if dry_run and _say_download(name):
        return None
    return find_published_weights(name, screen)


def _say_download(name: str) -> bool:
    """Say which file would be downloaded; False where it is in the cache folder."""
    from archspec.weights.published import find_cached_file
    from archspec.weights.published_networks import estimate_bytes

    file = find_cached_file(name)
    if not file.is_file():
        size = f"about {estimate_bytes(name) / 1e6:.0f} MB"
        typer.echo(f"would download {file.name} ({size}) into {file.parent}", err=True)
    return not file.is_file()
