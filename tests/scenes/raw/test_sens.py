"""`.sens` files, written byte by byte, read back; and those that no recorder wrote."""

from __future__ import annotations

import struct
import zlib
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.raw.room import make_room
from tests.scenes.raw.scannet_files import LOST, Recording, recording, sens_bytes, sens_header
from vlm3r.errors import UserError
from vlm3r.scenes.raw.sens import SensFile

WHOLE = recording(make_room())
CONTENT = sens_bytes(WHOLE)
HEADER = len(sens_header(WHOLE))


def written(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "scene.sens"
    path.write_bytes(content)
    return path


def refusal(tmp_path: Path, content: bytes) -> str:
    with pytest.raises(UserError) as caught:
        SensFile(written(tmp_path, content))
    assert "\n" not in str(caught.value) and "scene.sens" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("colour_kind", ["raw", "png", "jpeg"])
@pytest.mark.parametrize("depth_kind", ["raw", "zlib"])
@pytest.mark.parametrize("shift", [1000.0, 4000.0])
def test_a_file_in_any_compression_is_read_back(tmp_path, colour_kind, depth_kind, shift) -> None:
    r = replace(WHOLE, colour_kind=colour_kind, depth_kind=depth_kind, shift=shift)
    sens = SensFile(written(tmp_path, sens_bytes(r)))
    assert len(sens.frames) == len(r.poses) and sens.cut is None and sens.problems == ()
    for read, true in ((sens.colour_camera, r.colour_camera), (sens.depth_camera, r.depth_camera)):
        assert astuple(read) == pytest.approx(astuple(true), rel=1e-6)  # stored as float32
    for number, frame in enumerate(sens.frames):
        assert frame.number == number and frame.has_colour and frame.has_depth
        assert frame.pose is not None
        assert np.array_equal(frame.pose, np.float32(r.poses[number]))
        off = np.abs(sens.colour(number).astype(int) - r.pictures[number])
        assert off.max() == 0 if colour_kind != "jpeg" else off.mean() < 6
        assert sens.depth(number) == pytest.approx(r.depth[number], abs=0.501 / shift)
    sens.close()


def test_frames_can_be_read_in_any_order(tmp_path) -> None:
    sens = SensFile(written(tmp_path, CONTENT))
    for number in (4, 0, 5, 4):
        assert np.array_equal(sens.colour(number), WHOLE.pictures[number])


def test_lost_poses_stay_minus_infinity(tmp_path) -> None:
    pose = SensFile(written(tmp_path, CONTENT)).frames[LOST].pose
    assert pose is not None and np.isneginf(pose).all()


def frame_ends() -> list[int]:
    """Where each frame ends in `CONTENT`."""
    ends, offset = [], HEADER
    for _ in WHOLE.poses:
        colour, depth = struct.unpack_from("<QQ", CONTENT, offset + 80)
        offset += 96 + colour + depth
        ends.append(offset)
    return ends


@pytest.mark.parametrize("frames", range(1, 6))
@pytest.mark.parametrize("beyond", [0, 1, 63, 80, 95, 96, 97, 500])
def test_the_whole_frames_before_a_cut_are_known_and_the_cut_is_named(tmp_path, frames, beyond) -> None:
    sens = SensFile(written(tmp_path, CONTENT[: frame_ends()[frames - 1] + beyond]))
    assert len(sens.frames) == frames
    assert sens.cut == f"is cut short in frame {frames} of 6"
    assert np.array_equal(sens.colour(frames - 1), WHOLE.pictures[frames - 1])


def test_the_end_of_the_last_frame_is_enough(tmp_path) -> None:
    sens = SensFile(written(tmp_path, CONTENT[: frame_ends()[-1]]))
    assert len(sens.frames) == 6 and sens.cut is None
    assert len(SensFile(written(tmp_path, CONTENT[: frame_ends()[-1] - 1])).frames) == 5


@pytest.mark.parametrize("length", [0, 1, 11, 12, 20, 100, HEADER - 1])
def test_a_header_that_is_cut_short_is_refused(tmp_path, length) -> None:
    reason = "is empty" if length == 0 else "is cut short in its header"
    assert f"{reason}; download it again" in refusal(tmp_path, CONTENT[:length])


def test_a_file_without_a_whole_frame_is_refused(tmp_path) -> None:
    assert "has no whole frame: is cut short in frame 0 of 6" in refusal(tmp_path, CONTENT[: HEADER + 50])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 3}, "is of version 3, not 4"),
        ({"version": 0x474E5089}, "is no .sens file"),
        ({"name_length": 1 << 60}, "sensor's name has"),
        ({"name_length": 5000}, "sensor's name has"),
        ({"colour_kind": 7}, "pictures in compression 7"),
        ({"colour_kind": -1}, "pictures in compression -1"),
        ({"depth_kind": 9}, "depth maps in compression 9"),
        ({"depth_kind": 2}, "which only ScanNet's own tools read"),
        ({"width": 0}, "edge of 0 pixels"),
        ({"depth_height": 4_000_000_000}, "edge of 4000000000 pixels"),
        ({"shift": 0.0}, "a metre is 0 depth values"),
        ({"shift": float("nan")}, "a metre is nan depth values"),
        ({"count": 0}, "has 0 frames"),
        ({"count": 1 << 62}, f"has {1 << 62} frames"),
    ],
)
def test_a_header_that_no_recorder_wrote_is_refused_before_anything_follows_from_it(tmp_path, changes, reason) -> None:
    assert reason in refusal(tmp_path, sens_bytes(replace(WHOLE, changes=changes)))


