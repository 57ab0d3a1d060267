"""Images of other kinds than 8-bit colours: 16 bits, TIFF, CMYK, palettes, alpha.

The oracle is the array that was written.
"""

import struct
from pathlib import Path

import numpy as np
import pytest
from batches_of_images import epoch, raw
from PIL import Image

from archspec.errors import DataError
from archspec.train.data.datasets import open_data
from archspec.train.data.images.image_files import read_image
from archspec.train.data.sources.source import Source

RNG = np.random.default_rng(0)


def tiff(pixels: np.ndarray, order: str = "<", photometric: int = 1) -> bytes:
    """Write an uncompressed TIFF by its definition: one strip, tags in a single directory."""
    height, width = pixels.shape
    bits = pixels.dtype.itemsize * 8
    kind = {"u": 1, "i": 2, "f": 3}[pixels.dtype.kind]
    content = pixels.astype(pixels.dtype.newbyteorder(order)).tobytes()
    tags = [
        (256, width),
        (257, height),
        (258, bits),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, height),
        (279, len(content)),
        (339, kind),
    ]
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8 + len(content))
    rows = [struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags]
    return head + content + struct.pack(f"{order}H", len(rows)) + b"".join(rows) + bytes(4)


def saved(path: Path, pixels: np.ndarray, order: str) -> Path:
    if path.suffix == ".png":
        Image.fromarray(pixels).save(path)
    else:
        path.write_bytes(tiff(pixels, order))
    return path


@pytest.mark.parametrize("white", [65_535, 4_095, 1_000])
@pytest.mark.parametrize(("suffix", "order"), [(".png", "<"), (".tif", "<"), (".tiff", ">")])
def test_sixteen_bits_are_scaled_by_the_white_level(tmp_path, suffix, order, white):
    """0 stays 0, the level and what is above it become 255, with rounding; in RGB three times."""
    deep = RNG.integers(0, 65_536, (9, 7), np.uint16)
    deep[0, :3] = 0, white, 65_535
    path = saved(tmp_path / f"x{suffix}", deep, order)
    expected = np.rint(np.minimum(deep, white) * 255.0 / white)
    assert np.array_equal(np.asarray(read_image(path, 1, white)), expected)
    assert np.array_equal(np.asarray(read_image(path, 3, white)), np.stack([expected] * 3, 2))


@pytest.mark.parametrize("white", [65_535, 4_095])
def test_a_negative_of_sixteen_bits_is_turned_as_one_of_eight_is(tmp_path, white):
    """TIFF's WhiteIsZero, which X-rays have; Pillow turns 8 bits itself, and refuses other bytes'
    order.
    """
    deep = RNG.integers(0, white + 1, (9, 7), np.uint16)
    (tmp_path / "x.tif").write_bytes(tiff(deep, photometric=0))
    expected = np.rint((white - deep.astype(int)) * 255.0 / white)
    assert np.array_equal(np.asarray(read_image(tmp_path / "x.tif", 1, white)), expected)
    shallow = RNG.integers(0, 256, (9, 7), np.uint8)
    (tmp_path / "y.tif").write_bytes(tiff(shallow, photometric=0))
    assert np.array_equal(np.asarray(read_image(tmp_path / "y.tif", 1)), 255 - shallow)


def test_eight_bits_that_were_stored_as_sixteen_come_back(tmp_path):
    """v x 257 is the usual way to widen them."""
    pixels = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(pixels * np.uint16(257)).save(tmp_path / "x.png")
    assert np.array_equal(np.asarray(read_image(tmp_path / "x.png", 1)), pixels)


def test_the_white_level_of_a_recipe_reaches_the_batches(tmp_path):
    """Images of 12 bits would be black without."""
    deep = RNG.integers(0, 4096, (16, 16), np.uint16)
    Image.fromarray(deep).save(tmp_path / "x.png")
    source = Source("x", ("a",), np.zeros(1, np.int32), files=(tmp_path / "x.png",))
    ready = raw((16, 16), 1, white_level=4095)
    ((images, _),) = epoch(source, ready, batch_size=1, training=False)
    assert np.array_equal(images[0, 0], np.rint(deep * 255.0 / 4095))


