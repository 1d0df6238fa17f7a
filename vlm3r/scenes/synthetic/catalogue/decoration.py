"""Plants, vases and what hangs on walls or lies on floors for its looks."""

from __future__ import annotations

import numpy as np

from ..shapes import Material, Solid, lathe, placed, sheet, surface
from ..shapes import picture as whole_texture
from ..texture_pictures import ART, RUGS
from .finishes import BLACK_METAL, BRASS, PAPER, WHITE, glaze, linen, metal, pick, shade, wood
from .kind import Kind
from .parts import ball, block, draped, tube, turned

ANYWHERE = frozenset({"living", "kitchen", "bedroom", "bathroom", "office", "dining", "hall"})
GREENS = ("#6d9a4a", "#4f7f45", "#86a552", "#3f6b4a", "#7f9a6a")
FACE = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)  # turns a lathe's top towards -y


def plant(rng: np.random.Generator) -> Solid:
    """A leafy plant in a pot on the floor: broad drooping leaves, tall swords, or a small tree."""
    pot_high, pot_wide = rng.uniform(0.22, 0.36), rng.uniform(0.13, 0.19)
    skin = pick(
        rng, (glaze(rng), Material("#d9d3c7", "stone", 1.5, 0.15), Material("#b5653f", "plain", 1.0, 0.1), wood(rng))
    )
    solid = _pot(pot_high, pot_wide, skin)
    green = Material(shade(rng, pick(rng, GREENS)), "leaf", gloss=0.15)
    style = pick(rng, ("broad", "broad", "swords", "tree"))
    if style == "swords":
        for _ in range(int(rng.integers(9, 15))):
            blade = _leaf(rng.uniform(0.45, 0.85), rng.uniform(0.05, 0.075), rng.uniform(78, 88), 12, green)
            at = rng.uniform(-0.4, 0.4, 2) * pot_wide
            solid += placed(blade, (at[0], at[1], pot_high - 0.03), rng.uniform(0, 360))
    elif style == "broad":
        count, size = int(rng.integers(14, 22)), rng.uniform(0.8, 1.15)
        for k in range(count):
            lift = 82 - 42 * k / count + rng.uniform(-6, 6)
            blade = _leaf(size * rng.uniform(0.42, 0.62), size * rng.uniform(0.11, 0.16), lift, 75, green)
            solid += placed(blade, (0, 0, pot_high - 0.04 + 0.2 * (1 - k / count)), 137.5 * k + rng.uniform(-12, 12))
    else:
        trunk = rng.uniform(0.55, 0.95)
        solid += tube(
            [(0, 0, pot_high - 0.05), (0.02, 0.01, pot_high + 0.6 * trunk), (0, 0, pot_high + trunk)],
            (0.02, 0.014, 0.01),
            Material("#6b5138", "wood", 2.0),
        )
        for k in range(20):
            blade = _leaf(rng.uniform(0.24, 0.36), rng.uniform(0.09, 0.12), rng.uniform(5, 70), 60, green)
            solid += placed(blade, (0, 0, pot_high + trunk * (0.6 + 0.4 * k / 20)), 137.5 * k)
    return solid


def _pot(high: float, wide: float, skin: Material) -> Solid:
    """A pot filled with soil to 4 cm below its rim."""
    outside = [(0, 0), (0.75 * wide, 0), (wide, high), (0.9 * wide, high), (0.87 * wide, high - 0.04)]
    soil = [(0.88 * wide, high - 0.04), (0, high - 0.03)]
    return lathe(outside, skin, around=18) + lathe(soil, Material("#3d2f25"), around=18)


def _leaf(length: float, width: float, lift: float, droop: float, green: Material) -> Solid:
    """A two-sided leaf that leaves the origin towards +x at `lift` degrees and bends down by `droop` degrees."""
    t = np.linspace(0, 1, 8)
    pitch = np.radians(lift - droop * t**1.6)
    x, z = (np.cumsum(f(pitch)) * length / len(t) for f in (np.cos, np.sin))
    outline = width / 2 * np.sin(np.pi * np.clip(0.08 + 0.92 * t, 0, 1)) ** 0.7 + 0.002
    across = np.array([-1.0, 0.0, 1.0])
    fold = 0.25 * outline[:, None] * np.abs(across)
    points = np.stack(np.broadcast_arrays(x[:, None], outline[:, None] * across, z[:, None] + fold), -1)
    uv = np.stack(np.broadcast_arrays(t[:, None], 0.5 + across / 2), -1)
    above = surface(points, green, uv)
    below = points - np.array([0.0, 0.0015, 0.0])[:, None] * above.normals  # thick at the midrib, closed at the edges
    return [above, surface(below[:, ::-1], green, uv[:, ::-1])]


