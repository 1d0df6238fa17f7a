"""Doors and windows: what fills a hole in a wall. Their width and height are those of the hole."""

from __future__ import annotations

import numpy as np

from ..shapes import Material, Solid
from .finishes import WHITE, metal, paint, pick, wood
from .kind import ROOMS, Kind
from .parts import block, tube


def door(rng: np.random.Generator) -> Solid:
    """A closed door in its casing, 0.10 m thick: plain, with panels, or with a glazed upper half, with handles."""
    leaf, casing, grip = pick(rng, (WHITE, paint(rng), wood(rng))), pick(rng, (WHITE, wood(rng))), metal(rng)
    half, high = rng.uniform(0.42, 0.50), rng.uniform(2.02, 2.12)
    jamb = 0.06
    solid = block((-half + jamb, half - jamb), (-0.02, 0.02), (0, high - jamb), leaf)
    for side in (-1, 1):
        x = sorted((side * half, side * (half - jamb)))
        solid += block((x[0], x[1]), (-0.05, 0.05), (0, high), casing)
    solid += block((-half + jamb, half - jamb), (-0.05, 0.05), (high - jamb, high), casing)
    style, inner = pick(rng, ("plain", "panels", "panels", "glazed")), half - jamb - 0.11
    fields = {"plain": (), "panels": ((0.15, 0.88), (1.02, high - 0.2)), "glazed": ((0.15, 0.88),)}[style]
    for low, top in fields:
        for face in (-1, 1):
            for x in ((-inner, -0.03), (0.03, inner)):
                y = sorted((face * 0.02, face * 0.028))
                solid += block(x, (y[0], y[1]), (low, top), leaf, 0.003)
    if style == "glazed":
        solid += block((-inner, inner), (-0.023, 0.023), (1.02, high - 0.2), Material("#bfd3da", gloss=0.8))
        for x in (-inner / 3, inner / 3):
            solid += block((x - 0.012, x + 0.012), (-0.027, 0.027), (1.02, high - 0.2), leaf)
        solid += block((-inner, inner), (-0.027, 0.027), (1.38, 1.40), leaf)
    hinge = pick(rng, (-1, 1))
    at = hinge * (half - jamb - 0.06)
    for face in (-1, 1):
        y = sorted((face * 0.02, face * 0.028))
        solid += block((at - 0.02, at + 0.02), (y[0], y[1]), (0.94, 1.12), grip)
        solid += tube([(at, face * 0.02, 1.04), (at, face * 0.065, 1.04)], 0.009, grip)
        solid += tube([(at + hinge * 0.008, face * 0.06, 1.04), (at - hinge * 0.12, face * 0.06, 1.04)], 0.009, grip)
    return solid


def window(rng: np.random.Generator) -> Solid:
    """A window frame without glass, 0.12 m deep, with one to four casements, perhaps a cross bar, and a sill."""
    frame, casements = pick(rng, (WHITE, WHITE, wood(rng), Material("#3b3f43", gloss=0.25))), int(rng.integers(1, 5))
    half, high = casements * rng.uniform(0.26, 0.4) + 0.1, rng.uniform(1.05, 1.5)
    solid = block((-half, half), (-0.06, 0.06), (0, 0.03), frame)
    for low in (0.03, high - 0.06):
        solid += block((-half, half), (0.0, 0.06), (low, low + 0.06), frame)
    pitch = (2 * half - 0.06) / casements
    for k in range(casements + 1):
        x = -half + 0.03 + k * pitch
        solid += block((x - 0.03, x + 0.03), (0.002, 0.058), (0.03, high), frame)
    if rng.random() < 0.4:
        z = 0.68 * high
        solid += block((-half + 0.03, half - 0.03), (0.01, 0.05), (z - 0.02, z + 0.02), frame)
    for k in range(casements):
        x = -half + 0.03 + k * pitch + 0.03
        solid += block((x - 0.008, x + 0.008), (-0.02, 0.002), (0.45 * high, 0.45 * high + 0.1), WHITE)
    return solid


KINDS = (
    Kind("door", door, "opening", ROOMS, (1, 2), 3.0, blocks_walking=False, clear_front=0.8),
    Kind("window", window, "opening", ROOMS, (1, 3), 3.0, blocks_walking=False, hung=(0.8, 1.0)),
)  # fmt: skip
