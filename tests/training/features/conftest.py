"""Small videos, and stores of their features made with the embedded model."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from tests.training.features.making import Made, options_for, write_video
from vlm3r.checkpoints.loading import EMBEDDED_MODEL, load
from vlm3r.training.features import EncoderSource, extract


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The embedded model, which takes a frame a second and states times: other videos, other numbers of frames."""
    if not (EMBEDDED_MODEL / "config.json").exists():
        pytest.skip("the embedded model is not in this checkout")
    folder = tmp_path_factory.mktemp("model") / "tiny"
    shutil.copytree(EMBEDDED_MODEL, folder)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings |= {"force_sample": False, "num_frames": 6, "add_time_instruction": True}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(scope="session")
def loaded(checkpoint: Path):
    return load(checkpoint, device="cpu", dtype="float32")


@pytest.fixture(scope="session")
def made(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Features of both encoders in float32."""
    folder = tmp_path_factory.mktemp("features")
    videos = (write_video(folder / "long.mp4", 20, seed=1), write_video(folder / "short.mp4", 9, seed=2))
    source = EncoderSource(str(checkpoint))
    extract(videos, folder / "store", options_for(source, parts=("geometry", "vision"), dtype="float32"))
    return Made(folder / "store", videos, source, checkpoint)


@pytest.fixture
def copy(made: Made, tmp_path: Path) -> Path:
    """A copy of that store that may be damaged."""
    return Path(shutil.copytree(made.store, tmp_path / "copy"))
