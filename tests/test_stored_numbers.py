"""A number is what was written, whatever bits have held it since; NumPy rounds here."""

import numpy as np
import pytest

from archspec.stored_numbers import decimal, is_same_number


@pytest.mark.parametrize("written", [0.2, 1e-5, 0.001, 1.8737223, 1e-38, 3.4e38, -0.1, 3.0])
def test_the_decimal_that_was_written_comes_back(written: float) -> None:
    stored = float(np.float32(written))
    assert decimal(stored) == decimal(written) == written
    assert is_same_number(written, stored)
    assert not is_same_number(written, float(np.nextafter(np.float32(written), np.float32(0))))


@pytest.mark.parametrize("written", [0.1, 1e-7, 65500.0, -65500.0])
def test_a_number_of_16_bits_has_its_own(written: float) -> None:
    """Up to the largest, 65504, which fewer digits would be rounded beyond."""
    stored = float(np.float16(written))
    assert decimal(stored, "e") == written


def test_zero_below_zero_is_zero_and_what_is_no_number_is_compared_as_it_is() -> None:
    assert is_same_number(-0.0, 0.0)
    assert is_same_number(-1e-60, 0.0)
    assert is_same_number((1, 2), (1, 2))
    assert not is_same_number(None, 0.1)
