"""Entry point: notices a foreign `archspec`, runs the app, and turns errors of the user's into lines."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path


def main() -> None:
    """Run `densenet`. Exit codes: 0 done or equal, 1 the input is wrong, 2 usage, 3 different."""
    try:
        _refuse_foreign_archspec()
        _run()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted\n")
        raise SystemExit(130) from None


def _run() -> None:
    from archspec.errors import ArchspecError
    from densenet_cli.app import app

    try:
        app()
    except ArchspecError as error:
        for diagnostic in error.diagnostics:
            sys.stderr.write(f"{diagnostic}\n")
        raise SystemExit(1) from None


def _refuse_foreign_archspec() -> None:
    """The labels of CPU architectures in conda's base environment are a package `archspec` as well."""
    found = importlib.util.find_spec("archspec")
    folder = Path(found.origin).parent if found and found.origin else None
    if folder is not None and (folder / "spec" / "model.py").is_file():
        return
    sys.stderr.write(
        f"E005 another package is imported as 'archspec' ({folder}): the labels of CPU architectures that come "
        "with conda and spack, not densenet-archspec's (install densenet-archspec into an environment of its "
        "own: python -m venv venv && venv/bin/pip install densenet-archspec)\n"
    )
    raise SystemExit(1)


if __name__ == "__main__":
    main()
