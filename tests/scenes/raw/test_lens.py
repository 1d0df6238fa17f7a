"""Lenses: closed forms of their distortion, its inverse, and pictures without it."""

from __future__ import annotations

import numpy as np
import pytest

from tests.scenes.raw.scannetpp_files import seen_by_fisheye
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.lens import Lens, Undistortion
from vlm3r.scenes.schema import Intrinsics

SIZE = (96, 64)
FISHEYE = Lens.of("OPENCV_FISHEYE", SIZE, (55, 54, 47, 33, 0.05, -0.01, 0.004, -0.001))
OPENCV = Lens.of("OPENCV", SIZE, (70, 72, 49, 31, 0.08, -0.05, 0.002, -0.003))
GRID = np.stack(np.meshgrid(np.linspace(-0.9, 0.9, 7), np.linspace(-0.6, 0.6, 5)), axis=-1)


def test_a_fisheye_maps_angles_by_its_polynomial():
    angle = 0.7
    hit = FISHEYE.distorted(np.array([np.tan(angle) * 0.6, np.tan(angle) * 0.8]))
    bent = angle * (1 + 0.05 * angle**2 - 0.01 * angle**4 + 0.004 * angle**6 - 0.001 * angle**8)
    assert hit == pytest.approx([0.6 * bent, 0.8 * bent])
    assert (FISHEYE.distorted(np.zeros(2)) == 0).all()


def test_a_perspective_lens_bends_by_radial_and_tangential_terms():
    x, y = 0.4, -0.3
    square = 0.25
    radial = 1 + 0.08 * square - 0.05 * square**2
    across = x * radial + 2 * 0.002 * x * y - 0.003 * (square + 2 * x * x)
    down = y * radial + 0.002 * (square + 2 * y * y) - 2 * 0.003 * x * y
    assert OPENCV.distorted(np.array([x, y])) == pytest.approx([across, down])


@pytest.mark.parametrize("lens", [FISHEYE, OPENCV])
def test_undistorting_points_is_the_inverse_of_distorting_rays(lens):
    assert lens.undistorted(lens.distorted(GRID)) == pytest.approx(GRID, abs=1e-7)


def test_pinhole_models_are_straight_whatever_their_spelling():
    camera = Intrinsics(*SIZE, 70, 70, 48, 32)
    for model, parameters in (
        ("SIMPLE_PINHOLE", (70, 48, 32)),
        ("PINHOLE", (70, 70, 48, 32)),
        ("OPENCV", (70, 70, 48, 32, 0, 0, 0, 0)),
    ):
        lens = Lens.of(model, SIZE, parameters)
        assert lens.camera == camera and lens.straight
    assert not Lens.of("OPENCV_FISHEYE", SIZE, (70, 70, 48, 32, 0, 0, 0, 0)).straight


def test_a_straight_lens_changes_nothing():
    lens = Lens.of("PINHOLE", SIZE, (70, 72, 48, 32))
    undistortion = Undistortion(lens, lens.camera)
    picture = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    assert (undistortion.picture(picture) == picture).all()
    small = np.arange(32 * 48).reshape(32, 48)
    assert (undistortion.values(small, -1) == small).all()
    assert (undistortion.values(picture[..., 0], 0) == picture[..., 0]).all()


def test_the_chosen_pinhole_shows_the_middles_of_the_edges_and_nothing_beyond():
    for lens in (FISHEYE, OPENCV):
        c = Undistortion(lens).camera
        assert c.fx / c.fy == pytest.approx(lens.camera.fx / lens.camera.fy)
        edges = np.array([[0, 32], [96, 32], [48, 0], [48, 64]], float)
        hits = lens.distorted((edges - [c.cx, c.cy]) / [c.fx, c.fy])
        pixels = hits * [lens.camera.fx, lens.camera.fy] + [lens.camera.cx, lens.camera.cy]
        assert (pixels > [-0.6, -0.6]).all() and (pixels < [96.6, 64.6]).all()
        touched = np.abs([pixels[0, 0], pixels[1, 0] - 96, pixels[2, 1], pixels[3, 1] - 64]).min()
        assert touched < 0.8


def test_a_fisheye_picture_of_a_plane_pattern_becomes_straight_again():
    c = Undistortion(FISHEYE).camera
    wide = Intrinsics(288, 192, FISHEYE.camera.fx, FISHEYE.camera.fy, FISHEYE.camera.cx + 96, FISHEYE.camera.cy + 64)

    def pattern(camera: Intrinsics) -> np.ndarray:
        u, v = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
        x, y = (u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy
        return np.stack([127 + 100 * np.sin(3 * x), 127 + 100 * np.sin(4 * y), 127 + 50 * x], axis=-1)

    bent = seen_by_fisheye(pattern(wide), wide, FISHEYE.distortion, 1)[64:128, 96:192]
    straight = Undistortion(FISHEYE).picture(np.rint(bent).astype(np.uint8))
    error = np.abs(straight.astype(float) - pattern(c))
    assert error[1:-1, 1:-1].max() < 4 and np.abs(np.rint(bent) - pattern(c)).max() > 20


def test_a_resized_lens_hits_the_same_share_of_the_picture():
    half = FISHEYE.resized(48, 32)
    assert half.camera == Intrinsics(48, 32, 27.5, 27, 23.5, 16.5) and half.distortion == FISHEYE.distortion


@pytest.mark.parametrize(
    ("model", "parameters", "reason"),
    [
        ("FULL_OPENCV", (1,) * 12, "none of"),
        ("x" * 5000, (), "none of"),
        ("PINHOLE", (70, 70, 48), "3 numbers instead of 4"),
        ("PINHOLE", (70, float("nan"), 48, 32), "not finite"),
        ("PINHOLE", (0, 70, 48, 32), "fx is 0"),
        ("PINHOLE", (70, 70, 480, 32), "outside the picture"),
        ("OPENCV", (70, 70, 48, 32, 1e30, 0, 0, 0), "beyond"),
    ],
)
def test_values_that_are_no_lens_are_refused(model, parameters, reason):
    with pytest.raises(FieldError, match=reason) as caught:
        Lens.of(model, SIZE, parameters)
    assert len(str(caught.value)) < 250


def test_a_distortion_without_inverse_is_refused():
    with pytest.raises(FieldError, match="cannot be inverted"):
        Undistortion(Lens.of("OPENCV", SIZE, (70, 72, 48, 32, -20, 0, 0, 0)))
