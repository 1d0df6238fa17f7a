from __future__ import annotations

import errno
import io
import json
import weakref
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.reconstruct import ReconstructOptions, reconstruct
from vlm3r.reconstruct.pipeline import OUTPUTS

EXACT = ReconstructOptions(image_size=128, confidence_percentile=0, voxel_size=0.05, write_preview=False)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def ply(folder: Path):
    return trimesh.load(folder / "cloud.ply")


@pytest.fixture(scope="module")
def full_run(room, tmp_path_factory):
    """A run with all outputs."""
    out = tmp_path_factory.mktemp("full") / "out"
    options = replace(EXACT, write_preview=True, write_confidence=True, depth_format="both", caption="A test room.")
    done: list[int] = []
    model = room.model()
    summary = reconstruct(model, room.frames(), out, options, done.append)
    return out, summary, done, model


def test_the_cloud_lies_on_the_walls_and_furniture(room, full_run, distance_to_surface):
    out, summary, _, _ = full_run
    cloud = ply(out)
    in_room = trimesh.transform_points(cloud.vertices, room.to_room[0])
    distance = distance_to_surface(in_room)
    assert len(cloud.vertices) == summary.points > 3000
    assert distance.max() < 0.05
    assert np.percentile(distance, 90) < 1e-3
    low, high = in_room.min(0), in_room.max(0)
    assert high[0] > 4.95
    assert high[1] > 3.95
    assert low[2] < 0.01


def test_colours_are_those_of_the_video(room, full_run):
    cloud = ply(full_run[0])
    in_room = trimesh.transform_points(cloud.vertices, room.to_room[0])
    table_top = (np.abs(in_room[:, 2] - 0.75) < 0.01) & (np.abs(in_room[:, :2] - [2.2, 1.6]) < 0.3).all(1)
    assert table_top.sum() > 20
    assert np.abs(cloud.colors[table_top, :3].astype(int) - [70, 110, 190]).max() <= 1


def test_every_output_is_there_and_nothing_else(full_run):
    out, summary, _, _ = full_run
    assert {path.name for path in out.iterdir()} == set(OUTPUTS) == set(summary.files)
    assert len(list((out / "depth").iterdir())) == 24
    assert len(list((out / "confidence").iterdir())) == 12


def test_depth_maps_are_the_self_view_in_millimetres(room, full_run):
    out = full_run[0]
    for i in (0, 7):
        image = np.asarray(Image.open(out / "depth" / f"{i:06d}.png"))
        np.testing.assert_allclose(image / 1000, room.points[i, ..., 2], atol=0.00051)
        with np.load(out / "depth" / f"{i:06d}.npz") as archive:
            np.testing.assert_allclose(archive["depth"], room.points[i, ..., 2], rtol=1e-6)
    index = json.loads((out / "depth.json").read_text())
    assert index["unit_m"] == 0.001
    assert [entry["frame_index"] for entry in index["frames"]] == list(range(0, 36, 3))


def test_the_trajectory_and_focal_length_are_the_rooms(room, full_run):
    out, summary, _, _ = full_run
    document = json.loads((out / "trajectory.json").read_text())
    np.testing.assert_allclose([f["camera_to_world"] for f in document["frames"]], room.to_world, atol=1e-6)
    np.testing.assert_allclose([f["focal_px"] for f in document["frames"]], room.focal, rtol=1e-5)
    assert summary.focal_px == pytest.approx(room.focal, rel=1e-5)
    assert summary.horizontal_fov_deg == pytest.approx(2 * np.degrees(np.arctan(64 / 90)), rel=1e-5)
    assert len((out / "trajectory.txt").read_text().splitlines()) == room.count


def test_the_summary_on_disk_is_the_one_returned(full_run):
    out, summary, _, _ = full_run
    document = json.loads((out / "summary.json").read_text())
    assert document["points"] == summary.points
    assert document["frames"] == document["poses"] == 12
    assert document["pixels"] == 12 * 96 * 128 == summary.pixels_used + sum(summary.pixels_dropped.values())
    assert document["notes"] == ["A test room."]
    assert document["options"]["voxel_size"] == 0.05
    assert set(document["versions"]) == {"vlm3r", "numpy", "torch", "trimesh"}


def test_up_is_found(room, full_run):
    true = room.to_room[0, :3, :3].T @ [0, 0, 1]
    assert np.degrees(np.arccos(np.clip(np.dot(full_run[1].up, true), -1, 1))) < 1


def test_the_preview_shows_the_room(full_run):
    with Image.open(full_run[0] / "preview.png") as image:
        picture = np.asarray(image.convert("RGB")).astype(int)
    assert picture.shape[0] > 1000
    assert picture.shape[1] > 1500
    dollhouse, plan = picture[150:720, 20:1040], picture[150:690, 1200:1740]
    for panel in (dollhouse, plan):
        tables = np.abs(panel - [70, 110, 190]).max(-1) < 8
        floor = np.abs(panel - [185, 150, 115]).max(-1) < 8
        assert tables.mean() > 0.005
        assert floor.mean() > 0.01


