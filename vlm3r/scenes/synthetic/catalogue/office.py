"""Screens, computers and other things of a desk or a media corner."""

from __future__ import annotations

import numpy as np

from ..shapes import Material, Solid, lathe, placed, rotation, sheet, surface
from ..shapes import picture as whole_texture
from .finishes import BLACK_METAL, BLACK_PLASTIC, GREY_PLASTIC, PAPER, SCREEN, SHADOW, STEEL, WHITE, glaze, pick, wood
from .kind import Kind
from .parts import Span, block, tube

HOME_OFFICE = frozenset({"office", "bedroom", "living"})


def _screen(rng: np.random.Generator, x: Span, z: Span, y: float, lit: float) -> Solid:
    """A glass front just before the plane `y`: dark, or with probability `lit` showing a desktop."""
    if rng.random() >= lit:
        return block(x, (y - 0.002, y), z, SCREEN)
    page = Material("#ffffff", "screen", gloss=0.3, emission=0.5)
    return [whole_texture((x[0], y - 0.002, z[0]), (x[1] - x[0], 0, 0), (0, 0, z[1] - z[0]), page)]


def tv(rng: np.random.Generator) -> Solid:
    """A flat television of 32 to 65 inches on a central foot or two feet."""
    half = rng.uniform(0.36, 0.73)
    tall, low = 2 * half * 0.57, rng.uniform(0.05, 0.09)
    solid = block((-half, half), (-0.02, 0.005), (low, low + tall), BLACK_METAL)
    solid += block((-0.6 * half, 0.6 * half), (0.004, 0.035), (low + 0.05, low + 0.7 * tall), BLACK_PLASTIC, 0.012)
    solid += _screen(rng, (-half + 0.012, half - 0.012), (low + 0.018, low + tall - 0.012), -0.0205, 0.1)
    if rng.random() < 0.5:
        solid += block((-0.05, 0.05), (-0.005, 0.02), (0.01, low + 0.05), BLACK_METAL)
        return solid + block((-0.36 * half, 0.36 * half), (-0.12, 0.12), (0, 0.014), BLACK_METAL, 0.005)
    for side in (-1, 1):
        for y in (-0.12, 0.12):
            solid += tube([(side * 0.6 * half, y, 0.006), (side * 0.6 * half, 0, low + 0.02)], 0.009, BLACK_METAL)
    return solid


def monitor(rng: np.random.Generator) -> Solid:
    """A computer monitor of 19 to 34 inches on a stand with a flat foot."""
    half, wide = rng.uniform(0.21, 0.31), pick(rng, (0.60, 0.57, 0.45))
    half = half * (1.25 if wide < 0.5 else 1.0)
    tall, low = 2 * half * wide, rng.uniform(0.09, 0.14)
    shell, foot = pick(rng, (BLACK_PLASTIC, BLACK_PLASTIC, STEEL, WHITE)), pick(rng, (BLACK_METAL, STEEL))
    solid = block((-half, half), (-0.02, 0.012), (low, low + tall), shell, 0.005)
    solid += _screen(rng, (-half + 0.012, half - 0.012), (low + 0.02, low + tall - 0.012), -0.0205, 0.5)
    solid += block((-0.03, 0.03), (0.012, 0.04), (0.01, low + 0.55 * tall), foot)
    return solid + block((-0.13, 0.13), (-0.08, 0.12), (0, 0.012), foot, 0.005)


def laptop(rng: np.random.Generator) -> Solid:
    """An open laptop: base with keys and touch pad, and a tilted screen."""
    half, deep = rng.uniform(0.15, 0.19), rng.uniform(0.105, 0.125)
    shell = pick(rng, (STEEL, BLACK_PLASTIC, Material("#7d8a96", gloss=0.4), WHITE))
    keys = BLACK_PLASTIC if shell is not BLACK_PLASTIC else GREY_PLASTIC
    solid = block((-half, half), (-deep, deep), (0, 0.016), shell, 0.005)
    for row, y in enumerate(np.linspace(0.015, deep - 0.02, 4)):
        solid += block((-half + 0.02 + 0.004 * row, half - 0.02), (y - 0.008, y + 0.008), (0.016, 0.0185), keys)
    solid += block((-0.05, 0.05), (-deep + 0.015, -0.015), (0.016, 0.017), GREY_PLASTIC)
    lid = block((-half, half), (-0.004, 0.004), (0, 2 * deep), shell)
    lid += _screen(rng, (-half + 0.008, half - 0.008), (0.015, 2 * deep - 0.01), -0.0045, 0.6)
    return solid + placed(lid, (0, deep - 0.006, 0.014), rotation("x", -rng.uniform(8, 25)))


