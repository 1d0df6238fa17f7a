"""Procedural textures by name: seamless surfaces here, pictures in `texture_pictures`.

A texture depends on its name and size only, so a process makes each one once, whatever rooms it renders. Materials
choose among the variants by name; colours come from the material and are multiplied in.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache, partial

import numpy as np

from .texture_noise import Array, Canvas, cell_border, tinted
from .texture_pictures import PICTURES


def _plain(c: Canvas) -> Array:
    return np.ones((c.size, c.size, 3))


def _plaster(c: Canvas) -> Array:
    return tinted(0.95 + 0.007 * c.noise(3, 3) + 0.004 * c.noise(40, 40))


def _grain(c: Canvas, rings: float = 14, wave: float = 0.55) -> Array:
    """Wood grain along u, about zero mean."""
    _, v = c.uv
    lines = np.sin(2 * np.pi * (rings * v + wave * c.noise(30, 160)))
    return 0.35 * lines + 0.45 * c.noise(1.2, 60) + 0.5 * c.noise(5, 140)


def _wood(c: Canvas, rings: float = 14, wave: float = 0.55, contrast: float = 0.045) -> Array:
    value = 0.88 + contrast * _grain(c, rings, wave)
    return np.stack([value, value - 0.012 + 0.25 * (value - 0.88), value - 0.03 + 0.5 * (value - 0.88)], -1)


def _planks(c: Canvas, rows: int = 16, spread: float = 0.055, joint: float = 0.72) -> Array:
    """Floor boards along u: two boards to a row, thin dark joints."""
    grain, pitch, size = _grain(c), c.size // rows, c.size
    value, warmth = np.zeros((size, size)), np.zeros((size, size))
    line = max(1, size // 512)
    for row in range(rows):
        band = slice(row * pitch, (row + 1) * pitch)
        start = int(c.rng.integers(size))
        for begin in (start, start + size // 2):
            columns = np.arange(begin, begin + size // 2) % size
            top, left = c.rng.integers(size - pitch), c.rng.integers(size)
            value[band, columns] = 0.82 + spread * c.rng.standard_normal()
            value[band, columns] += 0.05 * grain[top : top + pitch][:, (columns + left) % size]
            warmth[band, columns] = 0.010 * c.rng.standard_normal()
            value[band, columns[:line]] *= joint
        value[row * pitch : row * pitch + line] *= joint
    return np.stack([value + warmth, value - 0.01, value - 0.03 - warmth], -1)


def _parquet(c: Canvas, cells: int = 4, strips: int = 4) -> Array:
    """Squares of short strips whose direction alternates."""
    u, v = (cells * a for a in c.uv)
    turned = (np.floor(u) + np.floor(v)) % 2 == 1
    across = np.where(turned, u, v) * strips
    tone = c.rng.normal(0.84, 0.045, (cells, cells, strips))
    strip = np.floor(across % strips).astype(int) % strips
    value = tone[np.floor(v).astype(int) % cells, np.floor(u).astype(int) % cells, strip]
    grain = _grain(c)
    value = value + 0.04 * np.where(turned, grain.T, grain)
    value = value * np.where((across % 1 < 0.05) | (cell_border(u, v) < 0.012), 0.74, 1)
    return np.stack([value, value - 0.012, value - 0.035], -1)


def _herringbone(c: Canvas, cells: int = 8) -> Array:
    """Boards four times as long as wide, laid in a zigzag; it closes where `cells` is a multiple of eight."""
    u, v = (cells * a for a in c.uv)
    column, row = np.floor(u).astype(int), np.floor(v).astype(int)
    phase = (column - row) % 8
    level = phase < 4
    begin = np.where(level, column - phase, row + phase - 7) % cells
    board = (np.where(level, row, column) % cells) * cells + begin
    tone = c.rng.normal(0.84, 0.045, (2, cells * cells))[level.astype(int), board]
    side = np.where(level, v % 1, u % 1)
    end = np.where(level, np.where(phase == 0, u % 1, 1), np.where(phase == 7, v % 1, 1))
    grain = _grain(c)
    value = (tone + 0.04 * np.where(level, grain, grain.T)) * np.where((side < 0.06) | (end < 0.06), 0.74, 1)
    return np.stack([value, value - 0.012, value - 0.035], -1)


def _fabric(c: Canvas, threads: int = 64, weave: float = 0.05, fuzz: float = 0.03, cloudy: float = 0.008) -> Array:
    u, v = c.uv
    pattern = np.sin(2 * np.pi * threads * u) * np.sin(2 * np.pi * threads * v)
    return tinted(0.88 + weave * pattern + fuzz * c.noise(1.5, 1.5) + cloudy * c.noise(24, 24))


def _twill(c: Canvas) -> Array:
    u, v = c.uv
    diagonal = np.sin(2 * np.pi * 48 * (u + v))
    return tinted(0.87 + 0.05 * diagonal + 0.03 * c.noise(1.5, 1.5) + 0.008 * c.noise(30, 30))


def _boucle(c: Canvas) -> Array:
    return tinted(0.86 + 0.05 * np.tanh(1.5 * c.noise(6, 6)) + 0.025 * c.noise(2, 2))


def _corduroy(c: Canvas) -> Array:
    u, _ = c.uv
    rib = np.abs(np.sin(np.pi * 48 * u))
    return tinted(0.76 + 0.17 * rib + 0.02 * c.noise(1.5, 1.5))


def _leather(c: Canvas) -> Array:
    crease = np.abs(c.noise(7, 7))
    return tinted(0.90 - 0.09 * np.exp(-crease / 0.12) + 0.02 * c.noise(60, 60))


def _stripes(c: Canvas, bands: int = 8, dark: float = 0.62, sharpness: float = 8) -> Array:
    u, _ = c.uv
    band = 0.5 + 0.5 * np.tanh(sharpness * np.sin(2 * np.pi * bands * u))
    return tinted(dark + (0.96 - dark) * band + 0.015 * c.noise(1.5, 1.5))


def _plaid(c: Canvas) -> Array:
    u, v = c.uv
    bands = sum(np.where(np.abs((4 * t) % 1 - 0.5) < 0.22, 0.13, 0) for t in (u, v))
    thin = sum(np.where(np.abs((4 * t + 0.5) % 1 - 0.5) < 0.03, 0.10, 0) for t in (u, v))
    return tinted(0.94 - bands - thin + 0.02 * c.noise(1.5, 1.5))


def _dots(c: Canvas) -> Array:
    u, v = (8 * a for a in c.uv)
    radius = np.hypot((u + 0.5 * (np.floor(v) % 2)) % 1 - 0.5, v % 1 - 0.5)
    return tinted(0.93 - 0.25 * np.clip((0.22 - radius) / 0.04, 0, 1) + 0.015 * c.noise(1.5, 1.5))


def _carpet(c: Canvas, tuft: float = 2.5, cloudy: float = 0.02) -> Array:
    return tinted(0.84 + 0.06 * c.noise(tuft, tuft) + cloudy * c.noise(40, 40) + 0.02 * c.noise(10, 10))


def _carpet_loop(c: Canvas) -> Array:
    u, v = (64 * a for a in c.uv)
    loop = np.sin(np.pi * (u + 0.5 * (np.floor(v) % 2))) ** 2 * np.sin(np.pi * v) ** 2
    return tinted(0.74 + 0.18 * loop + 0.03 * c.noise(8, 8))


def _stone(c: Canvas, speckle: float = 0.05, flecks: float = 0.12) -> Array:
    fine = c.noise(2, 2)
    return tinted(0.86 + 0.03 * c.noise(30, 30) + speckle * np.tanh(fine) - flecks * (fine > 2.1), (1, 0.99, 0.97))


def _marble(c: Canvas) -> Array:
    veins = np.exp(-np.abs(c.noise(60, 60) + 0.3 * c.noise(15, 15)) / 0.06)
    return tinted(0.95 - 0.13 * veins + 0.015 * c.noise(80, 80), (1, 0.995, 0.985))


def _concrete(c: Canvas) -> Array:
    return tinted(0.85 + 0.025 * c.noise(60, 60) + 0.02 * c.noise(12, 12) + 0.012 * c.noise(1.5, 1.5))


def _terrazzo(c: Canvas) -> Array:
    base = tinted(0.92 + 0.01 * c.noise(4, 4))
    for tint in ((0.62, 0.55, 0.50), (0.80, 0.62, 0.50), (0.45, 0.50, 0.52), (0.78, 0.78, 0.74)):
        chips = c.noise(7, 7) > 1.75
        base[chips] = np.asarray(tint) * c.rng.uniform(0.95, 1.1)
    return base


def _tiles(c: Canvas, across: int = 4, down: int = 8, bond: float = 0.5, spread: float = 0.018) -> Array:
    """Wall or floor tiles with recessed grout; `bond` shifts every second row by that share of a tile."""
    u, v = c.uv
    row = np.floor(down * v)
    column = across * u + bond * (row % 2)
    tone = c.rng.normal(0.92, spread, (down, across))[row.astype(int), np.floor(column).astype(int) % across]
    ratio = down / across
    edge = np.minimum(np.minimum(column % 1, 1 - column % 1) * ratio, np.minimum((down * v) % 1, 1 - (down * v) % 1))
    return tinted(np.where(edge < 0.0045 * down, 0.74, tone) + 0.006 * c.noise(20, 20), (1, 0.995, 0.98))


def _checker(c: Canvas) -> Array:
    u, v = (4 * a for a in c.uv)
    dark = (np.floor(u) + np.floor(v)) % 2 == 1
    value = np.where(dark, 0.45, 0.93) + 0.015 * c.noise(20, 20)
    return tinted(np.where(cell_border(u, v) < 0.012, 0.66, value))


def _hexagons(c: Canvas, across: int = 7, down: int = 8) -> Array:
    """Honeycomb tiles: each pixel belongs to the nearest centre, and grout runs where two are equally near."""
    pitch = np.sqrt(3) / 2
    x, y = across * c.uv[0], down * pitch * c.uv[1]
    nearest, next_nearest = np.full(x.shape, 9.0), np.full(x.shape, 9.0)
    for row in range(-1, down + 1):
        offset = 0.5 * (row % 2)
        for shift in (-0.5, 0.5):
            centre = np.floor(x - offset) + 0.5 + shift + offset
            distance = np.hypot(x - centre, y - (row + 0.5) * pitch)
            next_nearest = np.minimum(next_nearest, np.maximum(nearest, distance))
            nearest = np.minimum(nearest, distance)
    return tinted(np.where(next_nearest - nearest < 0.07, 0.72, 0.92) + 0.008 * c.noise(30, 30), (1, 0.995, 0.98))


def _brick(c: Canvas) -> Array:
    image = _tiles(c, 4, 12, 0.5, 0.06)
    return image * (1 + 0.05 * c.noise(3, 3))[..., None]


def _damask(c: Canvas) -> Array:
    """Wallpaper with rows of stylised leaves, tone on tone."""
    u, v = (4 * a for a in c.uv)
    x, y = (u + 0.5 * (np.floor(v) % 2)) % 1 - 0.5, v % 1 - 0.5
    drop = np.hypot(2.4 * x, 1.5 * y) + 0.25 * y
    petals = 0.33 + 0.10 * np.cos(5 * np.arctan2(y, x))
    figure = np.clip((petals - drop) / 0.03, 0, 1)
    return tinted(0.95 - 0.07 * figure + 0.006 * c.noise(3, 3))


def _trellis(c: Canvas) -> Array:
    u, v = (6 * a for a in c.uv)
    wave = np.minimum(np.abs(np.sin(np.pi * (u + v))), np.abs(np.sin(np.pi * (u - v))))
    return tinted(0.95 - 0.09 * np.clip((0.12 - wave) / 0.05, 0, 1) + 0.006 * c.noise(3, 3))


def _wicker(c: Canvas) -> Array:
    u, v = (24 * a for a in c.uv)
    over = (np.floor(u) + np.floor(v)) % 2 == 1
    strand = np.where(over, np.sin(np.pi * (u % 1)), np.sin(np.pi * (v % 1)))
    return tinted(0.60 + 0.34 * strand + 0.03 * c.noise(2, 2), (1, 0.98, 0.94))


def _leaf(c: Canvas) -> Array:
    u, v = c.uv
    rib = np.exp(-(((v - 0.5) / 0.02) ** 2))
    veins = 0.5 + 0.5 * np.sin(2 * np.pi * (12 * u - 6 * np.abs(v - 0.5)))
    return tinted(0.74 + 0.10 * veins + 0.14 * rib + 0.02 * c.noise(8, 8), (0.95, 1, 0.9))


def _brushed(c: Canvas) -> Array:
    return tinted(0.93 + 0.025 * c.noise(0.6, 80))


SURFACES: dict[str, Callable[[Canvas], Array]] = {
    "plain": _plain,
    "plaster": _plaster,
    "wood": _wood,
    "wood_fine": partial(_wood, rings=26, wave=0.25, contrast=0.03),
    "wood_bold": partial(_wood, rings=8, wave=0.9, contrast=0.075),
    "planks": _planks,
    "planks_wide": partial(_planks, rows=8, spread=0.035, joint=0.62),
    "planks_mixed": partial(_planks, rows=16, spread=0.10, joint=0.66),
    "parquet": _parquet,
    "herringbone": _herringbone,
    "fabric": _fabric,
    "linen": partial(_fabric, threads=80, weave=0.03, fuzz=0.05, cloudy=0.012),
    "velvet": partial(_fabric, threads=1, weave=0.0, fuzz=0.012, cloudy=0.02),
    "twill": _twill,
    "boucle": _boucle,
    "corduroy": _corduroy,
    "leather": _leather,
    "stripes": _stripes,
    "pinstripes": partial(_stripes, bands=24, dark=0.80, sharpness=3),
    "plaid": _plaid,
    "dots": _dots,
    "carpet": _carpet,
    "carpet_shag": partial(_carpet, tuft=5, cloudy=0.035),
    "carpet_loop": _carpet_loop,
    "stone": _stone,
    "granite": partial(_stone, speckle=0.10, flecks=0.25),
    "marble": _marble,
    "concrete": _concrete,
    "terrazzo": _terrazzo,
    "tiles": _tiles,
    "tiles_square": partial(_tiles, across=4, down=4, bond=0.0),
    "tiles_large": partial(_tiles, across=2, down=2, bond=0.0, spread=0.01),
    "tiles_small": partial(_tiles, across=12, down=12, bond=0.0, spread=0.035),
    "tiles_checker": _checker,
    "tiles_hexagon": _hexagons,
    "brick": _brick,
    "wallpaper_stripes": partial(_stripes, bands=6, dark=0.89, sharpness=12),
    "wallpaper_damask": _damask,
    "wallpaper_trellis": _trellis,
    "wicker": _wicker,
    "leaf": _leaf,
    "brushed": _brushed,
}
MAKERS: dict[str, Callable[[Canvas], Array]] = {**SURFACES, **PICTURES}


@lru_cache(maxsize=256)
def texture(name: str, size: int) -> Array:
    """One texture as read-only uint8 (size, size, RGB), sRGB, row 0 on top; made once per process.

    Raises KeyError for a name that is not in `MAKERS`.
    """
    canvas = Canvas(size, (zlib.crc32(name.encode()),))
    image = np.clip(MAKERS[name](canvas) * 255 + 0.5, 0, 255).astype(np.uint8)
    image.flags.writeable = False
    return image


def texture_stack(names: Sequence[str], size: int) -> Array:
    """The named textures as one uint8 array (layer, row, column, RGB)."""
    return np.stack([texture(name, size) for name in names])