def test_the_caption_is_drawn_and_the_rest_unchanged(room, full_run, tmp_path):
    options = replace(EXACT, write_preview=True, write_cloud=False, write_depth=False)
    reconstruct(room.model(), room.frames(), tmp_path, options)
    pictures = []
    for folder in (full_run[0], tmp_path):
        with Image.open(folder / "preview.png") as image:
            pictures.append(np.asarray(image.convert("RGB")))
    rows, columns = np.nonzero((pictures[0] != pictures[1]).any(-1))
    assert len(rows) > 0
    assert rows.max() < 100
    assert columns.max() < 200
    assert names(tmp_path) == {"trajectory.txt", "trajectory.json", "preview.png", "summary.json"}


def test_the_model_gets_chunks_of_scaled_pictures(room, full_run):
    _, _, done, model = full_run
    assert done == [4, 8, 12]
    assert [tuple(chunk.shape) for chunk in model.pushed] == [(1, 4, 3, 96, 128)] * 3
    expected = room.images[5].astype(np.float32).transpose(2, 0, 1) / 127.5 - 1
    np.testing.assert_allclose(model.pushed[1][0, 1].numpy(), expected, atol=1e-6)


def test_the_chunk_size_changes_nothing(room, tmp_path):
    options = replace(EXACT, voxel_size="auto", max_points=2000)
    for chunk in (1, 5):
        reconstruct(room.model(), room.frames(), tmp_path / str(chunk), replace(options, chunk=chunk))
    for name in sorted(names(tmp_path / "1")):
        if (tmp_path / "1" / name).is_file() and name != "summary.json":
            assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "5" / name).read_bytes(), name


def test_world_points_give_the_same_cloud_and_their_own_confidence(room, full_run, tmp_path):
    reconstruct(room.model(), room.frames(), tmp_path / "out", replace(EXACT, point_source="world"))
    posed, world = ply(full_run[0]), ply(tmp_path / "out")
    assert len(posed.vertices) == pytest.approx(len(world.vertices), rel=0.01)
    confidence = [np.unique(cloud.metadata["_ply_raw"]["vertex"]["data"]["confidence"]) for cloud in (posed, world)]
    assert confidence == [[3.0], [2.0]]


def test_each_source_follows_its_own_maps(room, tmp_path):
    model = room.model()
    model.world += [100, 0, 0]
    for source in ("posed", "world"):
        reconstruct(model, room.frames(), tmp_path / source, replace(EXACT, point_source=source))
    shift = ply(tmp_path / "world").vertices[:, 0].min() - ply(tmp_path / "posed").vertices[:, 0].min()
    assert shift == pytest.approx(100, abs=0.1)


def test_what_is_not_finite_reaches_no_file(room, tmp_path):
    model = room.model()
    rng = np.random.default_rng(0)
    for maps in (model.own, model.world, model.conf_self, model.conf):
        spoil = rng.random(maps.shape[:3]) < 0.05
        maps[spoil] = rng.choice([np.nan, np.inf, -np.inf, 1e30], int(spoil.sum()))[(...,) + (None,) * (maps.ndim - 3)]
    model.poses[4, 5] = np.nan
    model.own[6] = np.nan
    options = replace(EXACT, depth_format="both", write_confidence=True)
    for source in ("posed", "world"):
        out = tmp_path / source
        chosen = replace(options, point_source=source, write_preview=source == "posed")
        summary = reconstruct(model, room.frames(), out, chosen)
        cloud = ply(out)
        assert len(cloud.vertices) > 1000
        assert np.isfinite(cloud.vertices).all()
        assert np.isfinite(np.asarray(cloud.metadata["_ply_raw"]["vertex"]["data"]["confidence"])).all()
        scene = trimesh.load(io.BytesIO((out / "cloud.glb").read_bytes()), file_type="glb")
        assert all(np.isfinite(part.vertices).all() for part in scene.geometry.values())
        for name in ("trajectory.json", "summary.json", "trajectory.txt"):
            text = (out / name).read_text().lower()
            assert "nan" not in text
            assert "infinity" not in text.replace('"infinity"', "")
        for archive in (out / "depth").glob("*.npz"):
            with np.load(archive) as content:
                assert all(np.isfinite(content[key]).all() for key in content)
        assert (summary.frames, summary.poses) == (12, 11)
        assert any("1 of 12 frames had no finite pose" in note for note in summary.notes)


def test_low_confidence_is_dropped_per_frame(room, tmp_path):
    model = room.model()
    model.conf_self[:, :, :64] = 1.0
    model.own[:, :, :64] *= 3  # what the model doubts is wrong
    options = replace(EXACT, confidence_percentile=50.1, max_depth_step=None)
    reconstruct(model, room.frames(), tmp_path / "out", options)
    good = room.model()
    good.own[:, :, :64] = np.nan
    reconstruct(good, room.frames(), tmp_path / "good", replace(EXACT, max_depth_step=None))
    assert ply(tmp_path / "out").bounds == pytest.approx(ply(tmp_path / "good").bounds, abs=1e-6)


