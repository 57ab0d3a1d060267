"""What tests of several commands share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A picture of each digit, 0 to 9."""
    folder = tmp_path_factory.mktemp("pictures")
    scans = load_digits()
    for digit in range(10):
        pixels = scans.images[list(scans.target).index(digit)] / 16 * 255
        Image.fromarray(pixels.round().astype(np.uint8)).save(folder / f"{digit}.png")
    return sorted(folder.iterdir())
