"""Planned bytes against real optimisers, tensors kept for the backward pass, and properties."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from tests.training.plan.conftest import FRAMES, make_batch, make_objective, make_recipe, small_config
from vlm3r.model import VLM3RConfig
from vlm3r.training.objective import PackedObjective
from vlm3r.training.packing import dense_mask
from vlm3r.training.plan.activations import block_bytes, kept_bytes, visual_bytes
from vlm3r.training.plan.flops import BatchShape, batch_shape
from vlm3r.training.plan.memory import memory_of
from vlm3r.training.plan.parameters import PartParameters, parameters_of
from vlm3r.training.plan.sharding import Sharding
from vlm3r.training.recipe import LoraRecipe, PartsRecipe, Recipe


class Kept:
    """Bytes of all different storages that autograd keeps, weights left out."""

    def __init__(self, model: torch.nn.Module):
        self._weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        self._storages: dict[int, Any] = {}

    def __enter__(self) -> Kept:
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._weights:
            self._storages[storage.data_ptr()] = storage  # held, so that no address is used twice
        return tensor

    @property
    def bytes(self) -> int:
        return sum(storage.nbytes() for storage in self._storages.values())


def language_bytes(objective: PackedObjective, batch: dict[str, Any], dtype: torch.dtype | None = None) -> int:
    """Bytes that the language model's blocks keep of a batch."""
    embedded = objective.model.embed(batch["input_ids"], batch["pixel_values"]).detach().requires_grad_()
    segments, kernel = batch["segments"], objective.attention
    with Kept(objective.model) as kept, torch.autocast("cpu", dtype, enabled=dtype is not None):
        mask = objective._mask(segments, dtype or embedded.dtype) if kernel != "sdpa" else dense_mask(segments)
        objective.model.language_model.model(
            inputs_embeds=embedded if dtype is None else embedded.to(dtype),
            attention_mask=mask,
            position_ids=batch["position_ids"],
            use_cache=False,
        )
    return kept.bytes


