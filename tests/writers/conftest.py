"""What tests of emitted text share."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from writers.as_ruff import assert_as_ruff_has


@pytest.fixture
def as_ruff_has_it(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """A function that asserts that texts are as ruff has them."""
    return lambda *texts: assert_as_ruff_has(tmp_path_factory.mktemp("texts"), *texts)
