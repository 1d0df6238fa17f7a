from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from vlm3r.reconstruct.voxels import VoxelGrid


def sample(count: int = 1500, seed: int = 0):
    rng = np.random.default_rng(seed)
    normals = rng.normal(size=(count, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    positions = rng.normal(size=(count, 3)) * [1, 2, 0.5]
    return positions, rng.integers(0, 256, (count, 3), dtype=np.uint8), rng.uniform(1, 9, count), normals


def filled(data, voxel_size, max_voxels=10**6, chunks=1):
    grid = VoxelGrid(voxel_size, max_voxels)
    for part in np.array_split(np.arange(len(data[0])), chunks):
        grid.add(*(column[part] for column in data))
    return grid


def by_position(cloud):
    return np.lexsort(cloud.positions.T.round(4))


def assert_same(a, b):
    assert len(a) == len(b)
    i, j = by_position(a), by_position(b)
    np.testing.assert_allclose(a.positions[i], b.positions[j], atol=1e-5)
    np.testing.assert_allclose(a.confidence[i], b.confidence[j], rtol=1e-5)
    np.testing.assert_allclose(a.normals[i], b.normals[j], atol=1e-4)
    assert np.abs(a.colours[i].astype(int) - b.colours[j]).max() <= 1


def test_voxels_hold_the_weighted_means_of_a_brute_force_dictionary():
    data = sample()
    cells = defaultdict(list)
    for position, colour, confidence, normal in zip(*data, strict=True):
        cells[tuple(np.floor(position / 0.2).astype(int))].append((position, colour, confidence, normal))
    cloud = filled(data, 0.2, chunks=7).cloud()
    assert len(cloud) == len(cells)
    found = {tuple(cell): i for i, cell in enumerate(np.floor(cloud.positions / 0.2).astype(int))}
    for cell, members in cells.items():
        positions, colours, weights, normals = (np.array(column, float) for column in zip(*members, strict=True))
        i = found[cell]
        np.testing.assert_allclose(cloud.positions[i], np.average(positions, 0, weights), atol=1e-6)
        np.testing.assert_allclose(cloud.colours[i], np.average(colours, 0, weights), atol=0.51)
        assert cloud.confidence[i] == pytest.approx(weights.mean(), rel=1e-6)
        mean = np.average(normals, 0, weights)
        np.testing.assert_allclose(cloud.normals[i], mean / np.linalg.norm(mean), atol=1e-5)


@pytest.mark.parametrize("max_voxels", [10**6, 200])
def test_order_and_grouping_of_points_do_not_matter(max_voxels):
    data = sample()
    shuffle = np.random.default_rng(3).permutation(len(data[0]))
    once = filled(data, 0.1, max_voxels)
    shuffled = filled(tuple(column[shuffle] for column in data), 0.1, max_voxels, chunks=13)
    assert once.voxel_size == shuffled.voxel_size
    assert_same(once.cloud(), shuffled.cloud())


def test_too_many_voxels_double_the_size_to_what_a_coarse_grid_gives():
    data = sample()
    grid = filled(data, 0.05, max_voxels=300, chunks=9)
    assert len(grid) <= 300
    assert grid.coarsenings > 1
    assert grid.voxel_size == 0.05 * 2**grid.coarsenings
    assert len(filled(data, grid.voxel_size / 2)) > 300
    assert_same(grid.cloud(), filled(data, grid.voxel_size).cloud())


def test_memory_follows_occupied_voxels_and_not_points():
    grid = VoxelGrid(0.1, 500)
    for seed in range(60):
        grid.add(*sample(2000, seed))
    assert len(grid) <= 500
    assert len(grid._sums) <= 2500  # the bound and one call's worth
    assert grid.cloud().confidence.shape == (len(grid),)


def test_the_smallest_bound_ends_with_one_voxel_per_octant():
    grid = filled(sample(), 0.1, max_voxels=1)
    assert len(grid) == 8


def test_points_that_are_no_points_are_left_out_and_counted():
    positions, colours, confidence, normals = sample(6)
    positions[0, 1], positions[1, 2], confidence[2], confidence[3] = np.nan, np.inf, 0, np.nan
    positions[4, 0] = 1e8
    grid = VoxelGrid(0.1, 100)
    assert grid.add(positions, colours, confidence, normals) == 5
    assert len(grid) == 1
    np.testing.assert_allclose(grid.cloud().positions[0], positions[5], atol=1e-6)


def test_an_empty_grid_gives_an_empty_cloud():
    grid = VoxelGrid(0.1, 100)
    assert grid.add(*(column[:0] for column in sample(1))) == 0
    assert len(grid.cloud()) == 0


@pytest.mark.parametrize("size", [0, -1, float("nan"), float("inf")])
def test_a_voxel_must_have_a_size(size):
    with pytest.raises(ValueError, match="voxel_size"):
        VoxelGrid(size, 10)
