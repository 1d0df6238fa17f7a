"""Where the light bake measures: a coarse grid of probes on every patch, and how vertices read from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import coo_matrix
from scipy.spatial import KDTree

from .mesh import Mesh, grouped, line_positions
from .shapes import Array

LIFT = 0.004
"""Metres between a probe and its surface."""
INSET = 0.12
"""Share of a cell between the outermost probes and the border, which often touches another surface."""
SEAM = 0.08
"""Metres across which a patch goes on in another: less than a wall is thick, so that rooms stay apart."""


@dataclass(frozen=True, eq=False)
class Probes:
    """Points at which light is measured, on every opaque patch at least one."""

    position: Array  # (probe, 3), off the surface by LIFT
    normal: Array  # (probe, 3)
    beside: Array  # (probe, 4): neighbours along rows and along columns, itself where a surface ends
    to_vertices: Any  # sparse (vertex, probe): bilinear interpolation

    def smoothed(self, values: Array, passes: int) -> Array:
        """Values (probe, channel) averaged with the neighbours of each patch's grid by weights 1, 2, 1."""
        for _ in range(passes):
            for axis in (0, 2):
                left, right = self.beside[:, axis], self.beside[:, axis + 1]
                values = (values[left] + 2 * values + values[right]) / 4
        return values


def place_probes(mesh: Mesh, spacing: float) -> Probes:
    """Probes about `spacing` metres apart; a strip narrower than half of that has one line of them, the view none."""
    counts = mesh.shapes.prod(axis=1)
    starts = np.cumsum(counts) - counts
    opaque = np.cumsum(2 * (mesh.shapes - 1).prod(axis=1)) <= mesh.opaque
    parts: list[_Part] = []
    first = 0
    for members in grouped([tuple(shape) for shape in mesh.shapes[opaque].tolist()]):
        rows, columns = mesh.shapes[members[0]]
        vertices = starts[members][:, None, None] + np.arange(rows * columns).reshape(rows, columns)
        along = line_positions(mesh.position[vertices].astype(float))
        across = line_positions(mesh.position[vertices.swapaxes(1, 2)].astype(float))
        sizes = [
            (_probe_count(a[-1], spacing), _probe_count(b[-1], spacing)) for a, b in zip(along, across, strict=True)
        ]
        for same in grouped(sizes):
            part = _part(mesh, vertices[same], along[same], across[same], sizes[same[0]], first)
            parts.append(part)
            first += len(part.position)
    weights = coo_matrix(
        (
            np.concatenate([p.weight for p in parts]),
            (np.concatenate([p.vertex for p in parts]), np.concatenate([p.probe for p in parts])),
        ),
        shape=(len(mesh.position), first),
    )
    position, normal, beside = (
        np.concatenate([getattr(p, name) for p in parts]) for name in ("position", "normal", "beside")
    )
    beside = _stitched(position, normal, beside, np.concatenate([p.patch for p in parts]), spacing)
    return Probes(position.astype(np.float32), normal.astype(np.float32), beside, weights.astype(np.float32).tocsr())


def _stitched(position: Array, normal: Array, beside: Array, patch: Array, spacing: float) -> Array:
    """Neighbours with those at the borders of patches taken from patches that go on in the same plane.

    Args:
        position: (probe, 3).
        normal: (probe, 3).
        beside: (probe, 4) neighbours in the same patch.
        patch: (probe,) a number that the probes of one patch share.
        spacing: metres between probes.
    """
    result = beside.copy()
    tree = KDTree(position)
    for side in range(4):
        inner = beside[:, side ^ 1]
        border = np.flatnonzero((beside[:, side] == np.arange(len(beside))) & (inner != np.arange(len(beside))))
        if not len(border):
            continue
        outward = position[border] - position[inner[border]]
        outward /= np.maximum(np.linalg.norm(outward, axis=1, keepdims=True), 1e-9)
        reach = max(0.6 * spacing, SEAM)
        _, near = tree.query(position[border] + SEAM / 2 * outward, k=4, distance_upper_bound=reach)
        found = np.zeros(len(border), bool)
        for candidate in near.T:
            there = np.minimum(candidate, len(position) - 1)
            step = position[there] - position[border]
            ahead = np.einsum("pc,pc->p", step, outward)
            fits = (candidate < len(position)) & (patch[there] != patch[border]) & ~found
            fits &= (np.einsum("pc,pc->p", normal[there], normal[border]) > 0.99) & (ahead > 0) & (ahead < SEAM)
            fits &= np.abs(np.einsum("pc,pc->p", step, normal[border])) < LIFT
            result[border[fits], side] = there[fits]
            found |= fits
    return result


