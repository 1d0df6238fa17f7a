"""Large things that are neither seats nor cupboards: piano, guitar, bicycle, fan and radiator."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np

from ..shapes import Array, Material, Solid, lathe, placed, rotation, surface
from .finishes import BLACK_METAL, BLACK_PLASTIC, BRASS, CHROME, RUBBER, STEEL, WHITE, pick, shade, wood
from .kind import Kind
from .parts import ball, block, ring, tube

FACE = rotation("x", 90)  # turns a lathe's top towards -y


def piano(rng: np.random.Generator) -> Solid:
    """An upright piano with white and black keys, music desk, panels and pedals."""
    case = pick(
        rng,
        (
            Material("#17181a", gloss=0.7),
            wood(rng),
            Material("#5a2f20", "wood", 1.1, 0.5),
            Material("#efece4", gloss=0.5),
        ),
    )
    half, high = rng.uniform(0.70, 0.77), rng.uniform(1.05, 1.28)
    solid = block((-half, half), (-0.02, 0.28), (0.0, high - 0.03), case)
    solid += block((-half - 0.01, half + 0.01), (-0.04, 0.28), (high - 0.03, high), case, 0.008)
    solid += block((-half + 0.05, half - 0.05), (-0.03, -0.02), (0.78, high - 0.08), case, 0.004)
    solid += block((-half + 0.05, half - 0.05), (-0.03, -0.02), (0.14, 0.56), case, 0.004)
    solid += block((-half, half), (-0.30, 0.0), (0.60, 0.68), case)
    for side in (-1, 1):
        x = sorted((side * half, side * (half - 0.06)))
        solid += block((x[0], x[1]), (-0.30, 0.0), (0.68, 0.76), case, 0.01)
        solid += block((x[0], x[1]), (-0.28, -0.22), (0.0, 0.60), case, 0.008)
        solid += block((x[0], x[1]), (-0.30, 0.0), (0.0, 0.05), case)
    a = half - 0.065
    solid += block((-a, a), (-0.27, -0.12), (0.68, 0.705), Material("#f6f3ea", gloss=0.4))
    solid += block((-a, a), (-0.12, -0.02), (0.68, 0.73), case)
    pitch = 2 * a / 52
    for k in range(1, 52):
        if k % 7 not in (2, 5):
            x = -a + k * pitch
            solid += block((x - 0.006, x + 0.006), (-0.215, -0.12), (0.70, 0.718), Material("#151517", gloss=0.5))
    desk = block((-0.35, 0.35), (-0.006, 0.006), (0, 0.2), case) + block((-0.35, 0.35), (-0.03, 0), (0, 0.012), case)
    solid += placed(desk, (0, -0.06, 0.79), rotation("x", -14))
    for x in (-0.09, 0.0, 0.09):
        solid += block((x - 0.014, x + 0.014), (-0.11, -0.02), (0.05, 0.062), BRASS)
    return solid


def guitar(rng: np.random.Generator) -> Solid:
    """An acoustic guitar that leans back on a small stand."""
    top = Material(
        shade(rng, pick(rng, ("#d9a866", "#c17a3f", "#7a3b22", "#2a2b2d", "#a83a2f", "#e6c68f"))), "wood", 1.4, 0.4
    )
    dark, scale = Material("#3a2416", "wood", 2.0, 0.3), rng.uniform(0.94, 1.06)
    t = np.linspace(0, np.pi, 25)
    long = 0.49
    z = long / 2 * (1 - np.cos(t))
    u = z / long
    lower, upper = (
        0.195 * np.sqrt(np.clip(1 - ((u - 0.33) / 0.37) ** 2, 0, 1)),
        0.145 * np.sqrt(np.clip(1 - ((u - 0.78) / 0.24) ** 2, 0, 1)),
    )
    waist = 0.118 * np.clip(np.minimum((u - 0.05) / 0.3, (0.97 - u) / 0.2), 0, 1)
    half = np.maximum(np.maximum(lower, upper), waist)
    half[[0, -1]] = (0.0, 0.05)
    across = np.array([-1.0, 0.0, 1.0])
    x, up = half[:, None] * across, np.broadcast_to(z[:, None], (25, 3))
    front = np.stack([x, np.full_like(x, -0.05), up], -1)
    back = np.stack([x, np.full_like(x, 0.05), up], -1)
    body = [surface(front.swapaxes(0, 1), top), surface(back[::-1].swapaxes(0, 1), dark)]
    for column, order in ((2, 1), (0, -1)):
        side = np.stack([front[:, column], back[:, column]])
        body.append(surface(side[::order], dark))
    body.append(surface(np.stack([front[-1], back[-1]], axis=1), dark))
    hole = lathe([(0.048, 0), (0.048, 0.002), (0, 0.002)], Material("#120c08"), 18) + lathe(
        [(0.058, 0), (0.058, 0.0012), (0.04, 0.0012)], dark, 18
    )
    body += placed(hole, (0, -0.05, 0.345), FACE)
    body += block((-0.065, 0.065), (-0.06, -0.05), (0.155, 0.18), dark)
    body += block((-0.027, 0.027), (-0.062, -0.03), (0.40, 0.86), dark)
    body += block((-0.036, 0.036), (-0.056, -0.036), (0.86, 1.0), dark)
    for peg in (0.885, 0.93, 0.975):
        body += tube([(-0.058, -0.046, peg), (0.058, -0.046, peg)], 0.005, CHROME)
    sized = [replace(p, points=scale * p.points) for p in body]
    solid = placed(sized, (0, -0.05, 0.11), rotation("x", -14))
    for side in (-1, 1):
        solid += tube([(side * 0.17, -0.14, 0), (side * 0.05, 0.05, 0.36)], 0.009, BLACK_METAL)
        solid += tube(
            [(side * 0.12, 0.0, 0.10), (side * 0.12, -0.16, 0.10), (side * 0.12, -0.17, 0.13)], 0.009, BLACK_METAL
        )
    solid += tube([(-0.14, -0.02, 0.10), (0.14, -0.02, 0.10)], 0.009, BLACK_METAL)
    return solid + tube([(0, 0.22, 0), (0, 0.05, 0.38)], 0.009, BLACK_METAL)


def _by(point: Array, x: float, y: float, z: float) -> Array:
    """The point moved by (x, y, z)."""
    return point + np.array([x, y, z])


def _wheel(hub: Array, radius: float) -> Solid:
    """A bicycle wheel in the xz plane: tyre, rim, axle and ten pairs of spokes."""
    solid = ring(hub, radius - 0.02, 0.04, RUBBER, axis="y") + ring(hub, radius - 0.05, 0.022, STEEL, axis="y")
    solid += tube([_by(hub, 0, -0.05, 0), _by(hub, 0, 0.05, 0)], 0.018, STEEL)
    for angle in np.radians(np.arange(0, 180, 18)):
        reach = (radius - 0.055) * np.array([np.cos(angle), 0, np.sin(angle)])
        solid += tube([hub - reach, hub + reach], 0.0018, STEEL, around=4)
    return solid


def _pedals(crank: Array) -> Solid:
    """Chain ring, cranks and pedals about the point `crank`."""
    disc = lathe([(0.085, -0.003), (0.085, 0.003), (0, 0.003)], STEEL, 18)
    solid = placed(disc, _by(crank, 0, -0.04, 0).tolist(), FACE)
    for side, way in ((-1, 1), (1, -1)):
        tip = _by(crank, 0.15 * way, side * 0.07, -0.08 * way)
        solid += tube([_by(crank, 0, side * 0.055, 0), tip], 0.010, STEEL)
        pedal = _by(tip, 0, side * 0.05, 0)
        solid += block(
            (pedal[0] - 0.04, pedal[0] + 0.04),
            (pedal[1] - 0.045, pedal[1] + 0.045),
            (pedal[2] - 0.01, pedal[2] + 0.01),
            BLACK_PLASTIC,
        )
    return solid


def bicycle(rng: np.random.Generator) -> Solid:
    """A bicycle that stands along x with its chain side towards -y: two spoked wheels, frame, saddle, handlebar."""
    paint = Material(
        shade(rng, pick(rng, ("#2f5f9a", "#a8352f", "#26282c", "#3f7f5f", "#d9a441", "#e6e6e2", "#5a8fa0"))), gloss=0.5
    )
    r, base = rng.uniform(0.31, 0.345), rng.uniform(0.98, 1.06)
    rear, front = np.array([-base / 2, 0, r]), np.array([base / 2, 0, r])
    crank, seat = np.array([-0.06, 0, r - 0.05]), np.array([-0.20, 0, r + 0.50])
    head, low = np.array([0.36, 0, r + 0.50]), np.array([0.385, 0, r + 0.38])
    step = rng.random() < 0.4  # a low top tube
    solid = _wheel(rear, r) + _wheel(front, r)
    top = crank + 0.35 * (seat - crank) if step else crank + 0.93 * (seat - crank)
    for a, b, thick in (
        (crank, low, 0.018),
        (crank, seat, 0.016),
        (top, head, 0.015),
        (low, _by(head, -0.015, 0, 0.03), 0.02),
    ):
        solid += tube([a, b], thick, paint, around=8)
    for side in (-0.055, 0.055):
        solid += tube([crank, _by(rear, 0, side, 0)], 0.010, paint) + tube(
            [seat - [0, 0, 0.04], _by(rear, 0, side, 0)], 0.008, paint
        )
        solid += tube([_by(low, 0, 0, -0.02), _by(low, 0.02, side, -0.06), _by(front, 0, side, 0)], 0.011, paint)
    post, stem = _by(seat, -0.03, 0, 0.12), _by(head, -0.03, 0, 0.12)
    solid += tube([seat, post], 0.012, STEEL) + tube([head, stem], 0.012, STEEL)
    saddle = ball(_by(post, -0.01, 0, 0.03), (0.13, 0.075, 0.032), BLACK_PLASTIC)
    solid += saddle + tube([_by(post, 0.05, 0, 0.03), _by(post, 0.15, 0, 0.03)], (0.04, 0.018), BLACK_PLASTIC)
    bars = [
        _by(stem, x, y, z)
        for x, y, z in (
            (-0.10, -0.29, 0.05),
            (-0.02, -0.22, 0.06),
            (0.03, -0.06, 0.01),
            (0.03, 0.06, 0.01),
            (-0.02, 0.22, 0.06),
            (-0.10, 0.29, 0.05),
        )
    ]
    solid += tube(bars, 0.012, STEEL)
    for side in (0, -1):
        inner = bars[1] if side == 0 else bars[-2]
        solid += tube([bars[side], inner], 0.017, BLACK_PLASTIC)
    solid += _pedals(crank)
    for z in (0.075, -0.03):
        solid += tube([_by(rear, 0, -0.045, 0.5 * z), _by(crank, 0, -0.045, z)], 0.005, BLACK_METAL, around=4)
    return solid + tube([_by(crank, -0.08, 0.03, 0), np.array([-0.17, 0.2, 0.0])], 0.009, STEEL)


def fan(rng: np.random.Generator) -> Solid:
    """A pedestal fan: round foot, stem, motor, four blades inside a wire cage."""
    shell = pick(rng, (WHITE, BLACK_PLASTIC, STEEL))
    blades = pick(rng, (Material("#8fb5c9", gloss=0.4), WHITE, Material("#3b3f45", gloss=0.3)))
    r, high = rng.uniform(0.17, 0.23), rng.uniform(0.85, 1.2)
    solid = lathe([(0, 0), (0.18, 0), (0.18, 0.02), (0.04, 0.045), (0, 0.05)], shell, around=20)
    solid += tube([(0, 0.06, 0.03), (0, 0.06, high - 0.04)], 0.014, STEEL, around=8)
    solid += tube([(0, -0.02, high), (0, 0.13, high)], (0.055, 0.045), shell, around=12)
    for y, wide in ((-0.115, 0.5 * r), (-0.10, 0.85 * r), (-0.06, r), (-0.02, 0.8 * r)):
        solid += ring((0, y, high), wide, 0.008, shell, axis="y")
    for angle in np.radians(np.arange(0, 360, 30)):
        c, s = np.cos(angle), np.sin(angle)
        path = [
            (c * wide, y, high + s * wide)
            for y, wide in (
                (-0.118, 0.2 * r),
                (-0.115, 0.5 * r),
                (-0.10, 0.85 * r),
                (-0.06, r),
                (-0.02, 0.8 * r),
                (0.0, 0.25 * r),
            )
        ]
        for a, b in pairwise(path):
            solid += tube([a, b], 0.0025, shell, around=4)
    solid += placed(lathe([(0.22 * r, 0), (0.2 * r, 0.008), (0, 0.01)], shell, 14), (0, -0.118, high), FACE)
    start = rng.uniform(0, 90)
    for k in range(4):
        blade = block((0.2 * r, 0.88 * r), (-0.005, 0.005), (-0.055, 0.055), blades, 0.0)
        solid += placed(blade, (0, -0.06, high), rotation("y", start + 90 * k) @ rotation("x", 28))
    return solid


def radiator(rng: np.random.Generator) -> Solid:
    """A heating radiator on feet: upright columns, or a flat ribbed panel, with a valve and pipes."""
    skin = pick(rng, (WHITE, WHITE, Material("#d9d6cd", gloss=0.3), Material("#4a4d50", gloss=0.3)))
    half, low, high = rng.uniform(0.3, 0.75), rng.uniform(0.10, 0.14), rng.uniform(0.5, 0.72)
    solid: Solid = []
    if rng.random() < 0.55:
        count = int(2 * half / 0.062)
        for k in range(count):
            x = -half + (k + 0.5) * 2 * half / count
            for y in ((-0.055, -0.022), (0.022, 0.055)):
                solid += block((x - 0.021, x + 0.021), y, (low, high), skin)
        for z in (low + 0.05, high - 0.05):
            solid += tube([(-half + 0.02, 0, z), (half - 0.02, 0, z)], 0.024, skin)
    else:
        solid += block((-half, half), (-0.05, 0.05), (low, high), skin, 0.008)
        for x in np.arange(-half + 0.04, half - 0.03, 0.045):
            solid += block((x - 0.012, x + 0.012), (-0.056, -0.05), (low + 0.03, high - 0.03), skin)
        for k in np.linspace(-half + 0.03, half - 0.03, 12):
            solid += block((k - 0.016, k + 0.016), (-0.03, 0.03), (high, high + 0.003), Material("#8a8c8e"))
    for side in (-1, 1):
        x = side * (half - 0.08)
        solid += block((x - 0.012, x + 0.012), (-0.04, 0.04), (0, low + 0.01), skin)
    solid += tube([(half - 0.01, 0, low + 0.05), (half + 0.05, 0, low + 0.05)], 0.012, STEEL)
    solid += tube([(half + 0.045, 0, 0.0), (half + 0.045, 0, low + 0.06)], 0.009, STEEL)
    return solid + tube([(half + 0.045, 0, low + 0.055), (half + 0.045, -0.07, low + 0.055)], 0.02, WHITE, around=10)


KINDS = (
    Kind("piano", piano, "wall", frozenset({"living", "hall"}), (1, 1), 0.4, clear_front=0.8),
    Kind("guitar", guitar, "corner", frozenset({"living", "bedroom", "office"}), (1, 1), 0.7),
    Kind("bicycle", bicycle, "wall", frozenset({"hall", "living", "office"}), (1, 1), 0.4),
    Kind("fan", fan, "corner", frozenset({"living", "bedroom", "office"}), (1, 1), 0.7, clear_front=0.2),
    Kind("radiator", radiator, "wall", frozenset({"living", "bedroom", "bathroom", "office", "dining", "hall"}), (1, 1),
         1.0),
)  # fmt: skip
