"""Tables and desks."""

from __future__ import annotations

import itertools

import numpy as np

from ..shapes import Material, Solid, lathe
from .finishes import BLACK_METAL, WHITE, metal, paint, pick, wood, wood_or_paint
from .kind import Kind
from .parts import bar_grip, block, corners, round_top, tube


def _plate(rng: np.random.Generator) -> Material:
    """What a table top is made of."""
    stone = Material(pick(rng, ("#e6e1d8", "#c9c7c2", "#6d6f71")), pick(rng, ("stone", "marble", "terrazzo")), 1.0, 0.4)
    return stone if rng.random() < 0.15 else wood_or_paint(rng)


def coffee_table(rng: np.random.Generator) -> Solid:
    """A low table: rectangular with a shelf below, rectangular on a sled base, or round."""
    plate, height, style = _plate(rng), rng.uniform(0.36, 0.48), pick(rng, ("shelf", "sled", "round"))
    if style == "round":
        radius, legs = rng.uniform(0.36, 0.5), wood(rng)
        solid = round_top([(0, height - 0.03), (radius, height - 0.03), (radius, height), (0, height)], plate)
        for angle in np.radians([90, 210, 330]):
            c, s = np.cos(angle), np.sin(angle)
            foot, head = 0.85 * radius, 0.5 * radius
            solid += tube([(foot * c, foot * s, 0), (head * c, head * s, height - 0.02)], (0.014, 0.022), legs)
        return solid
    half, deep = rng.uniform(0.42, 0.62), rng.uniform(0.25, 0.33)
    solid = block((-half, half), (-deep, deep), (height - 0.04, height), plate, 0.012)
    if style == "shelf":
        legs = wood(rng)
        solid += block((-half + 0.06, half - 0.06), (-deep + 0.06, deep - 0.06), (0.13, 0.15), plate)
        for x, y in corners(half - 0.05, deep - 0.05):
            solid += block((x - 0.022, x + 0.022), (y - 0.022, y + 0.022), (0, height - 0.03), legs)
    else:
        legs = metal(rng)
        for side in (-1, 1):
            x = side * (half - 0.1)
            loop = [
                (x, -deep + 0.03, height - 0.03),
                (x, -deep + 0.03, 0.012),
                (x, deep - 0.03, 0.012),
                (x, deep - 0.03, height - 0.03),
            ]
            for a, b in itertools.pairwise(loop):
                solid += tube([a, b], 0.012, legs)
    return solid


def dining_table(rng: np.random.Generator) -> Solid:
    """A table for four to eight: rectangular on four legs, on trestles, or round on a pedestal."""
    plate, height, style = _plate(rng), rng.uniform(0.72, 0.77), pick(rng, ("legs", "legs", "trestle", "round"))
    if style == "round":
        radius, foot = rng.uniform(0.48, 0.65), wood_or_paint(rng)
        solid = round_top(
            [(0, height - 0.035), (radius, height - 0.035), (radius, height), (0, height)], plate, around=28
        )
        stem = [(0, 0), (0.30, 0), (0.29, 0.03), (0.08, 0.06), (0.05, 0.2), (0.05, 0.6), (0.14, height - 0.04)]
        return solid + lathe(stem, foot, around=20, smooth=False)
    half, deep = rng.uniform(0.62, 1.0), rng.uniform(0.38, 0.48)
    solid = block((-half, half), (-deep, deep), (height - 0.035, height), plate, 0.01)
    legs = wood_or_paint(rng) if rng.random() < 0.4 else plate
    if style == "legs":
        inset, thick = rng.uniform(0.03, 0.1), rng.uniform(0.025, 0.04)
        x, y = half - inset - thick, deep - inset - thick
        for side in (-1, 1):
            solid += block((-x, x), (side * y - 0.01, side * y + 0.01), (height - 0.115, height - 0.035), legs)
            solid += block((side * x - 0.01, side * x + 0.01), (-y, y), (height - 0.115, height - 0.035), legs)
        for cx, cy in corners(x, y):
            solid += block((cx - thick, cx + thick), (cy - thick, cy + thick), (0, height - 0.035), legs)
        return solid
    frame, x = metal(rng), half - 0.22
    for side in (-1, 1):
        for end in (-1, 1):
            solid += tube([(side * x, end * (deep - 0.06), 0), (side * x, end * 0.1, height - 0.03)], 0.02, frame)
        solid += tube([(side * x, -deep + 0.17, 0.27), (side * x, deep - 0.17, 0.27)], 0.014, frame)
    return solid + tube([(-x, 0, 0.27), (x, 0, 0.27)], 0.014, frame)


