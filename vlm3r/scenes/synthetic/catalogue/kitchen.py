"""Kitchen cupboards and machines."""

from __future__ import annotations

import itertools

import numpy as np

from ..shapes import Material, Solid, lathe, placed
from .finishes import (
    BLACK_METAL,
    BLACK_PLASTIC,
    CHROME,
    SCREEN,
    STEEL,
    WHITE,
    appliance,
    glaze,
    metal,
    paint,
    pick,
    wood,
)
from .kind import Kind
from .parts import Span, bar_grip, block, corners, tube

DEPTH = 0.60
TOP = 0.90
KITCHEN = frozenset({"kitchen"})


def _front(x: Span, z: Span, face: float, front: Material, grip: Material) -> Solid:
    """A door or drawer front before the plane y = `face` with a bar near its upper edge."""
    solid = block((x[0] + 0.003, x[1] - 0.003), (face - 0.018, face), (z[0] + 0.003, z[1] - 0.003), front)
    middle, reach = (x[0] + x[1]) / 2, min(0.08, 0.3 * (x[1] - x[0]))
    return solid + bar_grip((middle - reach, middle + reach), face - 0.018, z[1] - 0.05, grip)


def kitchen_counter(rng: np.random.Generator) -> Solid:
    """A run of floor cupboards with a plinth, doors or drawers with bars, and a worktop 0.9 m high."""
    units, front, grip = int(rng.integers(1, 5)), pick(rng, (paint(rng), paint(rng), wood(rng))), metal(rng)
    worktop = pick(
        rng,
        (
            Material("#e6e1d8", "stone", 1.2, 0.4),
            Material("#55575a", "granite", 1.2, 0.4),
            Material("#eceae6", "marble", 0.8, 0.4),
            wood(rng),
        ),
    )
    half, deep = units * rng.uniform(0.2, 0.3), DEPTH / 2
    solid = block((-half + 0.005, half - 0.005), (-deep + 0.06, deep), (0, 0.11), BLACK_METAL)
    solid += block((-half, half), (-deep + 0.02, deep), (0.10, TOP - 0.038), front)
    solid += block((-half, half), (-deep - 0.015, deep), (TOP - 0.038, TOP), worktop)
    pitch = 2 * half / units
    for k in range(units):
        x = (-half + k * pitch, -half + (k + 1) * pitch)
        edges = pick(rng, ([0.11, 0.86], [0.11, 0.68, 0.86], [0.11, 0.40, 0.68, 0.86]))
        for low, high in itertools.pairwise(edges):
            solid += _front(x, (low, high), -deep + 0.02, front, grip)
    return solid


def wall_cabinet(rng: np.random.Generator) -> Solid:
    """A hanging cupboard with one to four doors, or one open compartment among them."""
    doors, front, grip = int(rng.integers(1, 5)), pick(rng, (paint(rng), WHITE, wood(rng))), metal(rng)
    half, deep, height = doors * rng.uniform(0.18, 0.25), rng.uniform(0.15, 0.18), rng.uniform(0.55, 0.75)
    solid = block((-half, half), (-deep + 0.02, deep), (0, height), front)
    pitch = 2 * half / doors
    for k in range(doors):
        x = (-half + k * pitch, -half + (k + 1) * pitch)
        solid += block((x[0] + 0.003, x[1] - 0.003), (-deep, -deep + 0.02), (0.002, height - 0.002), front)
        at = x[1] - 0.04 if k % 2 == 0 else x[0] + 0.04
        solid += block((at - 0.006, at + 0.006), (-deep - 0.02, -deep), (0.05, 0.20), grip)
    return solid