def vase(rng: np.random.Generator) -> Solid:
    """A vase, two times out of three with a bunch of flowers."""
    high, wide = rng.uniform(0.16, 0.32), rng.uniform(0.05, 0.085)
    profiles = (
        [(0, 0), (0.5, 0), (1.0, 0.3), (0.9, 0.55), (0.4, 0.85), (0.45, 1.0), (0.35, 0.98), (0.3, 0.8), (0, 0.75)],
        [(0, 0), (0.7, 0), (0.75, 0.1), (0.85, 0.9), (1.0, 1.0), (0.9, 0.99), (0.7, 0.75), (0, 0.7)],
        [(0, 0), (0.6, 0), (1.0, 0.25), (0.95, 0.4), (0.3, 0.65), (0.28, 0.9), (0.4, 1.0), (0.3, 0.97), (0, 0.8)],
    )
    solid = turned([(r * wide, z * high) for r, z in pick(rng, profiles)], glaze(rng))
    if rng.random() < 0.34:
        return solid
    petals, stem = pick(rng, ("#f0e3b4", "#e0a0a0", "#d0506a", "#e8b23f", "#f4f0ea", "#8a6fb0")), Material("#5f8048")
    for k in range(int(rng.integers(5, 10))):
        angle, reach = 2.4 * k, rng.uniform(0.03, 0.11)
        tip = (reach * np.cos(angle), reach * np.sin(angle), high + rng.uniform(0.10, 0.2))
        solid += tube([(0, 0, 0.8 * high), tip], 0.003, stem, around=4)
        solid += ball(tip, rng.uniform(0.018, 0.028), Material(shade(rng, petals)), around=8)
    return solid


def picture(rng: np.random.Generator) -> Solid:
    """A framed print, upright, wide or square, with or without a paper margin."""
    long, ratio, frame = (
        rng.uniform(0.35, 0.95),
        rng.uniform(0.62, 1.0),
        pick(rng, (wood(rng), BLACK_METAL, WHITE, BRASS)),
    )
    w, h = (long, long * ratio) if rng.random() < 0.5 else (long * ratio, long)
    bar, margin, face = rng.uniform(0.015, 0.03), pick(rng, (0.0, 0.05, 0.07)), -0.016
    solid = block((-w / 2 + 0.002, w / 2 - 0.002), (-0.014, 0), (0.002, h - 0.002), PAPER)
    for side in (-1, 1):
        x = sorted((side * w / 2, side * (w / 2 - bar)))
        solid += block((x[0], x[1]), (-0.028, 0), (0, h), frame)
        z = sorted((h / 2 + side * h / 2, h / 2 + side * (h / 2 - bar)))
        solid += block((-w / 2 + bar, w / 2 - bar), (-0.028, 0), (z[0], z[1]), frame)
    inner = bar + margin
    tint = Material("#ffffff", pick(rng, ART))
    solid.append(whole_texture((-w / 2 + inner, face, inner), (w - 2 * inner, 0, 0), (0, 0, h - 2 * inner), tint))
    return solid


def mirror(rng: np.random.Generator) -> Solid:
    """A wall mirror, rectangular or round, in a thin frame. The glass is a glossy grey, not a true reflection."""
    frame, glass = pick(rng, (metal(rng), wood(rng), WHITE)), Material("#c3ced6", gloss=1.0)
    if rng.random() < 0.4:
        r = rng.uniform(0.25, 0.42)
        disc = lathe([(r, 0), (r, 0.012), (0, 0.012)], glass, around=28)
        hoop = lathe([(r + 0.015, 0), (r + 0.015, 0.025), (r - 0.005, 0.025), (r - 0.005, 0.012)], frame, around=28)
        return placed(disc + hoop, (0, 0, r + 0.015), FACE)
    w, h, bar = rng.uniform(0.40, 0.8), rng.uniform(0.6, 1.2), rng.uniform(0.015, 0.05)
    solid = block((-w / 2, w / 2), (-0.012, 0), (0, h), glass)
    for side in (-1, 1):
        x = sorted((side * w / 2, side * (w / 2 - bar)))
        solid += block((x[0], x[1]), (-0.028, 0), (0, h), frame, 0.005)
        z = sorted((h / 2 + side * h / 2, h / 2 + side * (h / 2 - bar)))
        solid += block((-w / 2 + bar, w / 2 - bar), (-0.028, 0), (z[0], z[1]), frame, 0.005)
    return solid


