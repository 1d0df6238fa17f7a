from __future__ import annotations

import dataclasses
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cut3r.training_state
import pytest
import torch
from cut3r import CUT3R, CheckpointError
from cut3r.losses import LossWeights
from cut3r.schedule import Curriculum, Stage, learning_rate
from cut3r.train import MOST_BAD_STEPS, TrainConfig, Trainer
from cut3r.training_state import checkpoints
from torch import Tensor

from tests.cut3r.rgbd import SIZE, tiny_config, wall

CONFIG = TrainConfig(
    steps=8,
    curriculum=(Stage(0.5, 2, 2), Stage(0.5, 4, 1)),
    image_size=SIZE,
    learning_rate=3e-3,
    warmup=2,
    weights=LossWeights(patch_position=0.5, colour=0.1),
    save_every=3,
    log_every=1,
)
SEQUENCES = [wall(seed=i) for i in range(3)]


def fresh(config: TrainConfig, folder: Path) -> Trainer:
    torch.manual_seed(config.seed)
    return Trainer(CUT3R(tiny_config()), SEQUENCES, config, folder)


def history(folder: Path) -> list[dict[str, float]]:
    lines = [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k != "frames_per_second"} for line in lines]


def weights(folder: Path) -> dict[str, Tensor]:
    return CUT3R.from_pretrained(folder / "model").state_dict()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("uninterrupted")
    fresh(CONFIG, folder).run(progress=False)
    torch.set_num_threads(before)
    return folder


def assert_same_run(folder: Path, uninterrupted: Path) -> None:
    assert history(folder) == history(uninterrupted)
    expected = weights(uninterrupted)
    assert all(value.equal(expected[name]) for name, value in weights(folder).items())


def test_a_few_steps_lower_the_losses(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, steps=60, curriculum=(Stage(1, 3, 3),), warmup=5, save_every=1000)
    fresh(config, tmp_path).run(progress=False)
    lines = history(tmp_path)
    for name in ("loss", "own_view", "world", "patch_position", "depth_abs_rel"):
        first, last = (sum(line[name] for line in part) / 10 for part in (lines[:10], lines[-10:]))
        assert last < 0.75 * first, name


def test_an_interrupted_run_gives_the_same_losses_and_weights(tmp_path: Path, uninterrupted: Path) -> None:
    partial = fresh(CONFIG, tmp_path)
    for _ in range(4):
        partial.step()
    partial.save()
    partial.step()  # lost: it is not in the checkpoint
    again = fresh(CONFIG, tmp_path)
    assert again.done == 4
    again.run(progress=False)
    assert history(tmp_path) == history(uninterrupted)[4:]
    expected = weights(uninterrupted)
    assert all(value.equal(expected[name]) for name, value in weights(tmp_path).items())