def refrigerator(rng: np.random.Generator) -> Solid:
    """A tall refrigerator with a freezer door below or above, or two doors side by side."""
    shell, style = appliance(rng), pick(rng, ("below", "above", "twins"))
    half, deep = (rng.uniform(0.44, 0.47) if style == "twins" else rng.uniform(0.28, 0.35)), rng.uniform(0.30, 0.34)
    height = rng.uniform(1.55, 1.95)
    solid = block((-half + 0.02, half - 0.02), (-deep + 0.06, deep), (0, 0.04), BLACK_METAL)
    solid += block((-half, half), (-deep + 0.06, deep), (0.03, height), shell, 0.01)
    split = {"below": 0.36 * height, "above": 0.68 * height, "twins": height}[style]
    doors = [((-half, half), (0.05, split - 0.006)), ((-half, half), (split + 0.006, height - 0.004))]
    if style == "twins":
        doors = [((-half, -0.004), (0.05, height - 0.004)), ((0.004, half), (0.05, height - 0.004))]
    for x, z in doors:
        solid += block(x, (-deep, -deep + 0.055), z, shell, 0.014)
        at = x[1] - 0.05 if x[0] < -0.1 and style == "twins" else x[0] + 0.05
        low = max(z[0] + 0.05, min(z[1] - 0.35, 0.95) if z[1] > 1.2 else z[1] - 0.35)
        solid += block((at - 0.01, at + 0.01), (-deep - 0.045, -deep - 0.027), (low, low + 0.3), STEEL)
        for end in (low + 0.02, low + 0.28):
            solid += block((at - 0.007, at + 0.007), (-deep - 0.03, -deep + 0.002), (end - 0.007, end + 0.007), STEEL)
    return solid


def stove(rng: np.random.Generator) -> Solid:
    """A free-standing cooker: oven door with a window, knobs, and a hob with four gas burners or glass rings."""
    shell, dark, half, deep = appliance(rng), Material("#17181a", gloss=0.7), rng.uniform(0.27, 0.33), DEPTH / 2
    solid = block((-half + 0.01, half - 0.01), (-deep + 0.06, deep), (0, 0.10), BLACK_METAL)
    solid += block((-half, half), (-deep + 0.02, deep), (0.09, TOP - 0.02), shell)
    solid += block((-half, half), (-deep, deep), (TOP - 0.025, TOP), dark, 0.006)
    if rng.random() < 0.6:
        solid += block((-half, half), (deep - 0.03, deep), (TOP, TOP + 0.09), shell)
    solid += block((-half + 0.012, half - 0.012), (-deep - 0.008, -deep + 0.022), (0.20, 0.72), shell, 0.006)
    solid += block((-half + 0.08, half - 0.08), (-deep - 0.011, -deep - 0.007), (0.28, 0.58), dark)
    solid += bar_grip((-half + 0.06, half - 0.06), -deep - 0.008, 0.66, CHROME)
    for x in np.linspace(-0.7, 0.7, 5) * half:
        solid += tube([(x, -deep + 0.02, 0.80), (x, -deep - 0.018, 0.80)], (0.021, 0.018), dark, around=10)
    gas = rng.random() < 0.5
    for x, y in corners(0.48 * half, 0.45 * deep):
        r = 0.075 if y > 0 else 0.09
        if gas:
            solid += placed(lathe([(0.04, 0), (0.04, 0.016), (0, 0.016)], BLACK_METAL, 12), (x, y, TOP))
            for wide, long in ((r, 0.006), (0.006, r)):
                solid += block((x - wide, x + wide), (y - long, y + long), (TOP + 0.016, TOP + 0.028), BLACK_METAL)
        else:
            mark = lathe([(r, 0.0), (r, 0.002), (r - 0.008, 0.002), (r - 0.008, 0)], Material("#77797c"), 20)
            solid += placed(mark, (x, y, TOP))
    return solid


def dishwasher(rng: np.random.Generator) -> Solid:
    """A dishwasher: one flat front with a control strip and a wide handle."""
    shell, half, deep, height = appliance(rng), rng.choice((0.225, 0.30)), 0.29, rng.uniform(0.82, 0.86)
    solid = block((-half + 0.01, half - 0.01), (-deep + 0.06, deep), (0, 0.09), BLACK_METAL)
    solid += block((-half, half), (-deep + 0.02, deep), (0.08, height), shell, 0.006)
    solid += block((-half + 0.003, half - 0.003), (-deep, -deep + 0.022), (0.10, height - 0.125), shell, 0.006)
    solid += block(
        (-half + 0.003, half - 0.003), (-deep, -deep + 0.022), (height - 0.118, height - 0.006), shell, 0.006
    )
    solid += bar_grip((-half + 0.06, half - 0.06), -deep, height - 0.17, CHROME)
    solid += block((half - 0.16, half - 0.08), (-deep - 0.002, -deep), (height - 0.08, height - 0.045), SCREEN)
    for x in np.linspace(-half + 0.05, -half + 0.17, 4):
        solid += block((x, x + 0.016), (-deep - 0.004, -deep), (height - 0.07, height - 0.055), BLACK_PLASTIC)
    return solid