def test_few_points_mean_larger_voxels_and_a_note(room, tmp_path):
    summary = reconstruct(room.model(), room.frames(), tmp_path / "out", replace(EXACT, max_points=500))
    assert summary.points <= 500
    assert summary.voxel_size == 0.05 * 2**summary.voxel_doublings > 0.05
    assert any("doubled" in note for note in summary.notes)


def test_auto_voxels_follow_the_scale_of_the_scene(room, tmp_path):
    sizes = []
    for scale in (1, 10):
        model = room.model()
        model.own *= scale
        model.poses[:, :3] *= scale
        options = replace(EXACT, voxel_size="auto", write_depth=False)
        sizes.append(reconstruct(model, room.frames(), tmp_path / str(scale), options).voxel_size)
    assert 0.005 < sizes[0] < 0.03
    assert sizes[1] == pytest.approx(10 * sizes[0])


def test_frames_are_let_go_as_the_video_goes_on(make_room, tmp_path):
    room = make_room(count=40, width=64, height=48, focal=45)
    alive: list[weakref.ref] = []
    most = 0

    def frames():
        nonlocal most
        for index, timestamp, image in room.frames():
            copy = image.copy()
            alive.append(weakref.ref(copy))
            yield index, timestamp, copy
            del copy
            most = max(most, sum(reference() is not None for reference in alive))

    model = room.model()
    model.push = _forgetful(model)
    reconstruct(model, frames(), tmp_path / "out", replace(EXACT, image_size=64, chunk=4))
    assert 0 < most <= 9  # one chunk being gathered, one just done


def _forgetful(model):
    """The model's `push` without its memory of the frames."""
    push = type(model).push

    def forget(frames):
        output = push(model, frames)
        model.pushed[-1] = model.pushed[-1].new_zeros(frames.shape)
        return output

    return forget


def test_no_frames_is_an_error_that_leaves_nothing(room, tmp_path):
    with pytest.raises(UserError, match="no frames"):
        reconstruct(room.model(), [], tmp_path / "out", EXACT)
    assert names(tmp_path) == set()


def test_no_points_is_an_error_that_says_why(room, tmp_path):
    with pytest.raises(UserError, match="depth_range 147456"):
        reconstruct(room.model(), room.frames(), tmp_path / "out", replace(EXACT, min_depth=50))
    assert names(tmp_path) == set()


def test_an_occupied_folder_is_refused_before_the_model_runs(room, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    model = room.model()
    with pytest.raises(UserError, match="not empty"):
        reconstruct(model, room.frames(), tmp_path, EXACT)
    assert model.pushed == []
    reconstruct(model, room.frames(), tmp_path, replace(EXACT, overwrite=True))
    reconstruct(model, room.frames(), tmp_path, replace(EXACT, overwrite=True, write_cloud=False))
    assert (tmp_path / "mine.txt").read_text() == "keep"
    assert not (tmp_path / "cloud.ply").exists()


@pytest.mark.parametrize("after", [0, 5, 13, 16])
def test_a_full_disk_at_any_file_leaves_nothing(room, tmp_path, monkeypatch, after):
    write, written = Path.write_bytes, 0

    def filling(self, data):
        nonlocal written
        if written == after:
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        written += 1
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", filling)
    with pytest.raises(UserError, match="no space left"):
        reconstruct(room.model(), room.frames(), tmp_path / "out", EXACT)
    assert names(tmp_path) == set()


def test_a_video_that_breaks_midway_leaves_nothing(room, tmp_path):
    def frames():
        yield from list(room.frames())[:6]
        raise UserError("broken video")

    with pytest.raises(UserError, match="broken video"):
        reconstruct(room.model(), frames(), tmp_path / "out", EXACT)
    assert names(tmp_path) == set()


@pytest.mark.parametrize("name", ["own", "conf", "poses"])
def test_maps_of_a_wrong_shape_are_named(room, tmp_path, name):
    model = room.model()
    setattr(model, name, getattr(model, name)[:, 1:])
    with pytest.raises(ValueError, match=r"(pts3d_in_self_view|conf|camera_pose): expected \(batch, frame"):
        reconstruct(model, room.frames(), tmp_path / "out", EXACT)
    assert names(tmp_path) == set()


def test_a_single_frame_makes_a_reconstruction(room, tmp_path):
    frames = list(room.frames())[:1]
    options = replace(EXACT, write_preview=True, write_cloud=False)
    summary = reconstruct(room.model(), frames, tmp_path / "out", options)
    assert summary.path_length_m == 0
    assert (tmp_path / "out" / "preview.png").stat().st_size > 50_000
