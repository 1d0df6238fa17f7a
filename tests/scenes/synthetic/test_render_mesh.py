"""Thinned grids and probes: the surface stays, and vertices read what the probes measured."""

import numpy as np
import pytest
import trimesh
from hypothesis import given, settings
from hypothesis import strategies as st
from trimesh.proximity import closest_point_naive

from tests.scenes.synthetic import homes, lit
from vlm3r.scenes.synthetic.mesh import grid_triangles, thinned, world_mesh
from vlm3r.scenes.synthetic.probes import LIFT, place_probes
from vlm3r.scenes.synthetic.shapes import Material, box, lathe, pillow, sheet, surface


def area(mesh_or_patches):
    """Square metres, by splitting each grid cell."""
    total = 0.0
    for patch in mesh_or_patches:
        p = patch.points
        for a, b, c in ((p[:-1, :-1], p[1:, :-1], p[1:, 1:]), (p[:-1, :-1], p[1:, 1:], p[:-1, 1:])):
            total += np.linalg.norm(np.cross(b - a, c - a), axis=-1).sum() / 2
    return total


def as_trimesh(patches):
    """The grids' triangles for an independent library."""
    parts = [
        trimesh.Trimesh(p.points.reshape(-1, 3), grid_triangles(*p.points.shape[:2]), process=False) for p in patches
    ]
    return trimesh.util.concatenate(parts)


WAVY = surface(
    np.stack([*np.meshgrid(np.linspace(0, 1, 41), np.linspace(0, 1, 41), indexing="ij"), np.zeros((41, 41))], -1)
    + 0.02 * np.sin(6 * np.linspace(0, 1, 41))[:, None, None] * [0, 0, 1],
    Material(),
)
SOLIDS = {
    "sheet": [sheet((0, 0, 0), (3, 0, 0), (0, 2, 0), Material(), step=0.05)],
    "box": box((0, 0, 0), (1.0, 0.6, 0.4), Material(), radius=0.05, step=0.05),
    "sharp box": box((0, 0, 0), (1.0, 0.6, 0.4), Material(), radius=0.0, step=0.05),
    "lathe": lathe([(0.1, 0), (0.3, 0.8), (0.05, 1.0)], Material(), around=32),
    "pillow": pillow(0.5, 0.4, 0.15, Material()),
    "wave": [WAVY],
}


@pytest.mark.parametrize("name", SOLIDS)
def test_thinning_without_tolerance_keeps_the_surface(name):
    solid = SOLIDS[name]
    after = thinned(solid, 10.0)
    assert area(after) == pytest.approx(area(solid), rel=1e-6)
    for patch, whole in zip(after, solid, strict=True):
        assert np.array_equal(
            patch.points[[0, 0, -1, -1], [0, -1, 0, -1]], whole.points[[0, 0, -1, -1], [0, -1, 0, -1]]
        )


@pytest.mark.parametrize("tolerance", [0.0, 0.002])
@pytest.mark.parametrize("name", SOLIDS)
def test_thinning_moves_no_point_farther_than_its_tolerance(name, tolerance):
    after = as_trimesh(thinned(SOLIDS[name], 0.5, tolerance))
    points = np.concatenate([patch.points.reshape(-1, 3) for patch in SOLIDS[name]])
    _, distance, _ = closest_point_naive(after, points[:: max(1, len(points) // 400)])
    assert distance.max() <= 2 * tolerance + 1e-5  # rows and columns may each give way once


def test_a_tolerance_saves_triangles_on_curved_surfaces():
    for name in ("box", "lathe", "pillow", "wave"):
        plain, rough = (sum(p.points[..., 0].size for p in thinned(SOLIDS[name], 0.5, t)) for t in (0.0, 0.005))
        assert rough < plain


def test_flat_surfaces_lose_nearly_all_lines_but_keep_some_every_spacing():
    (patch,) = thinned(SOLIDS["sheet"], 0.5)
    for axis, length in ((0, 3.0), (1, 2.0)):
        lines = np.unique(patch.points[..., axis].round(9))
        assert np.diff(lines).max() < 2 * 0.5
        assert len(lines) <= 2 * length / 0.5 + 2
    assert np.allclose(patch.uv, patch.points[..., :2])


def test_runs_cover_all_triangles_and_name_their_owner():
    world = lit.room_with_blocks()
    mesh = world_mesh(world, 0.3)
    assert mesh.runs[0, 1] == 0
    assert np.array_equal(mesh.runs[1:, 1], np.cumsum(mesh.runs[:, 2])[:-1])
    assert mesh.runs[:, 2].sum() == len(mesh.triangles)
    for identity, first, count in mesh.runs.tolist():
        assert set(mesh.style[mesh.triangles[first : first + count], 3].ravel().tolist()) == {identity}


def test_the_view_outside_comes_last_and_blocks_no_light():
    world = lit.room_with_blocks()
    world.view.append(sheet((-1, 0, 0), (0, 1, 0), (0, 0, 1), Material()))
    mesh = world_mesh(world, 0.3)
    beyond = mesh.position[mesh.triangles][:, :, 0].max(1) < -0.5
    assert beyond[mesh.opaque :].all() and not beyond[: mesh.opaque].any()


@settings(max_examples=40, deadline=None)
@given(width=st.floats(0.02, 4.0), depth=st.floats(0.02, 4.0), spacing=st.floats(0.05, 0.8), slope=st.floats(-2, 2))
def test_probes_reproduce_what_varies_evenly(width, depth, spacing, slope):
    world = homes.square_room()
    world.shell.append(sheet((1, 1, 0), (width, 0, 0), (0, depth, 0), Material()))
    mesh = world_mesh(world, spacing)
    probes = place_probes(mesh, spacing)
    assert np.allclose(probes.to_vertices.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(probes.position[:, 2], LIFT, atol=1e-6)
    at = probes.position.astype(float)
    low, high = at.min(0), at.max(0)
    inner = ((mesh.position > low - 1e-6) & (mesh.position < high + 1e-6))[:, :2].all(1)
    read = probes.to_vertices @ (at[:, 0] + slope * at[:, 1])
    assert np.allclose(read[inner], (mesh.position[:, 0] + slope * mesh.position[:, 1])[inner], atol=1e-4)
    steps = [np.diff(np.unique(at[:, axis].round(5))) for axis in (0, 1)]
    assert all(step.max(initial=0) <= spacing * (1 + 1e-4) for step in steps)


def test_smoothing_keeps_what_is_constant_and_calms_noise():
    probes = place_probes(world_mesh(lit.room_with_blocks(), 0.2), 0.2)
    constant = np.full((len(probes.position), 3), 0.7)
    assert np.allclose(probes.smoothed(constant, 4), 0.7)
    noise = np.random.default_rng(0).standard_normal((len(probes.position), 1))
    assert probes.smoothed(noise, 2).std() < 0.6 * noise.std()


def test_neighbours_across_a_seam_lie_in_the_same_plane():
    world = homes.square_room()
    for corner, width in (((0, 0, 0), 1.0), ((1, 0, 0), 1.5)):
        world.shell.append(sheet(corner, (width, 0, 0), (0, 1, 0), Material()))
    world.shell.append(sheet((2.5, 0, 0), (0, 1, 0), (0, 0, 1), Material()))
    probes = place_probes(world_mesh(world, 0.2), 0.2)
    assert np.abs(np.einsum("pc,pnc->pn", probes.normal, probes.normal[probes.beside]) - 1).max() < 1e-3
    crossing = (probes.position[:, 0] < 1) & (probes.position[probes.beside, 0].max(1) > 1)
    assert crossing.any()
