"""Both renderers against closed-form geometry, against each other, and against themselves in another process."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from tests.scenes.synthetic import lit
from vlm3r.errors import UserError
from vlm3r.scenes.synthetic import opengl, render
from vlm3r.scenes.synthetic.render import PRESETS, OpenGLMissing, RenderSettings, open_renderer
from vlm3r.scenes.synthetic.walk import look_pose

ROUGH = replace(PRESETS["fast"], light_samples=4, sky_rays=8, bounces=1, spacing=0.3, texture_size=64)
POSES = [
    look_pose(np.array([0.6, 0.7, 1.5]), np.radians(52), np.radians(-12)),
    look_pose(np.array([4.4, 0.6, 1.1]), np.radians(115), np.radians(4)),
    look_pose(np.array([2.5, 4.7, 2.2]), np.radians(-80), np.radians(-35)),
]


@pytest.fixture(scope="module")
def renderers():
    world = lit.room_with_blocks()
    opened = {"raycast": open_renderer(world, lit.CAMERA, ROUGH, 1, "raycast")}
    if lit.opengl_works():
        opened["opengl"] = open_renderer(world, lit.CAMERA, ROUGH, 1, "opengl")
    yield opened
    for renderer in opened.values():
        renderer.close()


@pytest.mark.parametrize("backend", lit.BACKENDS)
def test_depth_and_instances_equal_closed_form_geometry(renderers, backend):
    world = lit.room_with_blocks()
    shown = set()
    for pose in POSES:
        depth, instances = renderers[backend].depth_and_instances(pose)
        expected_depth, expected_instances = lit.seen_by_geometry(world, pose)
        inner = ~lit.beside_an_edge(expected_instances, expected_depth)
        assert (depth.dtype, instances.dtype, depth.shape) == (np.float32, np.int32, (96, 128))
        assert np.array_equal(instances[inner], expected_instances[inner])
        assert np.abs(depth - expected_depth)[inner].max() < 0.001
        assert (instances == expected_instances).mean() > 0.995
        shown |= set(np.unique(instances[inner]).tolist())
    assert shown == {0, 1, 2, 3, 4, 5}


@pytest.mark.parametrize("backend", lit.BACKENDS)
def test_capture_equals_frame_and_depth(renderers, backend):
    renderer = renderers[backend]
    picture, depth, instances = renderer.capture(POSES[0])
    assert picture.dtype == np.uint8 and picture.shape == (96, 128, 3)
    assert np.array_equal(picture, renderer.frame(POSES[0]))
    for got, expected in zip((depth, instances), renderer.depth_and_instances(POSES[0]), strict=True):
        assert np.array_equal(got, expected)


@lit.NEEDS_OPENGL
def test_the_two_back_ends_show_the_same_picture(renderers):
    for pose in POSES:
        first, second = (renderers[name].frame(pose).astype(int) for name in ("opengl", "raycast"))
        depth, instances = lit.seen_by_geometry(lit.room_with_blocks(), pose)
        away = np.abs(first - second).max(-1)[~lit.beside_an_edge(instances, depth)]
        assert away.mean() < 2.0
        assert np.percentile(away, 99) < 16


@pytest.mark.parametrize("backend", lit.BACKENDS)
def test_pictures_are_neither_black_nor_flat(renderers, backend):
    picture = renderers[backend].frame(POSES[0])
    assert 60 < picture.mean() < 200
    assert picture.std() > 15


@pytest.mark.parametrize("backend", lit.BACKENDS)
def test_supersampling_smooths_edges_and_leaves_depth_alone(renderers, backend):
    smooth = open_renderer(lit.room_with_blocks(), lit.CAMERA, replace(ROUGH, supersample=2), 1, backend)
    picture, depth, instances = smooth.capture(POSES[0])
    smooth.close()
    plain_picture, plain_depth, plain_instances = renderers[backend].capture(POSES[0])
    assert np.abs(depth - plain_depth).max() < 1e-4
    assert np.array_equal(instances, plain_instances)
    steepest = [np.abs(np.diff(p.astype(int), axis=1)).max() for p in (picture, plain_picture)]
    assert steepest[0] < steepest[1]
    assert np.abs(picture.astype(int) - plain_picture).mean() < 4


@pytest.mark.parametrize("backend", lit.BACKENDS)
def test_where_there_is_nothing_depth_is_zero(backend):
    world = lit.room_with_blocks()
    world.shell.clear()
    renderer = open_renderer(world, lit.CAMERA, ROUGH, 1, backend)
    _, depth, instances = renderer.capture(POSES[0])
    renderer.close()
    assert np.array_equal(depth == 0, instances == 0)
    assert 0.3 < (depth == 0).mean() < 0.98


@pytest.mark.parametrize("backend", lit.BACKENDS)
@pytest.mark.parametrize(("windows", "lamps"), [(0, 0), (0, 1), (1, 0), (10, 3)])
def test_any_number_of_windows_and_lamps(backend, windows, lamps):
    renderer = open_renderer(lit.room_with_blocks(windows, lamps), lit.CAMERA, ROUGH, 1, backend)
    picture = renderer.frame(POSES[0])
    renderer.close()
    assert (picture.mean() > 30) == bool(windows or lamps)


def digest(backend):
    renderer = open_renderer(lit.room_with_blocks(), lit.CAMERA, ROUGH, 1, backend)
    parts = [part for pose in POSES for part in renderer.capture(pose)]
    renderer.close()
    return hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()


@pytest.mark.parametrize("backend", lit.BACKENDS)
def test_another_process_makes_the_same_bytes(backend):
    code = f"from tests.scenes.synthetic.test_render_backends import digest; print(digest({backend!r}))"
    ours = digest(backend)
    for environment in (
        {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1"},
        {"PYTHONHASHSEED": "2", "LP_NUM_THREADS": "2"},
    ):
        command = [sys.executable, "-c", code]
        done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == ours


@pytest.mark.parametrize("backend", lit.BACKENDS)
def test_the_seed_decides_the_light(renderers, backend):
    other = open_renderer(lit.room_with_blocks(), lit.CAMERA, ROUGH, 2, backend)
    picture = other.frame(POSES[0])
    other.close()
    away = np.abs(picture.astype(int) - renderers[backend].frame(POSES[0]))
    assert 0 < away.mean() < 6


def no_opengl():
    raise OpenGLMissing("no OpenGL context; install the system's libEGL and libGL")


def test_auto_falls_back_to_ray_casting_and_says_so(monkeypatch):
    monkeypatch.setattr(opengl, "open_context", no_opengl)
    renderer = open_renderer(lit.room_with_blocks(), lit.CAMERA, ROUGH, 1)
    assert renderer.backend == "raycast"
    assert renderer.frame(POSES[0]).shape == (96, 128, 3)
    with pytest.raises(UserError, match="install"):
        open_renderer(lit.room_with_blocks(), lit.CAMERA, ROUGH, 1, "opengl")


@lit.NEEDS_OPENGL
def test_auto_takes_opengl_where_it_works():
    renderer = open_renderer(lit.room_with_blocks(), lit.CAMERA, ROUGH, 1)
    assert renderer.backend == "opengl"
    renderer.close()


def test_a_missing_package_is_named_with_its_remedy(monkeypatch):
    monkeypatch.setitem(sys.modules, "embreex", None)
    with pytest.raises(UserError, match="pip install embreex"):
        open_renderer(lit.room_with_blocks(), lit.CAMERA, ROUGH, 1, "raycast")
    monkeypatch.setitem(sys.modules, "moderngl", None)
    with pytest.raises(OpenGLMissing, match="pip install moderngl"):
        opengl.open_context()


def test_an_unknown_back_end_is_refused():
    with pytest.raises(UserError, match="opengl"):
        open_renderer(lit.room_with_blocks(), lit.CAMERA, ROUGH, 1, "vulkan")


@pytest.mark.parametrize("wrong", [{"width": 0}, {"supersample": 0}, {"spacing": 0.0}, {"bounces": -1}])
def test_settings_that_make_no_picture_are_refused(wrong):
    with pytest.raises(UserError, match=next(iter(wrong))):
        RenderSettings(**wrong)


def test_presets_grow_in_care():
    fast, standard, best = (render.PRESETS[name] for name in ("fast", "standard", "best"))
    for finer, coarser in ((standard, fast), (best, standard)):
        assert finer.spacing < coarser.spacing
        assert (finer.width, finer.light_samples, finer.sky_rays) >= (
            coarser.width,
            coarser.light_samples,
            coarser.sky_rays,
        )
