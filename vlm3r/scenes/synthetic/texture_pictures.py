"""Textures that show something and are seen once: art for the walls, rugs, screens, clock faces, views outside."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from .texture_noise import Array, Canvas, cell_border, mixed, tinted

PALETTES = np.array(
    [
        [[240, 234, 222], [54, 92, 104], [214, 150, 60], [180, 74, 58], [38, 38, 42]],
        [[236, 228, 214], [92, 112, 78], [206, 178, 120], [140, 84, 56], [44, 52, 44]],
        [[228, 232, 236], [48, 74, 124], [150, 178, 204], [226, 186, 92], [28, 34, 52]],
        [[244, 226, 214], [196, 104, 96], [236, 176, 140], [96, 72, 96], [58, 40, 58]],
        [[232, 236, 226], [70, 120, 112], [176, 200, 176], [224, 132, 92], [40, 58, 60]],
    ]
)


def _art_shapes(c: Canvas, palette: int) -> Array:
    """A modernist composition of blocks, discs and a bar."""
    u, v = c.uv
    paper, *inks = PALETTES[palette]
    image = c.filled(tuple(paper))
    for number, ink in enumerate(inks[:3]):
        (x, y), r = c.rng.uniform(0.25, 0.75, 2), c.rng.uniform(0.10, 0.26)
        if (number + palette) % 2:
            image[(u - x) ** 2 + (v - y) ** 2 < r * r] = ink / 255
        else:
            image[(np.abs(u - x) < r) & (np.abs(v - y) < 1.3 * r)] = ink / 255
    slope, at = c.rng.uniform(-0.4, 0.4), c.rng.uniform(0.4, 0.6)
    image[(np.abs(v - at - slope * (u - 0.5)) < 0.01) & (u > 0.1) & (u < 0.9)] = inks[3] / 255
    return image * (1 + 0.02 * c.noise(2, 2))[..., None]


def _art_hills(c: Canvas, palette: int) -> Array:
    """A sun over layered hills."""
    u, v = c.uv
    paper, *inks = PALETTES[palette] / 255
    zenith = c.filled(tuple(255 * (0.5 * paper + 0.5 * inks[1])))
    image = mixed(zenith, c.filled(tuple(255 * paper)), np.clip(v / 0.6, 0, 1))
    x, y = c.rng.uniform(0.2, 0.8), c.rng.uniform(0.18, 0.34)
    image[(u - x) ** 2 + (v - y) ** 2 < 0.011] = inks[2]
    for layer in range(4):
        phase = c.rng.uniform(0, 2 * np.pi, 3)
        ridge = sum(np.sin(2 * np.pi * (k + 1) * u + phase[k]) / (k + 1.5) for k in range(3))
        share = (layer + 1) / 4
        image[v > 0.46 + 0.13 * layer + 0.05 * ridge] = (1 - share) * (0.5 * paper + 0.5 * inks[0]) + share * inks[3]
    return image * (1 + 0.03 * c.noise(2, 2))[..., None]


def _art_fields(c: Canvas, palette: int) -> Array:
    """Two or three soft-edged fields of colour."""
    u, v = c.uv
    paper, *inks = PALETTES[palette] / 255
    image = c.filled(tuple(255 * (0.6 * paper + 0.4 * inks[1])))
    edges = np.sort(c.rng.uniform(0.25, 0.75, 2))
    bands = ((0.07, edges[0] - 0.02), (edges[0] + 0.02, edges[1] - 0.02), (edges[1] + 0.02, 0.93))
    wobble = 0.012 * c.noise(20, 20)
    for (low, high), ink in zip(bands, (inks[0], inks[2], inks[1]), strict=True):
        inside = np.minimum(np.minimum(v - low, high - v), np.minimum(u - 0.08, 0.92 - u)) + wobble
        image = mixed(image, np.broadcast_to(ink, image.shape), np.clip(inside / 0.02, 0, 1))
    return image * (1 + 0.03 * c.noise(3, 3))[..., None]


def _art_plant(c: Canvas, palette: int) -> Array:
    """A botanical print: a stem with pairs of leaves."""
    u, v = c.uv
    paper, *inks = PALETTES[palette] / 255
    image = c.filled(tuple(255 * paper))
    bend = 0.5 + 0.05 * np.sin(3 * v + palette)
    image[(np.abs(u - bend) < 0.006) & (v > 0.15) & (v < 0.9)] = inks[3]
    for number in range(10):
        side, y = (-1) ** number, 0.2 + 0.065 * number
        x = 0.5 + 0.05 * np.sin(3 * y + palette) + side * 0.12
        a, b = (u - x) * side, v - y
        along, across = 0.8 * a - 0.6 * b, 0.6 * a + 0.8 * b
        image[(along / 0.13) ** 2 + (across / 0.04) ** 2 < 1] = inks[number % 2]
    return image * (1 + 0.02 * c.noise(2, 2))[..., None]


def _rug_diamonds(c: Canvas, palette: int) -> Array:
    """A woven rug: banded border and a field of diamonds."""
    u, v = c.uv
    cream, clay, ochre, _, ink = PALETTES[palette] / 255
    image = c.filled(tuple(255 * cream))
    diamond = np.abs((u * 6) % 1 - 0.5) + np.abs((v * 4) % 1 - 0.5)
    for limit, colour in ((0.42, clay), (0.32, cream), (0.22, ink), (0.10, ochre)):
        image[diamond < limit] = colour
    return _woven(c, _bordered(image, c, (cream, ink, ochre, cream, clay)))


def _rug_medallion(c: Canvas, palette: int) -> Array:
    """A rug with a lobed medallion in the middle and small flowers around it."""
    u, v = c.uv
    cream, clay, ochre, red, ink = PALETTES[palette] / 255
    image = c.filled(tuple(255 * clay))
    flowers = np.hypot((u * 12) % 1 - 0.5, (v * 8) % 1 - 0.5)
    image[flowers < 0.2] = ochre
    image[flowers < 0.1] = cream
    x, y = (u - 0.5) * 1.1, (v - 0.5) * 0.9
    radius, turn = np.hypot(x, y), np.arctan2(y, x)
    for limit, colour in ((0.30, ink), (0.27, cream), (0.22, red), (0.14, ochre), (0.08, ink)):
        image[radius < limit * (1 + 0.12 * np.cos(8 * turn))] = colour
    return _woven(c, _bordered(image, c, (ink, cream, red, ink, ochre)))


def _rug_blocks(c: Canvas, palette: int) -> Array:
    """A plain modern rug with a few large overlapping blocks."""
    u, v = c.uv
    paper, *inks = PALETTES[palette] / 255
    image = c.filled(tuple(255 * paper))
    for ink in inks[:3]:
        (x, y), (w, h) = c.rng.uniform(0.1, 0.9, 2), c.rng.uniform(0.15, 0.35, 2)
        inside = (np.abs(u - x) < w) & (np.abs(v - y) < h)
        image[inside] = 0.35 * image[inside] + 0.65 * ink
    return _woven(c, image)


def _rug_bands(c: Canvas, palette: int) -> Array:
    """A flat-weave rug with bands of different width."""
    u, _ = c.uv
    inks = PALETTES[palette] / 255
    edges = np.sort(c.rng.uniform(0, 1, 14))
    return _woven(c, inks[np.searchsorted(edges, u) % 5])


def _bordered(image: Array, c: Canvas, colours: tuple[Array, ...]) -> Array:
    u, v = c.uv
    edge = np.minimum(np.minimum(u, 1 - u) * 1.5, np.minimum(v, 1 - v))
    for limit, colour in zip((0.14, 0.125, 0.085, 0.07, 0.04), colours, strict=True):
        image[edge < limit] = colour
    return image


def _woven(c: Canvas, image: Array) -> Array:
    return image * (0.97 + 0.05 * c.noise(1.5, 1.5) + 0.03 * c.noise(20, 20))[..., None]


def _outside_trees(c: Canvas) -> Array:
    """A hazy view through a window: sky over out-of-focus trees."""
    _, v = c.uv
    image = mixed(c.filled((196, 222, 246)), c.filled((244, 248, 250)), np.clip(v / 0.65, 0, 1))
    crowns = 0.62 + 0.05 * c.noise(400, 26) + 0.02 * c.noise(400, 9)
    foliage = c.filled((150, 178, 132)) * (1 + 0.10 * c.noise(12, 12))[..., None]
    return mixed(image, foliage, np.clip((v - crowns) / 0.03, 0, 1))


def _outside_town(c: Canvas) -> Array:
    """A hazy view through a window: pale facades with rows of windows."""
    u, v = c.uv
    image = mixed(c.filled((200, 220, 240)), c.filled((244, 246, 248)), np.clip(v / 0.6, 0, 1))
    edges = np.sort(c.rng.uniform(0, 1, 7))
    house = np.searchsorted(edges, u)
    roof = c.rng.uniform(0.38, 0.62, 8)[house]
    tone = np.array([[222, 214, 200], [206, 196, 188], [226, 206, 186], [204, 210, 214]]) / 255
    facade = tone[house % 4]
    panes = (cell_border(28 * u, 18 * v) > 0.24)[..., None]
    facade = np.where(panes, 0.72 * facade, facade)
    return mixed(image, facade, np.clip((v - roof) / 0.006, 0, 1))


def _outside_sky(c: Canvas) -> Array:
    """Clouds only, as from an upper floor."""
    _, v = c.uv
    image = mixed(c.filled((178, 210, 244)), c.filled((236, 244, 250)), v)
    clouds = np.clip(0.5 * c.noise(30, 90) + 0.2 * c.noise(10, 24), 0, 1)
    return mixed(image, c.filled((252, 252, 252)), 0.8 * clouds)


def _screen(c: Canvas) -> Array:
    """A computer screen: a window with lines of text on a blue desktop."""
    u, v = c.uv
    image = mixed(c.filled((60, 110, 170)), c.filled((110, 160, 200)), v)
    page = (u > 0.12) & (u < 0.80) & (v > 0.12) & (v < 0.86)
    image[page] = 0.96
    image[page & (v < 0.18)] = np.array([70, 74, 84]) / 255
    length = c.rng.uniform(0.35, 0.62, 40)[np.floor(30 * v).astype(int)]
    image[page & (v > 0.22) & (v < 0.82) & ((30 * v) % 1 < 0.45) & (u > 0.16) & (u < 0.16 + length)] = 0.45
    image[v > 0.95] = 0.15
    return image


def _keyboard(c: Canvas) -> Array:
    """Rows of keys on a dark board."""
    u, v = 15 * c.uv[0], 5 * c.uv[1]
    shift = np.array([0, 0.5, 0.75, 0.25, 0])[np.floor(v).astype(int)]
    bar = (np.floor(v) == 4) & (u > 4) & (u < 10)
    gap = np.where(bar, np.minimum(v % 1, 1 - v % 1), cell_border(u + shift, v))
    return tinted(np.where(gap < 0.09, 0.25, 0.92))


def _clock(c: Canvas) -> Array:
    """A clock face with hour marks and two hands at ten past ten."""
    x, y = c.uv[0] - 0.5, c.uv[1] - 0.5
    radius, turn = np.hypot(x, y), np.arctan2(x, -y)
    image = c.filled((248, 246, 240))
    mark = np.abs((turn / (2 * np.pi) * 12 + 0.5) % 1 - 0.5) * radius
    image[(mark < 0.03) & (radius > 0.37) & (radius < 0.45)] = 0.12
    for angle, length, width in ((-60, 0.24, 0.016), (60, 0.34, 0.011)):
        dx, dy = np.sin(np.radians(angle)), -np.cos(np.radians(angle))
        along = x * dx + y * dy
        image[(np.abs(x * dy - y * dx) < width) & (along > -0.04) & (along < length)] = 0.1
    return image


def _books(c: Canvas) -> Array:
    """Book spines side by side."""
    u, v = c.uv
    edges = np.cumsum(c.rng.uniform(0.6, 1.6, 22))
    book = np.searchsorted(edges / edges[-1], u)
    colours = c.rng.choice(PALETTES.reshape(-1, 3), 23) / 255
    image = colours[book]
    label = np.abs(v - c.rng.uniform(0.25, 0.5, 23)[book]) < 0.05
    image = np.where(label[..., None], 0.5 * image + 0.45, image)
    seam = np.abs(u[..., None] - (edges / edges[-1])).min(-1) < 0.004
    return np.where(seam[..., None], 0.3 * image, image)


ART = tuple(f"art_{kind}_{p}" for kind in ("shapes", "hills", "fields", "plant") for p in range(len(PALETTES)))
RUGS = tuple(f"rug_{kind}_{p}" for kind in ("diamonds", "medallion", "blocks", "bands") for p in range(len(PALETTES)))
VIEWS = ("outside", "outside_town", "outside_sky")
_VARIED = {
    "art_shapes": _art_shapes,
    "art_hills": _art_hills,
    "art_fields": _art_fields,
    "art_plant": _art_plant,
    "rug_diamonds": _rug_diamonds,
    "rug_medallion": _rug_medallion,
    "rug_blocks": _rug_blocks,
    "rug_bands": _rug_bands,
}
PICTURES: dict[str, Callable[[Canvas], Array]] = {
    **{name: partial(_VARIED[name[:-2]], palette=int(name[-1])) for name in ART + RUGS},
    "landscape": partial(_art_hills, palette=0),
    "shapes": partial(_art_shapes, palette=0),
    "rug": partial(_rug_diamonds, palette=0),
    "outside": _outside_trees,
    "outside_town": _outside_town,
    "outside_sky": _outside_sky,
    "screen": _screen,
    "keyboard": _keyboard,
    "clock": _clock,
    "books": _books,
}
