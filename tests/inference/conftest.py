"""The embedded model with a language model of noise, and a small clip."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from vlm3r.checkpoints.loading import EMBEDDED_MODEL, load
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

SIDE = 28
"""Pixels of the smallest model's pictures."""


def loaded_with_noise(attention: str = "sdpa"):
    """The embedded model with a language model that hangs on every word, and stops sooner or later."""
    model, processor = load(device="cpu", dtype="float32", attention=attention)  # pyright: ignore
    fill_with_noise(model.language_model)
    model.fusion.out_norm.weight.data.fill_(1.0)  # geometry counts, whatever the embedded model learnt
    model.generation_config = copy.deepcopy(model.generation_config)
    model.generation_config.eos_token_id = list(range(0, 686, 5))
    model.generation_config.repetition_penalty = 1.3
    return model, processor


def fill_with_noise(language_model: torch.nn.Module) -> None:
    """Replace what a language model learnt: matrices by noise, norms and biases by what they start as."""
    generator = torch.Generator().manual_seed(0)
    for name, weight in language_model.named_parameters():
        if weight.ndim == 2:
            scale = 1.0 if "embed" in name else 4 * weight.shape[1] ** -0.5
            weight.data = scale * torch.randn(weight.shape, generator=generator)
        else:
            weight.data.fill_(0.0 if name.endswith("bias") else 1.0)


def smallest(noisy_model, noisy_processor, **text):
    """The smallest model: pictures of 28 pixels, a state of four tokens, one layer of everything."""
    config = VLM3RConfig(
        text_config={
            **noisy_model.config.qwen2.to_dict(),
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "num_key_value_heads": 1,
            "layer_types": ["full_attention"],
            **text,
        },
        vision_config={
            "hidden_size": 16,
            "intermediate_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": SIDE,
            "patch_size": 14,
            "vision_use_head": False,
        },
        geometry_config={
            "enc_embed_dim": 16,
            "enc_depth": 1,
            "enc_num_heads": 1,
            "ray_enc_depth": 1,
            "ray_enc_num_heads": 1,
            "dec_embed_dim": 16,
            "dec_depth": 2,
            "dec_num_heads": 1,
            "state_size": 4,
            "state_dec_num_heads": 1,
            "local_mem_size": 4,
            "memory_depth": 1,
            "head_type": "linear",
        },
        geometry_image_size=16,
        fusion_num_heads=2,
        video_token_id=noisy_model.config.video_token_id,
        image_token_id=noisy_model.config.image_token_id,
        num_output_tokens=noisy_model.config.num_output_tokens,
    )
    torch.manual_seed(0)
    model = VLM3RForConditionalGeneration(config).eval()
    model.generation_config = copy.deepcopy(noisy_model.generation_config)
    return model, VLM3RProcessor.from_config(config, noisy_processor.tokenizer, num_frames=8)


@pytest.fixture(scope="module")
def video() -> VideoFrames:
    frames = np.random.default_rng(0).integers(0, 256, (4, 40, 50, 3), dtype=np.uint8)
    return VideoFrames.from_array(frames, [0.0, 0.5, 1.0, 1.5])


@pytest.fixture(scope="module")
def noisy():
    if not EMBEDDED_MODEL.is_dir():
        pytest.skip("the embedded model is not in this checkout")
    return loaded_with_noise()
