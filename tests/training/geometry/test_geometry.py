"""Training CUT3R from scene folders: what the cache holds, and the commands end to end."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from cut3r import CUT3R
from cut3r.sequences import whole
from cut3r.targets import make_targets
from PIL import Image
from safetensors.numpy import save_file
from typer.testing import CliRunner

from vlm3r.commands.geometry import evaluate
from vlm3r.commands.geometry_cli import app
from vlm3r.errors import UserError
from vlm3r.processing.video import decode_indices
from vlm3r.scenes.storage import SCENE_FILE, read_scene, write_scene
from vlm3r.scenes.synthetic.generate import RoomTask, make_scene
from vlm3r.scenes.synthetic.settings import SceneSettings
from vlm3r.training.geometry.cache import CachedSequences, CacheSizes, cache_scene, prepare, read_depth, read_sequence
from vlm3r.training.geometry.measure import MeasureOptions
from vlm3r.training.geometry.recipe import read_geometry_recipe

SIZES = CacheSizes(picture=24, depth=32)
ROOT = Path(__file__).resolve().parents[3]
TINY = ROOT / "configs" / "recipes" / "tiny" / "geometry.yaml"
RECIPE = """
data: {{scenes: [{scenes}], cache: {cache}, picture_size: 24, workers: 1}}
encoder: {{enc_embed_dim: 32, enc_depth: 1, enc_num_heads: 2, ray_enc_depth: 1, ray_enc_num_heads: 2, dec_embed_dim: 24,
  dec_depth: 1, dec_num_heads: 2, state_dec_num_heads: 2, state_size: 4, local_mem_size: 2, memory_depth: 1,
  head_type: linear, head_transform_depth: 1, mlp_ratio: 2}}
training: {{steps: 4, image_size: 32, learning_rate: 1.0e-3, warmup: 1, log_every: 1,
  curriculum: [{{frames: 3, batch: 2}}]}}
out: {out}
device: cpu
"""


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two rooms of a few frames."""
    folder = tmp_path_factory.mktemp("rooms")
    for index in range(2):
        make_scene(RoomTask(folder, 3, index, SceneSettings(fps=1.0, sampled_frames=8)))
    return folder


@pytest.fixture
def scene_file(rooms: Path, tmp_path: Path) -> Path:
    """A copy of a room that a test may spoil."""
    source = next(rooms.iterdir())
    return shutil.copytree(source, tmp_path / "rooms" / source.name) / SCENE_FILE