def keyboard(rng: np.random.Generator) -> Solid:
    """A flat computer keyboard, compact or full width, whose keys are a texture."""
    half, deep = pick(rng, (0.15, 0.22)), rng.uniform(0.06, 0.08)
    shell = pick(rng, (BLACK_PLASTIC, STEEL, WHITE, GREY_PLASTIC))
    keys = Material("#f2f2ef" if shell in (STEEL, WHITE) else "#5b5f64", "keyboard", gloss=0.2)
    solid = block((-half, half), (-deep, deep), (0, 0.020), shell, 0.006)
    edge = 0.009
    solid += block((-half + edge, half - edge), (-deep + edge, deep - edge), (0.012, 0.024), shell)
    size = ((2 * (half - edge), 0, 0), (0, 2 * (deep - edge), 0))
    return [*solid, whole_texture((-half + edge, -deep + edge, 0.025), *size, keys)]


def computer_mouse(rng: np.random.Generator) -> Solid:
    """A computer mouse with two buttons and a wheel."""
    shell = pick(rng, (BLACK_PLASTIC, WHITE, GREY_PLASTIC, Material("#8a2f2f", gloss=0.3)))
    half, deep, tall = rng.uniform(0.028, 0.036), rng.uniform(0.048, 0.062), rng.uniform(0.030, 0.042)
    turn, rise = np.meshgrid(np.linspace(0, 2 * np.pi, 17), np.linspace(0, np.pi / 2, 6), indexing="ij")
    z = tall * np.sin(rise) ** 0.8
    points = np.stack([half * np.cos(turn) * np.cos(rise) ** 0.6, deep * np.sin(turn) * np.cos(rise) ** 0.6, z], -1)
    solid = [surface(points, shell)]
    return solid + tube(
        [(-0.004, -0.5 * deep, 0.88 * tall), (0.004, -0.5 * deep, 0.88 * tall)], 0.008, GREY_PLASTIC, around=10
    )


def computer_tower(rng: np.random.Generator) -> Solid:
    """A computer case with drive slots, a power button and a ventilation grille."""
    shell = pick(rng, (BLACK_PLASTIC, BLACK_PLASTIC, Material("#c9ccce", gloss=0.2), WHITE))
    half, deep, height = rng.uniform(0.085, 0.115), rng.uniform(0.2, 0.25), rng.uniform(0.38, 0.48)
    trim = GREY_PLASTIC if shell is BLACK_PLASTIC else BLACK_PLASTIC
    solid = block((-half, half), (-deep + 0.02, deep), (0.015, height), shell)
    solid += block((-half, half), (-deep, -deep + 0.021), (0.015, height), shell, 0.008)
    for k in range(int(rng.integers(1, 4))):
        z = height - 0.05 - 0.05 * k
        solid += block((-half + 0.015, half - 0.015), (-deep - 0.003, -deep), (z - 0.02, z + 0.018), trim)
    solid += tube(
        [(0, -deep, 0.55 * height), (0, -deep - 0.005, 0.55 * height)],
        0.013,
        Material("#7fb2d9", emission=0.6),
        around=10,
    )
    for z in np.linspace(0.06, 0.45 * height, 6):
        solid += block((-half + 0.02, half - 0.02), (-deep - 0.002, -deep), (z, z + 0.008), SHADOW)
    for side in (-1, 1):
        solid += block(
            (side * half * 0.8 - 0.015, side * half * 0.8 + 0.015),
            (-deep + 0.03, deep - 0.03),
            (0, 0.016),
            BLACK_PLASTIC,
        )
    return solid


