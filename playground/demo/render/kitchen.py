"""Kitchen pieces, in the same local frame as `furniture`: standing on z = 0, centred on the z axis, facing -y."""

from __future__ import annotations

from .furniture import BLACK_METAL, OAK, WHITE
from .geometry import Material, Solid, box, lathe, placed, rod

FRONT = Material("#7f9484", "plain", 1.0, 0.2)
STEEL = Material("#b9bdc0", "plain", 1.0, 0.5)
COUNTER = Material("#e6e1d8", "stone", 1.2, 0.4)
HANDLE = Material("#3a3b3c", "plain", 1.0, 0.5)
BACKSPLASH = Material("#f1efe9", "tiles", 1 / 0.8, 0.3)
DEPTH = 0.60
TOP = 0.90


def base_cabinets(width: float, doors: int) -> Solid:
    """A run of floor cabinets with a recessed plinth, doors with handles, and a counter top 0.9 m high."""
    solid = box((0, 0.03, 0.05), (width, DEPTH - 0.08, 0.10), BLACK_METAL, 0.002, 0.1)
    solid += box((0, 0.01, 0.48), (width, DEPTH - 0.02, 0.76), FRONT, 0.002, 0.08)
    solid += box((0, -0.005, TOP - 0.02), (width, DEPTH + 0.01, 0.04), COUNTER, 0.004, 0.04)
    pitch = width / doors
    for k in range(doors):
        x = -width / 2 + (k + 0.5) * pitch
        solid += _front(x, 0.12, 0.66, pitch) + _front(x, 0.67, 0.85, pitch)
    return solid


def _front(x: float, low: float, high: float, pitch: float) -> Solid:
    """One door or drawer front with a bar handle near its top edge."""
    face = -DEPTH / 2 + 0.01
    solid = box((x, face, (low + high) / 2), (pitch - 0.008, 0.02, high - low - 0.006), FRONT, 0.003)
    solid += box((x, face - 0.025, high - 0.05), (min(0.16, pitch / 2), 0.010, 0.010), HANDLE, 0.003)
    for side in (-1, 1):
        solid += box((x + side * 0.06, face - 0.015, high - 0.05), (0.008, 0.02, 0.008), HANDLE, 0.002)
    return solid


def wall_cabinets(width: float, doors: int) -> Solid:
    """A run of hanging cabinets, 0.7 m tall, whose lower edge is z = 0 and whose back is the plane y = 0."""
    solid = box((0, -0.16, 0.35), (width, 0.32, 0.70), WHITE, 0.002, 0.06)
    pitch = width / doors
    for k in range(doors):
        x = -width / 2 + (k + 0.5) * pitch
        solid += box((x, -0.33, 0.35), (pitch - 0.008, 0.02, 0.69), WHITE, 0.003)
        side = 1 if k % 2 == 0 else -1
        solid += box((x + side * (pitch / 2 - 0.04), -0.347, 0.12), (0.010, 0.014, 0.14), HANDLE, 0.003)
    return solid


def stove(width: float = 0.60) -> Solid:
    """A free-standing cooker: oven door with window, knobs, hob with four burners, and a pot."""
    dark = Material("#17181a", "plain", 1.0, 0.7)
    solid = box((0, 0.03, 0.05), (width - 0.02, DEPTH - 0.08, 0.10), BLACK_METAL, 0.002, 0.1)
    solid += box((0, 0.005, 0.49), (width - 0.004, DEPTH - 0.01, 0.78), STEEL, 0.004)
    solid += box((0, -0.005, 0.895), (width - 0.002, DEPTH + 0.01, 0.03), dark, 0.006)
    solid += box((0, DEPTH / 2 - 0.02, 0.95), (width - 0.002, 0.03, 0.09), STEEL, 0.004)
    face = -DEPTH / 2
    solid += box((0, face - 0.008, 0.45), (width - 0.03, 0.03, 0.52), STEEL, 0.006)
    solid += box((0, face - 0.0235, 0.43), (width - 0.16, 0.004, 0.30), dark, 0.001)
    solid += box((0, face - 0.05, 0.665), (width - 0.12, 0.016, 0.016), STEEL, 0.006)
    for side in (-1, 1):
        solid += box((side * 0.22, face - 0.035, 0.665), (0.014, 0.04, 0.012), STEEL, 0.003)
    for x in (-0.21, -0.105, 0.0, 0.105, 0.21):
        solid += rod((x, face, 0.80), (x, face - 0.035, 0.80), 0.021, dark, 0.018)
    for x in (-0.14, 0.14):
        for y in (-0.14, 0.13):
            ring = lathe([(0.095, 0), (0.095, 0.008), (0.06, 0.008), (0.06, 0)], Material("#3b3d40", gloss=0.3), 24)
            solid += placed([*ring, *lathe([(0.035, 0), (0.035, 0.014), (0, 0.014)], BLACK_METAL, 20)], (x, y, 0.91))
            solid += box((x, y, 0.924), (0.21, 0.012, 0.010), BLACK_METAL, 0.002)
            solid += box((x, y, 0.924), (0.012, 0.21, 0.009), BLACK_METAL, 0.002)
    return solid + placed(_pot(), (0.14, 0.13, 0.93))


