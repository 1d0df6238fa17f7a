"""Small movable things: bins, baskets, bags, books, bottles, cups and bowls."""

from __future__ import annotations

import itertools

import numpy as np

from ..shapes import Material, Solid, lathe, placed, surface
from .finishes import (
    BLACK_METAL,
    BLACK_PLASTIC,
    PAPER,
    STEEL,
    WHITE,
    bright_cloth,
    glaze,
    pick,
    shade,
    wood,
)
from .kind import Kind
from .parts import ball, block, corners, ring, tube

BAGS = ("#2f4a6b", "#3b3f45", "#8a3b35", "#4f6b4a", "#b5803f", "#5b4a6b", "#25282c", "#2f7f7a")


def trash_bin(rng: np.random.Generator) -> Solid:
    """A waste bin: an open bucket, a pedal bin with a domed lid, or a square bin with a swing lid."""
    r, high = rng.uniform(0.11, 0.16), rng.uniform(0.28, 0.5)
    skin = pick(
        rng, (STEEL, BLACK_METAL, WHITE, Material(shade(rng, pick(rng, ("#3f6f8a", "#6b7f5a", "#a8483f"))), gloss=0.2))
    )
    style = pick(rng, ("open", "pedal", "square"))
    if style == "open":
        inside = Material(shade(rng, "#55585b"))
        solid = lathe([(0, 0), (0.8 * r, 0), (r, high), (0.96 * r, high)], skin, around=18)
        return solid + lathe([(0.96 * r, high), (0.77 * r, 0.02), (0, 0.02)], inside, around=18)
    if style == "pedal":
        solid = lathe([(0, 0), (r, 0), (r, 0.02)], BLACK_PLASTIC, 18) + lathe(
            [(0.97 * r, 0.02), (0.97 * r, high)], skin, 18
        )
        solid += lathe([(r, high), (r, high + 0.02), (0.8 * r, high + 0.055), (0, high + 0.07)], skin, around=18)
        return solid + block((-0.035, 0.035), (-r - 0.045, -r + 0.01), (0.012, 0.022), BLACK_PLASTIC)
    solid = block((-r, r), (-0.85 * r, 0.85 * r), (0, high), skin, 0.012)
    solid += block((-r - 0.008, r + 0.008), (-0.9 * r, 0.9 * r), (high - 0.02, high + 0.06), BLACK_PLASTIC, 0.02)
    return solid + block((-0.7 * r, 0.7 * r), (-0.55 * r, 0.55 * r), (high + 0.06, high + 0.068), skin, 0.003)


def basket(rng: np.random.Generator) -> Solid:
    """A woven basket, round or square, with hoops and two grips; laundry may show at the rim."""
    weave = Material(shade(rng, pick(rng, ("#c49a63", "#a87c4a", "#d8bd92", "#8f8676", "#6f5138"))), "wicker", 2.5)
    r, high = rng.uniform(0.17, 0.25), rng.uniform(0.25, 0.52)
    dark = Material(shade(rng, weave.colour, 0.0), "wicker", 4.0)
    if rng.random() < 0.6:
        solid = lathe([(0, 0), (0.85 * r, 0), (r, high), (0.94 * r, high)], weave, around=20)
        solid += lathe([(0.94 * r, high), (0.8 * r, 0.02), (0, 0.02)], dark, around=20)
        for share in (0.12, 0.4, 0.7, 1.0):
            solid += ring((0, 0, max(0.012, share * high - 0.005)), (0.85 + 0.15 * share) * r + 0.003, 0.022, weave)
        fill = ball((0, 0, high - 0.03), (0.9 * r, 0.9 * r, 0.07), bright_cloth(rng))
    else:
        d = 0.75 * r
        solid = block((-r, r), (-d, d), (0, 0.02), weave)
        for side in (-1, 1):
            x, y = sorted((side * r, side * (r - 0.018))), sorted((side * d, side * (d - 0.018)))
            solid += block((x[0], x[1]), (-d, d), (0, high), weave)
            solid += block((-r + 0.018, r - 0.018), (y[0], y[1]), (0, high), weave)
            for z in np.linspace(0.04, high - 0.015, 5):
                rim = sorted((side * d, side * (d + 0.008)))
                solid += block((-r - 0.008, r + 0.008), (rim[0], rim[1]), (z - 0.012, z + 0.012), dark)
        fill = block((-r + 0.02, r - 0.02), (-d + 0.02, d - 0.02), (0.02, high - 0.05), bright_cloth(rng), 0.03)
    for side in (-1, 1):
        path = [
            (side * r, -0.06, high),
            (side * (r + 0.01), -0.04, high + 0.05),
            (side * (r + 0.01), 0.04, high + 0.05),
            (side * r, 0.06, high),
        ]
        for a, b in itertools.pairwise(path):
            solid += tube([a, b], 0.009, weave)
    return solid + (fill if rng.random() < 0.5 else [])


