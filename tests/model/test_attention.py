"""The attention kernels are one function, and asking for one that is not there is a clear error."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from vlm3r.checkpoints.loading import load
from vlm3r.errors import UserError


@pytest.fixture(scope="module")
def reference(embedded):
    return load(embedded, device="cpu", dtype="float32")


def test_eager_attention_gives_the_logits_of_the_fused_kernel(embedded, reference, make_video):
    model, processor = reference
    eager, _ = load(embedded, device="cpu", dtype="float32", attention="eager")
    assert {eager.vision_tower.config._attn_implementation, eager.config.text_config._attn_implementation} == {"eager"}
    inputs = processor(["How many chairs?", "Why?"], video=[make_video(1, 2), make_video(2, 3)])
    kept = inputs["attention_mask"].bool()
    with torch.no_grad():
        ours, theirs = eager(**inputs).logits[kept], model(**inputs).logits[kept]
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(importlib.util.find_spec("flash_attn") is not None, reason="flash-attn is installed")
def test_flash_attention_without_its_package_names_the_command(embedded):
    with pytest.raises(UserError, match="pip install"):
        load(embedded, device="cpu", attention="flash_attention_2")


def test_an_unknown_kernel_is_an_error_that_lists_the_known_ones(embedded):
    with pytest.raises(UserError, match="sdpa"):
        load(embedded, device="cpu", attention="paged")  # pyright: ignore[reportArgumentType]
