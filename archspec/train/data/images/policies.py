"""Policies that draw operations for an image: RandAugment, AutoAugment, TrivialAugment, AugMix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image

from archspec.train.data.images.policy_operations import OPERATIONS, Outside
from archspec.train.data.images.policy_tables import (
    AUGMIX,
    AUTOAUGMENT,
    INDICES,
    POLICIES,
    RANDAUGMENT,
    TRIVIALAUGMENT,
    Range,
)
from archspec.train.recipe.augmentation import PolicyRecipe
from archspec.train.recipe.numbers import STRONGEST

TRIVIAL_STEPS = 30  # of the magnitude, evenly drawn from 0 to this
LONGEST_CHAIN = 3  # of AugMix, where no depth is said


def apply_policy(
    recipe: PolicyRecipe, image: Image.Image, outside: Outside, rng: np.random.Generator
) -> Image.Image:
    """Return the image, grey or RGB, after the operations that a policy draws for it."""
    return _POLICIES[recipe.kind](recipe, image, outside, rng)


def _rand_augment(
    recipe: PolicyRecipe, image: Image.Image, outside: Outside, rng: np.random.Generator
) -> Image.Image:
    for _ in range(recipe.operations):
        name = _draw_name(RANDAUGMENT, rng)
        if rng.random() < recipe.probability:
            level = _blur_level(recipe.strength, recipe.magnitude_std, rng)
            image = _operate(image, name, RANDAUGMENT[name], level, outside, rng)
    return image


def _auto_augment(
    recipe: PolicyRecipe, image: Image.Image, outside: Outside, rng: np.random.Generator
) -> Image.Image:
    choices = POLICIES[recipe.policy]
    for name, probability, index in choices[rng.integers(len(choices))]:
        if rng.random() < probability:
            level = _blur_level(index / INDICES * STRONGEST, recipe.magnitude_std, rng)
            image = _operate(image, name, AUTOAUGMENT[name], level, outside, rng)
    return image


def _trivial_augment(
    recipe: PolicyRecipe, image: Image.Image, outside: Outside, rng: np.random.Generator
) -> Image.Image:
    name = _draw_name(TRIVIALAUGMENT, rng)
    level = rng.integers(TRIVIAL_STEPS + 1) / TRIVIAL_STEPS * STRONGEST
    return _operate(image, name, TRIVIALAUGMENT[name], level, outside, rng)


def _aug_mix(
    recipe: PolicyRecipe, image: Image.Image, outside: Outside, rng: np.random.Generator
) -> Image.Image:
    """Blend the image with chains of operations on it, by weights from Beta and Dirichlet."""
    share = rng.beta(recipe.alpha, recipe.alpha)
    weights = rng.dirichlet([recipe.alpha] * recipe.width)
    mixed = np.float32(1 - share) * np.asarray(image, np.float32)
    for weight in share * weights.astype(np.float32):
        mixed += weight * np.asarray(_draw_chain(recipe, image, outside, rng), np.float32)
    return Image.fromarray(np.rint(mixed).astype(np.uint8))


def _draw_chain(
    recipe: PolicyRecipe, image: Image.Image, outside: Outside, rng: np.random.Generator
) -> Image.Image:
    for _ in range(recipe.depth or rng.integers(1, LONGEST_CHAIN + 1)):
        name = _draw_name(AUGMIX, rng)
        level = rng.uniform(0, recipe.strength)
        image = _operate(image, name, AUGMIX[name], level, outside, rng)
    return image


def _draw_name(ranges: Mapping[str, Range], rng: np.random.Generator) -> str:
    return list(ranges)[rng.integers(len(ranges))]


def _blur_level(level: float, deviation: float, rng: np.random.Generator) -> float:
    return min(max(rng.normal(level, deviation), 0.0), STRONGEST)


def _operate(
    image: Image.Image,
    name: str,
    span: Range,
    level: float,
    outside: Outside,
    rng: np.random.Generator,
) -> Image.Image:
    """Apply an operation at a level of 0 to 10."""
    value = span.start + (span.end - span.start) * level / STRONGEST
    if span.signed and rng.random() < 0.5:
        value = -value
    if span.of:
        value *= getattr(image, span.of)
    return OPERATIONS[name](image, value, outside)


_POLICIES: Mapping[
    str,
    Callable[[PolicyRecipe, Image.Image, Outside, np.random.Generator], Image.Image],
] = {
    "randaugment": _rand_augment,
    "autoaugment": _auto_augment,
    "trivialaugment": _trivial_augment,
    "augmix": _aug_mix,
}
