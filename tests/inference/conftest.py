"""The embedded model with a language model of noise, and a small clip."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from vlm3r.checkpoints.loading import EMBEDDED_MODEL, load
from vlm3r.processing.video import VideoFrames


def loaded_with_noise(attention: str = "sdpa"):
    """The embedded model with a language model that hangs on every word, and stops sooner or later."""
    model, processor = load(device="cpu", dtype="float32", attention=attention)  # pyright: ignore
    generator = torch.Generator().manual_seed(0)
    for name, weight in model.language_model.named_parameters():
        if weight.ndim == 2:
            scale = 1.0 if "embed" in name else 4 * weight.shape[1] ** -0.5
            weight.data = scale * torch.randn(weight.shape, generator=generator)
    model.generation_config = copy.deepcopy(model.generation_config)
    model.generation_config.eos_token_id = list(range(0, 686, 5))
    model.generation_config.repetition_penalty = 1.3
    return model, processor


@pytest.fixture(scope="module")
def video() -> VideoFrames:
    frames = np.random.default_rng(0).integers(0, 256, (4, 40, 50, 3), dtype=np.uint8)
    return VideoFrames.from_array(frames, [0.0, 0.5, 1.0, 1.5])


@pytest.fixture(scope="module")
def noisy():
    if not EMBEDDED_MODEL.is_dir():
        pytest.skip("the embedded model is not in this checkout")
    return loaded_with_noise()
