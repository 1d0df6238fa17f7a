"""Signed turns and the words for them."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from vlm3r.qa.routes.rules import RouteRules
from vlm3r.scenes.schema import Array

Words = NDArray[np.intp]

TURNS: Final = ("Turn Back", "Turn Left", "Turn Right")
BACK, LEFT, RIGHT = range(3)
NONE: Final = -1
"""Straight on, or too close to call."""


def turn_angles(before: Array, after: Array) -> Array:
    """Degrees in (-180, 180] by which to turn left from each direction (..., 2) to the other (..., 2)."""
    cross = before[..., 0] * after[..., 1] - before[..., 1] * after[..., 0]
    return np.degrees(np.arctan2(cross, (before * after).sum(-1)))


def turn_words(angles: Array, rules: RouteRules, margin: float = 0.0) -> Words:
    """Index in `TURNS` of each turn in degrees; `NONE` if it is too small or within `margin` of a boundary."""
    size = np.abs(angles)
    sideways = (size >= rules.least_turn + margin) & (size <= rules.back - margin)
    words = np.where(sideways, np.where(angles > 0, LEFT, RIGHT), NONE)
    return np.where(size > rules.back + margin, BACK, words)


def turn_range(word: int, rules: RouteRules) -> tuple[float, float]:
    """Least and greatest turn, in degrees counter-clockwise, that a word allows."""
    return {
        BACK: (rules.back, 360 - rules.back),
        LEFT: (rules.least_turn, rules.back),
        RIGHT: (-rules.back, -rules.least_turn),
    }[word]


def turned(directions: Array, degrees: Array) -> Array:
    """Unit directions (..., 2) turned counter-clockwise."""
    radians = np.radians(degrees)
    cos, sin = np.cos(radians), np.sin(radians)
    x, y = directions[..., 0], directions[..., 1]
    return np.stack([cos * x - sin * y, sin * x + cos * y], axis=-1)
