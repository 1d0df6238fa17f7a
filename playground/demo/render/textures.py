"""Procedural textures: each is a square sRGB image made from seeded noise, and all but the pictures tile seamlessly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.ndimage import gaussian_filter

SIZE = 1024
Array = np.ndarray


def _noise(rng: np.random.Generator, sigma_rows: float, sigma_columns: float) -> Array:
    """Tileable noise with zero mean and unit deviation, blurred by a Gaussian along rows and columns (in pixels)."""
    blurred = gaussian_filter(rng.standard_normal((SIZE, SIZE)), (sigma_rows, sigma_columns), mode="wrap")
    return (blurred - blurred.mean()) / blurred.std()


def _grey(values: Array, tint: tuple[float, float, float] = (1, 1, 1)) -> Array:
    """A grey image (height, width) as RGB, with a tint multiplied in."""
    return values[..., None] * np.asarray(tint, float)


def _coordinates() -> tuple[Array, Array]:
    """Pixel-centre coordinates u (along a row) and v (down the rows) in 0..1."""
    t = (np.arange(SIZE) + 0.5) / SIZE
    return np.meshgrid(t, t)


def _plain(rng: np.random.Generator) -> Array:
    return np.ones((SIZE, SIZE, 3))


def _plaster(rng: np.random.Generator) -> Array:
    return _grey(0.95 + 0.007 * _noise(rng, 3, 3) + 0.003 * _noise(rng, 40, 40))


def _grain(rng: np.random.Generator) -> Array:
    """Wood grain along u, about zero mean."""
    wavy = _noise(rng, 30, 160)
    rows = np.arange(SIZE)[:, None] / SIZE
    rings = np.sin(2 * np.pi * (14 * rows + 0.55 * wavy))
    return 0.35 * rings + 0.45 * _noise(rng, 1.2, 60) + 0.5 * _noise(rng, 5, 140)


def _wood(rng: np.random.Generator) -> Array:
    value = 0.88 + 0.045 * _grain(rng)
    return np.stack([value, value - 0.012 + 0.25 * (value - 0.88), value - 0.03 + 0.5 * (value - 0.88)], -1)


def _planks(rng: np.random.Generator) -> Array:
    """Floor boards along u: 16 rows to a tile, two boards to a row, thin dark joints."""
    grain, rows, pitch = _grain(rng), 16, SIZE // 16
    value, warmth = np.zeros((SIZE, SIZE)), np.zeros((SIZE, SIZE))
    joint = np.ones((SIZE, SIZE))
    for row in range(rows):
        band = slice(row * pitch, (row + 1) * pitch)
        start = int(rng.integers(SIZE))
        for begin, length in ((start, SIZE // 2), (start + SIZE // 2, SIZE // 2)):
            columns = np.arange(begin, begin + length) % SIZE
            top, left = rng.integers(SIZE - pitch), rng.integers(SIZE)
            piece = grain[top : top + pitch][:, (columns + left) % SIZE]
            value[band, columns] = 0.82 + 0.055 * rng.standard_normal() + 0.05 * piece
            warmth[band, columns] = 0.010 * rng.standard_normal()
            joint[band, columns[:2]] = 0.72
        joint[row * pitch : row * pitch + 2] = 0.72
    value = value * joint
    return np.stack([value + warmth, value - 0.01, value - 0.03 - warmth], -1)


def _fabric(rng: np.random.Generator) -> Array:
    u, v = _coordinates()
    weave = np.sin(2 * np.pi * 128 * u) * np.sin(2 * np.pi * 128 * v)
    return _grey(0.88 + 0.045 * weave + 0.03 * _noise(rng, 1, 1) + 0.008 * _noise(rng, 24, 24))


def _stripes(rng: np.random.Generator) -> Array:
    u, _ = _coordinates()
    band = 0.5 + 0.5 * np.tanh(8 * np.sin(2 * np.pi * 8 * u))
    return _grey(0.62 + 0.34 * band + 0.02 * _noise(rng, 1, 1))


def _stone(rng: np.random.Generator) -> Array:
    speckle = _noise(rng, 1.5, 1.5)
    return _grey(0.86 + 0.03 * _noise(rng, 30, 30) + 0.05 * np.tanh(speckle) - 0.12 * (speckle > 2.1), (1, 0.99, 0.97))


def _tiles(rng: np.random.Generator) -> Array:
    """Brick-bonded wall tiles, eight rows to a tile of the texture, with recessed grout."""
    u, v = _coordinates()
    row = np.floor(8 * v)
    across = 4 * u + 0.5 * (row % 2)
    tone = rng.normal(0.92, 0.018, (8, 4))[row.astype(int), np.floor(across).astype(int) % 4]
    edge = np.minimum(np.minimum(across % 1, 1 - across % 1) * 2, np.minimum((8 * v) % 1, 1 - (8 * v) % 1))
    return _grey(np.where(edge < 0.035, 0.74, tone), (1, 0.995, 0.98))


def _rug(rng: np.random.Generator) -> Array:
    """A woven rug shown once: banded border and a field of diamonds."""
    u, v = _coordinates()
    cream, clay, ink, ochre = np.array([[232, 222, 203], [176, 92, 70], [62, 74, 92], [206, 160, 90]]) / 255
    image = np.broadcast_to(cream, (SIZE, SIZE, 3)).copy()
    a, b = (u * 6) % 1 - 0.5, (v * 4) % 1 - 0.5
    diamond = np.abs(a) + np.abs(b)
    image[diamond < 0.42] = clay
    image[diamond < 0.32] = cream
    image[diamond < 0.22] = ink
    image[diamond < 0.10] = ochre
    edge = np.minimum(np.minimum(u, 1 - u) * 1.5, np.minimum(v, 1 - v))
    for limit, colour in ((0.14, cream), (0.125, ink), (0.085, ochre), (0.07, cream), (0.04, clay)):
        image[edge < limit] = colour
    pile = 1 + 0.05 * _noise(rng, 1, 1) + 0.03 * _noise(rng, 20, 20)
    return image * pile[..., None] * 0.97


def _leaf(rng: np.random.Generator) -> Array:
    u, v = _coordinates()
    rib = np.exp(-(((v - 0.5) / 0.02) ** 2))
    veins = 0.5 + 0.5 * np.sin(2 * np.pi * (12 * u - 6 * np.abs(v - 0.5)))
    return _grey(0.74 + 0.10 * veins + 0.14 * rib + 0.02 * _noise(rng, 8, 8), (0.95, 1, 0.9))


def _landscape(rng: np.random.Generator) -> Array:
    """An abstract landscape: a sun over layered hills."""
    u, v = _coordinates()
    top, low = np.array([238, 205, 160]) / 255, np.array([244, 232, 210]) / 255
    image = top + (low - top) * np.clip(v[..., None] / 0.6, 0, 1)
    image[(u - 0.66) ** 2 + (v - 0.30) ** 2 < 0.011] = np.array([206, 96, 62]) / 255
    colours = ([150, 168, 168], [104, 134, 138], [72, 100, 106], [44, 66, 76])
    for layer, colour in enumerate(colours):
        phase = rng.uniform(0, 6.28, 3)
        ridge = sum(np.sin(2 * np.pi * (k + 1) * u + phase[k]) / (k + 1.5) for k in range(3))
        image[v > 0.48 + 0.12 * layer + 0.05 * ridge] = np.array(colour) / 255
    return image * (1 + 0.03 * _noise(rng, 2, 2))[..., None]


def _shapes(rng: np.random.Generator) -> Array:
    """A modernist composition of discs and bars."""
    u, v = _coordinates()
    image = np.broadcast_to(np.array([240, 234, 222]) / 255, (SIZE, SIZE, 3)).copy()
    image[(u > 0.18) & (u < 0.46) & (v > 0.20) & (v < 0.82)] = np.array([54, 92, 104]) / 255
    image[(u - 0.58) ** 2 + (v - 0.40) ** 2 < 0.05] = np.array([214, 150, 60]) / 255
    image[(u - 0.62) ** 2 + (v - 0.70) ** 2 < 0.018] = np.array([180, 74, 58]) / 255
    image[(np.abs(v - 0.55 - 0.15 * u) < 0.008) & (u > 0.1) & (u < 0.9)] = 0.15
    return image * (1 + 0.02 * _noise(rng, 2, 2))[..., None]


def _outside(rng: np.random.Generator) -> Array:
    """A hazy view through a window: sky over out-of-focus trees."""
    _, v = _coordinates()
    high, low = np.array([196, 222, 246]) / 255, np.array([244, 248, 250]) / 255
    image = high + (low - high) * np.clip(v[..., None] / 0.65, 0, 1)
    crowns = 0.62 + 0.05 * _noise(rng, 400, 26) + 0.02 * _noise(rng, 400, 9)
    edge = np.clip((v - crowns) / 0.03, 0, 1)[..., None]
    foliage = np.array([150, 178, 132]) / 255 * (1 + 0.10 * _noise(rng, 12, 12))[..., None]
    return image * (1 - edge) + foliage * edge


MAKERS: dict[str, Callable[[np.random.Generator], Array]] = {
    "plain": _plain,
    "plaster": _plaster,
    "wood": _wood,
    "planks": _planks,
    "fabric": _fabric,
    "stripes": _stripes,
    "stone": _stone,
    "tiles": _tiles,
    "rug": _rug,
    "leaf": _leaf,
    "landscape": _landscape,
    "shapes": _shapes,
    "outside": _outside,
}
LAYERS = {name: layer for layer, name in enumerate(MAKERS)}


def texture_stack(seed: int) -> Array:
    """All textures as one uint8 array (layer, row, column, RGB), in the order of `LAYERS`."""
    images = [maker(np.random.default_rng([seed, layer])) for layer, maker in enumerate(MAKERS.values())]
    return np.stack([np.clip(image * 255 + 0.5, 0, 255).astype(np.uint8) for image in images])
