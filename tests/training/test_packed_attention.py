"""Attention without the empty blocks of a pack equals attention under the dense block mask."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from vlm3r.training.packed_attention import layout_of, packed_attention
from vlm3r.training.packing import PADDING, dense_mask


class Layer(nn.Module):
    num_key_value_groups = 2


@pytest.mark.parametrize("tail", [0, 3])
@pytest.mark.parametrize("questions", [[], [1] * 5 + [2] * 9 + [3]])
def test_results_and_gradients_are_those_of_the_dense_mask(tail: int, questions: list[int]) -> None:
    torch.manual_seed(0)
    segments = torch.tensor([[0] * 20 + questions + [PADDING] * tail])
    tokens = segments.shape[1]
    query = torch.randn(1, 4, tokens, 8, requires_grad=True)
    key, value = (torch.randn(1, 2, tokens, 8, requires_grad=True) for _ in range(2))
    real = segments[0] != PADDING
    results = []
    for mask in (dense_mask(segments), layout_of(segments)):
        out, _ = packed_attention(Layer(), query, key, value, mask, scaling=0.3)
        assert out.shape == (1, tokens, 4, 8)
        out = out[:, real]
        gradients = torch.autograd.grad(
            (out * torch.linspace(-1, 1, out.numel()).view_as(out)).sum(), [query, key, value]
        )
        results.append([out, *gradients])
    for plain, packed in zip(*results, strict=True):
        torch.testing.assert_close(packed, plain, rtol=1e-4, atol=1e-5)


def test_sequences_that_are_no_pack_have_no_layout() -> None:
    assert layout_of(torch.tensor([[0, 1], [0, 1]])) is None
    assert layout_of(torch.tensor([[1, 1, 2]])) is None
