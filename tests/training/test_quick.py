"""The one command from rooms to a trained checkpoint."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import vlm3r

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(600)
def test_one_command_goes_from_rooms_to_a_checkpoint_that_loads_and_answers(tmp_path: Path) -> None:
    environment = os.environ | {"VLM3R_SKIP_SETUP": "1", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", str(REPOSITORY / "scripts/train/quick.sh"), str(tmp_path / "quick"), "2"]
    run = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=560)
    assert run.returncode == 0, run.stderr[-2000:]
    out = tmp_path / "quick"
    history = [json.loads(line) for line in (out / "run" / "history.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in history] == [1, 2, 3, 4]
    assert all(entry["questions"] > 16 and entry["loss"] > 0 and len(entry["tasks"]) > 5 for entry in history)
    trained, start = vlm3r.load(out / "run" / "model")[0], vlm3r.load()[0]
    before = dict(start.named_parameters())
    moved = {name: not torch.equal(value, before[name]) for name, value in trained.named_parameters()}
    parts = {"fusion", "projector", "language_model.model.layers"}
    assert all(any(moved[name] for name in moved if name.startswith(part)) for part in parts)
    frozen = ("vision_tower", "geometry_encoder", "language_model.lm_head", "language_model.model.embed")
    assert not any(moved[name] for name in moved if name.startswith(frozen))
    assert (out / "run" / "adapter" / "adapter_model.safetensors").is_file()
    assert json.loads((out / "run" / "run.json").read_text())["finished"]