@pytest.mark.parametrize("field", [80, 88], ids=["picture", "depth map"])
def test_a_payload_of_absurd_size_ends_the_file(tmp_path, field) -> None:
    content = bytearray(CONTENT)
    struct.pack_into("<Q", content, frame_ends()[1] + field, 1 << 61)
    sens = SensFile(written(tmp_path, bytes(content)))
    assert len(sens.frames) == 2
    assert sens.cut == "is damaged in frame 2 of 6, which cannot be that large"


def with_payload(r: Recording, number: int, colour: bytes | None = None, depth: bytes | None = None) -> bytes:
    """The file with another picture or depth map in one frame."""
    start = HEADER if number == 0 else frame_ends()[number - 1]
    own_colour, own_depth = struct.unpack_from("<QQ", CONTENT, start + 80)
    pixels = CONTENT[start + 96 : start + 96 + own_colour] if colour is None else colour
    values = CONTENT[start + 96 + own_colour : start + 96 + own_colour + own_depth] if depth is None else depth
    sizes = struct.pack("<QQ", len(pixels), len(values))
    return CONTENT[: start + 80] + sizes + pixels + values + CONTENT[frame_ends()[number] :]


@pytest.mark.parametrize("payload", [b"\x89PNG\r\n\x1a\n" + b"\0" * 60, b"GIF89a" + b"\0" * 60, b"x"])
def test_a_damaged_picture_is_named_and_others_are_read(tmp_path, payload) -> None:
    sens = SensFile(written(tmp_path, with_payload(WHOLE, 3, colour=payload)))
    with pytest.raises(UserError, match=r"the picture of frame 3 .*download it again"):
        sens.colour(3)
    assert np.array_equal(sens.colour(4), WHOLE.pictures[4])


@pytest.mark.parametrize("payload", [b"no zlib at all", zlib.compress(b"\0" * 10_000_000), b"x\x9c"])
def test_a_damaged_or_exploding_depth_map_is_named(tmp_path, payload) -> None:
    sens = SensFile(written(tmp_path, with_payload(WHOLE, 3, depth=payload)))
    with pytest.raises(UserError, match="the depth map of frame 3"):
        sens.depth(3)
    assert sens.depth(4).shape == (60, 80)


def test_frames_without_picture_or_depth_are_marked(tmp_path) -> None:
    sens = SensFile(written(tmp_path, with_payload(WHOLE, 1, colour=b"", depth=b"")))
    assert [(f.has_colour, f.has_depth) for f in sens.frames] == [(n != 1, n != 1) for n in range(6)]
    with pytest.raises(UserError, match="the picture of frame 1 is missing"):
        sens.colour(1)


def test_a_missing_file_is_named(tmp_path) -> None:
    with pytest.raises(UserError, match=r"none\.sens: no such file; download the scan's recording"):
        SensFile(tmp_path / "none.sens")
