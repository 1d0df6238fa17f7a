"""Which pixels show which instance, where the data set does not say; and the sightings that follow from such masks.

The depth map decides: every pixel with a known depth is lifted into the world, and belongs to the instance whose vertex
is nearest there or whose box holds it. What stands before an object hides it, as in the picture.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import KDTree

from vlm3r.scenes.raw.capture import NO_INSTANCE, Cloud
from vlm3r.scenes.raw.fit import lift
from vlm3r.scenes.schema import Array, Intrinsics, OrientedBox, Sighting

Ids = NDArray[np.int64]
Scalar = TypeVar("Scalar", bound=np.generic)
Labeller = Callable[[Array], Ids]
"""Instance ids (n,), `NO_INSTANCE` for none, of points (n, 3) in the world."""

REACH = 0.1
"""Metres from a vertex within which a pixel may belong to its instance: the noise of depth sensors and poses."""
FLOOR_GAP = 0.03
"""Metres above a box's lower face up to which its content is taken for what the object stands on."""
FLOOR_SHARE = 0.1
"""Share of a box's height that this takes away at most, so that rugs keep most of theirs."""
WIDEST = 320
"""Columns of a depth map that are looked up; larger maps are thinned, and the mask is enlarged again."""


def nearest_vertex(cloud: Cloud) -> Labeller:
    """Points belong to the instance of the nearest vertex, if it is within `REACH`.

    Unlabelled vertices count too: what is nearest to the bare floor is no object.
    """
    instances = cloud.instances
    if instances is None:
        raise ValueError("the cloud's points have no instances")
    tree = KDTree(cloud.points)
    owners = np.append(instances, NO_INSTANCE)  # the tree answers its size where nothing is near

    def label(points: Array) -> Ids:
        _, nearest = tree.query(points, distance_upper_bound=REACH)
        return owners[nearest]

    return label


def inside_boxes(boxes: Sequence[tuple[int, OrientedBox]]) -> Labeller:
    """Points belong to the smallest box that holds them, without the layer in which the floor below it shows.

    Args:
        boxes: instance id and box of each object.
    """
    ordered = sorted(boxes, key=lambda item: -float(np.prod(item[1].size)))  # small ones come last and win

    def label(points: Array) -> Ids:
        found = np.full(len(points), NO_INSTANCE, np.int64)
        for instance, box in ordered:
            local = np.abs((points - box.centre) @ box.axes.T)
            low, high = box.corners[:, 2].min(), box.corners[:, 2].max()
            above = points[:, 2] >= low + min(FLOOR_GAP, FLOOR_SHARE * (high - low))
            found[(local <= box.size / 2).all(1) & above] = instance
        return found

    return label


def projected_mask(label: Labeller, depth: NDArray[np.float32], pose: Array, camera: Intrinsics) -> Ids:
    """Instance ids (h, w) of a depth map's pixels, `NO_INSTANCE` for none and where depth is unknown.

    Args:
        label: of points in the world.
        depth: (h, w) metres along the optical axis, 0 unknown, of the camera's field of view.
        pose: (4, 4) camera-to-world.
        camera: of the picture, which may have another size than the map.
    """
    step = -(-depth.shape[1] // WIDEST)
    thin = depth[step // 2 :: step, step // 2 :: step]
    if not thin.size:
        return np.full(depth.shape, NO_INSTANCE, np.int64)
    rows, columns = np.nonzero(thin > 0)
    middles = (rows * step + step // 2, columns * step + step // 2)
    points = lift(np.asarray(depth, float), camera, *middles) @ pose[:3, :3].T + pose[:3, 3]
    found = np.full(thin.shape, NO_INSTANCE, np.int64)
    found[rows, columns] = label(points)
    return resized(found, depth.shape[1], depth.shape[0])


def resized(values: NDArray[Scalar], width: int, height: int) -> NDArray[Scalar]:
    """A map (h, w) of labels or depth at another size; each pixel takes the nearest, none are mixed."""
    if values.shape == (height, width):
        return values
    rows = ((np.arange(height) + 0.5) * values.shape[0] / height).astype(int)
    columns = ((np.arange(width) + 0.5) * values.shape[1] / width).astype(int)
    return values[rows[:, None], columns]


def sightings(mask: Ids, depth: NDArray[np.float32] | None) -> tuple[Sighting, ...]:
    """The instances in a mask by ascending id: extent, number of pixels and median depth.

    A single pixel is enough, as published; questions set their own least share of the picture.

    Args:
        mask: (h, w) instance ids, `NO_INSTANCE` for none.
        depth: (h, w) metres, 0 unknown; None where there is no map.
    """
    ids, places = np.unique(mask, return_inverse=True)
    places = places.reshape(mask.shape) + 1
    counts = np.bincount(places.ravel())
    found = []
    for number, (instance, extent) in enumerate(zip(ids.tolist(), ndimage.find_objects(places), strict=True), 1):
        if instance == NO_INSTANCE or extent is None:
            continue
        rows, columns = extent
        box = (columns.start, rows.start, columns.stop - 1, rows.stop - 1)
        found.append(Sighting(instance, box, int(counts[number]), depth=_median(depth, places, number, extent)))
    return tuple(found)


def _median(depth: NDArray[np.float32] | None, places: Ids, number: int, extent: tuple[slice, ...]) -> float | None:
    if depth is None:
        return None
    values = depth[extent][places[extent] == number]
    known = values[values > 0]
    return round(float(np.median(known)), 4) if len(known) else None
