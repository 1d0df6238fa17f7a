"""Lamps. Their lit surfaces emit; what they light is up to the area lights of the world."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from ..shapes import Material, Solid, lathe, placed
from .finishes import GLOW, WHITE, glaze, metal, pick, wood
from .kind import Kind
from .parts import ball, block, tube, turned

SHADES = ("#f6e3c0", "#f3ead8", "#e8d3b0", "#efd0b4", "#dfe3da")


def _shade(rng: np.random.Generator, low: float, tall: float, wide: float) -> Solid:
    """A glowing fabric shade between heights `low` and `low + tall`: drum, cone or globe, open or closed below."""
    cloth = Material(pick(rng, SHADES), "fabric", 1.6, emission=1.5)
    style = pick(rng, ("drum", "cone", "cone", "globe"))
    if style == "globe":
        return ball(
            (0, 0, low + tall / 2), (0.8 * wide, 0.8 * wide, tall / 2), replace(cloth, texture="plain"), around=16
        )
    narrow = wide * (0.92 if style == "drum" else rng.uniform(0.5, 0.7))
    outline = [(0, low + 0.02), (wide - 0.008, low + 0.02), (wide - 0.008, low), (wide, low), (narrow, low + tall)]
    return lathe([*outline, (narrow - 0.01, low + tall), (0, low + tall - 0.01)], cloth, around=20)


def floor_lamp(rng: np.random.Generator) -> Solid:
    """A standing lamp: a straight stem on a disc, a wooden tripod, or a bow over a heavy foot."""
    frame, height, style = metal(rng), rng.uniform(1.40, 1.75), pick(rng, ("stem", "stem", "tripod", "bow"))
    tall, wide = rng.uniform(0.24, 0.34), rng.uniform(0.17, 0.24)
    low = height - tall
    if style == "tripod":
        legs, solid = wood(rng), _shade(rng, low, tall, wide)
        for angle in np.radians([90, 210, 330]):
            c, s = np.cos(angle), np.sin(angle)
            solid += tube([(0.24 * c, 0.24 * s, 0), (0.03 * c, 0.03 * s, low + 0.02)], 0.014, legs)
        return solid + tube([(0, 0, low - 0.06), (0, 0, low + 0.1)], 0.03, frame, around=8)
    solid = lathe([(0, 0), (0.14, 0), (0.14, 0.02), (0.03, 0.03), (0, 0.03)], frame, around=20)
    if style == "stem":
        return solid + tube([(0, 0, 0.02), (0, 0, low + 0.04)], 0.012, frame) + _shade(rng, low, tall, wide)
    turn = np.linspace(0, np.radians(150), 14)
    reach = 0.32
    path = [(0, 0, 0.02), *[(reach * (1 - np.cos(a)), 0, height - reach + reach * np.sin(a)) for a in turn]]
    end = path[-1]
    dome = [(0.16, 0), (0.15, 0.06), (0.09, 0.13), (0.02, 0.16), (0, 0.16)]
    bulb = ball((end[0], 0, end[2] - 0.05), 0.055, GLOW)
    return (
        solid
        + tube(path, 0.012, frame)
        + turned(dome, frame, (end[0], 0, end[2] - 0.12))
        + bulb
        + _dome_inside((end[0], end[2] - 0.12))
    )


def _dome_inside(at: tuple[float, float]) -> Solid:
    """The glowing inner side of a dome shade at (x, z)."""
    return turned([(0, 0.13), (0.08, 0.11), (0.14, 0.055), (0.155, 0.002)], GLOW, (at[0], 0, at[1]))


def table_lamp(rng: np.random.Generator) -> Solid:
    """A lamp for a nightstand or desk: a ceramic or wooden body below a shade, or a jointed reading lamp."""
    if rng.random() < 0.25:
        return _reading_lamp(rng)
    height, wide = rng.uniform(0.36, 0.58), rng.uniform(0.11, 0.17)
    tall, body = 0.42 * height, pick(rng, (glaze(rng), wood(rng), metal(rng)))
    low, r = height - tall, wide * rng.uniform(0.45, 0.7)
    profiles = (
        [
            (0, 0),
            (0.8 * r, 0),
            (r, 0.25 * low),
            (r, 0.5 * low),
            (0.3 * r, 0.85 * low),
            (0.015, low),
            (0.015, low + 0.03),
        ],
        [(0, 0), (r, 0), (r, 0.02), (0.02, 0.035), (0.015, 0.4 * low), (0.015, low + 0.03)],
        [(0, 0), (0.5 * r, 0), (0.4 * r, 0.1 * low), (r, 0.5 * low), (0.4 * r, 0.9 * low), (0.015, low + 0.03)],
    )
    return turned(pick(rng, profiles), body) + _shade(rng, low, tall, wide)


def _reading_lamp(rng: np.random.Generator) -> Solid:
    """A jointed desk lamp with a small metal cone."""
    enamel = pick(rng, (glaze(rng), metal(rng)))
    solid = lathe([(0, 0), (0.085, 0), (0.085, 0.018), (0, 0.022)], enamel, around=18)
    path = [(0, 0.02, 0.02), (0.06, 0.02, 0.24), (-0.10, 0.02, 0.43)]
    for a, b in itertools.pairwise(path):
        solid += tube([a, b], 0.008, enamel)
    solid += ball(path[1], 0.014, enamel, around=8)
    cone = lathe([(0.075, 0), (0.05, 0.06), (0.02, 0.12), (0, 0.125)], enamel, around=16)
    inside = lathe([(0, 0.09), (0.045, 0.05), (0.072, 0.002)], GLOW, around=16)
    return solid + placed(cone + inside, (-0.13, 0.02, 0.33), 0.0)


def ceiling_light(rng: np.random.Generator) -> Solid:
    """A lamp under the ceiling: a flat dome, a square panel, a pendant, or a bar with spots."""
    frame, style = metal(rng), pick(rng, ("dome", "panel", "pendant", "pendant", "spots"))
    if style == "dome":
        r = rng.uniform(0.16, 0.26)
        glass = Material("#fff6e6", emission=1.5)
        solid = lathe([(0, 0), (0.6 * r, 0.01), (0.9 * r, 0.04), (r, 0.075)], glass, around=24, smooth=True)
        return solid + lathe([(r, 0.075), (1.04 * r, 0.075), (1.04 * r, 0.1), (0, 0.1)], frame, around=24)
    if style == "panel":
        a, b = rng.uniform(0.15, 0.6), rng.uniform(0.15, 0.3)
        solid = block((-a, a), (-b, b), (0.006, 0.05), WHITE)
        return solid + block(
            (-a + 0.02, a - 0.02), (-b + 0.02, b - 0.02), (0, 0.008), Material("#fff4e4", emission=1.3)
        )
    if style == "spots":
        a = rng.uniform(0.25, 0.45)
        solid = block((-a, a), (-0.03, 0.03), (0.12, 0.145), frame)
        for x in np.linspace(-0.8 * a, 0.8 * a, 3):
            can = lathe([(0.03, 0), (0.035, 0), (0.035, 0.09), (0, 0.1)], frame, around=12)
            lens = lathe([(0, 0.0), (0.03, 0.0)], GLOW, around=12)
            solid += placed(can + lens, (x, 0, 0)) + tube([(x, 0, 0.09), (x, 0, 0.125)], 0.008, frame)
        return solid
    drop, r = rng.uniform(0.45, 0.8), rng.uniform(0.14, 0.24)
    solid = tube([(0, 0, 0.15), (0, 0, drop)], 0.004, frame) + lathe(
        [(0, drop - 0.03), (0.05, drop - 0.03), (0.05, drop), (0, drop)], frame, around=16
    )
    if rng.random() < 0.4:
        return solid + ball((0, 0, 0.8 * r), 0.8 * r, Material("#fff6e6", emission=1.5), around=18)
    enamel = pick(rng, (glaze(rng), metal(rng)))
    solid += lathe([(r, 0), (0.75 * r, 0.11), (0.25 * r, 0.19), (0, 0.2)], enamel, around=24)
    return solid + lathe([(0, 0.16), (0.65 * r, 0.09), (r, 0)], GLOW, around=24)


KINDS = (
    Kind("floor lamp", floor_lamp, "corner", frozenset({"living", "bedroom", "office"}), (1, 1), 1.5, lights=True),
    Kind("table lamp", table_lamp, "surface", frozenset({"bedroom", "living", "office", "hall"}), (1, 2), 2.0,
         blocks_walking=False, on=("nightstand", "side table", "desk", "dresser"), spot="back", lights=True),
    Kind("ceiling light", ceiling_light, "ceiling",
         frozenset({"living", "kitchen", "bedroom", "bathroom", "office", "dining", "hall"}), (1, 1), 3.0,
         blocks_walking=False, lights=True),
)  # fmt: skip
