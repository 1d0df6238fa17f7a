"""Loading in 4 and 8 bits, where bitsandbytes is installed."""

from __future__ import annotations

import importlib.util
import sys

import numpy as np
import pytest
import torch

import vlm3r
from tests.published import size_overrides
from vlm3r.checkpoints.native import parts_of
from vlm3r.errors import UserError

INSTALLED = importlib.util.find_spec("bitsandbytes") is not None
FRAMES = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)


def test_without_bitsandbytes_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UserError, match="needs bitsandbytes"):
        vlm3r.load(device="cpu", quantization="4bit")


@pytest.mark.skipif(not INSTALLED, reason="bitsandbytes is not installed")
def test_a_version_that_transformers_refuses_is_named(monkeypatch):
    monkeypatch.setattr("transformers.utils.import_utils.is_bitsandbytes_available", lambda: False)
    with pytest.raises(UserError, match="too old"):
        vlm3r.load(device="cpu", quantization="4bit")


@pytest.mark.skipif(not INSTALLED, reason="bitsandbytes is not installed")
@pytest.mark.parametrize(("quantization", "likeness"), [("4bit", 0.6), ("8bit", 0.95)])
def test_only_the_language_models_linear_layers_are_quantized(intact, quantization, likeness):
    # Not the embedded model: only widths that are multiples of 64, as all published ones are, are packed on a CPU.
    sources = intact.sources | {"device": "cpu", "config_overrides": size_overrides()}
    model, processor = vlm3r.load(**sources, quantization=quantization)
    plain, _ = vlm3r.load(**sources)
    whole = {name: p for name, p in model.named_parameters() if p.dtype.is_floating_point}
    packed = {name for name, p in model.named_parameters() if not p.dtype.is_floating_point}
    assert packed
    assert all(name.startswith("language_model.model.layers.") and "_proj" in name for name in packed)
    reference = dict(plain.named_parameters())
    assert all(p.float().allclose(reference[name].float(), atol=1e-2) for name, p in whole.items())
    inputs = processor("Where is the sofa?", video=FRAMES)
    with torch.no_grad():
        theirs, ours = plain(**inputs).logits, model(**inputs).logits.float()
    assert torch.nn.functional.cosine_similarity(ours.flatten(), theirs.flatten(), dim=0) > likeness
    with pytest.raises(UserError, match="cannot be saved"):
        parts_of(model, processor)
