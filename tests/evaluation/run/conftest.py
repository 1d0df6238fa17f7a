from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tests.evaluation.run.small import FRAMES, write_benchmark
from vlm3r.checkpoints.loading import EMBEDDED_MODEL, load


@pytest.fixture(scope="session")
def loaded():
    """The embedded model with a language model of noise, so that what it says hangs on what it sees."""
    if not EMBEDDED_MODEL.is_dir():
        pytest.skip("the embedded model is not in this checkout")
    model, processor = load(device="cpu", dtype="float32", config_overrides={"num_frames": FRAMES})
    generator = torch.Generator().manual_seed(1)
    for name, weight in model.language_model.named_parameters():
        if weight.ndim == 2:
            scale = 1.0 if "embed" in name else 4 * weight.shape[1] ** -0.5
            weight.data = scale * torch.randn(weight.shape, generator=generator)
    return model, processor


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty questions about four videos."""
    return write_benchmark(tmp_path_factory.mktemp("bench"))
