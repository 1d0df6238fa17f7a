"""The light bake against closed forms: energy, lamps, shadows, sunshine; and what smooths light and pictures."""

import numpy as np
import pytest

from tests.scenes.synthetic import homes, lit
from vlm3r.scenes.synthetic.light import SUN_IRRADIANCE, Effort, bake
from vlm3r.scenes.synthetic.mesh import thinned, world_mesh
from vlm3r.scenes.synthetic.pixels import averaged, close_cracks
from vlm3r.scenes.synthetic.probes import place_probes
from vlm3r.scenes.synthetic.shapes import Material, lathe, sheet
from vlm3r.scenes.synthetic.world import AreaLight

EFFORT = Effort(light_samples=24, sky_rays=64, bounces=6, smoothing=1)
LAMP = AreaLight((2.3, 2.3, 2.55), (0, 0.4, 0), (0.4, 0, 0), (9.0, 8.0, 6.0))


def empty_room(lamps=(LAMP,), windows=()):
    world = homes.square_room(lit.SIDE)
    lit.walls(world)
    world.lamps.extend(lamps)
    world.windows.extend(windows)
    return world


def baked(world, effort=EFFORT, albedo=0.5, spacing=0.25, seed=0):
    mesh = world_mesh(world, spacing)
    light = bake(world, mesh, place_probes(mesh, spacing), np.full((len(mesh.position), 3), albedo), effort, seed)
    return mesh, light


def triangle_areas(mesh):
    corner = mesh.position[mesh.triangles].astype(float)
    return np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1) / 2


def at(mesh, light, point, normal=(0, 0, 1)):
    """Irradiance at the vertex nearest to a point, among those that face along a normal."""
    facing = mesh.normal @ np.asarray(normal, float) > 0.99
    away = np.linalg.norm(mesh.position - np.asarray(point), axis=1) + 1e3 * ~facing
    assert away.min() < 0.3
    return light.irradiance[np.argmin(away)]


@pytest.mark.parametrize("albedo", [0.0, 0.3, 0.6])
def test_a_closed_room_receives_what_the_lamp_gives_off_and_every_bounce_of_it(albedo):
    mesh, light = baked(empty_room(), albedo=albedo)
    received = (light.irradiance[mesh.triangles].mean(1) * triangle_areas(mesh)[:, None]).sum(0)
    given = np.pi * np.array(LAMP.radiance) * 0.16  # a flat emitter sends pi times its radiance from every square metre
    series = sum(albedo**k for k in range(EFFORT.bounces + 1))
    assert received == pytest.approx(given * series, rel=0.06)


def test_direct_light_of_a_small_lamp_is_that_of_the_point_formula():
    small = AreaLight((2.49, 2.49, 2.5), (0, 0.02, 0), (0.02, 0, 0), (1000.0, 500.0, 250.0))
    mesh, light = baked(empty_room([small]), Effort(8, 4, 0, 0))
    for x, y in ((2.5, 2.5), (1.5, 2.5), (4.0, 1.0)):
        vertex = mesh.position[np.argmin(np.linalg.norm(mesh.position - (x, y, 0), axis=1))]
        square = ((vertex - (2.5, 2.5, 2.5)) ** 2).sum()
        expected = 4e-4 * np.array(small.radiance) * (2.5 / np.sqrt(square)) ** 2 / square
        assert at(mesh, light, vertex) == pytest.approx(expected, rel=0.05)


def test_a_block_casts_a_shadow_and_is_darker_on_the_far_side():
    world = empty_room([], [AreaLight((0.005, 1.5, 0.8), (0, 2.0, 0), (0, 0, 1.4), lit.SKY)])
    world.sun_direction = np.array([0.9, 0.0, 0.43])  # from the wall that has no window
    homes.block(world, (2.5, 2.5), (0.4, 1.6, 1.2))
    mesh, light = baked(world)
    near, far = at(mesh, light, (2.3, 2.5, 0.6), (-1, 0, 0)), at(mesh, light, (2.7, 2.5, 0.6), (1, 0, 0))
    assert (far < 0.5 * near).all() and (far > 0.01 * near).all()
    shaded, open_floor = at(mesh, light, (3.1, 2.5, 0)), at(mesh, light, (3.1, 4.6, 0))
    assert (shaded < 0.6 * open_floor).all()
    assert light.daylight.min() >= 0 and light.daylight.max() <= 1 + 1e-6
    facing_east = mesh.normal[:, 0] > 0.99
    assert light.daylight[facing_east & (mesh.position[:, 0] > 1)].max() < 1e-6  # turned away from the window


def test_light_stays_in_its_room():
    world = empty_room()
    beyond = [sheet((lit.SIDE + 0.12 + dx, dy, z), u, v, Material("#ffffff")) for dx, dy, z, u, v in (
        (0, 0, 0, (3, 0, 0), (0, 5, 0)), (0, 0, 2.6, (0, 5, 0), (3, 0, 0)),
        (0, 0, 0, (0, 5, 0), (0, 0, 2.6)), (3, 0, 0, (0, 0, 2.6), (0, 5, 0)),
        (0, 0, 0, (0, 0, 2.6), (3, 0, 0)), (0, 5, 0, (3, 0, 0), (0, 0, 2.6)),
    )]  # fmt: skip
    world.shell += beyond
    mesh, light = baked(world)
    dark = mesh.position[:, 0] > lit.SIDE + 0.1
    assert light.irradiance[dark].max() < 1e-3 * np.median(light.irradiance[~dark])


