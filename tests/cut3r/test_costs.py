from __future__ import annotations

import pytest
import torch
from cut3r import CUT3RConfig
from cut3r.costs import count_parameters, flops_per_frame
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.cut3r.cut3r_golden import manifest_of, model_of, tiny_frames


def test_the_published_size_costs_what_is_known():
    costs = flops_per_frame(CUT3RConfig(), 432, 432, heads=True)
    tera = {name: 32 * getattr(costs, name) / 1e12 for name in ("encoder", "decoder", "heads")}
    assert tera == pytest.approx({"encoder": 15.8, "decoder": 13.5, "heads": 17.0}, rel=0.02)
    assert flops_per_frame(CUT3RConfig(), 432, 432).heads == 0


@pytest.mark.parametrize("name", ["tiny", "tiny_dpt"])
@pytest.mark.parametrize("heads", [False, True])
def test_costs_agree_with_a_count_of_what_runs(name, heads):
    model, (height, width) = model_of(name), (48, 80)
    # The fused attention of some devices has no formula in the counter; the plain one is made of matrix products.
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        model(tiny_frames(1, 1, height, width), heads=heads)
    state = model.decoder_embed_state
    once = 2 * model.config.state_size * state.in_features * state.out_features  # the initial state, not per frame
    expected = flops_per_frame(model.config, height, width, heads=heads)
    assert counter.get_total_flops() - once == pytest.approx(expected.total, rel=0.01)


def test_parameters_are_counted_by_part():
    counts, manifest = count_parameters(CUT3RConfig()), manifest_of("full")
    assert counts["total"] == manifest["num_parameters"]
    for part in ("enc_blocks", "dec_blocks", "dec_blocks_state", "pose_retriever"):
        assert counts[part] == manifest["parameters_by_part"][part]