@dataclass(frozen=True, eq=False)
class _Part:
    """The probes of some patches with equal grids, and the entries of the interpolation matrix for their vertices."""

    position: Array
    normal: Array
    beside: Array
    patch: Array
    vertex: Array
    probe: Array
    weight: Array


def _probe_count(length: float, spacing: float) -> int:
    return 1 if length < spacing / 2 else 1 + int(np.ceil(length / spacing - 1e-6))


def _part(mesh: Mesh, vertices: Array, along: Array, across: Array, size: tuple[int, int], first: int) -> _Part:
    """Probes of patches whose vertex numbers are (patch, row, column), `size` of them along rows and columns."""
    patches, _, columns = vertices.shape
    numbers = first + np.arange(patches * size[0] * size[1]).reshape(patches, *size)
    low_r, share_r = _between(along, _marks(along[:, -1], size[0]))
    low_c, share_c = _between(across, _marks(across[:, -1], size[1]))
    corners = vertices[np.arange(patches)[:, None, None], low_r[:, :, None], low_c[:, None, :]]
    mixed = []
    for source in (mesh.position, mesh.normal):
        near = source[corners] + share_c[:, None, :, None] * (source[corners + 1] - source[corners])
        far = source[corners + columns]
        far = far + share_c[:, None, :, None] * (source[corners + columns + 1] - far)
        mixed.append((near + share_r[:, :, None, None] * (far - near)).reshape(-1, 3))
    normal = mixed[1] / np.maximum(np.linalg.norm(mixed[1], axis=1, keepdims=True), 1e-9)
    cell_r, toward_r = _between(_marks(along[:, -1], size[0]), along)
    cell_c, toward_c = _between(_marks(across[:, -1], size[1]), across)
    vertex, probe, weight = [], [], []
    for step_r in range(min(2, size[0])):
        for step_c in range(min(2, size[1])):
            w_r = toward_r if step_r else 1 - toward_r
            w_c = toward_c if step_c else 1 - toward_c
            probe.append(
                numbers[np.arange(patches)[:, None, None], (cell_r + step_r)[:, :, None], (cell_c + step_c)[:, None, :]]
            )
            weight.append(w_r[:, :, None] * w_c[:, None, :])
            vertex.append(vertices)
    flat = (np.concatenate([a.ravel() for a in group]) for group in (vertex, probe, weight))
    owner = np.repeat(numbers.reshape(patches, -1)[:, 0], size[0] * size[1])
    return _Part(mixed[0] + LIFT * normal, normal, _neighbours(numbers), owner, *flat)


def _marks(length: Array, count: int) -> Array:
    """Arc lengths of `count` probes on lines of the given lengths (patch,), (patch, count)."""
    if count == 1:
        return length[:, None] / 2
    inset = INSET * length / count
    return inset[:, None] + np.linspace(0, 1, count) * (length - 2 * inset)[:, None]


def _between(lines: Array, marks: Array) -> tuple[Array, Array]:
    """For marks (patch, mark): the interval of `lines` (patch, line) that holds each, and how far along it is, 0..1."""
    if lines.shape[1] == 1:
        return np.zeros(marks.shape, int), np.zeros(marks.shape)
    low = (lines[:, None, :] <= marks[:, :, None]).sum(axis=2) - 1
    low = np.clip(low, 0, lines.shape[1] - 2)
    start, stop = np.take_along_axis(lines, low, 1), np.take_along_axis(lines, low + 1, 1)
    return low, np.clip((marks - start) / np.maximum(stop - start, 1e-9), 0, 1)


def _neighbours(numbers: Array) -> Array:
    """Numbers before and after each entry along axis 1, then along axis 2, of (patch, row, column); (entry, 4)."""
    result = []
    for axis in (1, 2):
        for step in (-1, 1):
            at = np.clip(np.arange(numbers.shape[axis]) + step, 0, numbers.shape[axis] - 1)
            result.append(np.take(numbers, at, axis=axis).ravel())
    return np.stack(result, axis=1)
