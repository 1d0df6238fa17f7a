from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.hub.stand_in import Hub, serve
from tests.published import edit_json, size_overrides, write_published
from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.checkpoints.native import write_native
from vlm3r.checkpoints.parts import Parts
from vlm3r.checkpoints.published import write_published as write_published_layout

REPOSITORY = Path(__file__).resolve().parents[2]
BASE = "lmms-lab/LLaVA-NeXT-Video-7B-Qwen2"
DATA_HASH, BASE_HASH = "ab" * 32, "12" * 32
RECIPE = {
    "model": {"source": BASE},
    "data": {"sources": [{"path": "data/rooms.jsonl", "weight": 1.0}], "questions_per_pack": 4},
    "lora": {"rank": 4, "alpha": 8.0},
    "optimiser": {"learning_rate": 2e-5, "warmup": 0.03, "schedule": "cosine"},
}
RUN = {
    "versions": {"vlm3r": "0.1.0", "torch": "2.13"},
    "git": "0123456789abcdef",
    "base": {"language_model": BASE_HASH},
    "data": {"files": [{"path": "data/rooms.jsonl", "sha256": DATA_HASH, "questions": 12345}], "questions": 12345},
    "steps": 77,
    "measured": {"questions": 9856, "final_loss": 0.5},
}
SCORES = {
    "benchmark": "rooms-val",
    "protocol": "200 unseen rooms, one question a prompt, greedy",
    "rows": [
        {"task": "object_counting", "score": 41.25, "low": 38.5, "high": 44.0, "chance": 20.1},
        {"task": "route_planning", "score": 33.0},
    ],
}


@dataclass(frozen=True)
class Model:
    """One model in the layouts that can be published."""

    parts: Parts
    run: Path
    """A training run: `model/`, `adapter/` and its records."""
    lora: Path
    """A LoRA repository with the published pickle."""
    base: Path
    geometry: Path


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this process no test may reach a hub."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.delenv("VLM3R_CUT3R", raising=False)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A small random model with an adapter, which no test may change."""
    root = tmp_path_factory.mktemp("model")
    (root / "source").mkdir()
    source = write_published(root / "source")
    parts, _ = read_checkpoint(**source.sources, overrides=size_overrides())
    write_published_layout(parts, root / "published")
    run = root / "run"
    write_native(parts, run / "model")
    shutil.copytree(root / "published" / "lora", run / "adapter")
    edit_json(run / "adapter" / "adapter_config.json", base_model_name_or_path=BASE)
    (run / "recipe.yaml").write_text(yaml.safe_dump(RECIPE, sort_keys=False))
    (run / "run.json").write_text(json.dumps(RUN))
    (run / "history.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 2.25}\n')
    (run / "scores.json").write_text(json.dumps(SCORES))
    (run / "tensorboard").mkdir()
    (run / "tensorboard" / "events.out").write_bytes(b"\x80\x04")
    published = root / "published"
    return Model(parts, run, published / "lora", published / "base", published / "cut3r_512_dpt_4_64.pth")


@pytest.fixture
def own(model: Model, tmp_path: Path) -> Model:
    """The same model in a copy that the test may damage."""
    shutil.copytree(model.run, tmp_path / "run")
    shutil.copytree(model.lora, tmp_path / "lora")
    return replace(model, run=tmp_path / "run", lora=tmp_path / "lora")


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve() as running:
        yield running


def command(code: str, *arguments: object, home: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run Python with a home of its own, so that no token of this machine is found."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    environment = kept | {"HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1"} | variables
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True, text=True, timeout=240, env=environment, cwd=REPOSITORY, check=False,
    )  # fmt: skip


def publish(*arguments: object, home: Path, hub: Hub | None = None, **variables: str) -> Any:
    """`vlm3r publish` in a process of its own, with its hub at the stand-in and large files as plain uploads."""
    if hub is not None:
        variables = {"HF_ENDPOINT": hub.address, "HF_HUB_DISABLE_XET": "1", **variables}
    return command("from vlm3r.cli import main; main()", "publish", *arguments, home=home, **variables)