def test_sunshine_falls_where_the_window_lets_it():
    towards = np.array([-0.8, 0.0, 0.6])
    window = AreaLight((0.005, 2.0, 1.0), (0, 1.0, 0), (0, 0, 1.2), (0.0, 0.0, 0.0))
    world = empty_room([], [window])
    world.shell = [patch for patch in world.shell if patch.points[..., 0].max() > 1]  # no wall where the window is
    for y0, y1, z0, z1 in ((0, 2, 0, 2.6), (3, 5, 0, 2.6), (2, 3, 0, 1.0), (2, 3, 2.2, 2.6)):
        world.shell.append(sheet((0, y0, z0), (0, y1 - y0, 0), (0, 0, z1 - z0), Material("#ffffff")))
    world.sun_direction = towards
    mesh, light = baked(world, Effort(32, 8, 0, 0), spacing=0.1)
    lit_from, lit_to = 1.0 * 0.8 / 0.6, 2.2 * 0.8 / 0.6  # floor reached by rays through sill and head
    floor = (mesh.position[:, 2] == 0) & (mesh.normal[:, 2] > 0.99)
    x, y = mesh.position[:, 0], mesh.position[:, 1]
    inside = floor & (x > lit_from + 0.2) & (x < lit_to - 0.2) & (y > 2.2) & (y < 2.8)
    outside = floor & ((x < lit_from - 0.2) | (x > lit_to + 0.2) | (y < 1.8) | (y > 3.2))
    assert inside.sum() > 20
    assert light.irradiance[inside] == pytest.approx(np.tile(0.6 * SUN_IRRADIANCE, (inside.sum(), 1)), rel=0.02)
    assert light.irradiance[outside].max() < 1e-6


def test_light_is_finite_nowhere_negative_and_nowhere_black():
    world = lit.room_with_blocks(windows=2, lamps=1)
    mesh, light = baked(world)
    assert np.isfinite(light.irradiance).all() and light.irradiance.min() >= 0
    middle = np.median(light.irradiance.mean(1))
    exposed = mesh.position[:, 2] > 0.02  # not the undersides that stand on the floor
    assert (light.irradiance.mean(1)[exposed] > 0.01 * middle).mean() > 0.99


def test_what_glows_neither_casts_shadows_nor_counts_twice():
    world = empty_room()
    before = baked(world)[1].irradiance
    shade = lathe([(0.5, 2.3), (0.5, 2.5)], Material("#ffffff", emission=1.0))
    world.add("lamp", shade, (2.5, 2.5), blocks=False)
    mesh, light = baked(world)
    shell = mesh.style[:, 3] == 0
    assert light.irradiance[shell].mean() == pytest.approx(before.mean(), rel=0.02)


def test_the_same_seed_gives_the_same_bytes():
    first, again, other = (baked(lit.room_with_blocks(), seed=seed)[1].irradiance for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_smoothing_crosses_the_seams_of_a_wall_but_no_gap():
    world = homes.square_room()
    for left, right in ((0.0, 1.0), (1.0, 2.5), (2.5, 4.0)):
        world.shell.append(sheet((left, 0, 0), (right - left, 0, 0), (0, 0, 2.4), Material()))
    world.shell.append(sheet((4.2, 0, 0), (1.0, 0, 0), (0, 0, 2.4), Material()))  # beyond a gap
    probes = place_probes(world_mesh(world, 0.2), 0.2)
    x = probes.position[:, 0]
    step = (x > 2.5)[:, None].astype(float)
    smooth = probes.smoothed(step, 2)[:, 0]
    assert 0.05 < smooth[(x > 2.3) & (x < 2.5)].max() < 0.7
    assert (smooth[x > 4.1] == 1).all() and (smooth[x < 1.5] == 0).all()


@pytest.mark.parametrize("step", [0.03, 0.04, 0.0593, 0.06, 0.08, 0.11, 0.13])
@pytest.mark.parametrize("tolerance", [0.0, 0.002])
def test_flat_surfaces_keep_enough_lines_for_the_light(step, tolerance):
    (patch,) = thinned([sheet((0, 0, 0), (2.4, 0, 0), (0, 4.4, 0), Material(), step)], 0.12, tolerance)
    for axis in (0, 1):
        assert np.diff(np.unique(patch.points[..., axis].round(9))).max() <= 0.12 + step


def test_averaging_keeps_even_pictures_and_mean_brightness():
    rng = np.random.default_rng(0)
    samples = rng.integers(0, 256, (36, 48, 3)).astype(np.uint8)
    assert np.array_equal(averaged(np.full((36, 48, 3), 200, np.uint8), 2), np.full((18, 24, 3), 200))
    for factor in (1, 2, 3):
        assert averaged(samples, factor).shape == (36 // factor, 48 // factor, 3)
        assert averaged(samples, factor).mean() == pytest.approx(samples.mean(), abs=2)


def test_only_cracks_are_closed():
    covered = np.ones((6, 8), bool)
    covered[2, 3] = covered[4, 6] = covered[0, :3] = False
    depth = np.where(covered, 5.0, 0.0)
    close_cracks(covered, depth)
    assert depth[2, 3] == 5 and depth[4, 6] == 5
    assert (depth[0, :3] == 0).all()