def microwave(rng: np.random.Generator) -> Solid:
    """A microwave oven with a dark window, a handle and a key pad."""
    shell, half, deep, height = appliance(rng), rng.uniform(0.22, 0.27), rng.uniform(0.16, 0.2), rng.uniform(0.26, 0.31)
    solid = block((-half, half), (-deep + 0.02, deep), (0.012, height), shell, 0.008)
    split = half - 0.11
    solid += block((-half, split - 0.002), (-deep, -deep + 0.022), (0.014, height - 0.002), shell, 0.006)
    solid += block((split + 0.002, half), (-deep, -deep + 0.022), (0.014, height - 0.002), BLACK_PLASTIC)
    solid += block((-half + 0.04, split - 0.06), (-deep - 0.003, -deep), (0.05, height - 0.04), SCREEN)
    solid += block((split - 0.035, split - 0.02), (-deep - 0.035, -deep), (0.05, height - 0.04), STEEL)
    solid += block(
        (split + 0.015, half - 0.015),
        (-deep - 0.002, -deep),
        (height - 0.075, height - 0.04),
        Material("#2f6f63", emission=0.3),
    )
    for z in np.linspace(0.05, height - 0.11, 4):
        for x in np.linspace(split + 0.02, half - 0.035, 3):
            solid += block((x, x + 0.015), (-deep - 0.003, -deep), (z, z + 0.016), Material("#b9bcbf"))
    for x, y in corners(half - 0.03, deep - 0.04):
        solid += block((x - 0.012, x + 0.012), (y - 0.012, y + 0.012), (0, 0.013), BLACK_PLASTIC)
    return solid


def sink(rng: np.random.Generator) -> Solid:
    """A kitchen sink set on a worktop: a raised rim, one or two bowls and a swan-neck tap."""
    basin = pick(rng, (STEEL, STEEL, Material("#f4f3ef", gloss=0.5), Material("#3b3d40", gloss=0.3)))
    inside = Material({"#b9bdc0": "#6f7477", "#f4f3ef": "#c9c8c2"}.get(basin.colour, "#232426"), gloss=0.4)
    half, deep, rim = rng.uniform(0.24, 0.40), rng.uniform(0.20, 0.24), 0.03
    bowls = [(-half + rim, half - rim)] if half < 0.33 else [(-half + rim, -0.01), (0.01, half - rim)]
    y, solid = (-deep + rim, deep - 0.09), []
    solid += block((-half, half), (y[1], deep), (0, 0.018), basin)
    solid += block((-half, half), (-deep, y[0]), (0, 0.018), basin)
    edges = [-half, *[x for bowl in bowls for x in bowl], half]
    for a, b in zip(edges[::2], edges[1::2], strict=True):
        solid += block((a, b), y, (0, 0.018), basin)
    for a, b in bowls:
        solid += block((a, b), y, (0.0, 0.003), inside)
        solid += placed(lathe([(0.025, 0.003), (0.025, 0.005), (0, 0.005)], CHROME, 12), ((a + b) / 2, -0.03, 0))
    turn, tall = np.linspace(0, np.radians(190), 10), rng.uniform(0.22, 0.30)
    neck = [(0, deep - 0.045 - 0.08 * (1 - np.cos(a)), tall + 0.08 * np.sin(a)) for a in turn]
    solid += tube([(0, deep - 0.045, 0.015), *neck], 0.011, CHROME, around=8)
    return solid + tube([(0.0, deep - 0.045, 0.05), (0.06, deep - 0.045, 0.075)], 0.008, CHROME)


def kettle(rng: np.random.Generator) -> Solid:
    """A kettle with a spout, a lid knob and a bow handle."""
    body, height, r = pick(rng, (glaze(rng), STEEL, BLACK_METAL)), rng.uniform(0.16, 0.20), rng.uniform(0.075, 0.095)
    solid = lathe(
        [(0, 0), (r, 0), (r, 0.012), (0.95 * r, 0.3 * height), (0.62 * r, 0.92 * height), (0, height)], body, around=18
    )
    solid += placed(lathe([(0.012, 0), (0.018, 0.02), (0, 0.03)], BLACK_PLASTIC, 10), (0, 0, 0.97 * height))
    solid += tube([(-0.75 * r, 0, 0.45 * height), (-1.6 * r, 0, 0.85 * height)], (0.02, 0.009), body, around=8)
    grip = [
        (0.55 * r, 0, 0.95 * height),
        (1.4 * r, 0, 0.95 * height),
        (1.6 * r, 0, 0.7 * height),
        (0.95 * r, 0, 0.25 * height),
    ]
    for a, b in itertools.pairwise(grip):
        solid += tube([a, b], 0.011, BLACK_PLASTIC)
    return solid