@pytest.fixture
def recipe(rooms: Path, tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(RECIPE.format(scenes=rooms, cache=tmp_path / "cache", out=tmp_path / "run"))
    return path


def test_a_point_seen_by_two_cameras_is_one_point_of_the_world(rooms: Path) -> None:
    """Seen from a neighbouring frame, a point lies on that frame's surface or behind it, and often on it."""
    on_surface, in_front, seen = 0, 0, 0
    for room in rooms.iterdir():
        batch = whole(read_sequence(room / SCENE_FILE, CacheSizes(picture=24, depth=96)), 96)
        target = make_targets(batch.depth, batch.intrinsics, batch.camera_to_world, batch.frames)
        to_camera = torch.linalg.inv(batch.camera_to_world[0].double())
        to_camera = to_camera @ batch.camera_to_world[0, 0].double()  # from the first camera's frame
        for frame in range(1, len(to_camera)):
            world = target.world[0, frame - 1][target.valid[0, frame - 1]].double()
            points = world @ to_camera[frame, :3, :3].T + to_camera[frame, :3, 3]
            pixels = points @ batch.intrinsics[0].double().T
            columns, rows = (pixels[:, i] / pixels[:, 2] for i in (0, 1))
            inside = (points[:, 2] > 0.2) & (columns >= 0) & (columns < 96) & (rows >= 0) & (rows < 96)
            surface = batch.depth[0, frame][rows[inside].long(), columns[inside].long()]
            gap = (points[inside, 2] - surface) / surface
            on_surface += int((gap.abs() < 0.03).sum())
            in_front += int((gap < -0.05).sum())
            seen += int(inside.sum())
    assert seen > 10_000
    assert in_front < 0.03 * seen
    assert on_surface > 0.6 * seen


def test_depth_and_pictures_are_those_of_the_files(rooms: Path) -> None:
    file = next(rooms.iterdir()) / SCENE_FILE
    scene = read_scene(file)
    assert scene.sampled is not None and scene.video is not None and scene.intrinsics is not None
    sequence = read_sequence(file, CacheSizes(picture=320, depth=240))
    assert len(sequence) == len(scene.sampled)
    number = scene.sampled[2]
    with Image.open(file.parent / "depth" / f"{number:06d}.png") as image:
        expected = np.asarray(image)[:, (np.arange(240) * 4 + 2) // 3] / 1000  # 320 columns, every 4/3
    np.testing.assert_allclose(sequence.depth[2], expected, rtol=1e-3)
    decoded = Image.fromarray(decode_indices(file.parent / scene.video, [number]).frames[0])
    np.testing.assert_array_equal(sequence.frames[2], np.asarray(decoded.resize((320, 320), Image.Resampling.BICUBIC)))
    frame = scene.frames[number]
    assert frame.pose is not None
    np.testing.assert_array_equal(sequence.camera_to_world[2], frame.pose)
    np.testing.assert_allclose(sequence.intrinsics @ [0, 0, 1], [120, 120, 1])


def test_a_scene_is_cached_once_and_anew_when_it_or_the_sizes_change(scene_file: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    first = cache_scene(scene_file, cache, SIZES)
    written = first.stat().st_mtime_ns
    assert cache_scene(scene_file, cache, SIZES) == first
    assert first.stat().st_mtime_ns == written
    assert cache_scene(scene_file, cache, CacheSizes(24, 48)) != first
    scene = read_scene(scene_file)
    write_scene(dataclasses.replace(scene, sampled=scene.sampled[:-1] if scene.sampled else None), scene_file)
    assert cache_scene(scene_file, cache, SIZES) != first
    assert not list(cache.glob(".*"))


def test_cached_sequences_are_the_scenes_own(rooms: Path, tmp_path: Path) -> None:
    prepared = prepare([rooms], tmp_path / "cache", SIZES, workers=1)
    assert prepared.problems == ()
    for path, sequence in zip(sorted(rooms.iterdir()), prepared.sequences, strict=True):  # type: ignore[call-overload]
        expected = read_sequence(path / SCENE_FILE, SIZES)
        for name, value in vars(expected).items():
            np.testing.assert_array_equal(getattr(sequence, name), value)


def test_a_scene_that_cannot_be_used_is_named_and_the_others_serve(
    rooms: Path, scene_file: Path, tmp_path: Path
) -> None:
    next((scene_file.parent / "depth").iterdir()).unlink()
    prepared = prepare([scene_file.parent, rooms], tmp_path / "cache", SIZES, workers=1)
    assert len(prepared.sequences) == 2
    assert len(prepared.problems) == 1
    assert scene_file.parent.name in prepared.problems[0] and "a file is missing" in prepared.problems[0]
    with pytest.raises(UserError, match="no scene can be used"):
        prepare([scene_file.parent], tmp_path / "cache", SIZES, workers=1)


def test_a_scene_whose_id_is_a_path_is_cached_inside_the_folder(scene_file: Path, tmp_path: Path) -> None:
    write_scene(dataclasses.replace(read_scene(scene_file), scene_id="../elsewhere"), scene_file)
    cache = tmp_path / "deep" / "cache"
    cache.mkdir(parents=True)
    made = cache_scene(scene_file, cache, SIZES)
    assert made.resolve().parent == cache and made.name.startswith(scene_file.parent.name)


def test_a_damaged_depth_map_is_named(tmp_path: Path) -> None:
    path = tmp_path / "000000.png"
    path.write_bytes(b"\x89PNG no more")
    with pytest.raises(UserError, match=r"000000\.png: cannot be read"):
        read_depth(path, 8)
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(UserError, match=r"000000\.png: is a picture of colours"):
        read_depth(path, 8)


def test_a_scene_without_any_known_depth_is_refused(scene_file: Path) -> None:
    for path in (scene_file.parent / "depth").iterdir():
        Image.fromarray(np.zeros((4, 4), np.uint16)).save(path)
    with pytest.raises(UserError, match=r"scene\.json: no depth is known"):
        read_sequence(scene_file, SIZES)


def test_a_cached_sequence_without_frames_is_named(tmp_path: Path) -> None:
    empty = {"frames": np.zeros((0, 8, 8, 3), np.uint8), "depth": np.zeros((0, 8, 8), np.float16)}
    poses = {"intrinsics": np.eye(3), "camera_to_world": np.zeros((0, 4, 4))}
    save_file(empty | poses, tmp_path / "room.safetensors")
    with pytest.raises(UserError, match=r"room\.safetensors: cannot be read \(0 frames\); delete it"):
        CachedSequences([tmp_path / "room.safetensors"])[0]


def test_a_report_that_cannot_be_written_is_refused_before_the_model_is_read(tmp_path: Path) -> None:
    for out in (tmp_path, tmp_path / "absent" / "report.json"):
        with pytest.raises(UserError, match="give a file as --out"):
            evaluate(MeasureOptions(tmp_path / "no model", (tmp_path,)), out)


def test_train_and_evaluate_run_from_scenes_to_a_report(recipe: Path, rooms: Path, tmp_path: Path) -> None:
    trained = CliRunner().invoke(app, ["train", str(recipe), "training.steps=3"], catch_exceptions=False)
    assert trained.exit_code == 0
    folder = Path(trained.stdout.strip().splitlines()[-1])
    assert CUT3R.from_pretrained(folder).config.dec_embed_dim == 24
    assert read_geometry_recipe(folder.parent / "recipe.yaml") == read_geometry_recipe(recipe, ["training.steps=3"])
    lines = [json.loads(line) for line in (folder.parent / "history.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3]

    out = tmp_path / "report.json"
    arguments = ["evaluate", str(folder.parent), "--scenes", str(rooms), "--cache", str(tmp_path / "cache")]
    measured = CliRunner().invoke(app, [*arguments, "--out", str(out), "--workers", "1"], catch_exceptions=False)
    assert measured.exit_code == 0
    report = json.loads(out.read_text())
    assert report["scenes"] == sorted(path.name for path in rooms.iterdir())
    assert report["sequences"] == 2
    assert report["constant"]["depth_abs_rel"]["mean"] < report["model"]["depth_abs_rel"]["mean"]
    assert "world_m" in measured.stdout and "constant answer" in measured.stdout


def test_a_model_without_a_recipe_needs_sizes_and_a_broken_scene_changes_the_status(
    recipe: Path, rooms: Path, scene_file: Path, tmp_path: Path
) -> None:
    CliRunner().invoke(app, ["train", str(recipe), "training.steps=1"], catch_exceptions=False)
    model = str(tmp_path / "run" / "model")
    arguments = ["evaluate", model, "--scenes", str(rooms), "--cache", str(tmp_path / "cache"), "--workers", "1"]
    with pytest.raises(UserError, match="--picture-size"):
        CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "a.json")], catch_exceptions=False)
    sizes = ["--picture-size", "24", "--image-size", "32", "--frames", "4", "--out", str(tmp_path / "a.json")]
    assert CliRunner().invoke(app, [*arguments, *sizes], catch_exceptions=False).exit_code == 0
    assert "constant" not in json.loads((tmp_path / "a.json").read_text())
    (scene_file.parent / "video.mp4").unlink()
    left_out = CliRunner().invoke(app, [*arguments, "--scenes", str(scene_file.parent), *sizes])
    assert left_out.exit_code == 1 and scene_file.parent.name in left_out.stderr
    assert json.loads((tmp_path / "a.json").read_text())["sequences"] == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.learning_rat=1", "nearest: training.learning_rate"),
        ("encoder.dec_num_heads=5", "multiple of 4"),
        ("training.pixel_stride=5", "must divide"),
        ("data.scenes=[]", "at least one folder"),
        ("device=abacus", "give auto or cpu"),
        ("start=/nowhere/model", "no such file"),
    ],
)
def test_what_a_recipe_gets_wrong_is_one_line(recipe: Path, override: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        CliRunner().invoke(app, ["train", str(recipe), override], catch_exceptions=False)
    assert "\n" not in str(caught.value)


def test_the_tiny_recipe_fits_its_encoder_and_comments_every_key() -> None:
    recipe = read_geometry_recipe(TINY)
    assert recipe.training.image_size % recipe.encoder.patch_size == 0
    assert recipe.encoder.patch_size % recipe.training.pixel_stride == 0
    assert max(stage.frames for stage in recipe.training.curriculum) == 32
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in CUT3R(recipe.encoder).parameters()) < 10e6
    lines = [line for line in TINY.read_text().splitlines() if ":" in line and not line.startswith("#")]
    sections = [line for line in lines if line.rstrip().endswith(":")]
    uncommented = [line for line in lines if "#" not in line and line not in sections]
    assert uncommented == []
