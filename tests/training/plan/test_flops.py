"""FLOPs of training against torch's own counter, and the published size against known totals."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from tests.training.plan.conftest import FRAMES, make_batch, make_objective, make_recipe, small_config
from vlm3r.model import VLM3RConfig
from vlm3r.training.plan.flops import BatchShape, batch_shape, training_costs, training_flops, visible_pairs
from vlm3r.training.recipe import ModelRecipe, Recipe

ONLY_ADAPTERS = {"fusion": "frozen", "projector": "frozen"}
CASES = {
    "the published recipe": {},
    "adapters only": ONLY_ADAPTERS,
    "no adapter": {"language_model": "frozen"},
    "projector only": {"language_model": "frozen", "fusion": "frozen"},
    "fusion only": {"language_model": "frozen", "projector": "frozen"},
    "language model in full": {"language_model": "full"},
    "language model in full, alone": {"language_model": "full", **ONLY_ADAPTERS},
    "newline only": {"language_model": "frozen", "newline": "full", **ONLY_ADAPTERS},
    "vision tower too": {"vision_tower": "full"},
}


def counted(config: VLM3RConfig, recipe: Recipe, questions: int) -> tuple[int, BatchShape]:
    """FLOPs that run, and the shape of the batch; attention as plain matrix products, which the counter knows."""
    objective, batch = make_objective(config, recipe), make_batch(config, questions)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        objective(batch).weighted_sum.backward()
    return counter.get_total_flops(), batch_shape(batch["segments"], len(batch["targets"]), FRAMES)


@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("case", CASES)
def test_formulas_agree_with_the_operations_of_a_step(config, case, checkpointing):
    recipe = make_recipe(checkpointing, **CASES[case])
    flops, shape = counted(config, recipe, questions=3)
    assert training_costs(config, recipe, shape).total == pytest.approx(flops, rel=0.02)


def test_without_geometry_nothing_is_counted_for_it():
    config, recipe = small_config(geometry="none"), make_recipe()
    flops, shape = counted(config, recipe, questions=1)
    costs = training_costs(config, recipe, shape)
    assert (costs.geometry, costs.fusion) == (0, 0)
    assert costs.total == pytest.approx(flops, rel=0.02)


def published(tokens: int, targets: int = 5, kernel: str = "flash_attention_2", stored: frozenset[str] = frozenset()):
    recipe = Recipe(model=ModelRecipe(attention=kernel))  # pyright: ignore[reportArgumentType]
    shape = BatchShape(tokens, visible_pairs(tokens, []), tokens**2, targets, 32)
    return training_costs(VLM3RConfig(), recipe, shape, stored)


def test_a_published_sample_costs_what_was_worked_out_by_hand():
    every_place = published(7000, targets=7000)
    stored = published(7000, targets=7000, stored=frozenset({"vision", "geometry"}))
    # Worked out with logits at every place; training computes them at supervised places only.
    assert every_place.total == pytest.approx(413e12, rel=0.02)
    assert stored.total == pytest.approx(361e12, rel=0.02)
    assert published(7000).total == pytest.approx(391e12, rel=0.005)


def test_the_forward_pass_is_the_known_prefill():
    costs = published(6800)
    attention = costs.attention / 3
    assert costs.language_forward + attention == pytest.approx(98.0e12, rel=0.002)
    assert costs.vision + costs.geometry + costs.fusion / 3 + costs.projector / 3 == pytest.approx(52.5e12, rel=0.01)


def test_a_kernel_without_block_mask_computes_what_is_thrown_away():
    recipe = Recipe(model=ModelRecipe(attention="sdpa"))
    segments = torch.tensor([[0] * 60 + [1] * 20 + [2] * 20])
    packed = training_costs(VLM3RConfig(), recipe, batch_shape(segments, 4, 1))
    flexed = replace(recipe, model=replace(recipe.model, attention="flex_attention"))
    assert packed.masked > training_costs(VLM3RConfig(), flexed, batch_shape(segments, 4, 1)).masked
    assert packed.useful == training_costs(VLM3RConfig(), flexed, batch_shape(segments, 4, 1)).useful


def test_a_question_alone_needs_no_mask():
    assert published(7000, kernel="sdpa").masked == published(7000).masked < published(7000, kernel="eager").masked


def test_a_batch_is_counted_by_its_segments():
    segments = torch.tensor([[0, 0, 1, 1, 2, -1], [0, 0, 0, 0, -1, -1]])
    shape = batch_shape(segments, targets=4, frames=6)
    seen = sum(1 + place for place in range(2)) + (3 + 4) + 3 + (1 + 2 + 3 + 4)
    assert (shape.tokens, shape.pairs, shape.computed_pairs, shape.rows) == (9, seen, 72, 3)
    config, recipe = small_config(), make_recipe()
    assert training_flops(config, recipe, segments, 4, 6) == training_costs(config, recipe, shape).useful


@given(
    prefix=st.integers(1, 200),
    own=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    extra=st.integers(1, 40),
)
def test_one_more_question_costs_more_but_less_than_a_sample_of_its_own(prefix, own, extra):
    config, recipe = small_config(), make_recipe()

    def cost(rows: list[int]) -> float:
        tokens = prefix + sum(rows)
        shape = BatchShape(tokens, visible_pairs(prefix, rows), tokens**2, len(rows), FRAMES, len(rows))
        return training_costs(config, recipe, shape).useful

    together = cost([*own, extra])
    assert cost(own) < together < cost(own) + cost([extra])


@given(
    rank=st.integers(1, 64),
    dropped=st.sampled_from(["vision_tower", "fusion", "projector"]),
    checkpointing=st.booleans(),
)
def test_training_more_never_costs_less(rank, dropped, checkpointing):
    config = small_config()
    shape = BatchShape(100, visible_pairs(80, [20]), 100**2, 5, FRAMES)
    recipe = make_recipe(checkpointing, rank=rank, vision_tower="full")
    fewer = replace(recipe, parts=replace(recipe.parts, **{dropped: "frozen"}))
    assert training_costs(config, fewer, shape).total <= training_costs(config, recipe, shape).total
    smaller = replace(recipe, lora=replace(recipe.lora, rank=max(1, rank - 1)))
    assert training_costs(config, smaller, shape).total <= training_costs(config, recipe, shape).total
    kept = replace(recipe, optimiser=replace(recipe.optimiser, gradient_checkpointing=False))
    assert training_costs(config, kept, shape).total <= training_costs(config, recipe, shape).total
