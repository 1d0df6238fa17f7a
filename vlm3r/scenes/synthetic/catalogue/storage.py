"""Cupboards, drawers and shelves."""

from __future__ import annotations

import itertools

import numpy as np

from ..shapes import Material, Solid, placed, rotation
from .finishes import BLACK_METAL, WHITE, metal, paint, pick, shade, wood, wood_or_paint
from .kind import Kind
from .parts import Span, ball, bar_grip, block, corners, tube

COVERS = ("#7a2e2b", "#274b5e", "#d7c8a4", "#3f5b45", "#c98b3b", "#ded9ce", "#4b3b57", "#a8593f", "#30343b", "#8aa0a8")


def _feet(rng: np.random.Generator, half: float, deep: float, material: Material) -> tuple[Solid, float]:
    """A plinth or four legs below a cupboard, and the height at which its body starts."""
    if rng.random() < 0.5:
        return block((-half + 0.02, half - 0.02), (-deep + 0.04, deep - 0.01), (0, 0.06), BLACK_METAL), 0.06
    rise, solid = rng.uniform(0.10, 0.16), []
    for x, y in corners(half - 0.06, deep - 0.05):
        solid += tube([(1.02 * x, 1.05 * y, 0), (x, y, rise + 0.01)], (0.012, 0.02), material)
    return solid, rise


def _drawers(x: Span, z: Span, rows: int, face: float, front: Material, grip: Material | None) -> Solid:
    """`rows` drawer fronts, one above the other, before the plane y = `face`, with bars, or knobs if `grip` is None."""
    solid: Solid = []
    edges, middle = np.linspace(*z, rows + 1), (x[0] + x[1]) / 2
    for low, high in itertools.pairwise(edges):
        solid += block((x[0] + 0.004, x[1] - 0.004), (face - 0.018, face), (low + 0.004, high - 0.004), front)
        if grip is None:
            solid += ball((middle, face - 0.03, (low + high) / 2), 0.016, BLACK_METAL, around=8)
        else:
            reach = min(0.09, 0.3 * (x[1] - x[0]))
            solid += bar_grip((middle - reach, middle + reach), face - 0.018, (low + high) / 2, grip)
    return solid


def _door(x: Span, z: Span, face: float, front: Material, grip: Material, hinge: int, panel: bool) -> Solid:
    """A cupboard door before the plane y = `face`, its upright handle away from the `hinge` side (-1 left, 1 right)."""
    solid = block((x[0] + 0.003, x[1] - 0.003), (face - 0.018, face), (z[0] + 0.003, z[1] - 0.003), front)
    if panel:
        rim = 0.07
        solid += block((x[0] + rim, x[1] - rim), (face - 0.026, face - 0.018), (z[0] + rim, z[1] - rim), front, 0.006)
    at = x[0] + 0.035 if hinge > 0 else x[1] - 0.035
    middle = min((z[0] + z[1]) / 2, z[0] + 1.0)
    reach = min(0.11, 0.25 * (z[1] - z[0]))
    solid += block((at - 0.006, at + 0.006), (face - 0.05, face - 0.038), (middle - reach, middle + reach), grip)
    for end in (middle - reach + 0.012, middle + reach - 0.012):
        solid += block((at - 0.005, at + 0.005), (face - 0.04, face - 0.018), (end - 0.005, end + 0.005), grip)
    return solid


def nightstand(rng: np.random.Generator) -> Solid:
    """A bedside cabinet with one to three drawers, the upper part sometimes an open compartment."""
    body, height = wood_or_paint(rng), rng.uniform(0.45, 0.62)
    front, grip = (body if rng.random() < 0.6 else WHITE), (metal(rng) if rng.random() < 0.5 else None)
    half, deep = rng.uniform(0.20, 0.28), rng.uniform(0.18, 0.22)
    solid, low = _feet(rng, half, deep, body)
    solid += block((-half, half), (-deep, deep), (height - 0.022, height), body, 0.005)
    top = height - 0.022
    if rng.random() < 0.4:
        top -= 0.16
        for side in (-1, 1):
            x = sorted((side * (half - 0.02), side * (half - 0.001)))
            solid += block((x[0], x[1]), (-deep + 0.02, deep - 0.002), (top, height - 0.02), body)
        solid += block((-half + 0.01, half - 0.01), (deep - 0.015, deep - 0.003), (top, height - 0.02), body)
    solid += block((-half + 0.001, half - 0.001), (-deep + 0.02, deep - 0.002), (low, top), body)
    return solid + _drawers((-half, half), (low, top), int(rng.integers(1, 3)), -deep + 0.02, front, grip)


