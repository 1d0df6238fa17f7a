"""Sofas, armchairs, chairs, stools and office chairs."""

from __future__ import annotations

import numpy as np

from ..shapes import Material, Solid, box, placed, rotation, surface
from .finishes import BLACK_METAL, BLACK_PLASTIC, CHROME, cloth, metal, pick, wood, wood_or_paint
from .kind import Kind, Top, flat_top
from .parts import block, corners, round_top, tube


def sofa(rng: np.random.Generator) -> Solid:
    """A sofa of two or three seats with armrests, seat and back cushions, on short legs."""
    seats = int(rng.integers(2, 4))
    fabric, feet = cloth(rng), wood(rng) if rng.random() < 0.6 else metal(rng)
    arm, depth = rng.uniform(0.12, 0.24), rng.uniform(0.84, 0.98)
    width = seats * rng.uniform(0.58, 0.74) + 2 * arm
    leg, rest, soft = rng.uniform(0.05, 0.16), rng.uniform(0.54, 0.66), rng.uniform(0.03, 0.06)
    back = rng.uniform(0.76, 0.92)
    half, front = width / 2, -depth / 2
    solid = block((-half + 0.02, half - 0.02), (front + 0.03, -front), (leg, 0.30), fabric, 0.02)
    solid += block((-half + 0.03, half - 0.03), (-front - 0.2, -front), (0.25, back - 0.08), fabric, 0.05)
    for side in (-1, 1):
        x = sorted((side * half, side * (half - arm)))
        solid += block((x[0], x[1]), (front, -front), (leg + 0.01, rest), fabric, min(soft, 0.4 * arm))
    pitch = (width - 2 * arm) / seats
    for k in range(seats):
        x = -half + arm + (k + 0.5) * pitch
        solid += block(
            (x - pitch / 2 + 0.004, x + pitch / 2 - 0.004), (front, -front - 0.2), (0.28, 0.45), fabric, 0.05
        )
        cushion = box((0, 0, (back - 0.44) / 2), (pitch - 0.02, 0.17, back - 0.44), fabric, 0.07)
        solid += placed(cushion, (x, -front - 0.27, 0.445), rotation("x", -9))
    for x, y in corners(half - 0.1, depth / 2 - 0.1):
        solid += tube([(x, y, 0), (x, y, leg + 0.02)], (0.016, 0.025), feet)
    return solid


def seat_top(solid: Solid) -> Top:
    """The free part of a seat, before its back cushions."""
    top = flat_top(solid)
    back = top.low[1] + 0.8 * (top.high[1] - top.low[1])
    return Top(top.height, (top.low[0] + 0.03, top.low[1] + 0.05), (top.high[0] - 0.03, back))


def armchair(rng: np.random.Generator) -> Solid:
    """A lounge chair: block arms, or a rounded shell around the seat, on wooden legs."""
    fabric, feet = cloth(rng), wood(rng)
    width, depth, back = rng.uniform(0.70, 0.90), rng.uniform(0.72, 0.86), rng.uniform(0.76, 0.98)
    leg, rest = rng.uniform(0.10, 0.20), rng.uniform(0.55, 0.64)
    half, front = width / 2, -depth / 2
    solid = block((-half + 0.09, half - 0.09), (front + 0.02, -front - 0.04), (leg, 0.33), fabric, 0.03)
    solid += block((-half + 0.11, half - 0.11), (front, -front - 0.14), (0.31, 0.45), fabric, 0.05)
    if rng.random() < 0.5:
        rise = back - leg - 0.02
        upright = box((0, 0, rise / 2), (width - 0.08, 0.16, rise), fabric, 0.07)
        solid += placed(upright, (0, -front - 0.13, leg + 0.02), rotation("x", -9))
        for side in (-1, 1):
            solid += box(
                (side * (half - 0.06), -0.02, (leg + rest) / 2), (0.12, depth - 0.06, rest - leg), fabric, 0.05
            )
    else:
        turn = np.linspace(np.radians(-25), np.radians(205), 23)[:, None]
        rise = np.linspace(0, 1, 5)[None, :]
        crest = rest + (back - rest) * np.clip(np.sin(turn), 0, 1) ** 1.5
        reach = 1 + 0.06 * rise
        z = leg + rise * (crest - leg)
        shell = np.stack(np.broadcast_arrays(half * reach * np.cos(turn), 0.9 * half * reach * np.sin(turn), z), -1)
        inside = shell * [0.82, 0.82, 1]
        solid += [surface(shell, fabric), surface(inside[::-1], fabric)]
        rim = np.stack([shell[:, -1], inside[:, -1]], axis=1)
        solid.append(surface(rim, fabric))
        for end in (0, -1):
            edge = np.stack([inside[end], shell[end]])
            solid.append(surface(edge if end == 0 else edge[::-1], fabric))
    for x, y in corners(half - 0.14, depth / 2 - 0.14):
        solid += tube([(1.12 * x, 1.12 * y, 0), (x, y, leg + 0.03)], (0.013, 0.022), feet)
    return solid


