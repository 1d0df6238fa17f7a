"""Training an adapter on a language model in 4 bits, where bitsandbytes is installed."""

from __future__ import annotations

import importlib.util

import pytest
import torch

import vlm3r
from tests.published import size_overrides, write_published
from tests.training.running import losses_of, recipe_of
from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.checkpoints.native import write_native
from vlm3r.errors import UserError
from vlm3r.training.run import train

INSTALLED = importlib.util.find_spec("bitsandbytes") is not None


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A native folder whose widths are multiples of 64, as 4 bits need on a CPU."""
    folder = tmp_path_factory.mktemp("wide")
    parts, _ = read_checkpoint(**write_published(folder / "published").sources, overrides=size_overrides())
    write_native(parts.merged(), folder / "model")
    return folder / "model"


@pytest.mark.skipif(not INSTALLED, reason="bitsandbytes is not installed")
def test_an_adapter_learns_on_four_bits_and_is_saved_with_the_unquantised_base(wide, data, tmp_path):
    run = tmp_path / "run"
    changes = {"model__quantization": "4bit", "optimiser__steps": 6, "model__fusion_init": None}
    assert train(recipe_of(wide, data, run, **changes)) == 0
    losses = [entry["loss"] for entry in losses_of(run)]
    assert losses[-1] < losses[0]
    before, _ = read_checkpoint(wide)
    after, _ = read_checkpoint(run / "model")
    language = [name for name in before.tensors if name.startswith("language_model.")]
    assert all(torch.equal(before.tensors[name], after.tensors[name]) for name in language)
    assert after.adapter is not None
    assert all(b.any() for _, b in after.adapter.matrices.values())
    vlm3r.load(run / "model", device="cpu")


def test_a_quantised_language_model_is_not_trained_in_full(wide, data, tmp_path):
    with pytest.raises(UserError, match="cannot be trained in full"):
        recipe_of(wide, data, tmp_path, model__quantization="4bit", parts__language_model="full")