def dresser(rng: np.random.Generator) -> Solid:
    """A chest of drawers: one to three columns, three to five rows."""
    body, columns = wood_or_paint(rng), int(rng.integers(1, 4))
    front, grip = (body if rng.random() < 0.6 else WHITE), (metal(rng) if rng.random() < 0.5 else None)
    half, deep = (0.24, 0.40, 0.62)[columns - 1] * rng.uniform(0.92, 1.12), rng.uniform(0.20, 0.26)
    rows = int(rng.integers(3, 6)) if columns < 3 else 3
    height = 0.12 + rows * rng.uniform(0.19, 0.23)
    solid, low = _feet(rng, half, deep, body)
    solid += block((-half, half), (-deep + 0.02, deep), (low, height - 0.024), body)
    solid += block((-half - 0.008, half + 0.008), (-deep, deep), (height - 0.024, height), body, 0.005)
    for k in range(columns):
        x = (-half + 2 * half * k / columns, -half + 2 * half * (k + 1) / columns)
        solid += _drawers(x, (low + 0.01, height - 0.03), rows, -deep + 0.02, front, grip)
    return solid


def tv_cabinet(rng: np.random.Generator) -> Solid:
    """A low board for a television: drawers, doors and open compartments side by side."""
    body, grip = wood_or_paint(rng), metal(rng)
    front = pick(rng, (WHITE, body, paint(rng)))
    half, deep, height = rng.uniform(0.6, 0.95), rng.uniform(0.19, 0.24), rng.uniform(0.42, 0.58)
    solid, low = _feet(rng, half, deep, body)
    solid += block((-half, half), (-deep, deep), (height - 0.025, height), body, 0.004)
    solid += block((-half + 0.001, half - 0.001), (-deep + 0.02, deep), (low, low + 0.022), body)
    solid += block((-half + 0.001, half - 0.001), (deep - 0.015, deep - 0.001), (low, height - 0.02), body)
    bays = int(rng.integers(2, 5))
    edges = np.linspace(-half, half, bays + 1)
    for x in edges:
        at = np.clip(x, -half + 0.011, half - 0.011)
        solid += block((at - 0.01, at + 0.01), (-deep + 0.02, deep - 0.002), (low, height - 0.02), body)
    for a, b in itertools.pairwise(edges):
        use = pick(rng, ("drawers", "door", "open"))
        if use == "drawers":
            solid += _drawers((a, b), (low, height - 0.028), 2, -deep + 0.02, front, grip)
        elif use == "door":
            solid += _door((a, b), (low, height - 0.028), -deep + 0.02, front, grip, 1, panel=False)
        else:
            middle = (low + height) / 2
            solid += block((a + 0.01, b - 0.01), (-deep + 0.04, deep - 0.01), (middle - 0.008, middle + 0.008), body)
    return solid