def chair(rng: np.random.Generator) -> Solid:
    """A dining chair; the back has rails, slats or a panel, and the seat may be padded."""
    frame = wood_or_paint(rng)
    width, depth, back = rng.uniform(0.40, 0.48), rng.uniform(0.42, 0.48), rng.uniform(0.80, 1.00)
    seat, half, front = rng.uniform(0.44, 0.47), width / 2, -depth / 2
    solid = block((-half, half), (front, -front - 0.02), (seat - 0.04, seat - 0.015), frame, 0.006)
    if rng.random() < 0.6:
        solid += block(
            (-half + 0.01, half - 0.01), (front + 0.01, -front - 0.04), (seat - 0.02, seat + 0.02), cloth(rng), 0.018
        )
    lean = 0.07
    for side in (-1, 1):
        x = side * (half - 0.025)
        solid += tube([(x * 1.03, front + 0.01, 0), (x, front + 0.03, seat - 0.03)], (0.014, 0.019), frame)
        y = -front - 0.03
        solid += tube([(x * 1.03, y + 0.04, 0), (x, y, seat), (x, y + lean, back)], (0.014, 0.019, 0.013), frame)

    def slat(x: float, wide: float, low: float, high: float) -> Solid:
        y = -front - 0.03 + lean * ((low + high) / 2 - seat) / (back - seat)
        tilt = -np.degrees(np.arctan2(lean, back - seat))
        return placed(box((0, 0, 0), (wide, 0.016, high - low), frame), (x, y, (low + high) / 2), rotation("x", tilt))

    inner, style = width - 0.05, pick(rng, ("rails", "slats", "panel"))
    solid += slat(0, inner, back - 0.09, back - 0.005)
    if style == "rails":
        for low in np.linspace(seat + 0.12, back - 0.22, 2 + int(rng.integers(2))):
            solid += slat(0, inner, low, low + 0.045)
    elif style == "slats":
        for x in np.linspace(-0.36, 0.36, 5) * inner:
            solid += slat(x, 0.022, seat + 0.01, back - 0.08)
    else:
        solid += slat(0, inner, seat + 0.16, back - 0.06)
    return solid


def stool(rng: np.random.Generator) -> Solid:
    """A round or square stool, low or at bar height, with four splayed legs and a foot rest."""
    legs = wood(rng) if rng.random() < 0.6 else metal(rng)
    seat = cloth(rng) if rng.random() < 0.4 else wood_or_paint(rng)
    height, radius = pick(rng, (rng.uniform(0.43, 0.50), rng.uniform(0.60, 0.75))), rng.uniform(0.15, 0.19)
    if rng.random() < 0.65:
        edge = [(0, -0.045), (0.9, -0.045), (1, -0.03), (1, -0.012), (0.92, 0), (0, 0)]
        outline = [(share * radius, height + drop) for share, drop in edge]
        solid = round_top(outline, seat, around=20)
    else:
        solid = block((-radius, radius), (-radius, radius), (height - 0.04, height), seat, 0.015)
    spread, inset = 1.0 * radius, 0.62 * radius
    for x, y in corners(1, 1):
        solid += tube([(spread * x, spread * y, 0), (inset * x, inset * y, height - 0.03)], (0.012, 0.016), legs)
    share = 0.35
    reach = spread + share * (inset - spread)
    for z, axis in ((share * height, 0), (share * height, 1)):
        for side in (-1, 1):
            ends = [(side * reach, -reach, z), (side * reach, reach, z)]
            solid += tube([(p[axis], p[1 - axis], p[2]) for p in ends], 0.009, legs)
    return solid


