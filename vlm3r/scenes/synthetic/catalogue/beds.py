"""Beds and pillows."""

from __future__ import annotations

import numpy as np

from ..shapes import Material, Solid, bounds, placed, rotation
from ..shapes import pillow as puff
from .finishes import WHITE, bright_cloth, cloth, linen, pick, wood_or_paint
from .kind import Kind, Top
from .parts import Span, block, corners, draped, tube

MATTRESS = Material("#f6f5f1", "fabric", 1.4)


def bed(rng: np.random.Generator) -> Solid:
    """A single or double bed: frame, headboard, mattress and a duvet that hangs over three sides."""
    width = pick(rng, (rng.uniform(0.95, 1.05), rng.uniform(1.45, 1.65), rng.uniform(1.65, 1.9)))
    length, top = rng.uniform(2.02, 2.16), rng.uniform(0.46, 0.60)
    soft = rng.random() < 0.4
    frame = cloth(rng) if soft else wood_or_paint(rng)
    half, front, head = width / 2, -length / 2, rng.uniform(0.85, 1.15)
    rise = top - 0.26
    solid = block((-half, half), (front, -front), (max(0.02, rise - 0.12), rise + 0.06), frame, 0.02 if soft else 0.006)
    thick = 0.09 if soft else 0.035
    solid += block(
        (-half - 0.02, half + 0.02), (-front - 0.01, -front - 0.01 + thick), (0, head), frame, 0.03 if soft else 0.008
    )
    if not soft and rng.random() < 0.4:
        solid += block((-half, half), (front - 0.03, front), (0, top - 0.02), frame, 0.006)
    for x, y in corners(half - 0.06, -front - 0.08):
        solid += tube([(x, y, 0), (x, y, rise - 0.05)], 0.028, frame)
    solid += block(
        (-half + 0.02, half - 0.02), (front + 0.01, -front - 0.01), (rise + 0.04, top - 0.03), MATTRESS, 0.04
    )
    return solid + _duvet(half, (front, -front - rng.uniform(0.5, 0.7)), top, linen(rng), bright_cloth(rng), rng)


def _duvet(half: float, y: Span, top: float, cover: Material, throw: Material, rng: np.random.Generator) -> Solid:
    """A blanket over the foot end, folded back at `y[1]`, hanging down at the sides; now and then a throw on it."""
    drop = rng.uniform(0.12, 0.22)

    def over(y: Span, lift: float, drop: float, material: Material) -> Solid:
        edge = half + 0.015 + lift
        across = [(-edge, top - drop), (-edge, top - 0.05), (-edge + 0.04, top - 0.01 + lift), (0, top + lift)]
        outline = np.array([*across, *[(-x, z) for x, z in across[2::-1]]])  # (7, 2)
        inner = np.linspace(outline[2], outline[4], 7)
        outline = np.concatenate([outline[:2], inner, outline[5:]])
        along = np.linspace(y[0], y[1], 9)
        x, z = np.broadcast_to(outline[:, 0], (9, 11)), np.broadcast_to(outline[:, 1], (9, 11)).copy()
        wave = 0.006 * np.sin(7 * along[:, None] + 3 * x)
        z[:, 2:9] += wave[:, 2:9]
        points = np.stack([x, np.broadcast_to(along[:, None], x.shape), z], -1)
        return draped(points.swapaxes(0, 1), material, 0.012)

    solid = over((y[0] - 0.015, y[1]), 0.005, drop, cover)
    foot = np.array([[(x, y[0] - 0.018, z) for z in (top - drop, top - 0.002)] for x in (-half - 0.02, half + 0.02)])
    solid += draped(foot, cover, 0.006)
    solid += block(
        (-half - 0.012, half + 0.012),
        (y[1] - 0.22, y[1] + 0.01),
        (top + 0.002, top + 0.03),
        WHITE if rng.random() < 0.5 else cover,
        0.012,
    )
    if rng.random() < 0.5:
        start = y[0] + rng.uniform(0.15, 0.35)
        solid += over((start, start + rng.uniform(0.35, 0.5)), 0.018, drop + 0.05, throw)
    return solid


def pillow_end(solid: Solid) -> Top:
    """The strip of mattress between the folded duvet and the headboard."""
    low, high = bounds([patch for patch in solid if patch.material is MATTRESS])
    near, far = high[1] - 0.48, high[1] - 0.06
    return Top(float(high[2]), (float(low[0]) + 0.05, float(near)), (float(high[0]) - 0.05, float(far)))


def pillow(rng: np.random.Generator) -> Solid:
    """A pillow that leans back as against a headboard or a sofa: a square cushion or a larger bed pillow."""
    if rng.random() < 0.5:
        width, height, cover = rng.uniform(0.40, 0.50), rng.uniform(0.38, 0.46), bright_cloth(rng)
    else:
        width, height, cover = rng.uniform(0.55, 0.68), rng.uniform(0.38, 0.46), linen(rng)
    return placed(puff(width, height, rng.uniform(0.14, 0.20), cover), (0, 0, 0), rotation("x", -rng.uniform(22, 42)))


KINDS = (
    Kind("bed", bed, "wall", frozenset({"bedroom"}), (1, 2), 3.0, supports=True, top=pillow_end, clear_front=0.6),
    Kind("pillow", pillow, "surface", frozenset({"bedroom", "living"}), (1, 3), 2.5, blocks_walking=False,
         on=("bed", "sofa", "armchair"), spot="back"),
)  # fmt: skip
