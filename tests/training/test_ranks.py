"""Two processes on CPUs against one: plain data parallelism, ZeRO-2 and ZeRO-3."""

from __future__ import annotations

import importlib.util
import shutil

import pytest
import torch
from safetensors.torch import load_file

import vlm3r
from tests.training.running import REPOSITORY, losses_of, recipe_of, recipe_values, start_process
from vlm3r.training.checkpointing import WEIGHTS, checkpoints
from vlm3r.training.run import train

# Two micro-batches a process and step; the second step of each epoch has an odd number of packs.
CHANGES = {"optimiser__batch_size": 8, "optimiser__loss_per": "token"}
STOP_ONE = """
import os, signal
from vlm3r.training.trainer import PackedTrainer
step = PackedTrainer.training_step
def interrupted(self, *arguments):
    if self.state.global_step == 1 and self.args.process_index == 1:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, *arguments)
PackedTrainer.training_step = interrupted
"""
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None or shutil.which("g++") is None or shutil.which("ninja") is None,
    reason="DeepSpeed builds an extension on its first run: it needs the extra `train`, g++ and ninja",
)


@pytest.fixture(scope="module")
def one(start, mixed_data, tmp_path_factory):
    """The same run in one process."""
    run = tmp_path_factory.mktemp("one") / "run"
    train(recipe_of(start, mixed_data, run, **CHANGES))
    return run


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    ("config", "interrupted"),
    [
        (None, True),
        pytest.param("zero2.json", True, marks=needs_deepspeed),
        pytest.param("zero3.json", False, marks=needs_deepspeed),
    ],
    ids=["plain", "zero2", "zero3"],
)
def test_two_processes_learn_what_one_does(start, mixed_data, tmp_path, one, config, interrupted):
    run = tmp_path / "run"
    path = None if config is None else str(REPOSITORY / "configs" / "deepspeed" / config)
    values = recipe_values(start, mixed_data, run, **CHANGES, run__deepspeed=path)
    if interrupted:
        process = start_process(values, tmp_path / "process", ranks=2, before=STOP_ONE)
        output, _ = process.communicate(timeout=600)
        assert process.returncode != 0, output
        assert [checkpoint.name for checkpoint in checkpoints(run)] == ["checkpoint-2"], output
        assert len(losses_of(run)) == 2
    process = start_process(values, tmp_path / "process", ranks=2)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output
    expected, found = losses_of(one), losses_of(run)
    for entry, other in zip(expected, found, strict=True):
        assert other["loss"] == pytest.approx(entry["loss"], abs=1e-4)
        assert other["tasks"] == pytest.approx(entry["tasks"], abs=1e-4)
        assert other["grad_norm"] == pytest.approx(entry["grad_norm"], rel=1e-3)
        assert (other["questions"], other["tokens"]) == (entry["questions"], entry["tokens"])
    weights = load_file(checkpoints(run)[-1] / WEIGHTS)
    reference = load_file(checkpoints(one)[-1] / WEIGHTS)
    assert weights.keys() == reference.keys()
    apart = torch.cat([(weights[name] - reference[name]).abs().flatten() for name in weights])
    # Adam takes a step of full length also where a gradient is rounding noise: such weights may differ, and are few.
    assert (apart > 1e-5).float().mean() < 1e-3
    assert apart.max() < 1e-3
    model, _ = vlm3r.load(run / "model", device="cpu", merge_lora=False)
    assert all(torch.equal(parameter, weights[name]) for name, parameter in model.named_parameters() if name in weights)
