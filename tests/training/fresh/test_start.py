"""The copying start of a language model: heads that look back, tokens that find their like, copies that are said."""

from __future__ import annotations

import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from vlm3r.training.fresh.recipe import LanguageRecipe
from vlm3r.training.fresh.start import copying_start


def fresh(heads: int, key_heads: int, start: str) -> Qwen2ForCausalLM:
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=500, hidden_size=192, intermediate_size=64, num_hidden_layers=2, num_attention_heads=heads,
        num_key_value_heads=key_heads, attn_implementation="eager",
    )  # fmt: skip
    model = Qwen2ForCausalLM(config).eval()
    if start == "copying":
        copying_start(model, torch.Generator().manual_seed(0))
    return model


@pytest.mark.parametrize(("heads", "key_heads"), [(3, 3), (4, 2), (3, 1)])
@torch.no_grad()
def test_heads_of_the_first_block_look_one_two_and_more_tokens_back(heads: int, key_heads: int) -> None:
    model = fresh(heads, key_heads, "copying")
    weights = model(torch.randint(500, (1, 60)), output_attentions=True).attentions[0][0]
    for head in range(heads):
        shares = [weights[head].diagonal(-back).mean().item() for back in range(10)]
        distance = head // (heads // key_heads) + 1
        assert shares.index(max(shares)) == distance
        assert shares[distance] > 0.5


@torch.no_grad()
def test_tokens_of_later_blocks_look_at_their_like_more_than_from_a_plain_start() -> None:
    tokens = torch.randperm(500)[:40].repeat(2)[None]  # each comes again 40 places later
    like = {}
    for start in ("plain", "copying"):
        weights = fresh(3, 3, start)(tokens, output_attentions=True).attentions[1][0]
        like[start] = (weights.diagonal(-40, dim1=1, dim2=2) / weights[:, 40:].mean(-1)).mean().item()
    assert like["copying"] > 1.5 * like["plain"]


@torch.no_grad()
def test_the_head_says_the_token_whose_embedding_it_is_given() -> None:
    model = fresh(3, 3, "copying")
    said = model.lm_head(model.model.embed_tokens.weight).argmax(-1)
    assert torch.equal(said, torch.arange(500))


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(ValueError, match="start must be plain or copying, not 'warm'"):
        LanguageRecipe(start="warm")