def backpack(rng: np.random.Generator) -> Solid:
    """A rucksack that stands upright: rounded body, front pocket, side pockets, grab loop and straps behind."""
    cloth = Material(shade(rng, pick(rng, BAGS)), "fabric", 1.8)
    trim = pick(rng, (BLACK_PLASTIC, Material("#b5803f", "fabric", 1.8), Material("#8f949a", "fabric", 1.8)))
    half, deep, high = rng.uniform(0.14, 0.17), rng.uniform(0.08, 0.1), rng.uniform(0.40, 0.50)
    t, turn = np.linspace(0, 1, 9)[None, :], np.linspace(0, 2 * np.pi, 21)[:, None]
    swell = np.sqrt(np.clip(1 - np.clip((t - 0.62) / 0.38, 0, 1) ** 2.2, 0, 1)) * (0.94 + 0.06 * np.sin(np.pi * t))
    c, s = np.cos(turn), np.sin(turn)
    x, y = (np.sign(f) * np.abs(f) ** 0.55 for f in (c, s))
    body = np.stack(
        np.broadcast_arrays(half * x * swell, deep * y * (0.35 + 0.65 * swell) * (t < 1), high * t + 0 * x), -1
    )
    solid = [surface(body, cloth), *block((-half + 0.01, half - 0.01), (-deep + 0.01, deep - 0.01), (0, 0.02), trim)]
    solid += block((-0.75 * half, 0.75 * half), (-deep - 0.045, -deep + 0.03), (0.03, 0.48 * high), cloth, 0.03)
    solid += block((-0.55 * half, 0.55 * half), (-deep - 0.048, -deep - 0.04), (0.40 * high, 0.41 * high), trim)
    for side in (-1, 1):
        pocket = sorted((side * (half - 0.02), side * (half + 0.03)))
        solid += block((pocket[0], pocket[1]), (-0.05, 0.05), (0.02, 0.36 * high), cloth, 0.02)
        strap = [
            (side * 0.06, 0.6 * deep, 0.9 * high),
            (side * 0.07, deep + 0.045, 0.75 * high),
            (side * 0.09, deep + 0.04, 0.35 * high),
            (side * 0.11, 0.8 * deep, 0.08),
        ]
        for a, b in itertools.pairwise(strap):
            solid += tube([a, b], 0.016, trim)
    loop = [(0.035 * np.cos(a), 0.3 * deep, high - 0.02 + 0.045 * np.sin(a)) for a in np.linspace(0, np.pi, 7)]
    return solid + tube(loop, 0.008, trim)


def suitcase(rng: np.random.Generator) -> Solid:
    """A trolley case that stands upright on wheels, ribbed, with handles and a pull-out bar."""
    shell = Material(shade(rng, pick(rng, (*BAGS, "#c9ccce", "#d9a441"))), "plain", 1.0, 0.35)
    half, deep, high = rng.uniform(0.18, 0.26), rng.uniform(0.10, 0.15), rng.uniform(0.50, 0.74)
    solid = block((-half, half), (-deep, deep), (0.05, high), shell, 0.035)
    for x in np.linspace(-0.72, 0.72, 6) * half:
        for side in (-1, 1):
            y = sorted((side * deep, side * (deep + 0.006)))
            solid += block((x - 0.012, x + 0.012), (y[0], y[1]), (0.10, high - 0.05), shell)
    solid += block((-half - 0.002, half + 0.002), (-0.006, 0.006), (0.06, high + 0.002), BLACK_PLASTIC)
    for x, y in corners(half - 0.045, deep - 0.04):
        solid += tube([(x - 0.012, y, 0.028), (x + 0.012, y, 0.028)], 0.028, BLACK_PLASTIC, around=10)
        solid += block((x - 0.016, x + 0.016), (y - 0.016, y + 0.016), (0.03, 0.06), BLACK_PLASTIC)
    solid += tube(
        [(-0.06, 0, high + 0.01), (-0.05, 0, high + 0.035), (0.05, 0, high + 0.035), (0.06, 0, high + 0.01)],
        0.01,
        BLACK_PLASTIC,
    )
    reach = rng.uniform(0.3, 0.42) if rng.random() < 0.6 else 0.04
    for x in (-0.09, 0.09):
        solid += tube([(x, deep - 0.02, high - 0.02), (x, deep - 0.02, high + reach)], 0.008, STEEL)
    return solid + block(
        (-0.105, 0.105), (deep - 0.035, deep - 0.005), (high + reach - 0.005, high + reach + 0.02), BLACK_PLASTIC, 0.008
    )


