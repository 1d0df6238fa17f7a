"""ScanNet scans that are missing something, damaged, or made to do harm: one line each, and nothing else breaks."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from tests.scenes.raw import scannet_files as files
from tests.scenes.raw.room import make_room
from tests.scenes.raw.scannet_files import SCENE_ID, write_scan
from vlm3r.errors import UserError
from vlm3r.scenes.raw.scannet_capture import ScanNetCapture
from vlm3r.scenes.scannet import categories, find_scans, open_scan

ROOM = make_room()


@pytest.fixture
def scan(tmp_path) -> Path:
    return write_scan(tmp_path, ROOM)


def opened(scan: Path, **options) -> ScanNetCapture:
    return open_scan(find_scans(scan.parent.parent)[0], **options)


def refusal(scan: Path) -> str:
    with pytest.raises(UserError) as caught:
        opened(scan)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def problems(scan: Path) -> str:
    with opened(scan) as capture:
        assert capture.cloud is None or len(capture.cloud.points)
        for number in range(len(capture.views)):
            capture.mask(number)
            capture.depth(number)
        return "\n".join(capture.findings.problems)


def edited(path: Path, change) -> None:
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))


def annotation(scan: Path) -> Path:
    return scan / f"{SCENE_ID}.aggregation.json"


def test_a_recording_that_is_cut_short_is_refused_unless_a_part_is_wanted(scan) -> None:
    sens = next(scan.glob("*.sens"))
    content = sens.read_bytes()
    sens.write_bytes(content[: len(content) * 2 // 3])
    assert "its video would not show the whole room; download it again" in refusal(scan)
    with opened(scan, partial=True) as capture:
        assert 0 < len(capture.views) < 6
        assert any("the frames before are used" in problem for problem in capture.findings.problems)


def test_a_scan_without_recording_or_export_is_refused(scan) -> None:
    next(scan.glob("*.sens")).unlink()
    assert f"{SCENE_ID}.sens: no such file; download the scan's recording" in refusal(scan)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "cannot be read as JSON"),
        (b'{"segGroups": [', "cannot be read as JSON"),
        (b"[" * 100_000, "cannot be read as JSON"),
        (b"{}", "segGroups is null, not a list"),
        (b"[]", "aggregation.json"),
    ],
)
def test_an_annotation_that_cannot_be_used_is_refused(scan, content, reason) -> None:
    annotation(scan).write_bytes(content)
    assert reason in refusal(scan)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"label": ""}, "label"),
        ({"objectId": -1}, "negative"),
        ({"objectId": 0}, "is repeated"),
        ({"segments": "all"}, "segments is text"),
        ({"segments": []}, "has no segments"),
        ({"segments": [1 << 70]}, "no whole number"),
    ],
)
def test_an_object_that_cannot_be_used_is_left_out_and_named(scan, change, reason) -> None:
    edited(annotation(scan), lambda record: record["segGroups"][2].update(change))
    with opened(scan) as capture:
        assert len(capture.objects) == len(ROOM.scene.objects) - 1
        assert 2 not in [o.instance_id for o in capture.objects]
        (problem,) = capture.findings.problems
        assert "segGroups[2]" in problem and reason in problem


def test_segments_that_the_mesh_lacks_are_counted(scan) -> None:
    edited(annotation(scan), lambda record: record["segGroups"][2]["segments"].append(77))
    assert "lacks 1 segments that the annotation names" in problems(scan)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("_vh_clean_2.ply", b"ply\nelement vertex 999999999999\nend_header\n", "used without mesh"),
        ("_vh_clean_2.ply", None, "used without mesh"),
        ("_vh_clean_2.0.010000.segs.json", b'{"segIndices": [1, 2, 3]}', "segIndices has 3 numbers"),
        ("_vh_clean_2.0.010000.segs.json", b"", "used without instances of vertices"),
        ("_vh_clean_2.0.010000.segs.json", None, "used without instances of vertices"),
        ("_2d-instance-filt.zip", b"PK\x03\x04 not really", "cannot be read as zip"),
        ("_2d-instance-filt.zip", b"", "cannot be read as zip"),
    ],
)
def test_what_a_scan_can_do_without_is_named_and_done_without(scan, name, content, said) -> None:
    path = scan / f"{SCENE_ID}{name}"
    path.unlink() if content is None else path.write_bytes(content)
    assert said in problems(scan)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("axisAlignment = 1 2 3", "axisAlignment"),
        ("axisAlignment = " + "nan " * 16, "axisAlignment"),
        ("axisAlignment = " + " ".join(str(v) for v in np.diag([-1, 1, 1, 1]).ravel()), "mirrored"),
        ("axisAlignment = " + " ".join(str(v) for v in np.diag([2, 2, 2, 1]).ravel()), "orthonormal"),
    ],
)
def test_an_alignment_that_is_no_rigid_motion_is_refused(scan, text, reason) -> None:
    (scan / f"{SCENE_ID}.txt").write_text(text)
    assert reason in refusal(scan)


@pytest.mark.parametrize(
    ("member", "said"),
    [
        (b"", "is empty"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 30, "instance-filt/1.png"),
        (files.encode_picture(np.zeros((48, 64, 3), np.uint8), "png"), "no grey picture"),
        (files.encode_picture(np.zeros((64, 48), np.uint8), "png"), "another shape than pictures"),
    ],
)
def test_a_damaged_mask_is_named_and_the_others_are_read(scan, member, said) -> None:
    with zipfile.ZipFile(scan / f"{SCENE_ID}_2d-instance-filt.zip", "w") as archive:
        for number, mask in enumerate(ROOM.masks):
            content = member if number == 1 else files.encode_picture(mask.astype(np.uint8), "png")
            archive.writestr(f"instance-filt/{number}.png", content)
    with opened(scan) as capture:
        assert capture.mask(1) is None
        assert any(said in problem for problem in capture.findings.problems)
        assert capture.mask(0) is not None


def test_members_with_other_paths_are_never_read(scan) -> None:
    with zipfile.ZipFile(scan / f"{SCENE_ID}_2d-instance-filt.zip", "w") as archive:
        archive.writestr("../instance-filt/0.png", b"x")
        archive.writestr("/etc/0.png", b"x")
        archive.writestr("instance-filt/5.png", files.encode_picture(ROOM.masks[5].astype(np.uint8), "png"))
    with opened(scan) as capture:
        assert [capture.mask(number) is None for number in range(6)] == [True] * 5 + [False]
        assert any("5 of 6 frames have no mask" in problem for problem in capture.findings.problems)


@pytest.mark.parametrize("name", [".sens", ".aggregation.json", "_2d-instance-filt.zip", "_vh_clean_2.ply"])
def test_links_out_of_the_scan_are_not_followed(scan, tmp_path, name) -> None:
    path = scan / f"{SCENE_ID}{name}"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    try:
        said = problems(scan)
    except UserError as error:
        said = str(error)
    assert "link" in said


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "has no column"),
        (b"id\traw_category\n1\tchair\n", "has no column"),
        (b"id\traw_category\tcategory\tnyu40class\n", "has no rows"),
    ],
)
def test_a_table_of_labels_that_is_none_is_refused_and_a_scan_does_without_it(scan, content, reason) -> None:
    table = scan.parent.parent / "scannetv2-labels.combined.tsv"
    table.write_bytes(content)
    with pytest.raises(UserError, match=reason):
        categories(table)
    with opened(scan) as capture:
        assert capture.objects[0].mended is None
        assert any("labels are used as they are" in problem for problem in capture.findings.problems)


def test_a_pose_that_is_no_rigid_motion_loses_its_frame(scan) -> None:
    sens = next(scan.glob("*.sens"))
    content = bytearray(sens.read_bytes())
    start = len(files.sens_header(files.recording(ROOM)))
    struct.pack_into("<16f", content, start, *np.diag([1.0, 1.0, 3.0, 1.0]).ravel())
    sens.write_bytes(bytes(content))
    with opened(scan) as capture:
        assert capture.views[0].pose is None and not capture.views[0].samplable
        assert any("1 no rigid motion" in problem for problem in capture.findings.problems)
