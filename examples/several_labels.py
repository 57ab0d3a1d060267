"""Train a network that gives an image several labels: python examples/several_labels.py [FOLDER].

The embedded digits are written as files, with a table that says which of three labels each has: it
is even, it is above 4, it has a loop.
"""

import csv
import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from archspec import ArchspecError, train

LABELS = {"even": {0, 2, 4, 6, 8}, "above 4": {5, 6, 7, 8, 9}, "has a loop": {0, 6, 8, 9}}

ENOUGH = 0.9
"""Of the main figure over the held-out images."""


def write_digits(folder: Path) -> Path:
    """Return a table of files and their labels, parted by semicolons; some have none."""
    scans = load_digits()
    (folder / "scans").mkdir(parents=True, exist_ok=True)
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "labels"))
        for number, (pixels, digit) in enumerate(zip(scans.images, scans.target, strict=True)):
            name = f"scans/{number:04}.png"
            Image.fromarray((pixels * 15).astype(np.uint8)).save(folder / name)
            labels = [label for label, digits in LABELS.items() if digit in digits]
            rows.writerow((name, ";".join(labels)))
    return table


def main(folder: Path) -> None:
    """The loss must judge each label by itself: bce."""
    plan = train.plan(
        "densenetbc_digits",
        data_dir=write_digits(folder),
        recipe_name="digits",
        recipe_overrides=["loss.kind=bce", "epochs=8"],
        spec_overrides=["block_config=[3, 3]"],
    )
    outcome = train.fit(plan)
    figures = outcome.accuracy
    share = getattr(figures, figures.main)
    print(f"{', '.join(plan.splits.classes)}: {figures.main_name} {share:.1%}")
    if share < ENOUGH:
        sys.exit(f"it should be at least {ENOUGH:.0%}")


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1] if sys.argv[1:] else "digits"))
    except ArchspecError as error:
        sys.exit(str(error))
