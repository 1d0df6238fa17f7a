"""The small visual encoder: what patches are said to show, and that training names them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.model.vision import VisionTower
from vlm3r.scenes.storage import find_scenes, read_scene
from vlm3r.scenes.synthetic.generate import RoomTask, make_scene
from vlm3r.scenes.synthetic.settings import SceneSettings
from vlm3r.training.vision.contrast import PatchNameModel, tower_config
from vlm3r.training.vision.patches import PatchTask, decode_scene, make_patches, read_patches
from vlm3r.training.vision.recipe import TowerRecipe, VisionRecipe
from vlm3r.training.vision.train import PatchFrames, evaluate, train_vision

SMALL = TowerRecipe(
    image_size=32, patch_size=16, hidden_size=32, intermediate_size=64, num_hidden_layers=1, num_attention_heads=2
)


@pytest.fixture(scope="module")
def rooms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("rooms")
    for index in range(2):
        make_scene(RoomTask(folder, 3, index, SceneSettings(fps=1, sampled_frames=4)))
    return folder


def test_a_patch_s_shares_are_those_counted_pixel_by_pixel(rooms: Path) -> None:
    path = next(find_scenes(rooms))
    scene = read_scene(path)
    made = make_patches(scene, path.parent, 48, 16)
    assert made.pictures.shape == (4, 48, 48, 3) and made.shares.shape[:2] == (4, 9)
    kinds = {o.instance_id: o.category for o in scene.objects}
    assert scene.sampled is not None
    for number, frame in enumerate(scene.sampled):
        with Image.open(path.parent / str(scene.frames[frame].mask)) as image:
            ids = np.asarray(image.resize((48, 48), Image.Resampling.NEAREST))
        for patch in range(9):
            y, x = 16 * (patch // 3), 16 * (patch % 3)
            seen = [kinds.get(int(i)) for i in ids[y : y + 16, x : x + 16].ravel()]
            for column, name in enumerate(made.categories):
                assert made.shares[number, patch, column] == round(255 * seen.count(name) / 256)


def test_ids_that_begin_at_zero_and_frames_with_names_give_the_same_patches(rooms: Path) -> None:
    path = next(find_scenes(rooms))
    scene = read_scene(path)
    objects = tuple(dataclasses.replace(o, instance_id=(o.instance_id or 0) - 1) for o in scene.objects)
    frames = tuple(dataclasses.replace(f, frame_id=f"f{i}", video_index=i) for i, f in enumerate(scene.frames))
    real = dataclasses.replace(scene, objects=objects, frames=frames, mask_offset=1)
    expected, found = (make_patches(each, path.parent, 32, 16) for each in (scene, real))
    assert np.array_equal(found.shares, expected.shares) and np.array_equal(found.pictures, expected.pictures)


def test_the_cache_gives_back_what_was_decoded_and_refuses_damage(rooms: Path, tmp_path: Path) -> None:
    task = PatchTask(next(find_scenes(rooms)), tmp_path, 32, 16)
    path = decode_scene(task)
    held, made = read_patches(path), make_patches(read_scene(task.scene), task.scene.parent, 32, 16)
    assert np.array_equal(held.pictures, made.pictures) and np.array_equal(held.shares, made.shares)
    assert held.categories == made.categories
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(UserError, match="damaged cache file"):
        read_patches(path)


@pytest.mark.parametrize("place_weight", [0.0, 2.0])
def test_the_loss_is_the_sigmoid_loss_and_the_error_of_places_written_out(place_weight: float) -> None:
    torch.manual_seed(0)
    names = ["chair", "office chair"]
    model = PatchNameModel(VisionTower(tower_config(SMALL)), names, 8, 0.5, place_weight)
    pixels = torch.randn(2, 3, 32, 32)
    shares = torch.randint(0, 256, (2, 4, 2), dtype=torch.uint8)
    out = model(pixels, shares)
    signs = torch.where(shares >= 127.5, 1.0, -1.0)
    expected = -torch.nn.functional.logsigmoid(signs * out["logits"]).sum(-1).mean()
    places = torch.tensor([[-0.5, -0.5], [0.5, -0.5], [-0.5, 0.5], [0.5, 0.5]])
    expected = expected + place_weight * ((model.find(pixels) - places) ** 2).sum(-1).mean()
    torch.testing.assert_close(out["loss"], expected)


def test_places_are_learnt_although_frames_are_mirrored(rooms: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    files = [decode_scene(PatchTask(scene, tmp_path, 32, 16)) for scene in find_scenes(rooms)]
    names = sorted({name for file in files for name in read_patches(file).categories})
    frames = PatchFrames(files, names, 0, augment=True)
    model = PatchNameModel(VisionTower(tower_config(SMALL)), names, 8, 0.5, 1.0)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(100):
        batch = [frames[i] for i in range(len(frames))]
        loss = model(torch.stack([f["pixel_values"] for f in batch]), torch.stack([f["shares"] for f in batch]))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    unvaried = PatchFrames(files, names, 0, augment=False)
    assert evaluate(model, unvaried).misplaced < 0.2, "all in the middle would be off by 0.71 patches"


def test_training_learns_writes_an_encoder_and_continues(rooms: Path, tmp_path: Path) -> None:
    recipe = VisionRecipe(
        scenes=(rooms,), held_out=1, cache=tmp_path / "cache", out=tmp_path / "out", tower=SMALL, steps=30,
        batch_size=4, learning_rate=3e-3, precision="float32", save_every=10, workers=1,
    )  # fmt: skip
    (tmp_path / "cache").mkdir()
    scores = train_vision(recipe)
    history = json.loads((tmp_path / "out" / "checkpoint-30" / "trainer_state.json").read_text())
    assert history["global_step"] == 30
    assert scores.patches > 0 and 0 <= scores.accuracy <= 1
    tower = VisionTower.from_pretrained(tmp_path / "out" / "model")
    assert tower.config.hidden_size == 32
    assert json.loads((tmp_path / "out" / "vision.json").read_text())["frames"] == 4
    half_written = tmp_path / "out" / "checkpoint-31"
    half_written.mkdir()
    (half_written / "model.safetensors").write_bytes(b"")
    assert train_vision(recipe) == scores
    with pytest.raises(UserError, match="another recipe"):
        train_vision(VisionRecipe(scenes=(rooms,), held_out=1, out=tmp_path / "out", tower=SMALL))
    shutil.copytree(rooms, tmp_path / "elsewhere")
    with pytest.raises(UserError, match="other scenes"):
        train_vision(dataclasses.replace(recipe, scenes=(tmp_path / "elsewhere",)))


def test_frames_are_measured_on_the_device_of_the_model(rooms: Path, tmp_path: Path) -> None:
    files = [decode_scene(PatchTask(scene, tmp_path, 32, 16)) for scene in find_scenes(rooms)]
    names = sorted({name for file in files for name in read_patches(file).categories})

    class Elsewhere(PatchNameModel):
        def match(self, pixel_values: torch.Tensor) -> torch.Tensor:
            assert pixel_values.device == self.bias.device
            return torch.zeros(*pixel_values.shape[:1], 4, len(names))

        def find(self, pixel_values: torch.Tensor) -> torch.Tensor:
            assert pixel_values.device == self.bias.device
            return torch.zeros(*pixel_values.shape[:1], 4, 2)

    model = Elsewhere(VisionTower(tower_config(SMALL)), names, 8, 0.5, 1.0).to("meta")
    scores = evaluate(model, PatchFrames(files, names, 0, augment=False))
    assert scores.patches > 0 and scores.misplaced == pytest.approx(0.5**0.5)