@pytest.mark.parametrize(
    ("pixels", "words"),
    [
        (np.full((8, 8), 0.5, np.float32), "floating-point"),
        (np.full((8, 8), 70_000, np.int32), "70000"),
        (np.full((8, 8), -1, np.int32), "-1"),
    ],
    ids=["float", "too large", "negative"],
)
def test_values_without_a_known_range_are_refused_at_opening(tmp_path, pixels, words):
    """Scaling them by a guess would change what an image means."""
    for name in "ab":
        for number in range(3):
            file = tmp_path / name / f"{number}.png"
            file.parent.mkdir(exist_ok=True)
            Image.fromarray(RNG.integers(0, 256, (8, 8), np.uint8)).save(file)
    (tmp_path / "a" / "x.tif").write_bytes(tiff(pixels))
    with pytest.raises(DataError, match=f"x.tif D005 .*{words}"):
        open_data(tmp_path)


def test_whole_numbers_of_32_bits_within_the_range_of_16_are_read(tmp_path):
    """As some microscopes write them."""
    pixels = RNG.integers(0, 65_536, (6, 5)).astype(np.int32)
    (tmp_path / "x.tif").write_bytes(tiff(pixels))
    assert np.array_equal(np.asarray(read_image(tmp_path / "x.tif", 1)), np.rint(pixels / 257))


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "tiff_deflate", "packbits"])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiff_of_eight_bits_is_read_in_any_lossless_compression(tmp_path, compression, channels):
    """Pixel for pixel."""
    pixels = RNG.integers(0, 256, (11, 13, 3)[: 2 + (channels == 3)], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.tif", compression=compression)
    assert np.array_equal(np.asarray(read_image(tmp_path / "x.tif", channels)), pixels)


def test_of_several_pages_the_first_is_read(tmp_path):
    """The others are no images of the data set."""
    pages = [Image.fromarray(RNG.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(3)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    assert np.array_equal(np.asarray(read_image(tmp_path / "x.tif", 3)), np.asarray(pages[0]))


def test_a_tiff_that_unpacks_to_far_too_many_pixels_is_refused_unread(tmp_path):
    """Its header is enough."""
    content = bytearray(tiff(np.zeros((4, 4), np.uint8)))
    at = 8 + 16 + 2
    struct.pack_into("<I", content, at + 8, 60_000)
    struct.pack_into("<I", content, at + 20, 60_000)
    (tmp_path / "x.tif").write_bytes(content)
    with pytest.raises(DataError, match=r"3600000000 pixels"):
        read_image(tmp_path / "x.tif", 3)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_tiff_that_was_cut_is_a_fault_of_opening(tmp_path, share):
    """Anywhere: it has no mark at its end, so that it is decoded."""
    for name in "ab":
        for number in range(3):
            file = tmp_path / name / f"{number}.tif"
            file.parent.mkdir(exist_ok=True)
            pixels = RNG.integers(0, 256, (20, 20), np.uint8)
            Image.fromarray(pixels).save(file, compression="tiff_lzw")
    file = tmp_path / "a" / "1.tif"
    file.write_bytes(file.read_bytes()[: int(share * file.stat().st_size)])
    with pytest.raises(DataError, match=f"{file} D005"):
        open_data(tmp_path)


def test_print_colours_become_those_that_are_seen(tmp_path):
    """CMYK: each colour is what its own ink and the black one leave of white."""
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:8, :8], ink[:8, 8:] = (255, 0, 0, 0), (0, 100, 200, 50)
    ink[8:, :8], ink[8:, 8:] = (0, 0, 0, 255), (30, 60, 90, 0)
    Image.fromarray(ink, "CMYK").save(tmp_path / "x.jpg", quality=100)
    left = 255 - ink.astype(float)
    expected = left[..., :3] * left[..., 3:] / 255
    assert np.abs(np.asarray(read_image(tmp_path / "x.jpg", 3)) - expected).max() <= 3


def test_alpha_palettes_and_two_colours_are_converted_as_they_are_defined(tmp_path):
    """Alpha is left out; a palette's entries are looked up; 1 bit is black or white."""
    grey = RNG.integers(0, 256, (9, 9, 2), np.uint8)
    Image.fromarray(grey, "LA").save(tmp_path / "la.png")
    assert np.array_equal(np.asarray(read_image(tmp_path / "la.png", 1)), grey[..., 0])
    colours = RNG.integers(0, 256, (256, 3), np.uint8)
    numbers = RNG.integers(0, 256, (9, 9), np.uint8)
    palette = Image.fromarray(numbers, "P")
    palette.putpalette(colours.tobytes())
    palette.save(tmp_path / "p.png")
    assert np.array_equal(np.asarray(read_image(tmp_path / "p.png", 3)), colours[numbers])
    bits = numbers > 127
    Image.fromarray(bits).save(tmp_path / "bits.tif")
    assert np.array_equal(np.asarray(read_image(tmp_path / "bits.tif", 1)), bits * 255)