@pytest.mark.parametrize("kernel", ["eager", "sdpa"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["kept", "recomputed"])
@pytest.mark.parametrize("mode", ["lora", "frozen", "full"])
def test_kept_activations_are_those_that_autograd_keeps(mode, checkpointing, kernel):
    config, recipe = small_config(layers=4), make_recipe(checkpointing, language_model=mode)
    recipe = replace(recipe, model=replace(recipe.model, attention=kernel))
    objective, batch = make_objective(config, recipe), make_batch(config, 3)
    shape = batch_shape(batch["segments"], len(batch["targets"]), FRAMES)
    assert kept_bytes(config, recipe, shape, 1, 4) == pytest.approx(language_bytes(objective, batch), rel=0.1)


def test_half_precision_keeps_an_input_for_every_adapter():
    config, recipe = small_config(layers=4), make_recipe(checkpointing=False)
    recipe = replace(recipe, model=replace(recipe.model, attention="sdpa"))
    objective, batch = make_objective(config, recipe), make_batch(config, 3)
    for name, parameter in objective.model.named_parameters():
        if name.startswith("language_model.") and not parameter.requires_grad:
            parameter.data = parameter.data.bfloat16()
    shape = batch_shape(batch["segments"], len(batch["targets"]), FRAMES)
    measured = language_bytes(objective, batch, torch.bfloat16)
    weights = 2 * parameters_of(config, recipe)["adapters"].total  # copies that autocast keeps, planned with weights
    assert kept_bytes(config, recipe, shape, 1, 2) == pytest.approx(measured - weights, rel=0.1)


@pytest.mark.parametrize("parts", [{}, {"fusion": "frozen"}, {"projector": "frozen"}], ids=str)
def test_fusion_and_projector_keep_what_is_planned(parts):
    config, recipe = small_config(), make_recipe(**parts)
    model = make_objective(config, recipe).model
    clip = make_batch(config, 1)["pixel_values"]
    with Kept(model) as kept, sdpa_kernel(SDPBackend.FLASH_ATTENTION):
        model.encode_video(clip)
    planned = visual_bytes(config, recipe, FRAMES, 4) - FRAMES * config.layout.video_tokens(1) * 32 * 4
    assert planned == pytest.approx(kept.bytes, rel=0.15)


def test_states_are_those_of_a_real_optimiser(config):
    recipe = make_recipe()
    objective, batch = make_objective(config, recipe), make_batch(config, 2)
    trained = [parameter for parameter in objective.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(trained)
    objective(batch).weighted_sum.backward()
    optimiser.step()
    states = [value for state in optimiser.state.values() for name, value in state.items() if name != "step"]
    shape = batch_shape(batch["segments"], len(batch["targets"]), FRAMES)
    plan = memory_of(config, recipe, parameters_of(config, recipe), shape, Sharding(), 1, 4)
    assert plan.optimiser == sum(tensor.nbytes for tensor in states)
    # Of a softmax over one geometry token nothing reaches some weights, but all have a gradient.
    assert plan.gradients == sum(parameter.grad.nbytes for parameter in trained if parameter.grad is not None)
    assert plan.trained == sum(parameter.nbytes for parameter in trained)
    assert plan.frozen == sum(p.nbytes for p in objective.parameters() if not p.requires_grad)


def test_published_recipe_trains_the_published_numbers_of_parameters():
    parts = published_parts()
    assert parts["adapters"].trained == 322_961_408
    assert parts["fusion"].trained + parts["projector"].trained == 26_728_448
    assert sum(part.trained for part in parts.values()) == 322_961_408 + 26_728_448
    assert sum(part.total for name, part in parts.items() if name != "adapters") == 8_030_348_832 + 793_307_858 + (
        parts["fusion"].total
    )


@cache
def published_parts() -> dict[str, PartParameters]:
    return parameters_of(VLM3RConfig(), Recipe())


def published(sharding: Sharding, devices: int = 8, quantization: Any = None, **options: Any) -> Any:
    recipe = Recipe()
    recipe = replace(recipe, model=replace(recipe.model, quantization=quantization, attention="flex_attention"))
    shape = BatchShape(7000, 7000 * 7001 // 2, 7000**2, 5, 32)
    return memory_of(VLM3RConfig(), replace(recipe, **options), published_parts(), shape, sharding, devices, 2)


def test_every_stage_of_sharding_holds_less_and_four_bits_hold_a_quarter():
    whole, two, three = (published(Sharding(stage)) for stage in (0, 2, 3))
    assert (two.optimiser, two.frozen) == (whole.optimiser / 8, whole.frozen)
    assert three.frozen < whole.frozen / 4
    assert three.trained < two.trained < whole.trained
    assert two.gradients < whole.gradients
    small = published(Sharding(), quantization="4bit")
    # 6,525,288,448 weights of the blocks' linear layers, at 2 and at 0.5625 bytes.
    assert whole.frozen - small.frozen == pytest.approx(6_525_288_448 * (2 - 0.5625))


@cache
def small_parts() -> dict[str, PartParameters]:
    """Parameters of the small model with adapters of rank 1."""
    return parameters_of(small_config(), Recipe(lora=LoraRecipe(rank=1)))


@given(
    micro=st.integers(1, 4),
    frames=st.integers(1, 64),
    rank=st.integers(1, 256),
    dropout=st.sampled_from([0.0, 0.05]),
    number=st.sampled_from([2, 4]),
)
def test_memory_grows_with_whatever_is_added(micro, frames, rank, dropout, number):
    config, base = small_config(), small_parts()

    def total(micro: int, frames: int, rank: int, dropout: float, checkpointing: bool) -> float:
        recipe = Recipe(lora=LoraRecipe(rank=rank, dropout=dropout), parts=PartsRecipe())
        optimiser = replace(recipe.optimiser, micro_batch=micro, gradient_checkpointing=checkpointing)
        tokens = config.layout.video_tokens(frames) + 40
        shape = BatchShape(tokens, tokens**2 // 2, tokens**2, 5, frames)
        parts = base | {"adapters": PartParameters(rank * base["adapters"].total, rank * base["adapters"].trained)}
        return memory_of(config, replace(recipe, optimiser=optimiser), parts, shape, Sharding(2), 4, number).total

    here = total(micro, frames, rank, dropout, True)
    assert here < total(micro + 1, frames, rank, dropout, True)
    assert here < total(micro, frames + 1, rank, dropout, True)
    assert here < total(micro, frames, rank + 1, dropout, True)
    assert here <= total(micro, frames, rank, 0.1, True)


def test_checkpointing_trades_memory_for_work_in_deep_models():
    kept = published(Sharding(), optimiser=replace(Recipe().optimiser, gradient_checkpointing=False))
    again = published(Sharding())
    assert again.activations + again.working < 0.2 * (kept.activations + kept.working)


def test_a_block_of_two_sequences_masks_each_by_itself():
    config, recipe = small_config(), make_recipe()
    two, one = block_bytes(config, recipe, 200, 2, 4), block_bytes(config, recipe, 100, 1, 4)
    assert two == 2 * one
