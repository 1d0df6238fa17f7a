"""A small model with random weights, and its processor, for tests of properties."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from vlm3r.checkpoints.loading import EMBEDDED_MODEL, load

SIDE = 60


@pytest.fixture(scope="session")
def embedded() -> Path:
    if not (EMBEDDED_MODEL / "config.json").exists():
        pytest.skip("the embedded model is not in this checkout")
    return EMBEDDED_MODEL


@pytest.fixture(scope="session")
def small(embedded):
    """The embedded model's classes and sizes with random weights of a useful scale, in float32 on the CPU."""
    model, processor = load(embedded, device="cpu", dtype="float32")
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                fan_in = parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * fan_in**-0.5)
    return model.eval(), processor


@pytest.fixture
def make_video():
    """`make_video(seed, frames)`: uint8 noise frames `(frame, H, W, 3)`."""

    def make(seed: int, frames: int) -> np.ndarray:
        return np.random.default_rng(seed).integers(0, 256, (frames, SIDE, SIDE, 3), dtype=np.uint8)

    return make
