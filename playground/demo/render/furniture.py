"""Furniture of the living and dining area, built from boxes, lathed shapes and cushions.

Every builder returns a solid that stands on z = 0, is centred on the z axis and faces -y (its back is towards +y).
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .geometry import Material, Solid, box, lathe, picture, pillow, placed, rod, rotation, sheet, surface

OAK = Material("#c08c5a", "wood", 1.1, 0.25)
WALNUT = Material("#7d5638", "wood", 1.1, 0.3)
WHITE = Material("#f1efea", "plain", 1.0, 0.2)
BLACK_METAL = Material("#2b2c2e", "plain", 1.0, 0.35)
BRASS = Material("#b5904c", "plain", 1.0, 0.6)


def sofa(width: float = 2.1) -> Solid:
    """A two-and-a-half seat sofa with armrests, seat and back cushions and three scatter cushions."""
    cloth, depth, arm = Material("#5c7f92", "fabric", 1.6), 0.92, 0.20
    solid = box((0, 0.02, 0.21), (width - 0.04, depth - 0.08, 0.18), cloth, 0.03)
    solid += box((0, depth / 2 - 0.11, 0.50), (width - 0.1, 0.2, 0.56), cloth, 0.06, 0.06)
    for side in (-1, 1):
        solid += box((side * (width - arm) / 2, 0, 0.37), (arm, depth, 0.50), cloth, 0.07)
        seat = (width - 2 * arm) / 2
        solid += box((side * seat / 2, -0.08, 0.37), (seat - 0.008, 0.72, 0.17), cloth, 0.055)
        back = box((0, 0, 0.21), (seat - 0.02, 0.18, 0.42), cloth, 0.075)
        solid += placed(back, (side * seat / 2, 0.20, 0.435), rotation("x", -11))
        for end in (-1, 1):
            foot = (side * (width / 2 - 0.12), end * (depth / 2 - 0.12))
            solid += rod((*foot, 0), (*foot, 0.13), 0.018, WALNUT, 0.028)
    for x, colour, texture, lean in (
        (-0.66, "#d9a441", "fabric", 10),
        (0.66, "#c4694c", "fabric", -8),
        (0.40, "#efe6d6", "stripes", 6),
    ):
        cushion = pillow(0.44, 0.42, 0.17, Material(colour, texture, 1.5))
        y = -0.06 if x == 0.40 else 0.02
        solid += placed(cushion, (x, y, 0.455), rotation("z", lean) @ rotation("x", -18))
    return solid


def armchair() -> Solid:
    """A lounge chair with a rounded shell and slim wooden legs."""
    cloth = Material("#c9963c", "fabric", 1.6)
    solid = box((0, -0.02, 0.30), (0.62, 0.66, 0.12), cloth, 0.04)
    solid += box((0, -0.05, 0.40), (0.52, 0.60, 0.14), cloth, 0.05)
    solid += placed(box((0, 0, 0.25), (0.66, 0.15, 0.56), cloth, 0.07), (0, 0.27, 0.33), rotation("x", -10))
    for side in (-1, 1):
        solid += box((side * 0.335, -0.02, 0.43), (0.11, 0.66, 0.34), cloth, 0.05)
        for y, splay in ((-0.28, -0.04), (0.26, 0.05)):
            solid += rod((side * 0.32, y + splay, 0), (side * 0.28, y, 0.27), 0.014, WALNUT, 0.022)
    return solid


def coffee_table() -> Solid:
    """A low oak table with a lower shelf, two magazines and a bowl."""
    solid = box((0, 0, 0.40), (1.10, 0.60, 0.04), OAK, 0.012)
    solid += box((0, 0, 0.16), (0.98, 0.48, 0.02), OAK, 0.006)
    for x in (-0.49, 0.49):
        for y in (-0.24, 0.24):
            solid += rod((x, y, 0), (x, y, 0.38), 0.016, WALNUT, 0.024)
    for turn, z, colour in ((12, 0.427, "#d8d2c4"), (-6, 0.440, "#8b4a3c")):
        solid += placed(box((0, 0, 0), (0.21, 0.28, 0.012), Material(colour, gloss=0.3), 0.002), (-0.28, 0.02, z), turn)
    profile = [(0, 0), (0.07, 0), (0.13, 0.07), (0.122, 0.07), (0.062, 0.012), (0, 0.012)]
    solid += placed(lathe(profile, Material("#e9e4da", gloss=0.4), 24), (0.24, 0.03, 0.42))
    for x, y, colour in ((0.21, 0.01, "#c8532f"), (0.28, 0.02, "#d9a02e"), (0.24, 0.08, "#8fa53c")):
        solid += placed(ball(0.037, Material(colour, gloss=0.3)), (x, y, 0.469))
    return solid


def ball(radius: float, material: Material) -> Solid:
    """A sphere about the origin."""
    angle = np.linspace(-np.pi / 2, np.pi / 2, 11)
    return lathe([(radius * np.cos(a), radius * np.sin(a)) for a in angle], material, 16, smooth=True)


def dining_table() -> Solid:
    """A rectangular table with a vase; its long side runs along x."""
    solid = box((0, 0, 0.735), (1.50, 0.85, 0.035), OAK, 0.01)
    solid += box((0, 0, 0.675), (1.32, 0.67, 0.08), OAK)
    for x in (-0.68, 0.68):
        for y in (-0.355, 0.355):
            solid += box((x, y, 0.36), (0.06, 0.06, 0.715), OAK, 0.006)
    profile = [(0, 0), (0.04, 0), (0.075, 0.06), (0.07, 0.12), (0.03, 0.20), (0.034, 0.23), (0.024, 0.22)]
    solid += placed(lathe(profile, Material("#7fa3a0", gloss=0.5), 24, smooth=True), (0.05, 0, 0.7525))
    for k in range(7):
        angle, reach = 2.4 * k, 0.05 + 0.012 * k
        tip = (0.05 + reach * np.cos(angle), reach * np.sin(angle), 1.10 + 0.02 * (k % 3))
        solid += rod((0.05, 0, 0.93), tip, 0.0025, Material("#6f8f4e"))
        solid += placed(ball(0.02, Material("#f0e3b4" if k % 2 else "#e0a0a0")), tip)
    return solid


def chair() -> Solid:
    """A dining chair with a padded seat and a two-rail back."""
    solid = box((0, -0.01, 0.455), (0.43, 0.43, 0.04), Material("#d9cfbd", "fabric", 1.6), 0.018)
    solid += box((0, -0.01, 0.42), (0.40, 0.40, 0.035), WALNUT)
    for side in (-1, 1):
        solid += rod((side * 0.185, -0.185, 0), (side * 0.18, -0.18, 0.41), 0.013, WALNUT, 0.019)
        solid += rod((side * 0.185, 0.235, 0), (side * 0.19, 0.18, 0.46), 0.013, WALNUT, 0.019)
        solid += rod((side * 0.19, 0.18, 0.45), (side * 0.185, 0.235, 0.88), 0.019, WALNUT, 0.013)
    for z, tall in ((0.83, 0.10), (0.66, 0.05)):
        y = 0.18 + 0.055 * (z - 0.45) / 0.43
        solid += placed(box((0, 0, 0), (0.40, 0.018, tall), WALNUT, 0.006), (0, y, z), rotation("x", -7))
    return solid


def stool() -> Solid:
    """A round stool: terracotta seat, four splayed legs, one ring."""
    seat = Material("#c0452f", "plain", 1.0, 0.3)
    profile = [(0, 0.58), (0.15, 0.58), (0.17, 0.59), (0.175, 0.605), (0.17, 0.62), (0.15, 0.627), (0, 0.627)]
    solid = lathe(profile, seat, 32)
    for angle in np.radians([45, 135, 225, 315]):
        c, s = np.cos(angle), np.sin(angle)
        solid += rod((0.20 * c, 0.20 * s, 0), (0.11 * c, 0.11 * s, 0.59), 0.012, OAK, 0.017)
    corners = [(0.17 * np.cos(a), 0.17 * np.sin(a), 0.20) for a in np.radians(np.arange(45, 406, 90))]
    for a, b in pairwise(corners):
        solid += rod(a, b, 0.008, OAK)
    return solid


def television() -> Solid:
    """A flat screen on a central foot, standing on z = 0."""
    solid = box((0, 0, 0.42), (1.24, 0.035, 0.71), BLACK_METAL, 0.004)
    solid += box((0, -0.0180, 0.42), (1.21, 0.003, 0.68), Material("#0b0d11", gloss=0.9), 0.001)
    solid += box((0, 0.01, 0.04), (0.12, 0.03, 0.08), BLACK_METAL)
    return solid + box((0, 0, 0.006), (0.45, 0.22, 0.012), BLACK_METAL)


def tv_cabinet() -> Solid:
    """A low cabinet with three drawers on a recessed plinth."""
    solid = box((0, 0.02, 0.03), (1.62, 0.34, 0.06), BLACK_METAL)
    solid += box((0, 0, 0.26), (1.70, 0.40, 0.40), WALNUT)
    for x in (-0.56, 0, 0.56):
        solid += box((x, -0.203, 0.26), (0.545, 0.018, 0.37), WHITE, 0.003)
        solid += box((x, -0.216, 0.40), (0.14, 0.012, 0.012), BRASS)
    return solid


def bookshelf(rng: np.random.Generator) -> Solid:
    """An open shelf with five boards, filled with books, a vase and a box."""
    width, depth, height, board = 0.95, 0.30, 1.95, 0.022
    solid = box((0, depth / 2 - 0.006, height / 2), (width, 0.012, height), WHITE)
    for side in (-1, 1):
        solid += box((side * (width - board) / 2, -0.006, height / 2), (board, depth - 0.012, height), OAK)
    levels = [0.06, 0.44, 0.81, 1.18, 1.55, height - board / 2]
    for z in levels:
        solid += box((0, -0.006, z), (width - 2 * board, depth - 0.014, board), OAK)
    for level, z in enumerate(levels[:-1]):
        start, stop = -width / 2 + board + 0.01, width / 2 - board - 0.01
        stop -= (0.25, 0.0, 0.30, 0.08, 0.22)[level]
        solid += _books(rng, start, stop, z + board / 2)
    vase = [(0, 0), (0.05, 0), (0.085, 0.10), (0.035, 0.2), (0.045, 0.23), (0.035, 0.22)]
    solid += placed(lathe(vase, Material("#d08a4e", gloss=0.4), 20, smooth=True), (0.30, -0.02, levels[2] + board / 2))
    solid += box((0.31, -0.02, levels[0] + 0.10), (0.2, 0.2, 0.18), Material("#b9a78c", "fabric", 1.5), 0.01)
    solid += placed(ball(0.07, Material("#55707c", gloss=0.4)), (0.33, -0.02, levels[4] + board / 2 + 0.07))
    return solid


def _books(rng: np.random.Generator, start: float, stop: float, z: float) -> Solid:
    """A row of upright books from x = `start` to at most `stop`, standing on `z`."""
    palette = ("#7a2e2b", "#274b5e", "#d7c8a4", "#3f5b45", "#c98b3b", "#ded9ce", "#4b3b57", "#a8593f", "#30343b")
    solid: Solid = []
    x = start
    while (thick := float(rng.uniform(0.018, 0.045))) + x < stop:
        tall, deep = float(rng.uniform(0.19, 0.28)), float(rng.uniform(0.15, 0.20))
        cover = Material(str(rng.choice(palette)), gloss=0.15)
        solid += box((x + thick / 2, -0.13 + deep / 2, z + tall / 2), (thick - 0.002, deep, tall), cover, 0.003, 0.15)
        if rng.random() < 0.6:
            band = Material("#e8dcc0" if rng.random() < 0.7 else "#26282c")
            solid += box((x + thick / 2, -0.131, z + 0.78 * tall), (thick - 0.008, 0.002, 0.03), band, 0)
        x += thick
    return solid


def floor_lamp() -> Solid:
    """A standing lamp with a glowing fabric shade."""
    solid = lathe([(0, 0), (0.15, 0), (0.15, 0.02), (0, 0.025)], BLACK_METAL, 28)
    solid += rod((0, 0, 0.02), (0, 0, 1.50), 0.011, BLACK_METAL)
    shade = Material("#f6e3c0", "fabric", 1.6, emission=1.6)
    solid += lathe([(0.20, 1.32), (0.14, 1.62)], shade, 28)
    return solid + lathe([(0, 1.50), (0.19, 1.36)], shade, 28)


def potted_plant(rng: np.random.Generator) -> Solid:
    """A leafy plant, about 1.2 m tall, in a round pot."""
    pot = [(0, 0), (0.13, 0), (0.17, 0.32), (0.155, 0.32), (0.15, 0.28), (0, 0.28)]
    solid = lathe(pot, Material("#d9d3c7", "stone", 1.5, 0.15), 28)
    for k in range(30):
        azimuth = 137.5 * k + rng.uniform(-12, 12)
        lift = 78 - 2.0 * k + rng.uniform(-6, 6)
        solid += placed(
            _leaf_blade(rng.uniform(0.42, 0.60), rng.uniform(0.10, 0.15), lift),
            (0, 0, 0.27 + 0.011 * (30 - k)),
            azimuth,
        )
    return solid


def _leaf_blade(length: float, width: float, lift: float) -> Solid:
    """A stalk and a drooping leaf that leaves the origin towards +x at `lift` degrees."""
    t = np.linspace(0, 1, 12)
    pitch = np.radians(lift - 75 * t**1.6)
    x, z = (np.cumsum(f(pitch)) * length / len(t) for f in (np.cos, np.sin))
    outline = np.where(t < 0.3, 0.012, width / 2 * np.sin(np.pi * np.clip((t - 0.25) / 0.75, 0, 1)) ** 0.7) + 0.003
    across = np.linspace(-1, 1, 5)
    fold = 0.25 * outline[:, None] * np.abs(across)
    points = np.stack(np.broadcast_arrays(x[:, None], outline[:, None] * across, z[:, None] + fold), -1)
    uv = np.stack(np.broadcast_arrays(t[:, None], 0.5 + across / 2), -1)
    return [surface(points, Material("#6d9a4a", "leaf", gloss=0.15), uv)]


def waste_bin() -> Solid:
    """A tapered metal bin with an inset lid."""
    steel = Material("#8d9296", "plain", 1.0, 0.45)
    return lathe([(0, 0), (0.13, 0), (0.15, 0.40), (0.135, 0.41), (0.12, 0.40), (0, 0.415)], steel, 28)


def rug(width: float, depth: float) -> Solid:
    """A thin rectangular rug showing its pattern once."""
    half_w, half_d = width / 2, depth / 2
    top = picture((-half_w, -half_d, 0.012), (width, 0, 0), (0, depth, 0), Material("#ffffff", "rug"))
    edge = Material("#b0907a", "fabric", 2.0)
    return [top, *box((0, 0, 0.0055), (width, depth, 0.011), edge, 0.003, 0.2)]


def framed_picture(width: float, height: float, art: str, frame: Material = OAK) -> Solid:
    """A framed print whose back lies in the plane y = 0 and whose centre is the origin."""
    bar, mat, face = 0.022, 0.05, -0.016
    paper = Material("#f4f1ea")
    solid: Solid = []
    for side in (-1, 1):
        solid += box((side * (width - bar) / 2, -0.014, 0), (bar, 0.028, height), frame, 0.004)
        solid += box((0, -0.014, side * (height - bar) / 2), (width - 2 * bar, 0.028, bar), frame, 0.004)
    outer_w, outer_h = width / 2 - bar, height / 2 - bar
    w, h = outer_w - mat, outer_h - mat
    for x in (-outer_w, w):
        solid.append(sheet((x, face, -outer_h), (mat, 0, 0), (0, 0, 2 * outer_h), paper, 0.025))
    for z in (-outer_h, h):
        solid.append(sheet((-w, face, z), (2 * w, 0, 0), (0, 0, mat), paper, 0.025))
    return [*solid, picture((-w, face, -h), (2 * w, 0, 0), (0, 0, 2 * h), Material("#ffffff", art))]


def pendant_lamp(drop: float) -> Solid:
    """A hanging lamp; the origin is on the ceiling and the shade ends `drop` below it."""
    solid = rod((0, 0, -drop + 0.2), (0, 0, 0), 0.004, BLACK_METAL)
    solid += lathe([(0.05, -0.02), (0.05, 0.0)], BLACK_METAL, 20)
    outside = [(0.22, -drop), (0.16, -drop + 0.12), (0.05, -drop + 0.20), (0, -drop + 0.205)]
    solid += lathe(outside, Material("#3d5a52", gloss=0.3), 32)
    inside = [(0, -drop + 0.16), (0.14, -drop + 0.10), (0.215, -drop + 0.002)]
    return solid + lathe(inside, Material("#fff2da", emission=1.8), 32)
