"""Runs that end before their time: killed at any moment, or asked to stop."""

from __future__ import annotations

import os
import signal

import pytest

from tests.training.running import losses_of, recipe_of, recipe_values, start_process
from vlm3r.training.checkpointing import checkpoints
from vlm3r.training.run import train
from vlm3r.training.trainer import PackedTrainer

DIE_IN_A_STEP = """
import os, signal
from vlm3r.training.trainer import PackedTrainer
step = PackedTrainer.training_step
def dying(self, *arguments):
    if self.state.global_step == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return step(self, *arguments)
PackedTrainer.training_step = dying
"""
DIE_IN_A_FILE = """
import os, signal
from vlm3r.training import checkpointing
def dying(state, path):
    path.write_bytes(b"half")
    if path.parent.name == ".checkpoint-4.incomplete":
        os.kill(os.getpid(), signal.SIGKILL)
    write(state, path)
write, checkpointing.write_state = checkpointing.write_state, dying
"""
DIE_BEFORE_THE_RENAME = """
import os, signal
from vlm3r.training import checkpointing
def dying(building, run, step):
    if step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    publish(building, run, step)
publish, checkpointing.publish = checkpointing.publish, dying
"""


@pytest.fixture(scope="module")
def whole(start, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    train(recipe_of(start, data, run))
    return losses_of(run)


@pytest.mark.parametrize("moment", [DIE_IN_A_STEP, DIE_IN_A_FILE, DIE_BEFORE_THE_RENAME])
def test_a_killed_run_loses_one_interval_at_most_and_goes_on_as_if_nothing_had_happened(
    start, data, tmp_path, whole, moment
):
    run = tmp_path / "run"
    process = start_process(recipe_values(start, data, run), tmp_path / "process", before=moment)
    output, _ = process.communicate(timeout=200)
    assert process.returncode == -signal.SIGKILL, output
    assert [path.name for path in checkpoints(run)] == ["checkpoint-2"]
    assert not (run / "model").exists()
    assert train(recipe_of(start, data, run)) == 0
    assert losses_of(run) == whole
    assert not list(run.glob(".checkpoint-*"))


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_saves_after_the_step_and_gives_its_exit_status(
    start, data, tmp_path, whole, monkeypatch, number, status
):
    run, step = tmp_path / "run", PackedTrainer.training_step

    def interrupted(self, *arguments):
        os.kill(os.getpid(), number)
        return step(self, *arguments)

    before = signal.getsignal(number)
    with monkeypatch.context() as patch:
        patch.setattr(PackedTrainer, "training_step", interrupted)
        assert train(recipe_of(start, data, run, run__save_every=100)) == status
    assert signal.getsignal(number) is before
    assert [path.name for path in checkpoints(run)] == ["checkpoint-1"]
    assert train(recipe_of(start, data, run, run__save_every=100)) == 0
    assert losses_of(run) == whole