def wardrobe(rng: np.random.Generator) -> Solid:
    """A clothes cupboard, about two metres tall, with two to four doors and sometimes drawers below them."""
    body, doors, grip = wood_or_paint(rng), int(rng.integers(2, 5)), metal(rng)
    front, panel = (body if rng.random() < 0.6 else paint(rng)), bool(rng.random() < 0.5)
    half, deep, height = doors * rng.uniform(0.21, 0.26), rng.uniform(0.27, 0.31), rng.uniform(1.85, 2.2)
    solid = block((-half + 0.01, half - 0.01), (-deep + 0.04, deep), (0, 0.08), body)
    solid += block((-half, half), (-deep + 0.02, deep), (0.08, height - 0.05), body)
    solid += block((-half - 0.015, half + 0.015), (-deep, deep), (height - 0.05, height), body, 0.008)
    low = 0.08
    if rng.random() < 0.35:
        low = 0.42
        for k in range(max(1, doors // 2)):
            share = 2 * half / max(1, doors // 2)
            x = (-half + k * share, -half + (k + 1) * share)
            solid += _drawers(x, (0.085, low), 1, -deep + 0.02, front, grip)
    pitch = 2 * half / doors
    for k in range(doors):
        x = (-half + k * pitch, -half + (k + 1) * pitch)
        solid += _door(x, (low, height - 0.055), -deep + 0.02, front, grip, -1 if k % 2 == 0 else 1, panel)
    return solid


def bookshelf(rng: np.random.Generator) -> Solid:
    """An open shelf, narrow or wide, low or tall, with rows of books that stand or lean."""
    frame, back = wood_or_paint(rng), pick(rng, (WHITE, wood(rng)))
    half, deep = rng.uniform(0.30, 0.55), rng.uniform(0.13, 0.17)
    boards = int(rng.integers(3, 6))
    height = 0.08 + boards * rng.uniform(0.33, 0.39)
    solid = block((-half, half), (deep - 0.012, deep), (0, height), back)
    for side in (-1, 1):
        x = sorted((side * half, side * (half - 0.022)))
        solid += block((x[0], x[1]), (-deep, deep - 0.012), (0, height), frame)
    levels = np.linspace(0.06, height, boards + 1)
    for z in levels:
        solid += block((-half + 0.02, half - 0.02), (-deep + 0.004, deep - 0.01), (z - 0.022, z), frame)
    for low, high in itertools.pairwise(levels):
        if rng.random() < 0.85:
            solid += _books(rng, (-half + 0.03, half - 0.03), low, high - low - 0.05, deep)
    return solid


def _books(rng: np.random.Generator, x: Span, z: float, room: float, deep: float) -> Solid:
    """A row of upright books on the board at height `z`, at most `room` metres tall; the last one may lean."""
    solid: Solid = []
    at, stop = x[0], x[0] + rng.uniform(0.45, 1.0) * (x[1] - x[0])
    if rng.random() < 0.3:
        at, stop = x[1] - (stop - at), x[1]
    while at + (thick := float(rng.uniform(0.02, 0.055))) < stop:
        tall, wide = float(rng.uniform(0.6, 0.98)) * room, float(rng.uniform(0.62, 0.8)) * 2 * deep
        cover = Material(shade(rng, pick(rng, COVERS)), gloss=0.15)
        front = -deep + 0.02
        solid += block((at, at + thick - 0.002), (front, front + wide), (z, z + tall), cover)
        if rng.random() < 0.3:
            label = Material("#e8dcc0" if rng.random() < 0.7 else "#26282c")
            solid += block(
                (at + 0.003, at + thick - 0.005), (front - 0.001, front), (z + 0.7 * tall, z + 0.82 * tall), label
            )
        at += thick
    if stop < x[1] - 0.12:
        tall = 0.8 * room
        book = block((-0.03, 0), (-deep + 0.02, -deep + 0.2), (0, tall), Material(pick(rng, COVERS), gloss=0.15))
        solid += placed(book, (at + 0.03 + 0.26 * tall, 0, z + 0.0), rotation("y", -14))
    return solid


KINDS = (
    Kind("nightstand", nightstand, "around", frozenset({"bedroom"}), (1, 2), 3.0, supports=True, on=("bed",),
         side="beside"),
    Kind("dresser", dresser, "wall", frozenset({"bedroom", "hall"}), (1, 1), 1.5, supports=True, clear_front=0.6),
    Kind("tv cabinet", tv_cabinet, "wall", frozenset({"living"}), (1, 1), 2.5, supports=True, clear_front=0.6),
    Kind("wardrobe", wardrobe, "wall", frozenset({"bedroom", "hall"}), (1, 2), 2.5, clear_front=0.7),
    Kind("bookshelf", bookshelf, "wall", frozenset({"living", "office", "bedroom", "hall"}), (1, 2), 1.5,
         clear_front=0.4),
)  # fmt: skip
