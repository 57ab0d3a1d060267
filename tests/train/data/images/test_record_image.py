"""Windows on a file of many images."""

import gc
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from mindrecord_sets import picture

from archspec.errors import DataError
from archspec.train.data.images.image_files import read_image
from archspec.train.data.images.record_image import RecordFile, RecordImage


def write(path: Path, order: str = "little") -> list[bytes]:
    """Write ten images, each behind its length."""
    contents = [picture(number) for number in range(10)]
    path.write_bytes(b"".join(len(one).to_bytes(8, order) + one for one in contents))
    return contents


def windows(file: RecordFile, contents: list[bytes], order: str = "little") -> list[RecordImage]:
    ends = np.cumsum([8 + len(one) for one in contents]).tolist()
    return [
        RecordImage(file, f"c/{number}.PNG", end - len(one), len(one), order)
        for number, (one, end) in enumerate(zip(contents, ends, strict=True))
    ]


def count_open(path: Path) -> int:
    links = [Path(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
    return sum(os.path.lexists(link) and os.readlink(link) == str(path) for link in links)


@pytest.mark.parametrize("order", ["little", "big"])
def test_an_image_has_what_a_path_has(tmp_path, order):
    """Its name, its bytes, and a place to be named by."""
    contents = write(tmp_path / "x", order)
    for image, content in zip(
        windows(RecordFile(tmp_path / "x"), contents, order), contents, strict=True
    ):
        assert image.open("rb").read() == content
    assert (image.name, image.suffix, str(image)) == ("9.PNG", ".PNG", f"{tmp_path / 'x'}:c/9.PNG")


@pytest.mark.parametrize("stays_open", [True, False])
def test_threads_read_at_once_and_a_file_is_closed_with_its_last_image(tmp_path, stays_open):
    """Or at once, where there are too many to stay open."""
    contents = write(tmp_path / "x") * 50
    images = windows(RecordFile(tmp_path / "x", stays_open=stays_open), contents[:10]) * 50
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda image: image.open("rb").read(), images)) == contents
    assert (count_open(tmp_path / "x") > 0) == stays_open
    del images
    gc.collect()
    assert count_open(tmp_path / "x") == 0


def test_what_is_not_where_it_should_be_is_told_with_the_image(tmp_path):
    """The file has been cut, taken away, or is another."""
    contents = write(tmp_path / "x")
    first, *_, last = windows(RecordFile(tmp_path / "x"), contents)
    os.truncate(tmp_path / "x", (tmp_path / "x").stat().st_size - 1)
    with pytest.raises(DataError, match=r"x:c/9.PNG D005 .* no image lies where"):
        read_image(last, 3)
    assert read_image(first, 3).mode == "RGB"
    (other,) = windows(RecordFile(tmp_path / "gone"), contents[:1])
    with pytest.raises(DataError, match=r"gone:c/0.PNG D001 cannot be read: No such file"):
        read_image(other, 3)