def printer(rng: np.random.Generator) -> Solid:
    """A desktop printer with a paper tray behind, a control panel and a sheet in the output."""
    shell = pick(rng, (WHITE, GREY_PLASTIC, BLACK_PLASTIC))
    trim = BLACK_PLASTIC if shell is not BLACK_PLASTIC else GREY_PLASTIC
    half, deep, height = rng.uniform(0.20, 0.25), rng.uniform(0.16, 0.2), rng.uniform(0.16, 0.26)
    solid = block((-half, half), (-deep, deep), (0, 0.055), shell, 0.006)
    solid += block((-half, half), (-deep + 0.05, deep), (0.05, height), shell, 0.012)
    for side in (-1, 1):
        x = sorted((side * half, side * (half - 0.07)))
        solid += block((x[0], x[1]), (-deep, -deep + 0.07), (0.05, height - 0.03), shell, 0.008)
    solid += block((-half + 0.07, half - 0.07), (-deep + 0.049, -deep + 0.052), (0.055, 0.12), SHADOW)
    solid += block((-0.105, 0.105), (-deep - 0.05, -deep + 0.06), (0.062, 0.065), PAPER)
    solid += block((-half + 0.02, half - 0.02), (-deep + 0.08, deep - 0.02), (height, height + 0.012), trim, 0.005)
    panel = block((-0.08, 0.08), (-0.025, 0.025), (-0.003, 0.004), trim) + block(
        (-0.03, 0.03), (-0.015, 0.015), (0.003, 0.006), Material("#4f86b0", emission=0.4)
    )
    solid += placed(panel, (0, -deep + 0.055, height + 0.01), rotation("x", 30))
    if rng.random() < 0.6:
        sheets = block((-0.105, 0.105), (-0.004, 0.004), (0, 0.2), PAPER) + block(
            (-0.12, 0.12), (0.004, 0.01), (0, 0.15), trim
        )
        solid += placed(sheets, (0, deep - 0.05, height), rotation("x", -20))
    return solid


def telephone(rng: np.random.Generator) -> Solid:
    """A desk telephone: a sloping body with keys, a handset across it, and its coiled cord."""
    shell = pick(rng, (BLACK_PLASTIC, WHITE, GREY_PLASTIC, glaze(rng)))
    keys = Material("#d9d9d4") if shell is not WHITE else GREY_PLASTIC
    half, deep = rng.uniform(0.085, 0.11), rng.uniform(0.09, 0.11)
    solid = block((-half, half), (-deep, deep), (0, 0.035), shell, 0.008)
    slope = block((-half + 0.004, half - 0.004), (-deep + 0.004, deep - 0.004), (-0.02, 0.022), shell, 0.006)
    for y in np.linspace(-0.05, 0.03, 4):
        for x in np.linspace(-0.012, 0.055, 3):
            slope += block((x, x + 0.014), (y, y + 0.011), (0.022, 0.028), keys)
    slope += block((-0.012, 0.07), (0.05, 0.08), (0.022, 0.025), Material("#7f9a86", gloss=0.4))
    solid += placed(slope, (0, 0, 0.045), rotation("x", 9))
    x = -half + 0.035
    receiver = block((-0.018, 0.018), (-deep + 0.02, deep - 0.02), (0.028, 0.046), shell, 0.008)
    for y in (-deep + 0.03, deep - 0.03):
        receiver += block((-0.024, 0.024), (y - 0.026, y + 0.026), (0.01, 0.045), shell, 0.01)
    return solid + placed(receiver, (x, 0, 0.055), rotation("x", 9))


