"""Bathroom fittings and the washing machine."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from ..shapes import Array, Material, Solid, lathe, placed, surface
from .finishes import BLACK_PLASTIC, CERAMIC, CHROME, SCREEN, WHITE, appliance, bright_cloth, metal, paint, pick, wood
from .kind import Kind
from .parts import block, draped, ring, tube

BATH = frozenset({"bathroom"})


def _oval(half_x: float, half_y: float, power: float = 2.6, around: int = 25) -> Array:
    """Points (around, 2) on a rounded rectangle, counter-clockwise; a higher `power` gives squarer corners."""
    turn = np.linspace(0, 2 * np.pi, around)
    c, s = np.cos(turn), np.sin(turn)
    return np.stack(
        [half_x * np.sign(c) * np.abs(c) ** (2 / power), half_y * np.sign(s) * np.abs(s) ** (2 / power)], -1
    )


def _stacked(
    levels: Sequence[tuple[float, float, float]], outline: Array, material: Material, shift: float = 0.0
) -> Solid:
    """A skin over `levels` of (height, scale, y offset) of a closed outline, from the outside bottom inwards."""
    move = np.array([0, shift])
    rings = [
        np.column_stack([outline * scale + move + np.array([0, y]), np.full(len(outline), z)]) for z, scale, y in levels
    ]
    return [surface(np.stack([a, b], axis=1), material) for a, b in itertools.pairwise(rings)]


def toilet(rng: np.random.Generator) -> Solid:
    """A toilet with bowl, seat, closed or raised lid, and a cistern with its button."""
    seat = pick(rng, (CERAMIC, CERAMIC, wood(rng)))
    outline, rim = _oval(0.18, 0.235, 2.4), rng.uniform(0.38, 0.43)
    levels = [(0.0, 0.62, 0.06), (0.10, 0.56, 0.06), (0.24, 0.72, 0.03), (rim - 0.04, 0.98, 0), (rim, 1.0, 0)]
    solid = _stacked(
        [*levels, (rim, 0.74, 0), (rim - 0.10, 0.6, 0.0), (rim - 0.16, 0.25, 0), (rim - 0.16, 0.0, 0)],
        outline,
        CERAMIC,
        -0.08,
    )
    if rng.random() < 0.7:
        lid = [(rim, 1.04, 0), (rim + 0.035, 1.04, 0), (rim + 0.05, 0.96, 0), (rim + 0.05, 0.0, 0)]
        solid += _stacked(lid, outline, seat, -0.08)
    else:
        hoop = [(rim, 1.04, 0), (rim + 0.025, 1.04, 0), (rim + 0.025, 0.7, 0), (rim, 0.7, 0)]
        solid += _stacked(hoop, outline, seat, -0.08)
        solid += block((-0.17, 0.17), (0.155, 0.165), (rim + 0.04, rim + 0.44), seat, 0.005)
    solid += block((-0.15, 0.15), (0.10, 0.33), (0.05, rim - 0.02), CERAMIC, 0.03)
    high, half = rim + rng.uniform(0.36, 0.42), rng.uniform(0.18, 0.21)
    solid += block((-half, half), (0.17, 0.34), (rim - 0.03, high), CERAMIC, 0.025)
    solid += block((-half - 0.01, half + 0.01), (0.16, 0.345), (high, high + 0.03), CERAMIC, 0.012)
    return solid + placed(lathe([(0.025, 0), (0.025, 0.008), (0, 0.01)], CHROME, 14), (0, 0.25, high + 0.03))


def bathtub(rng: np.random.Generator) -> Solid:
    """A bathtub against a wall: boxed in with panels, or free-standing on feet, with mixer tap."""
    half, deep, rim = rng.uniform(0.76, 0.88), rng.uniform(0.35, 0.41), rng.uniform(0.54, 0.62)
    boxed = rng.random() < 0.6
    outline = _oval(half, deep, 4.0 if boxed else 2.6, 33)
    hollow = [
        (rim, 0.97, 0),
        (rim, 0.90, 0),
        (rim - 0.25, 0.84, 0),
        (rim - 0.38, 0.72, 0),
        (rim - 0.41, 0.55, 0),
        (rim - 0.41, 0.0, 0),
    ]
    if boxed:
        panel = pick(rng, (CERAMIC, Material("#dfe6e6", "tiles_square", 1.2, 0.3), wood(rng)))
        solid = block((-half + 0.01, half - 0.01), (-deep + 0.01, -deep + 0.03), (0, rim - 0.04), panel)
        solid += block((-half + 0.01, half - 0.01), (deep - 0.03, deep - 0.01), (0, rim - 0.04), panel)
        for side in (-1, 1):
            x = sorted((side * (half - 0.01), side * (half - 0.03)))
            solid += block((x[0], x[1]), (-deep + 0.01, deep - 0.01), (0, rim - 0.04), panel)
        slab = _oval(half, deep, 14.0, 33)
        skin = [np.column_stack([slab, np.full(33, z)]) for z in (rim - 0.045, rim)]
        inner = np.column_stack([0.9 * outline, np.full(33, rim)])
        solid += [surface(np.stack(pair, axis=1), CERAMIC) for pair in ((skin[0], skin[1]), (skin[1], inner))]
        solid += _stacked(hollow[1:], outline, CERAMIC)
    else:
        skin = [
            (0.03, 0.0, 0),
            (0.03, 0.62, 0),
            (0.10, 0.78, 0),
            (rim - 0.06, 0.97, 0),
            (rim - 0.02, 1.0, 0),
            (rim, 0.97, 0),
        ]
        solid = _stacked(skin, outline, pick(rng, (CERAMIC, CERAMIC, Material("#3f4f57", gloss=0.4)))) + _stacked(
            hollow, outline, CERAMIC
        )
        for x in (-0.6 * half, 0.6 * half):
            for y in (-0.5 * deep, 0.5 * deep):
                solid += tube([(x, y, 0), (0.9 * x, 0.9 * y, 0.10)], (0.02, 0.03), metal(rng))
    solid += tube([(0.0, deep - 0.02, rim - 0.01), (0.0, deep - 0.02, rim + 0.10)], 0.016, CHROME)
    solid += tube([(0.0, deep, rim + 0.09), (0.0, deep - 0.16, rim + 0.075)], 0.014, CHROME)
    for side in (-1, 1):
        solid += tube([(0, deep - 0.02, rim + 0.08), (side * 0.07, deep - 0.02, rim + 0.08)], (0.012, 0.018), CHROME)
    return solid


def washbasin(rng: np.random.Generator) -> Solid:
    """A washbasin on a pedestal or on a cupboard, with a tap."""
    half, deep, rim = rng.uniform(0.26, 0.38), rng.uniform(0.20, 0.25), rng.uniform(0.82, 0.88)
    outline = _oval(half, deep, 3.2)
    bowl = [
        (rim - 0.02, 1.0, 0),
        (rim, 0.99, 0),
        (rim, 0.84, 0),
        (rim - 0.07, 0.74, 0),
        (rim - 0.12, 0.45, 0),
        (rim - 0.13, 0.0, 0),
    ]
    if rng.random() < 0.5:
        under = [(rim - 0.17, 0.0, 0), (rim - 0.17, 0.45, 0.04), (rim - 0.09, 0.85, 0)]
        solid = _stacked([*under, *bowl], outline, CERAMIC)
        solid += lathe(
            [(0, 0), (0.12, 0), (0.10, 0.05), (0.075, 0.25), (0.085, rim - 0.15), (0, rim - 0.15)], CERAMIC, 16
        )
        back = 0.0
    else:
        solid = _stacked([(rim - 0.09, 0.9, 0), *bowl], outline, CERAMIC)
        front, grip = pick(rng, (paint(rng), wood(rng), WHITE)), metal(rng)
        solid += block((-half + 0.02, half - 0.02), (-deep + 0.03, deep), (0.20, rim - 0.075), front)
        for x in ((-half + 0.022, -0.002), (0.002, half - 0.022)):
            solid += block(x, (-deep + 0.012, -deep + 0.03), (0.203, rim - 0.10), front)
            at = x[1] - 0.03 if x[0] < -0.01 else x[0] + 0.03
            solid += block((at - 0.006, at + 0.006), (-deep - 0.01, -deep + 0.012), (0.40, 0.52), grip)
        for x in (-half + 0.06, half - 0.06):
            for y in (-deep + 0.07, deep - 0.05):
                solid += tube([(x, y, 0), (x, y, 0.21)], 0.014, grip)
        back = 0.0
    solid += block((-0.05, 0.05), (deep - 0.075, deep - 0.015), (rim - 0.002, rim + 0.006), CERAMIC)
    solid += tube([(0, deep - 0.045, rim), (0, deep - 0.045, rim + 0.13)], 0.014, CHROME, around=8)
    solid += tube([(0, deep - 0.04, rim + 0.12), (0, deep - 0.18 + back, rim + 0.10)], 0.011, CHROME, around=8)
    return solid + tube([(0, deep - 0.045, rim + 0.13), (0, deep - 0.02, rim + 0.175)], 0.006, CHROME)


def washing_machine(rng: np.random.Generator) -> Solid:
    """A front loader: round door with dark glass, detergent drawer, dial and display."""
    shell, half, deep, height = (
        appliance(rng),
        rng.uniform(0.29, 0.31),
        rng.uniform(0.25, 0.31),
        rng.uniform(0.83, 0.88),
    )
    solid = block((-half, half), (-deep, deep), (0.02, height), shell, 0.01)
    solid += block((-half + 0.03, half - 0.03), (-deep + 0.03, deep - 0.03), (0, 0.025), BLACK_PLASTIC)
    hoop = ring((0, -deep - 0.008, 0.42), 0.165, 0.05, CHROME, axis="y")
    glass = lathe([(0.15, 0), (0.13, 0.03), (0.06, 0.05), (0, 0.052)], SCREEN, around=20)
    face = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)
    solid += hoop + placed(glass, (0, -deep, 0.42), face)
    panel = height - 0.13
    solid += block((-half + 0.006, half - 0.006), (-deep - 0.004, -deep), (panel - 0.003, panel), Material("#9a9da0"))
    solid += block((-half + 0.02, -half + 0.20), (-deep - 0.006, -deep), (panel + 0.02, height - 0.025), shell, 0.002)
    solid += block((0.10, 0.22), (-deep - 0.003, -deep), (panel + 0.04, height - 0.04), SCREEN)
    return solid + tube(
        [(0.02, -deep, panel + 0.065), (0.02, -deep - 0.025, panel + 0.065)], (0.034, 0.03), CHROME, around=14
    )


def towel(rng: np.random.Generator) -> Solid:
    """A towel that hangs over a rail on the wall."""
    cloth, wide, tall = bright_cloth(rng), rng.uniform(0.32, 0.5), rng.uniform(0.45, 0.7)
    rail, top = metal(rng), tall
    x = np.linspace(-wide / 2, wide / 2, 13)
    fold = np.linspace(0, np.pi, 7)
    drop = rng.uniform(0.72, 0.95) * tall
    profile = [(-0.030, 0.0), (-0.030, 0.5 * tall)]
    profile += [(-0.030 * np.cos(a), top - 0.03 + 0.03 * np.sin(a)) for a in fold]
    profile += [(0.030, top - 0.5 * drop), (0.030, top - drop)]
    y, z = np.array(profile).T
    sag = 0.008 * np.sin(5 * x / wide * np.pi)[None, :] * np.clip((top - z) / tall, 0, 1)[:, None]
    points = np.stack(np.broadcast_arrays(x[None, :], y[:, None] + sag - 0.06, z[:, None]), -1)
    solid = draped(points.swapaxes(0, 1), cloth, 0.012)
    reach = wide / 2 + 0.06
    solid += tube([(-reach, -0.06, top - 0.02), (reach, -0.06, top - 0.02)], 0.009, rail)
    for side in (-1, 1):
        solid += tube([(side * (reach - 0.02), 0, top - 0.02), (side * (reach - 0.02), -0.06, top - 0.02)], 0.009, rail)
    return solid


KINDS = (
    Kind("toilet", toilet, "wall", BATH, (1, 1), 3.0, clear_front=0.6),
    Kind("bathtub", bathtub, "wall", BATH, (1, 1), 2.0, clear_front=0.5),
    Kind("washbasin", washbasin, "wall", BATH, (1, 2), 3.0, clear_front=0.6),
    Kind("washing machine", washing_machine, "wall", frozenset({"bathroom", "kitchen"}), (1, 1), 1.5, supports=True,
         clear_front=0.7),
    Kind("towel", towel, "hung", BATH, (1, 3), 2.0, blocks_walking=False, hung=(0.75, 1.05)),
)  # fmt: skip