def side_table(rng: np.random.Generator) -> Solid:
    """A small table beside a seat: a drum on three legs, or a square frame with a shelf."""
    plate, height, half = _plate(rng), rng.uniform(0.45, 0.62), rng.uniform(0.19, 0.27)
    if rng.random() < 0.5:
        solid = round_top([(0, height - 0.025), (half, height - 0.025), (half, height), (0, height)], plate)
        legs = metal(rng)
        for angle in np.radians([90, 210, 330]):
            c, s = half * np.cos(angle), half * np.sin(angle)
            solid += tube([(c, s, 0), (0.55 * c, 0.55 * s, height - 0.02)], 0.011, legs)
        return solid
    legs = wood(rng)
    solid = block((-half, half), (-half, half), (height - 0.025, height), plate, 0.006)
    solid += block((-half + 0.02, half - 0.02), (-half + 0.02, half - 0.02), (0.16, 0.18), plate)
    for x, y in corners(half - 0.02, half - 0.02):
        solid += block((x - 0.016, x + 0.016), (y - 0.016, y + 0.016), (0, height - 0.02), legs)
    return solid


def desk(rng: np.random.Generator) -> Solid:
    """A writing desk: a top on legs or panels, with a drawer unit on one side, both sides or none."""
    plate, body, grip = wood_or_paint(rng), pick(rng, (WHITE, paint(rng), wood(rng))), metal(rng)
    half, deep, height = rng.uniform(0.55, 0.85), rng.uniform(0.29, 0.39), rng.uniform(0.72, 0.77)
    solid = block((-half, half), (-deep, deep), (height - 0.03, height), plate, 0.006)
    units = pick(rng, ((), (-1,), (1,), (-1, 1)))
    for side in (-1, 1):
        if side in units:
            x = sorted((side * (half - 0.02), side * (half - 0.38)))
            solid += block((x[0], x[1]), (-deep + 0.03, deep - 0.02), (0.06, height - 0.03), body)
            solid += block((x[0] + 0.03, x[1] - 0.03), (-deep + 0.06, deep - 0.05), (0, 0.06), BLACK_METAL)
            edges = np.linspace(0.07, height - 0.04, 4)
            for low, high in itertools.pairwise(edges):
                solid += block(
                    (x[0] + 0.006, x[1] - 0.006), (-deep + 0.012, -deep + 0.03), (low + 0.004, high - 0.004), body
                )
                middle = (x[0] + x[1]) / 2
                solid += bar_grip((middle - 0.06, middle + 0.06), -deep + 0.012, (low + high) / 2, grip)
        elif rng.random() < 0.5:
            x = sorted((side * (half - 0.03), side * (half - 0.055)))
            solid += block((x[0], x[1]), (-deep + 0.02, deep - 0.02), (0, height - 0.03), plate)
        else:
            for end in (-1, 1):
                x, y = side * (half - 0.05), end * (deep - 0.05)
                solid += tube([(x, y, 0), (x, y, height - 0.03)], 0.02, grip)
    return solid + block((-half + 0.06, half - 0.06), (deep - 0.05, deep - 0.035), (0.42, height - 0.03), plate)


KINDS = (
    Kind("coffee table", coffee_table, "around", frozenset({"living"}), (1, 1), 2.5, supports=True, on=("sofa",),
         side="front"),
    Kind("dining table", dining_table, "free", frozenset({"dining", "kitchen", "living"}), (1, 1), 3.0, supports=True),
    Kind("side table", side_table, "around", frozenset({"living"}), (1, 1), 1.0, supports=True,
         on=("sofa", "armchair"), side="beside"),
    Kind("desk", desk, "wall", frozenset({"office", "bedroom", "living"}), (1, 2), 2.0, supports=True,
         clear_front=0.8),
)  # fmt: skip