def book_stack(rng: np.random.Generator) -> Solid:
    """Three to seven books lying on each other, each a little turned, with covers around white pages."""
    solid: Solid = []
    z = 0.0
    for k in range(int(rng.integers(3, 8))):
        w, d, t = rng.uniform(0.075, 0.11), rng.uniform(0.11, 0.15), rng.uniform(0.015, 0.04)
        cover = Material(shade(rng, pick(rng, (*BAGS, "#d7c8a4", "#c98b3b", "#ded9ce"))), gloss=0.15)
        book = block((-w, w), (-d, d), (0, 0.003), cover) + block((-w, w), (-d, d), (t - 0.003, t), cover)
        book += block((-w, -w + 0.004), (-d, d), (0, t), cover)
        book += block((-w + 0.003, w - 0.005), (-d + 0.005, d - 0.005), (0.003, t - 0.003), PAPER)
        solid += placed(book, (0, 0, z), rng.uniform(-18, 18) + 180 * (k % 2))
        z += t
    return solid


def bottle(rng: np.random.Generator) -> Solid:
    """A wine bottle with a label, a water bottle with a cap, or a squat carafe."""
    style = pick(rng, ("wine", "water", "carafe"))
    if style == "wine":
        glass, r, high = (
            Material(pick(rng, ("#1f3a26", "#3a2417", "#274a3a")), gloss=0.7),
            0.038,
            rng.uniform(0.29, 0.33),
        )
        solid = lathe(
            [(0, 0), (r, 0), (r, 0.58 * high), (0.38 * r, 0.75 * high), (0.36 * r, 0.98 * high), (0, 0.98 * high)],
            glass,
            16,
        )
        solid += lathe(
            [(1.015 * r, 0.2 * high), (1.015 * r, 0.46 * high)],
            Material(pick(rng, ("#efe8d6", "#7a2e2b", "#26282c"))),
            16,
        )
        return solid + lathe([(0.42 * r, 0.82 * high), (0.42 * r, high), (0, high)], Material("#5a1f24", gloss=0.4), 12)
    if style == "water":
        skin, r, high = (
            pick(rng, (Material("#8fc0d9", gloss=0.6), STEEL, glaze(rng))),
            rng.uniform(0.033, 0.04),
            rng.uniform(0.2, 0.27),
        )
        solid = lathe(
            [(0, 0), (r, 0), (r, 0.72 * high), (0.5 * r, 0.86 * high), (0.5 * r, 0.9 * high), (0, 0.9 * high)], skin, 16
        )
        return solid + lathe(
            [(0.58 * r, 0.88 * high), (0.58 * r, high), (0, high)],
            pick(rng, (BLACK_PLASTIC, WHITE, Material("#2f5f9a"))),
            12,
        )
    glass, r, high = (
        Material(pick(rng, ("#9fc4b8", "#c7d6dc", "#b5803f")), gloss=0.7),
        rng.uniform(0.045, 0.06),
        rng.uniform(0.2, 0.26),
    )
    solid = lathe(
        [
            (0, 0),
            (0.9 * r, 0),
            (r, 0.15 * high),
            (0.9 * r, 0.4 * high),
            (0.35 * r, 0.68 * high),
            (0.34 * r, 0.85 * high),
            (0.5 * r, 0.93 * high),
        ],
        glass,
        16,
    )
    return solid + ball((0, 0, 0.93 * high), 0.42 * r, Material("#a8855a", "wood", 2.0))