def clock(rng: np.random.Generator) -> Solid:
    """A round wall clock with twelve marks and two hands."""
    r, frame = rng.uniform(0.11, 0.2), pick(rng, (metal(rng), wood(rng), glaze(rng)))
    dial = pick(rng, (PAPER, PAPER, Material("#2f3338")))
    ink = Material("#f0ede6") if dial is not PAPER else Material("#1f2022")
    solid = lathe([(r, 0), (r, 0.035), (0.93 * r, 0.04), (0.9 * r, 0.03)], frame, around=28)
    solid += lathe([(0.92 * r, 0.028), (0, 0.028)], dial, around=28)
    for hour in range(12):
        long = 0.16 if hour % 3 == 0 else 0.09
        mark = block((-0.012 * r / 0.15, 0.012 * r / 0.15), ((0.85 - long) * r, 0.85 * r), (0.028, 0.031), ink)
        solid += placed(mark, (0, 0, 0), hour * 30.0)
    for reach, half, angle in ((0.5, 0.035, rng.uniform(0, 360)), (0.75, 0.022, rng.uniform(0, 360))):
        solid += placed(block((-half * r, half * r), (-0.1 * r, reach * r), (0.032, 0.035), ink), (0, 0, 0), angle)
    return placed(solid, (0, 0, r), FACE)


def rug(rng: np.random.Generator) -> Solid:
    """A rug: rectangular with a woven pattern or stripes or plain, or round and plain."""
    dye = pick(rng, ("#b0907a", "#8a9aa6", "#c9bfae", "#6b7f78", "#b5654a", "#46525c", "#d8c49a"))
    colour = Material(shade(rng, dye), pick(rng, ("carpet", "carpet_shag", "carpet_loop")), 1.2)
    if rng.random() < 0.25:
        r = rng.uniform(0.6, 1.1)
        return lathe([(r, 0), (r, 0.010), (0.97 * r, 0.012), (0, 0.012)], colour, around=32, step=0.3)
    half, deep = rng.uniform(0.7, 1.35), rng.uniform(0.45, 0.95)
    solid = block((-half, half), (-deep, deep), (0, 0.011), colour)
    if rng.random() < 0.6:
        tint = Material("#ffffff", pick(rng, RUGS))
        return [*solid, whole_texture((-half, -deep, 0.0125), (2 * half, 0, 0), (0, 2 * deep, 0), tint)]
    if rng.random() < 0.5:
        stripes = Material(colour.colour, pick(rng, ("stripes", "plaid", "carpet_loop")), 0.8)
        solid.append(sheet((-half, -deep, 0.0125), (2 * half, 0, 0), (0, 2 * deep, 0), stripes, 0.2))
    return solid


def curtain(rng: np.random.Generator) -> Solid:
    """One pleated curtain on a piece of rod with a knob, as it hangs beside a window."""
    cloth = (
        linen(rng)
        if rng.random() < 0.6
        else Material(shade(rng, pick(rng, ("#6b7f78", "#8a4f45", "#5d6f8a", "#b59a6a"))), "fabric", 1.4)
    )
    half, high, folds, rail = rng.uniform(0.2, 0.4), rng.uniform(2.0, 2.3), int(rng.integers(4, 7)), metal(rng)
    x, z = np.linspace(-half, half, 8 * folds + 1)[:, None], np.linspace(0, high, 9)[None, :]
    phase = 2 * np.pi * folds * (x + half) / (2 * half)
    y = -0.07 + 0.028 * np.sin(phase + 0.25 * np.sin(3 * z))
    points = np.stack(np.broadcast_arrays(x + 0.004 * np.sin(2 * phase), y, z), -1)
    solid = draped(points, cloth, 0.002)
    solid += tube([(-half - 0.06, -0.07, high + 0.015), (half + 0.06, -0.07, high + 0.015)], 0.013, rail, around=8)
    for side in (-1, 1):
        solid += ball((side * (half + 0.07), -0.07, high + 0.015), 0.024, rail, around=8)
    return solid + tube([(0, 0, high + 0.015), (0, -0.07, high + 0.015)], 0.008, rail)


KINDS = (
    Kind("plant", plant, "corner", ANYWHERE - {"kitchen"}, (1, 2), 1.5),
    Kind("vase", vase, "surface", frozenset({"living", "dining", "bedroom", "hall"}), (1, 2), 1.2,
         blocks_walking=False, on=("dining table", "coffee table", "dresser", "tv cabinet", "side table")),
    Kind("picture", picture, "hung", ANYWHERE - {"bathroom"}, (1, 3), 2.5, blocks_walking=False, hung=(1.15, 1.4)),
    Kind("mirror", mirror, "hung", frozenset({"bathroom", "bedroom", "hall"}), (1, 1), 2.0, blocks_walking=False,
         on=("washbasin", "dresser"), hung=(1.1, 1.25)),
    Kind("clock", clock, "hung", ANYWHERE - {"bathroom"}, (1, 1), 1.0, blocks_walking=False, hung=(1.7, 1.95)),
    Kind("rug", rug, "floor_flat", ANYWHERE - {"kitchen"}, (1, 1), 1.5, blocks_walking=False),
    Kind("curtain", curtain, "hung", frozenset({"living", "bedroom", "dining", "office"}), (1, 2), 1.5,
         blocks_walking=False, on=("window",), hung=(0.02, 0.06)),
)  # fmt: skip
