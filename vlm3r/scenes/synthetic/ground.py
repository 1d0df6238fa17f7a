"""Where a person can stand in a furnished home, and the ways between such places."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import shapely
from scipy import ndimage
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from .shapes import Array
from .world import Instance, World

CELL = 0.1
"""Edge of a grid cell, metres."""
HEAD_ROOM = 1.9
"""Objects that begin above this height are in nobody's way, metres."""
NARROW = 0.6
"""Below this clearance a way is the more avoided the narrower it is, metres."""


class NoWay(ValueError):
    """The home has no place to stand, or no way between two of them."""


def blocking(thing: Instance) -> bool:
    """Whether a person has to walk around an object."""
    return thing.blocks_walking and thing.support is None and thing.span[0] < HEAD_ROOM


@dataclass(frozen=True, eq=False)
class Ground:
    """The walkable floor as a grid of cells. Row and column count from `origin` along y and x."""

    free: shapely.Polygon | shapely.MultiPolygon
    """The floor that nothing covers."""
    origin: Array
    """(2,) centre of cell (0, 0), metres."""
    clearance: Array
    """(row, column) metres from each cell's centre to the nearest wall or object, 0 where there is no free floor."""

    @classmethod
    def of(cls, world: World) -> Ground:
        """The ground of a home."""
        obstacles = shapely.union_all([thing.footprint for thing in world.objects if blocking(thing)])
        free = world.floor().difference(obstacles)
        if not isinstance(free, shapely.Polygon | shapely.MultiPolygon) or free.is_empty:
            raise NoWay("furniture covers the whole floor")
        low_x, low_y, high_x, high_y = free.bounds
        x, y = np.arange(low_x + CELL / 2, high_x, CELL), np.arange(low_y + CELL / 2, high_y, CELL)
        grid = np.meshgrid(x, y)
        inside = shapely.contains_xy(free, *grid)
        clearance = np.zeros(inside.shape)
        clearance[inside] = shapely.distance(free.boundary, shapely.points(grid[0][inside], grid[1][inside]))
        return cls(free, np.array([x[0], y[0]]), clearance)

    def positions(self, cells: Array) -> Array:
        """Floor coordinates of cells given by flat number, (cell, 2)."""
        row, column = np.unravel_index(cells, self.clearance.shape)
        return self.origin + CELL * np.stack([column, row], axis=-1)

    def standable(self, margin: float) -> Array:
        """Cells of the largest connected part with at least `margin` metres of clearance, as a (row, column) mask.

        Raises:
            NoWay: there is none.
        """
        labels: Array = np.asarray(ndimage.label(self.clearance >= margin, structure=np.ones((3, 3)))[0])  # type: ignore[index]
        if not labels.any():
            raise NoWay("nowhere to stand")
        sizes = np.bincount(labels.ravel())[1:]
        return labels == 1 + sizes.argmax()

    def exact_clearance(self, points: Array) -> float:
        """Least distance in metres from floor points (n, 2) to a wall or object, 0 outside the free floor."""
        where = shapely.points(points)
        distance = shapely.distance(self.free.boundary, where)
        return float(np.where(shapely.contains(self.free, where), distance, 0.0).min())

    @cached_property
    def _steps(self) -> tuple[Array, ...]:
        """From-cell, to-cell and length of every step between neighbouring cells of free floor."""
        rows, columns = self.clearance.shape
        number = np.arange(rows * columns).reshape(rows, columns)
        parts = []
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            near = number[: rows - dr, max(0, -dc) : columns - max(0, dc)].ravel()
            far = number[dr:, max(0, dc) : columns + min(0, dc)].ravel()
            parts.append((near, far, np.full(len(near), CELL * np.hypot(dr, dc))))
        return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

    def ways(self, places: Array, margin: float) -> tuple[Array, list[dict[int, Array]]]:
        """Costs (place, place) and ways between cells, keeping `margin` and preferring the middle of free floor.

        Returns:
            Costs in metres, longer where it is narrow, and per place the way to each other place as cells.

        Raises:
            NoWay: two places are not connected.
        """
        near, far, length = self._steps
        clear = self.clearance.ravel()
        usable = (clear[near] >= margin) & (clear[far] >= margin)
        near, far, length = near[usable], far[usable], length[usable]
        tight = np.clip(NARROW - np.minimum(clear[near], clear[far]), 0, None) / NARROW
        weights = length * (1 + 4 * tight)
        graph = csr_matrix((weights, (near, far)), shape=(clear.size, clear.size))
        cost, before = dijkstra(graph, directed=False, indices=places, return_predecessors=True)
        if not np.isfinite(cost[:, places]).all():
            raise NoWay("places that no way connects")
        ways = [{int(goal): _traced(row, start, goal) for goal in places if goal != start}
                for row, start in zip(before, places, strict=True)]  # fmt: skip
        return cost[:, places], ways


def _traced(before: Array, start: int, goal: int) -> Array:
    cells = [int(goal)]
    while cells[-1] != start:
        cells.append(int(before[cells[-1]]))
    return np.array(cells[::-1])
