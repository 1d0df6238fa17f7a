"""Whether the instance maps show the objects where the record says that they are seen."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vlm3r.scenes.raw.faults import PREPARE, Fault, Kind
from vlm3r.scenes.raw.fit import INCLUSIVE
from vlm3r.scenes.raw.projection import overlap
from vlm3r.scenes.schema import Array, Intrinsics, Sighting

LEAST = 5
"""Sightings below which agreement says nothing."""
AGREES = 0.5
"""Mean overlap of 2-D boxes with the extents in the maps that is enough; that of sound scenes is close to 1."""
BETTER = 0.2

Pixels = NDArray[np.int64]
Change = Callable[[Pixels], Pixels]
_TURN = f"{PREPARE}, with maps, pictures and poses turned together"

CHANGES: tuple[tuple[Kind, str, str, Change], ...] = (
    ("ids", "are one too high", "subtract 1 from their values, or set mask_offset", lambda m: np.maximum(m - 1, 0)),
    ("ids", "are one too low", "add 1 to their values, or set mask_offset", lambda m: m + 1),
    ("rotated", "are upside down", _TURN, lambda m: m[::-1, ::-1]),
    ("mirrored", "are mirrored left to right", _TURN, lambda m: m[:, ::-1]),
    ("mirrored", "are mirrored top to bottom", _TURN, lambda m: m[::-1]),
    ("rotated", "are turned by a quarter", _TURN, lambda m: np.rot90(m)),
    ("rotated", "are turned by a quarter", _TURN, lambda m: np.rot90(m, 3)),
)


def check_masks(
    shots: Sequence[tuple[Pixels, Sequence[Sighting]]], offset: int, camera: Intrinsics
) -> tuple[list[Fault], float | None]:
    """Why instance maps and 2-D boxes disagree, and their agreement, None where too few say.

    Args:
        shots: map (h, w) and sightings of some frames.
        offset: added to an instance id in the maps.
        camera: of the pictures that the 2-D boxes belong to.
    """
    pairs = [
        (pixels, seen.instance_id + offset, np.array(seen.box, float) + INCLUSIVE)
        for pixels, sightings in shots
        for seen in sightings
    ]
    if len(pairs) < LEAST:
        return [], None
    values = np.array([value for _, value, _ in pairs])
    boxes = np.array([box for _, _, box in pairs])
    owners = np.repeat(np.arange(len(shots)), [len(sightings) for _, sightings in shots])

    def agreement(change: Change) -> float:
        extents = [_extents(change(pixels), camera) for pixels, _ in shots]
        nowhere = np.full(4, np.nan)
        found = np.array([extents[shot].get(value, nowhere) for shot, value in zip(owners, values, strict=True)])
        return float(overlap(found, boxes).mean())

    as_is = agreement(lambda pixels: pixels)
    scores = [agreement(change) for _, _, _, change in CHANGES]
    best = int(np.argmax(scores))
    if scores[best] > as_is + BETTER:
        kind, what, remedy, _ = CHANGES[best]
        text = f"instance maps {what} against the 2-D boxes (agree {scores[best]:.0%} then, {as_is:.0%} now)"
        return [Fault(kind, text, remedy)], as_is
    if as_is < AGREES:
        text = f"instance maps agree with the 2-D boxes by {as_is:.0%} only"
        return [Fault("ids", text, f"maps and boxes may be of two runs; {PREPARE}")], as_is
    return [], as_is


def _extents(pixels: Pixels, camera: Intrinsics) -> dict[int, Array]:
    """Value -> xmin, ymin, xmax, ymax of its pixels, in the picture's pixels."""
    height, width = pixels.shape
    scale = np.array([camera.width / width, camera.height / height])
    values, dense = np.unique(pixels, return_inverse=True)
    dense = dense.reshape(pixels.shape) + 1
    found = {}
    for value, place in zip(values.tolist(), ndimage.find_objects(dense), strict=True):
        if value > 0 and place is not None:
            rows, columns = place
            low, high = np.array([columns.start, rows.start]), np.array([columns.stop, rows.stop])
            found[value] = np.concatenate([low * scale, high * scale])
    return found