def _pot() -> Solid:
    """A red enamel pot with a lid and two grips."""
    enamel = Material("#b23a2a", "plain", 1.0, 0.5)
    solid = lathe([(0, 0), (0.10, 0), (0.105, 0.12), (0.11, 0.125), (0.06, 0.145), (0, 0.15)], enamel, 28)
    solid += lathe([(0.018, 0.145), (0.022, 0.175), (0, 0.18)], BLACK_METAL, 16)
    for side in (-1, 1):
        solid += box((side * 0.12, 0, 0.095), (0.04, 0.07, 0.015), enamel, 0.006)
    return solid


def range_hood(width: float = 0.60) -> Solid:
    """A steel hood with a chimney; its lower edge is z = 0 and its back is the plane y = 0."""
    solid = box((0, -0.23, 0.03), (width, 0.46, 0.06), STEEL, 0.004)
    solid += box((0, -0.16, 0.09), (width - 0.2, 0.32, 0.07), STEEL, 0.03)
    return solid + box((0, -0.13, 0.48), (0.26, 0.26, 0.76), STEEL, 0.004)


def refrigerator() -> Solid:
    """A tall two-door refrigerator with bar handles."""
    shell = Material("#d3d7d9", "plain", 1.0, 0.45)
    solid = box((0, 0.02, 0.02), (0.62, 0.54, 0.04), BLACK_METAL, 0.002, 0.1)
    solid += box((0, 0.02, 0.94), (0.66, 0.60, 1.80), shell, 0.01)
    for low, high, grip in ((0.05, 0.62, 0.50), (0.63, 1.835, 0.80)):
        solid += box((0, -0.305, (low + high) / 2), (0.655, 0.05, high - low), shell, 0.014)
        solid += box((-0.28, -0.365, grip), (0.018, 0.018, 0.26), STEEL, 0.007)
        for z in (grip - 0.11, grip + 0.11):
            solid += box((-0.28, -0.345, z), (0.014, 0.04, 0.014), STEEL, 0.003)
    return solid


def sink() -> Solid:
    """A basin rim with a dark bowl and a swan-neck tap, to set on a counter top at z = 0."""
    solid = box((0, 0, 0.003), (0.56, 0.42, 0.008), STEEL, 0.003)
    solid += box((0, -0.02, 0.006), (0.48, 0.33, 0.006), Material("#6f7477", "plain", 1.0, 0.4), 0.002)
    solid += rod((0, 0.18, 0.005), (0, 0.18, 0.26), 0.013, STEEL)
    solid += rod((0, 0.18, 0.26), (0, 0.06, 0.30), 0.012, STEEL)
    return solid + rod((0, 0.06, 0.30), (0, 0.03, 0.22), 0.012, STEEL)


def counter_clutter() -> Solid:
    """A chopping board leaning on the wall, a jar and a kettle, to set on a counter top at z = 0."""
    solid = box((-0.30, 0.16, 0.16), (0.24, 0.02, 0.32), OAK, 0.008)
    solid += placed(
        lathe([(0, 0), (0.05, 0), (0.05, 0.13), (0, 0.14)], Material("#d8c9a8", gloss=0.4), 20), (0.0, 0.12, 0)
    )
    solid += placed(
        lathe([(0, 0), (0.05, 0), (0.05, 0.09), (0, 0.10)], Material("#93a58b", gloss=0.4), 20), (0.12, 0.14, 0)
    )
    kettle = [(0, 0), (0.085, 0), (0.075, 0.14), (0.05, 0.18), (0, 0.19)]
    solid += placed(lathe(kettle, Material("#33454f", gloss=0.5), 24), (0.36, 0.05, 0))
    return solid + rod((0.43, 0.05, 0.10), (0.49, 0.05, 0.17), 0.016, Material("#33454f", gloss=0.5), 0.010)


def ceiling_light(width: float, depth: float) -> Solid:
    """A flat glowing panel in a thin frame; the origin is on the ceiling."""
    solid = box((0, 0, -0.02), (width + 0.04, depth + 0.04, 0.04), WHITE, 0.004, 0.1)
    return solid + box(
        (0, 0, -0.04), (width - 0.02, depth - 0.02, 0.008), Material("#fff4e4", emission=1.2), 0.002, 0.1
    )
