"""Materials drawn from palettes: woods, cloths, paints, metals and glazes that go together in a home."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from ..shapes import Material

Item = TypeVar("Item")

WOODS = ("#c08c5a", "#7d5638", "#d9b48a", "#a06c42", "#5a3d2b", "#e4c9a4", "#8b4f33")
CLOTHS = ("#5c7f92", "#c9963c", "#8a8d8f", "#b5553f", "#4f6b57", "#d8cdbb", "#3f4a5a", "#7a5a6e", "#a9b7a0", "#6b5a4c")
BRIGHTS = ("#d9a441", "#c4694c", "#efe6d6", "#3f7f86", "#8fa65a", "#b04a5a", "#5d6fa8", "#e0b7a4", "#46525c", "#d97f3a")
LINENS = ("#f3f0ea", "#dfe6ea", "#e9dfcc", "#c7d3cc", "#d9c7c0", "#b9c4d4")
PAINTS = ("#f1efea", "#e7e2d6", "#7f9484", "#46545f", "#c9d0cf", "#b7a78f", "#8fa3ad", "#3b4a43")
GLAZES = ("#7fa3a0", "#d08a4e", "#e9e4da", "#33454f", "#b23a2a", "#93a58b", "#d7b45a", "#5a6f9a", "#2f2f31")

WHITE = Material("#f1efea", "plain", 1.0, 0.2)
CERAMIC = Material("#f7f7f4", "plain", 1.0, 0.6)
PAPER = Material("#f4f1ea")
STEEL = Material("#b9bdc0", "brushed", 1.0, 0.5)
CHROME = Material("#cfd4d8", "plain", 1.0, 0.8)
BLACK_METAL = Material("#2b2c2e", "plain", 1.0, 0.35)
BLACK_PLASTIC = Material("#202224", "plain", 1.0, 0.3)
GREY_PLASTIC = Material("#6d7175", "plain", 1.0, 0.25)
BRASS = Material("#b5904c", "plain", 1.0, 0.6)
SCREEN = Material("#0b0d11", "plain", 1.0, 0.9)
RUBBER = Material("#1d1d1f", "plain", 1.0, 0.1)
GLOW = Material("#fff2da", emission=1.8)
SHADOW = Material("#3a3b3c", "plain", 1.0, 0.1)


def pick(rng: np.random.Generator, items: Sequence[Item]) -> Item:
    """One of the items, all equally likely."""
    return items[int(rng.integers(len(items)))]


def shade(rng: np.random.Generator, hex_colour: str, spread: float = 0.06) -> str:
    """The colour made a little lighter or darker."""
    factor = 1 + rng.uniform(-spread, spread)
    values = [min(255, round(int(hex_colour[i : i + 2], 16) * factor)) for i in (1, 3, 5)]
    return "#" + "".join(f"{value:02x}" for value in values)


def wood(rng: np.random.Generator) -> Material:
    """A wood between maple and wenge."""
    return Material(shade(rng, pick(rng, WOODS)), pick(rng, ("wood", "wood_fine", "wood_bold")), 1.1, 0.25)


def paint(rng: np.random.Generator) -> Material:
    """A satin lacquer."""
    return Material(shade(rng, pick(rng, PAINTS), 0.03), "plain", 1.0, 0.2)


def wood_or_paint(rng: np.random.Generator) -> Material:
    """Wood twice as often as lacquer."""
    return wood(rng) if rng.random() < 0.67 else paint(rng)


def cloth(rng: np.random.Generator) -> Material:
    """An upholstery fabric or, now and then, leather."""
    if rng.random() < 0.15:
        return Material(shade(rng, pick(rng, ("#7a4a2f", "#3a2c26", "#a8744a", "#2a2b2d"))), "leather", 1.0, 0.3)
    weave = pick(rng, ("fabric", "linen", "velvet", "twill", "boucle", "corduroy"))
    return Material(shade(rng, pick(rng, CLOTHS)), weave, 1.6)


def bright_cloth(rng: np.random.Generator) -> Material:
    """A cheerful fabric, plain or striped, for pillows, towels and bags."""
    weave = pick(rng, ("fabric", "fabric", "linen", "stripes", "pinstripes", "plaid", "dots"))
    return Material(shade(rng, pick(rng, BRIGHTS)), weave, 1.5)


def linen(rng: np.random.Generator) -> Material:
    """A pale bed or curtain fabric."""
    return Material(shade(rng, pick(rng, LINENS), 0.03), pick(rng, ("linen", "linen", "pinstripes")), 1.4)


def glaze(rng: np.random.Generator) -> Material:
    """A glossy ceramic glaze."""
    return Material(shade(rng, pick(rng, GLAZES)), "plain", 1.0, 0.5)


def metal(rng: np.random.Generator) -> Material:
    """Black, brushed or brass-coloured metal."""
    return pick(rng, (BLACK_METAL, BLACK_METAL, STEEL, BRASS))


def appliance(rng: np.random.Generator) -> Material:
    """The enamel or steel of kitchen machines."""
    return pick(rng, (CERAMIC, STEEL, Material("#d3d7d9", gloss=0.45), Material("#34383c", gloss=0.4)))
