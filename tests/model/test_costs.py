"""Cost formulas against torch's own counter, and the published size against hand-computed floors."""

from __future__ import annotations

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from vlm3r.model import VLM3RConfig
from vlm3r.model.costs import cache_bytes, count_parameters, prefill_flops


def test_formulas_agree_with_the_operations_that_run(small, make_video):
    model, processor = small
    inputs = processor("q", video=make_video(1, 3))
    costs = prefill_flops(model.config, 3, int((inputs["input_ids"] != model.config.video_token_id).sum()))
    # The counter does not know the CPU's fused attention kernel.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model.encode_video(inputs["pixel_values"])
    assert counter.get_total_flops() == pytest.approx(costs.vision + costs.geometry + costs.fusion, rel=0.02)


def test_published_size_matches_the_floors_of_a_32_frame_question():
    config = VLM3RConfig()
    costs = prefill_flops(config, 32, 80)
    assert costs.vision == pytest.approx(20.5e12, rel=0.01)
    assert costs.fusion == pytest.approx(1.3e12, rel=0.03)
    assert costs.language == pytest.approx(98.0e12, rel=0.01)
    assert cache_bytes(config, 6800) == pytest.approx(390e6, rel=0.01)


def test_published_parameter_counts():
    counts = count_parameters(VLM3RConfig())
    assert counts["geometry_encoder"] == 793_307_858
    assert counts["fusion"] + counts["projector"] == 26_728_448
    base = sum(counts[part] for part in ("image_newline", "vision_tower", "projector", "language_model"))
    assert base == 8_030_348_832
