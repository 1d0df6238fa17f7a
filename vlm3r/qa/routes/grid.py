"""The occupancy grid of a scene: where a person can stand, and from where each landmark is within reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from vlm3r.qa.routes.area import FloorArea, floor_area
from vlm3r.qa.routes.footprints import Footprints
from vlm3r.qa.routes.rules import RouteRules
from vlm3r.scenes.schema import Array, Scene

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]

FLOOR_QUANTILE = 0.05
"""Of the boxes' undersides: the floor's height, with some boxes of a noisy scan below it."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Cells (row, column) = (y, x) of equal edges; all masks have the same shape and a border of outside cells."""

    origin: Array
    """(2,) least corner of cell (0, 0), metres."""
    cell: float
    inside: Mask
    """Floor of the rooms, furniture or not."""
    free: Mask
    """A person can stand with its middle here."""
    landmarks: Indices
    """(landmark,) positions in `Scene.objects`."""
    regions: Mask
    """(landmark, rows, columns) floor within reach of each landmark, on its side of the wall."""

    def cells(self, points: Array) -> tuple[Indices, Indices]:
        """Row and column of each point (..., 2); points beyond the border go to the border."""
        rows, columns = self.inside.shape
        index = np.floor((points - self.origin) / self.cell).astype(np.intp)
        return np.clip(index[..., 1], 0, rows - 1), np.clip(index[..., 0], 0, columns - 1)

    def middles(self, rows: Indices, columns: Indices) -> Array:
        """The points in the middle of cells, (..., 2)."""
        return self.origin + (np.stack([columns, rows], axis=-1) + 0.5) * self.cell

    def march(
        self, passable: Mask, starts: Array, directions: Array, landmarks: Indices, limit: float
    ) -> tuple[Array, Array]:
        """How far one gets from each start (ray, 2) along each unit direction (ray, 2) within `limit` metres.

        Returns:
            Metres to the reach of the ray's landmark, infinite where something impassable comes first or the limit is
            too short, (ray,), and metres that one can go at all, (ray,).
        """
        across = float(np.hypot(*self.inside.shape)) * self.cell
        count = int(np.ceil(min(limit, across) / self.cell))
        cells = self._cells_along(starts, directions, count)
        open_way = passable.ravel()[cells]
        arrived = self.regions.reshape(len(self.regions), -1)[landmarks[:, None], cells] & open_way
        stopped = np.where(open_way.all(1), count, open_way.argmin(1))
        first = np.where(arrived.any(1), arrived.argmax(1), count)
        reached = np.where(first < stopped, first * self.cell, np.inf)
        return reached, np.maximum(stopped - 1, 0) * self.cell

    def _cells_along(self, starts: Array, directions: Array, count: int) -> NDArray[np.int32]:
        """Flat numbers of the cells after every cell's length along each ray, (ray, count)."""
        rows, columns = self.inside.shape
        steps = np.arange(count, dtype=float)
        index = []
        for axis, size in ((1, rows), (0, columns)):
            first = (starts[:, axis] - self.origin[axis]) / self.cell
            at = first[:, None] + steps * directions[:, axis, None]
            index.append(np.minimum(np.maximum(at, 0, out=at), size - 1, out=at).astype(np.int32))
        return index[0] * columns + index[1]

    def is_free(self, points: Array) -> Mask:
        """Whether a person can stand at each point (..., 2)."""
        return self.free[self.cells(points)]


class FloorPlan:
    """What the grids of one scene have in common: the floor, the footprints, and what blocks.

    `area` is None where the scene has no usable floor.
    """

    def __init__(self, scene: Scene, rules: RouteRules) -> None:
        self.rules = rules
        self.footprints = Footprints([o.box for o in scene.objects])
        area = floor_area(scene, self.footprints, rules)
        fits = area is not None and np.ptp(area.bounds, axis=0).max() < rules.largest
        self.area: FloorArea | None = area if fits else None
        bottoms = self.footprints.bottoms
        floor = float(np.quantile(bottoms, FLOOR_QUANTILE, method="lower")) if len(bottoms) else 0.0
        solid = np.array([o.category not in rules.passable for o in scene.objects], bool)
        self.blocks: Mask = solid & (self.footprints.tops > floor + rules.lowest) & (bottoms < floor + rules.highest)
        """(object,) whether it is in a walker's way."""
        self.low_enough: Mask = bottoms < floor + rules.hanging
        """(object,) whether it is near enough to the floor to walk up to."""

    def grid(self, landmarks: Indices, shift: float = 0.0, spare: float = 0.0) -> Grid:
        """The occupancy grid with the regions of `landmarks`, objects of the scene.

        Args:
            landmarks: (landmark,)
            shift: by how many cells to move the cells.
            spare: metres to keep from obstacles beyond a person's radius.

        Raises:
            ValueError: there is no floor.
        """
        if self.area is None:
            raise ValueError("a scene without floor has no grid")
        cell, radius = self.rules.cell, self.rules.radius + spare
        low, high = self.area.bounds
        origin = low - (2 - shift) * cell
        columns, rows = (np.ceil((high - origin) / cell).astype(int) + 2).tolist()
        x, y = (origin[i] + (np.arange(n) + 0.5) * cell for i, n in enumerate((columns, rows)))
        inside = self.area.covers(x, y)
        to_wall = np.asarray(ndimage.distance_transform_edt(inside, sampling=cell))
        clear: Mask = to_wall >= radius + cell / 2
        regions = np.zeros((len(landmarks), rows, columns), bool)
        place = {int(o): i for i, o in enumerate(landmarks)}
        for index in sorted(set(np.flatnonzero(self.blocks).tolist()) | set(place)):
            window = self._window(index, x, y)
            distance = self.footprints.distances(index, x[None, window[1]], y[window[0], None])
            if self.blocks[index]:
                clear[window] &= distance >= radius
            if index in place:
                regions[place[index]][window] = _own_side(inside[window], distance, self.rules.reach, cell)
        return Grid(origin, cell, inside, clear, landmarks, regions)

    def _window(self, index: int, x: Array, y: Array) -> tuple[slice, slice]:
        """Rows and columns of the cells that may be within reach of an object."""
        corners, reach = self.footprints.corners[index], self.rules.reach
        low, high = corners.min(0) - reach, corners.max(0) + reach
        columns = slice(*np.searchsorted(x, (low[0], high[0])).tolist())
        return slice(*np.searchsorted(y, (low[1], high[1])).tolist()), columns


def _own_side(inside: Mask, distance: Array, reach: float, cell: float) -> Mask:
    """Floor within reach of an object without what lies beyond a wall, (rows, columns)."""
    near = inside & (distance <= reach)
    labels, count = cast("tuple[Indices, int]", ndimage.label(near))
    if count < 2:
        return near
    nearest = np.asarray(ndimage.minimum(distance, labels, np.arange(1, count + 1)))
    return np.isin(labels, 1 + np.flatnonzero(nearest <= nearest.min() + cell))