def speaker(rng: np.random.Generator) -> Solid:
    """A tall loudspeaker with two or three cones on its front."""
    body = pick(rng, (wood(rng), BLACK_PLASTIC, WHITE))
    half, deep, height = rng.uniform(0.09, 0.13), rng.uniform(0.11, 0.16), rng.uniform(0.75, 1.1)
    solid = block((-half, half), (-deep, deep), (0.03, height), body, 0.006)
    solid += block((-half - 0.02, half + 0.02), (-deep - 0.01, deep + 0.01), (0, 0.03), BLACK_PLASTIC, 0.006)
    face = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], float)
    at = height - 0.07
    for r in (0.3 * half, 0.78 * half, 0.78 * half)[: int(rng.integers(2, 4))]:
        at -= r
        cone = lathe(
            [(r, 0), (r, 0.006), (0.85 * r, 0.008), (0.8 * r, 0.002), (0.35 * r, -0.0), (0.3 * r, 0.006), (0, 0.009)],
            SHADOW,
            18,
        )
        rim = lathe([(1.08 * r, 0), (1.08 * r, 0.004), (r, 0.005)], STEEL, 18)
        solid += placed(cone + rim, (0, -deep, at), face)
        at -= r + 0.03
    return solid


def whiteboard(rng: np.random.Generator) -> Solid:
    """A wall-mounted whiteboard with a metal frame, a pen tray, and some lines of writing."""
    half, height = rng.uniform(0.45, 0.9), rng.uniform(0.6, 0.95)
    solid = block((-half, half), (-0.012, 0), (0, height), Material("#f8f9f9", gloss=0.6))
    for z in (0.0, height - 0.02):
        solid += block((-half, half), (-0.02, 0), (z, z + 0.02), STEEL)
    for side in (-1, 1):
        x = sorted((side * half, side * (half - 0.02)))
        solid += block((x[0], x[1]), (-0.02, 0), (0, height), STEEL)
    solid += block((-0.3, 0.3), (-0.07, -0.012), (-0.008, 0.004), STEEL)
    for x, colour in ((-0.18, "#b03030"), (-0.02, "#2f4fa0"), (0.12, "#1f1f1f")):
        solid += tube([(x, -0.045, 0.012), (x + 0.11, -0.045, 0.012)], 0.008, Material(colour))
    ink = Material(pick(rng, ("#2f4fa0", "#1f1f1f", "#b03030")))
    for k in range(int(rng.integers(0, 5))):
        z, a = height * (0.85 - 0.14 * k), -half * rng.uniform(0.75, 0.85)
        solid.append(sheet((a, -0.0125, z), (half * rng.uniform(0.4, 1.3), 0, 0), (0, 0, 0.008), ink, 1.0))
    return solid


KINDS = (
    Kind("tv", tv, "surface", frozenset({"living", "bedroom"}), (1, 1), 3.0, blocks_walking=False,
         on=("tv cabinet", "dresser"), spot="centre"),
    Kind("monitor", monitor, "surface", HOME_OFFICE, (1, 2), 2.5, blocks_walking=False, on=("desk",), spot="back"),
    Kind("laptop", laptop, "surface", frozenset({"office", "bedroom", "living", "dining"}), (1, 1), 1.0,
         blocks_walking=False, on=("desk", "coffee table", "dining table"), spot="front"),
    Kind("keyboard", keyboard, "surface", HOME_OFFICE, (1, 1), 2.0, blocks_walking=False, on=("desk",), spot="front"),
    Kind("computer mouse", computer_mouse, "surface", HOME_OFFICE, (1, 1), 2.0, blocks_walking=False, on=("desk",),
         spot="front"),
    Kind("computer tower", computer_tower, "around", frozenset({"office", "bedroom"}), (1, 1), 1.2, on=("desk",),
         side="beside"),
    Kind("printer", printer, "surface", frozenset({"office"}), (1, 1), 1.2, blocks_walking=False,
         on=("desk", "dresser", "side table"), spot="back"),
    Kind("telephone", telephone, "surface", frozenset({"office", "hall", "living", "bedroom"}), (1, 1), 0.8,
         blocks_walking=False, on=("desk", "side table", "nightstand", "dresser")),
    Kind("speaker", speaker, "around", frozenset({"living"}), (1, 2), 0.8, on=("tv cabinet",), side="beside"),
    Kind("whiteboard", whiteboard, "hung", frozenset({"office"}), (1, 1), 1.5, blocks_walking=False, hung=(0.9, 1.15)),
)  # fmt: skip
