"""Fine-tune a network on a folder of images, from Python:
python examples/fine_tuning.py SPEC WEIGHTS FOLDER.

WEIGHTS is a .ckpt, .safetensors or .pth in any names that `densenet convert` knows; the classifier
starts fresh where the folder has other classes. The recipe is chosen for that.
"""

import sys
from pathlib import Path

from archspec import ArchspecError, train


def main(spec: str, weights: Path, folder: Path) -> None:
    """Freeze the stem for two epochs' worth of training, then judge by what was held out."""
    plan = train.plan(
        spec,
        data_dir=folder,
        initial=weights,
        recipe_overrides=["epochs=2", "batch_size=4", "freeze=stem"],
    )
    print(plan.recipe_line)
    outcome = train.fit(plan)
    print(f"right on {outcome.accuracy.top1:.0%} of {outcome.accuracy.images} images")
    image = plan.splits.val.files[0]
    name, share = train.predict(outcome.run, [image])[0][0]
    print(f"{image.name} shows {name}, it says with {share:.0%}")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
    except ArchspecError as error:
        sys.exit(str(error))