def test_a_write_that_breaks_off_leaves_the_checkpoint_before_it(
    tmp_path: Path, uninterrupted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = cut3r.training_state.save_file, []

    def second_breaks_off(tensors: dict[str, Tensor], path: Path) -> None:
        real(tensors, path)
        written.append(path)
        if len(written) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(cut3r.training_state, "save_file", second_breaks_off)
    with pytest.raises(KeyboardInterrupt):
        fresh(CONFIG, tmp_path).run(progress=False)
    assert [path.name for path in checkpoints(tmp_path / "checkpoints")] == ["step-00000003"]
    fresh(CONFIG, tmp_path).run(progress=False)
    assert_same_run(tmp_path, uninterrupted)
    assert not list((tmp_path / "checkpoints").glob(".*"))


def test_a_killed_process_loses_at_most_one_interval(tmp_path: Path, uninterrupted: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[2])\n"
        "import torch; torch.set_num_threads(1)\n"
        "from pathlib import Path\n"
        "from tests.cut3r.test_train import CONFIG, fresh\n"
        "fresh(CONFIG, Path(sys.argv[1])).run(progress=False)\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path), str(root)])
    while process.poll() is None and not checkpoints(tmp_path / "checkpoints"):
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    logged = len((tmp_path / "history.jsonl").read_text().splitlines())
    trainer = fresh(CONFIG, tmp_path)
    assert trainer.done >= logged - CONFIG.save_every
    trainer.run(progress=False)
    assert_same_run(tmp_path, uninterrupted)


def test_the_result_is_a_model_folder_and_only_the_newest_checkpoints_stay(uninterrupted: Path) -> None:
    model = CUT3R.from_pretrained(uninterrupted / "model")
    assert model.config == tiny_config()
    assert [path.name for path in checkpoints(uninterrupted / "checkpoints")] == ["step-00000006", "step-00000008"]
    assert not any("patch_position" in name for name in model.state_dict())


def test_a_finished_run_is_not_run_again(uninterrupted: Path) -> None:
    trainer = fresh(CONFIG, uninterrupted)
    before = weights(uninterrupted)
    trainer.run(progress=False)
    assert trainer.done == CONFIG.steps
    assert all(value.equal(before[name]) for name, value in weights(uninterrupted).items())


def test_bfloat16_follows_float32(tmp_path: Path, uninterrupted: Path) -> None:
    fresh(dataclasses.replace(CONFIG, precision="bfloat16"), tmp_path).run(progress=False)
    for ours, theirs in zip(history(tmp_path), history(uninterrupted), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.1)


def test_every_part_that_images_use_is_trained_and_no_other(uninterrupted: Path) -> None:
    torch.manual_seed(CONFIG.seed)
    start = CUT3R(tiny_config()).state_dict()
    unchanged = {name for name, value in weights(uninterrupted).items() if value.equal(start[name])}
    unused = ("patch_embed_ray_map", "enc_blocks_ray_map", "enc_norm_ray_map", "masked_img", "masked_ray")
    # With one key, softmax is 1 whatever the query: these parts of the pose memory have no effect.
    single_key = (".cross_attn.projq.", ".cross_attn.projk.", ".norm2.")
    memory = {n for n in unchanged if n.startswith("pose_retriever.write") and any(k in n for k in single_key)}
    # The first frame reads no memory, and biases of keys never matter; both may move by rounding or not at all.
    assert {n for n in unchanged - memory if not n.startswith(unused) and ".projk.bias" not in n} == set()
    assert {n for n in start if n.startswith(unused)} <= unchanged


def test_gradients_that_are_not_finite_change_nothing_and_end_the_run_in_time(tmp_path: Path) -> None:
    trainer = fresh(dataclasses.replace(CONFIG, steps=100), tmp_path)
    before = {name: value.clone() for name, value in trainer.model.state_dict().items()}
    trainer.model.dec_norm.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        for _ in range(MOST_BAD_STEPS):
            trainer.step()
    assert all(value.equal(before[name]) for name, value in trainer.model.state_dict().items())


def test_another_runs_folder_is_refused(uninterrupted: Path) -> None:
    with pytest.raises(CheckpointError, match="another config"):
        fresh(dataclasses.replace(CONFIG, learning_rate=1e-3), uninterrupted)
    with pytest.raises(CheckpointError, match="other sizes"):
        Trainer(CUT3R(tiny_config(dec_depth=1)), SEQUENCES, CONFIG, uninterrupted)
    with pytest.raises(CheckpointError, match="another sequences"):
        Trainer(CUT3R(tiny_config()), SEQUENCES[:2], CONFIG, uninterrupted)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    trainer = fresh(CONFIG, tmp_path)
    trainer.step()
    file = trainer.save() / "training.safetensors"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="step-00000001: cannot be continued"):
        fresh(CONFIG, tmp_path)


def test_sizes_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    for changes in ({"image_size": 40}, {"pixel_stride": 5}):
        with pytest.raises(ValueError, match="patch size"):
            fresh(dataclasses.replace(CONFIG, **changes), tmp_path)


def test_stages_take_their_shares_and_counts_add_up() -> None:
    curriculum = Curriculum((Stage(3, 4, 8), Stage(1, 8, 2), Stage(1, 32, 1)), 10)
    stages = [curriculum.at(step) for step in range(12)]
    assert [stage.frames for stage in stages] == [4] * 6 + [8] * 2 + [32] * 4
    for step in range(13):
        earlier = [curriculum.at(s) for s in range(step)]
        assert curriculum.drawn_before(step) == sum(stage.batch for stage in earlier)
        assert curriculum.frames_before(step) == sum(stage.batch * stage.frames for stage in earlier)


def test_the_learning_rate_rises_linearly_and_falls_as_a_cosine() -> None:
    rates = [learning_rate(step, 110, 2.0, 10, 0.1) for step in range(111)]
    assert rates[:10] == pytest.approx([0.2 * (i + 1) for i in range(10)])
    assert rates[10] == pytest.approx(2.0)
    assert rates[60] == pytest.approx(1.1)
    assert rates[110] == pytest.approx(0.2)
    assert rates[10:] == sorted(rates[10:], reverse=True)