def cup(rng: np.random.Generator) -> Solid:
    """A mug with a handle, sometimes on a saucer, with a dark drink in it."""
    skin, r, high = glaze(rng), rng.uniform(0.036, 0.046), rng.uniform(0.07, 0.105)
    lift, solid = 0.0, []
    if rng.random() < 0.4:
        solid = lathe([(0, 0), (0.045, 0), (0.078, 0.014), (0.072, 0.014), (0.04, 0.006), (0, 0.006)], skin, 18)
        lift = 0.006
    mug = lathe([(0, 0), (0.85 * r, 0), (r, high), (0.92 * r, high)], skin, 16)
    mug += lathe([(0.92 * r, high), (0.88 * r, 0.8 * high)], WHITE, 16) + lathe(
        [(0.9 * r, 0.8 * high), (0, 0.8 * high)], Material("#3d2418", gloss=0.6), 16
    )
    bow = [(0.9 * r + 0.026 * np.sin(a), 0, high * (0.5 + 0.32 * np.cos(a))) for a in np.linspace(0, np.pi, 7)]
    return solid + placed(mug + tube(bow, 0.006, skin), (0, 0, lift), rng.uniform(-70, 70))


def bowl(rng: np.random.Generator) -> Solid:
    """A fruit bowl, ceramic or wooden, with apples and oranges or empty."""
    skin, r, high = pick(rng, (glaze(rng), wood(rng))), rng.uniform(0.11, 0.16), rng.uniform(0.06, 0.09)
    solid = lathe([(0, 0), (0.45 * r, 0), (0.9 * r, 0.6 * high), (r, high), (0.95 * r, high)], skin, 20, smooth=False)
    solid += lathe([(0.95 * r, high), (0.82 * r, 0.6 * high), (0.4 * r, 0.015), (0, 0.012)], skin, 20)
    if rng.random() < 0.75:
        for k in range(int(rng.integers(3, 7))):
            angle, size = 2 * np.pi * k / 5, rng.uniform(0.034, 0.042)
            reach = 0.42 * r if k < 5 else 0.0
            fruit = Material(pick(rng, ("#c8402f", "#e0902e", "#9ab53c", "#d9b42e")), gloss=0.35)
            z = 0.05 + size if k < 5 else 0.05 + 2.4 * size
            solid += ball((reach * np.cos(angle), reach * np.sin(angle), z), size, fruit, around=10)
    return solid


SURFACES = (
    "coffee table",
    "dining table",
    "desk",
    "side table",
    "kitchen counter",
    "dresser",
    "tv cabinet",
    "nightstand",
)
LIVED_IN = frozenset({"living", "kitchen", "bedroom", "office", "dining", "hall"})

KINDS = (
    Kind("trash bin", trash_bin, "wall", LIVED_IN | {"bathroom"}, (1, 1), 1.5),
    Kind("basket", basket, "wall", frozenset({"bathroom", "bedroom", "living", "hall"}), (1, 2), 1.0),
    Kind("backpack", backpack, "wall", frozenset({"bedroom", "office", "hall", "living"}), (1, 2), 1.0),
    Kind("suitcase", suitcase, "wall", frozenset({"bedroom", "hall"}), (1, 2), 0.8),
    Kind("book stack", book_stack, "surface", LIVED_IN - {"kitchen"}, (1, 2), 1.2, blocks_walking=False,
         on=("coffee table", "desk", "side table", "nightstand", "dresser", "tv cabinet")),
    Kind("bottle", bottle, "surface", frozenset({"kitchen", "dining", "living"}), (1, 3), 1.0, blocks_walking=False,
         on=("dining table", "kitchen counter", "coffee table")),
    Kind("cup", cup, "surface", LIVED_IN, (1, 3), 1.5, blocks_walking=False, on=SURFACES),
    Kind("bowl", bowl, "surface", frozenset({"kitchen", "dining", "living"}), (1, 1), 1.0, blocks_walking=False,
         on=("dining table", "kitchen counter", "coffee table")),
)  # fmt: skip
