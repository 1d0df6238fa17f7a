"""Shortest walks on the grid, pulled straight."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

from vlm3r.qa.routes.grid import Grid, Indices, Mask
from vlm3r.scenes.schema import Array

NOWHERE = -1
"""Node of cells that are not free."""


class ShortestWalks:
    """Shortest collision-free walks on the free cells of a grid, eight neighbours, corners not cut."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid
        self._nodes = np.full(grid.free.shape, NOWHERE, np.intp)
        self._nodes[grid.free] = np.arange(np.count_nonzero(grid.free))
        self._cells = np.argwhere(grid.free)
        self._trees: dict[int, Indices] = {}

    @cached_property
    def _graph(self) -> csr_matrix:
        return _graph(self._grid.free, self._nodes, self._grid.cell)

    def walk(self, start: Array, goal: Array) -> Array | None:
        """The corners of a shortest walk between two points (2,), ends included, (corner, 2).

        None where there is no way or an end is not free. The line is pulled straight, so that its length is the true
        one to about a cell.
        """
        if clear_line(self._grid, start, goal):
            return np.stack([start, goal])
        source, node = (int(self._nodes[self._grid.cells(point)]) for point in (goal, start))
        if NOWHERE in (source, node):
            return None
        if source not in self._trees:
            self._trees[source] = dijkstra(self._graph, directed=False, indices=source, return_predecessors=True)[1]
        before = self._trees[source]
        chain = [node]
        while chain[-1] != source:
            chain.append(int(before[chain[-1]]))
            if chain[-1] < 0:  # no predecessor
                return None
        cells = self._cells[chain[1:-1]]
        points = np.concatenate([start[None], self._grid.middles(cells[:, 0], cells[:, 1]), goal[None]])
        return pull_straight(self._grid, points)


def walk_length(corners: Array) -> float:
    """Metres along a line (corner, 2)."""
    return float(np.linalg.norm(np.diff(corners, axis=0), axis=1).sum())


def pull_straight(grid: Grid, points: Array) -> Array:
    """The line (point, 2) without the points that straight free lines make needless."""
    kept, at = [0], 0
    while at < len(points) - 1:
        step, reach = 1, at + 1
        while at + step < len(points) and clear_line(grid, points[at], points[at + step]):
            reach, step = at + step, 2 * step
        low, high = reach, min(at + step, len(points))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if clear_line(grid, points[at], points[middle]) else (low, middle)
        kept.append(low)
        at = low
    return points[kept]


def clear_line(grid: Grid, start: Array, end: Array) -> bool:
    """Whether a person can walk straight from one point (2,) to the other."""
    count = int(np.ceil(np.linalg.norm(end - start) / (grid.cell / 2))) + 1
    return bool(grid.is_free(start + np.linspace(0, 1, count)[:, None] * (end - start)).all())


def _graph(free: Mask, nodes: Indices, cell: float) -> csr_matrix:
    """Undirected graph of the free cells, each edge once, weighted in metres."""
    beside = (free[:, :-1] & free[:, 1:], free[:-1] & free[1:])
    square = beside[0][:-1] & beside[0][1:]  # a diagonal step needs both cells beside it
    edges = [
        (nodes[:, :-1][beside[0]], nodes[:, 1:][beside[0]], cell),
        (nodes[:-1][beside[1]], nodes[1:][beside[1]], cell),
        (nodes[:-1, :-1][square], nodes[1:, 1:][square], cell * np.sqrt(2)),
        (nodes[:-1, 1:][square], nodes[1:, :-1][square], cell * np.sqrt(2)),
    ]
    first, second = (np.concatenate([edge[i] for edge in edges]) for i in (0, 1))
    weights = np.concatenate([np.full(len(edge[0]), edge[2]) for edge in edges])
    size = int(np.count_nonzero(free))
    return csr_matrix((weights, (first, second)), shape=(size, size))