def office_chair(rng: np.random.Generator) -> Solid:
    """A swivel chair: five-star base on castors, gas spring, seat, tall back and, mostly, armrests."""
    fabric = Material(pick(rng, ("#2a2c2f", "#3c4652", "#59636b", "#7a2f2b", "#2f4f4a", "#8a8d8f")), "fabric", 1.6)
    base, seat = pick(rng, (CHROME, BLACK_PLASTIC)), rng.uniform(0.44, 0.54)
    back, reach = rng.uniform(0.92, 1.25), rng.uniform(0.27, 0.32)
    solid: Solid = []
    for angle in np.radians(np.arange(5) * 72 + 90):
        tip = np.array([reach * np.cos(angle), reach * np.sin(angle), 0.075])
        solid += tube([(0, 0, 0.11), tip.tolist()], (0.026, 0.016), base)
        side = np.array([-np.sin(angle), np.cos(angle), 0]) * 0.02
        wheel = [(tip - side - [0, 0, 0.045]).tolist(), (tip + side - [0, 0, 0.045]).tolist()]
        solid += tube(wheel, 0.03, BLACK_PLASTIC, around=8)
    solid += tube([(0, 0, 0.08), (0, 0, 0.28)], 0.032, BLACK_PLASTIC, around=8)
    solid += tube([(0, 0, 0.27), (0, 0, seat - 0.07)], 0.016, CHROME)
    solid += block((-0.11, 0.11), (-0.11, 0.13), (seat - 0.10, seat - 0.06), BLACK_METAL)
    solid += block((-0.24, 0.24), (-0.25, 0.22), (seat - 0.08, seat), fabric, 0.035)
    rise = back - seat - 0.10
    panel = box((0, 0, rise / 2), (rng.uniform(0.40, 0.46), 0.06, rise), fabric, 0.028)
    solid += placed(panel, (0, 0.24, seat + 0.10), rotation("x", -8))
    solid += tube([(0, 0.10, seat - 0.08), (0, 0.28, seat - 0.06), (0, 0.29, seat + 0.25)], 0.018, BLACK_METAL)
    if rng.random() < 0.75:
        for side in (-1, 1):
            x = side * 0.28
            solid += tube(
                [(side * 0.2, 0.02, seat - 0.07), (x, 0.02, seat - 0.05), (x, 0.02, seat + 0.19)], 0.014, BLACK_METAL
            )
            solid += block((x - 0.035, x + 0.035), (-0.13, 0.13), (seat + 0.18, seat + 0.215), BLACK_PLASTIC, 0.012)
    return solid


KINDS = (
    Kind("sofa", sofa, "wall", frozenset({"living"}), (1, 2), 3.0, supports=True, top=seat_top, clear_front=0.6),
    Kind("armchair", armchair, "corner", frozenset({"living", "bedroom"}), (1, 2), 1.2, clear_front=0.4,
         supports=True, top=seat_top),
    Kind("chair", chair, "around", frozenset({"dining", "kitchen", "living"}), (2, 6), 3.0, on=("dining table",)),
    Kind("stool", stool, "free", frozenset({"kitchen", "living", "bathroom"}), (1, 3), 0.8),
    Kind("office chair", office_chair, "around", frozenset({"office", "bedroom", "living"}), (1, 1), 3.0, on=("desk",),
         side="front"),
)  # fmt: skip
