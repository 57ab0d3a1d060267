"""Entry point: notices a foreign `archspec`, runs the app,
and turns errors of the user's into lines.

Exit codes: 0 done or equal, 1 the input or the machine is wrong, 2 usage, 3 different; after a
signal 128 and its number: 130 Ctrl-C, 143 SIGTERM, 129 SIGHUP, and 141, quietly, where the reader
of our output has gone (`| head`).
"""

from __future__ import annotations

import gc
import importlib.util
import os
import sys
from contextlib import suppress
from pathlib import Path

OBJECTS_BETWEEN_COLLECTIONS = 100_000
"""What is imported and built stays: looking through all of it for cycles at each 700 new objects,
as Python does by itself, is a tenth of a short command's time."""


def main() -> None:
    """Run `densenet`."""
    _fill_closed_descriptors()  # first: whatever is opened later must find 0 to 2 taken
    try:
        _refuse_foreign_archspec()
        _refuse_closed_screen()
        _refuse_lost_folder()
        _run()
    except KeyboardInterrupt:
        _print_error("Interrupted")
        raise SystemExit(130) from None
    finally:
        _drop_what_cannot_be_written()


def _run() -> None:
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS)
    from archspec.errors import ArchspecError
    from archspec.screen import STDOUT, open_screen

    sys.stdout = open_screen(
        STDOUT, sys.stdout.encoding, line_buffering=bool(sys.stdout.line_buffering)
    )
    try:
        started = _read_mpirun(sys.argv[1:])  # first: it says what kind of screen this is
        from densenet_cli.app import make_app

        try:
            make_app(sys.argv[1:])(default_map=started)
        finally:
            sys.stdout.flush()
    except ArchspecError as error:
        for diagnostic in error.diagnostics:
            _print_error(str(diagnostic))
        raise SystemExit(1) from None


def _read_mpirun(words: list[str]) -> dict[str, dict[str, int]]:
    """Return the options that mpirun stands for, by the command that these words are of."""
    if "OMPI_COMM_WORLD_LOCAL_RANK" not in os.environ:
        return {}
    from densenet_cli.mpirun import read_mpirun

    return {words[0]: read_mpirun(words)} if words else {}


def _print_error(line: str) -> None:
    with suppress(OSError):  # there is nowhere else to say it
        sys.stderr.write(f"{line}\n")


def _fill_closed_descriptors() -> None:
    """A file opened later must not take the number of a closed stream:
    what libraries print would land in it.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # the lowest number that is free
        pass
    os.close(descriptor)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)  # None where it was closed


def _drop_what_cannot_be_written() -> None:
    """The interpreter flushes once more at its end, and would complain in words of its own."""
    try:
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
    except BaseException:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)


def _refuse_closed_screen() -> None:
    if sys.stdout is None:
        _print_error("E006 cannot write to the screen: standard output is closed")
        raise SystemExit(1)


def _refuse_lost_folder() -> None:
    try:
        os.getcwd()
    except OSError as error:
        _print_error(
            f"E007 the working directory cannot be used: {error.strerror} (cd to one that exists)"
        )
        raise SystemExit(1) from None


def _refuse_foreign_archspec() -> None:
    """The labels of CPU architectures in conda's base environment are
    a package `archspec` as well.
    """
    found = importlib.util.find_spec("archspec")
    folder = Path(found.origin).parent if found and found.origin else None
    if folder is not None and (folder / "spec" / "spec.py").is_file():
        return
    _print_error(
        f"E005 another package is imported as 'archspec' ({folder}): "
        "the labels of CPU architectures that come with conda and spack, not densenet-archspec's "
        "(install densenet-archspec into an environment of its own: "
        "python -m venv venv && venv/bin/pip install densenet-archspec)"
    )
    raise SystemExit(1)


if __name__ == "__main__":
    main()