def pot(rng: np.random.Generator) -> Solid:
    """A cooking pot with a lid and two grips, or a frying pan's long handle."""
    body, r, height = pick(rng, (glaze(rng), STEEL, BLACK_METAL)), rng.uniform(0.09, 0.13), rng.uniform(0.09, 0.16)
    rim = height * 0.8
    solid = lathe(
        [(0, 0), (0.95 * r, 0), (r, 0.02), (r, rim), (1.04 * r, rim), (1.04 * r, rim + 0.008)], body, around=20
    )
    solid += placed(
        lathe([(1.04 * r, 0.008), (0.6 * r, 0.6 * (height - rim)), (0, height - rim)], body, 20), (0, 0, rim)
    )
    solid += placed(lathe([(0.01, 0), (0.02, 0.02), (0, 0.028)], BLACK_PLASTIC, 10), (0, 0, 0.98 * height))
    if rng.random() < 0.3:
        return solid + tube([(0.98 * r, 0, 0.75 * rim), (r + 0.17, 0, rim)], 0.011, BLACK_PLASTIC)
    for side in (-1, 1):
        x = sorted((side * 0.98 * r, side * (r + 0.04)))
        solid += block((x[0], x[1]), (-0.035, 0.035), (0.8 * rim, 0.8 * rim + 0.014), body, 0.005)
    return solid


def toaster(rng: np.random.Generator) -> Solid:
    """A toaster with two slots, a lever and a dial."""
    shell, half, deep, height = pick(rng, (glaze(rng), STEEL)), rng.uniform(0.13, 0.16), rng.uniform(0.08, 0.10), 0.19
    solid = block((-half, half), (-deep, deep), (0.012, height), shell, 0.03)
    solid += block((-half + 0.01, half - 0.01), (-deep + 0.01, deep - 0.01), (0, 0.015), BLACK_PLASTIC)
    for y in (-0.3 * deep, 0.3 * deep):
        solid += block(
            (-half + 0.04, half - 0.04), (y - 0.012, y + 0.012), (height - 0.001, height + 0.001), BLACK_PLASTIC
        )
    solid += block((half, half + 0.02), (-0.02, 0.02), (0.11, 0.125), BLACK_PLASTIC)
    return solid + tube([(half, 0, 0.05), (half + 0.012, 0, 0.05)], 0.016, BLACK_PLASTIC, around=8)


KINDS = (
    Kind("kitchen counter", kitchen_counter, "wall", KITCHEN, (1, 3), 3.0, supports=True, clear_front=0.7),
    Kind("kitchen cabinet", wall_cabinet, "hung", KITCHEN, (1, 2), 2.5, blocks_walking=False,
         on=("kitchen counter", "stove"), hung=(1.38, 1.5)),
    Kind("refrigerator", refrigerator, "wall", KITCHEN, (1, 1), 3.0, clear_front=0.7),
    Kind("stove", stove, "wall", KITCHEN, (1, 1), 3.0, supports=True, clear_front=0.7),
    Kind("dishwasher", dishwasher, "wall", KITCHEN, (1, 1), 1.0, clear_front=0.7),
    Kind("microwave", microwave, "surface", KITCHEN, (1, 1), 1.5, blocks_walking=False, on=("kitchen counter",),
         spot="back"),
    Kind("sink", sink, "surface", KITCHEN, (1, 1), 3.0, blocks_walking=False, on=("kitchen counter",), spot="centre"),
    Kind("kettle", kettle, "surface", KITCHEN, (1, 1), 1.5, blocks_walking=False, on=("kitchen counter", "stove"),
         spot="back"),
    Kind("pot", pot, "surface", KITCHEN, (1, 2), 1.5, blocks_walking=False, on=("stove", "kitchen counter")),
    Kind("toaster", toaster, "surface", KITCHEN, (1, 1), 1.0, blocks_walking=False, on=("kitchen counter",),
         spot="back"),
)  # fmt: skip
