"""COLMAP models in text and binary files, whole and damaged."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from tests.scenes.raw.scannetpp_files import write_binary_model, write_text_model
from vlm3r.errors import UserError
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.colmap import camera_to_world, read_model
from vlm3r.scenes.raw.lens import Lens
from vlm3r.scenes.schema import Intrinsics

CAMERA = Intrinsics(96, 64, 55, 54, 47, 33)
FISHEYE = (0.05, -0.01, 0.004, -0.001)


def poses() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(5)
    found = {}
    for number in range(5):
        pose = np.eye(4)
        pose[:3, :3] = Rotation.random(rng=rng).as_matrix()
        pose[:3, 3] = rng.uniform(-5, 5, 3)
        found[f"DSC{number:05d} (1).JPG" if number == 3 else f"DSC{number:05d}.JPG"] = pose
    return found


def text_model(tmp_path: Path) -> Path:
    write_text_model(tmp_path / "colmap", poses(), "OPENCV_FISHEYE", CAMERA, FISHEYE)
    return tmp_path / "colmap"


def binary_model(tmp_path: Path) -> Path:
    parameters = (CAMERA.fx, CAMERA.fy, CAMERA.cx, CAMERA.cy, *FISHEYE)
    write_binary_model(tmp_path / "colmap", poses(), 5, CAMERA, parameters)
    return tmp_path / "colmap"


def refusal(folder: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_model(folder.parent, folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edited(path: Path, old: str, new: str) -> None:
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


@pytest.mark.parametrize("write", [text_model, binary_model])
def test_poses_are_inverted_to_camera_to_world_in_both_kinds_of_file(tmp_path, write):
    folder = write(tmp_path)
    model = read_model(tmp_path, folder)
    assert list(model.images) == list(poses()) and model.problems == ()
    assert model.source == f"colmap/images.{'txt' if write is text_model else 'bin'}"
    lens = Lens(CAMERA, True, FISHEYE)
    for name, pose in poses().items():
        assert model.images[name].pose == pytest.approx(pose, abs=1e-9)
        assert model.images[name].lens == lens


def test_a_known_camera_stands_where_it_stands():
    # Turned by a quarter about the vertical, one metre in front of the world's origin.
    pose = camera_to_world((np.sqrt(0.5), 0, np.sqrt(0.5), 0), (0, 0, 1))
    assert pose[:3, 3] == pytest.approx([1, 0, 0]) and pose[:3, 2] == pytest.approx([-1, 0, 0])


def test_lists_of_points_may_be_empty_long_or_missing(tmp_path):
    folder = text_model(tmp_path)
    lines = (folder / "images.txt").read_text().splitlines()
    heads = [line for line in lines if "DSC" in line]
    long = " ".join(["2362.39 248.498 58396"] * 30_000)
    (folder / "images.txt").write_text("\n".join([heads[0], long, heads[1], "", *heads[2:], "", ""]))
    assert list(read_model(tmp_path, folder).images) == list(poses())


def test_names_lose_their_folders_and_repeated_or_broken_images_are_left_out(tmp_path):
    folder = text_model(tmp_path)
    path = folder / "images.txt"
    edited(path, "DSC00000.JPG", "../images/DSC00000.JPG")
    edited(path, "DSC00002.JPG", "DSC00001.JPG")
    quaternion = next(line for line in path.read_text().splitlines() if "DSC00004" in line).split()[1]
    edited(path, f"5 {quaternion}", "5 nan")
    model = read_model(tmp_path, folder)
    assert list(model.images) == ["DSC00000.JPG", "DSC00001.JPG", "DSC00003 (1).JPG"]
    assert len(model.problems) == 2 and "repeated" in model.problems[0] and "not finite" in model.problems[1]


@pytest.mark.parametrize(
    ("quaternion", "translation"),
    [((2, 0, 0, 0), (0, 0, 0)), ((0, 0, 0, 0), (0, 0, 0)), ((1, 0, 0, 0), (0, 1e300, 0)), ((1, 0, 0), (0, 0, 0))],
)
def test_numbers_that_are_no_pose_are_refused(quaternion, translation):
    with pytest.raises(FieldError):
        camera_to_world(quaternion, translation)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("cameras.txt", "", "camera 1 is unknown"),
        ("cameras.txt", "1 PINHOLE 96\n", "cameras.txt: line 1: has fewer than five words"),
        ("cameras.txt", "1 PINHOLE 96 sixty 1 1 1 1\n", "cameras.txt: line 1: a number is 'sixty'"),
        ("cameras.txt", "1 PINHOLE 96 64 55 54 47\n", "camera 1: PINHOLE parameters has 3 numbers"),
        ("images.txt", "", "has no usable image"),
        ("images.txt", "1 1 0 0 0\n", "images.txt: line 1: has fewer than ten words"),
        ("images.txt", "1 1 0 0 zero 0 0 0 1 a.jpg\n", "images.txt: line 1: the pose holds something"),
        ("images.txt", "\0" * 5000, "images.txt: line 1"),
    ],
)
def test_text_files_that_are_no_model_are_refused(tmp_path, name, content, reason):
    folder = text_model(tmp_path)
    (folder / name).write_text(content)
    assert reason in refusal(folder)


@pytest.mark.parametrize("name", ["cameras.bin", "images.bin"])
def test_binary_files_cut_anywhere_are_refused(tmp_path, name):
    folder = binary_model(tmp_path)
    content = (folder / name).read_bytes()
    for end in (0, 5, 8, 12, 40, 75, 90, 100, len(content) - 1):
        if end < len(content):
            (folder / name).write_bytes(content[:end])
            assert name in refusal(folder)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("images.bin", struct.pack("<Q", 2**63), "promises 9223372036854775808 records"),
        ("cameras.bin", struct.pack("<Q", 1000) + bytes(100), "promises 1000 records"),
        ("cameras.bin", struct.pack("<QIiQQ", 1, 1, 99, 4, 3) + bytes(64), "lens model 99"),
        ("cameras.bin", struct.pack("<QIiQQ", 1, 1, 1, 2**63, 3) + struct.pack("<4d", 1, 1, 1, 1), "camera's width"),
        ("images.bin", struct.pack("<QI7dI", 1, 1, 1, *[0.0] * 6, 1) + b"x" * 3000, "a name of more than"),
        ("images.bin", struct.pack("<QI7dI", 1, 1, 1, *[0.0] * 6, 1) + b"x\0" + struct.pack("<Q", 2**60), "cut short"),
    ],
)
def test_counts_and_sizes_that_cannot_be_true_are_refused_before_anything_is_allocated(tmp_path, name, content, reason):
    folder = binary_model(tmp_path)
    (folder / name).write_bytes(content)
    assert reason in refusal(folder)


def test_missing_files_and_links_out_of_the_scan_are_refused(tmp_path):
    folder = text_model(tmp_path / "scan")
    (folder / "cameras.txt").rename(tmp_path / "cameras.txt")
    assert "cameras.txt: no such file" in refusal(folder)
    (folder / "cameras.txt").symlink_to(tmp_path / "cameras.txt")
    with pytest.raises(UserError, match="leads out of"):
        read_model(tmp_path / "scan", folder)


def test_an_image_of_an_unknown_camera_is_left_out_and_named(tmp_path):
    folder = text_model(tmp_path)
    edited(folder / "images.txt", " 1 DSC00002.JPG", " 7 DSC00002.JPG")
    model = read_model(tmp_path, folder)
    assert len(model.images) == 4 and "camera 7 is unknown" in model.problems[0]
