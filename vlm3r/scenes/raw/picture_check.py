"""Whether pictures stand as their depth and instance maps do: edges of objects lie where pictures change."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.scenes.raw.faults import PREPARE, Fault, Kind
from vlm3r.scenes.schema import Array

WIDTH = 160
"""Pixels to which pictures and maps are made smaller."""
JUMP = 0.1
"""Share of its depth by which a depth map changes at an edge."""
LEAST_PICTURES = 3
BETTER = 1.3
"""How many times stronger pictures must change at edges once they are turned."""

Change = Callable[[Array], Array]
_TURN = f"{PREPARE}, with pictures and maps turned together"
CHANGES: tuple[tuple[Kind, str, Change], ...] = (
    ("rotated", "upside down", lambda g: g[::-1, ::-1]),
    ("mirrored", "mirrored left to right", lambda g: g[:, ::-1]),
    ("mirrored", "mirrored top to bottom", lambda g: g[::-1]),
)


def check_pictures(shots: Sequence[tuple[NDArray[np.uint8], NDArray[np.generic]]], what: str) -> list[Fault]:
    """Why pictures do not belong to their maps, if they are turned against them.

    Args:
        shots: picture (H, W, 3) and map (h, w) of the same frames: depth in metres, or instances.
        what: name of these maps.
    """
    if len(shots) < LEAST_PICTURES:
        return []
    changes = [_gradient(picture) for picture, _ in shots]
    edges = [_edges(values, gradient.shape) for (_, values), gradient in zip(shots, changes, strict=True)]
    if not any(edge.any() for edge in edges):
        return []
    as_is = _strength(changes, edges)
    scores = [_strength([change(gradient) for gradient in changes], edges) for _, _, change in CHANGES]
    best = int(np.argmax(scores))
    if scores[best] <= BETTER * as_is:
        return []
    kind, how, _ = CHANGES[best]
    text = f"pictures are {how} against their {what} (edges {scores[best]:.1f} times as strong as elsewhere then, "
    return [Fault(kind, f"{text}{as_is:.1f} times now)", _TURN)]


def _gradient(picture: NDArray[np.uint8]) -> Array:
    """How much the picture changes at each place, over its mean, (h, w)."""
    height = max(8, round(WIDTH * picture.shape[0] / picture.shape[1]))
    grey = np.asarray(Image.fromarray(picture).convert("L").resize((WIDTH, height), Image.Resampling.BOX), float)
    down, right = np.gradient(grey)
    size = np.hypot(down, right)
    return size / max(float(size.mean()), 1e-9)


def _edges(values: NDArray[np.generic], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Where a map jumps, (h, w) of the given shape, two pixels wide."""
    rows = (np.arange(shape[0]) * values.shape[0] // shape[0])[:, None]
    columns = np.arange(shape[1]) * values.shape[1] // shape[1]
    small = values[rows, columns].astype(float)
    result = np.zeros(shape, bool)
    for first, second in (((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
                          ((slice(1, None),), (slice(None, -1),))):  # fmt: skip
        a, b = small[first], small[second]
        jump = np.abs(a - b) > JUMP * np.maximum(np.minimum(a, b), 0)
        if values.dtype.kind == "f":
            jump &= (a > 0) & (b > 0)
        result[first] |= jump
        result[second] |= jump
    return result


def _strength(changes: Sequence[Array], edges: Sequence[NDArray[np.bool_]]) -> float:
    """Mean change of the pictures at the maps' edges, as a multiple of that everywhere."""
    return float(np.concatenate([gradient[edge] for gradient, edge in zip(changes, edges, strict=True)]).mean())
