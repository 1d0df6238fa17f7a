"""Native folders open with the Auto classes of transformers, as soon as `vlm3r` is imported."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor

import vlm3r
from vlm3r.checkpoints.loading import EMBEDDED_MODEL
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor

FRAMES = np.random.default_rng(0).integers(0, 256, (2, 40, 60, 3), dtype=np.uint8)


def logits(model, processor) -> torch.Tensor:
    with torch.no_grad():
        return model(**processor("Where is the sofa?", video=FRAMES)).logits


@pytest.fixture(scope="module")
def loaded():
    return vlm3r.load(device="cpu")


def test_the_embedded_model_opens_with_the_auto_classes(loaded):
    config = AutoConfig.from_pretrained(EMBEDDED_MODEL)
    model, info = AutoModelForImageTextToText.from_pretrained(
        EMBEDDED_MODEL, dtype=torch.float32, output_loading_info=True
    )
    processor = AutoProcessor.from_pretrained(EMBEDDED_MODEL)
    assert (type(config), type(model), type(processor)) == (VLM3RConfig, VLM3RForConditionalGeneration, VLM3RProcessor)
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert (logits(model, processor) - logits(*loaded)).abs().max() < 1e-5


def test_what_the_auto_classes_save_is_a_native_folder(tmp_path, loaded):
    model, processor = loaded
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    for other in (
        (AutoModelForImageTextToText.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)),
        vlm3r.load(tmp_path, device="cpu"),
    ):
        weights, saved = (m.state_dict() for m in (model, other[0]))
        assert weights.keys() == saved.keys()
        assert [name for name, weight in weights.items() if not weight.equal(saved[name])] == []
        assert (logits(*other) - logits(*loaded)).abs().max() < 1e-5


def test_the_configuration_survives_json(tmp_path):
    config = VLM3RConfig(
        pool_mode="max",
        newline_position="frame",
        geometry_features="patch_tokens",
        geometry_image_size=144,
        text_config={"hidden_size": 96, "num_attention_heads": 4},
        untrained=True,
    )
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    told = {"transformers_version": None, "_name_or_path": None}  # where and by what it was saved
    assert again.to_dict() | told == config.to_dict() | told
    assert VLM3RConfig(**again.to_dict()).to_json_string() == again.to_json_string()


@pytest.mark.parametrize(
    "change", [{"pool_mode": "sum"}, {"newline_position": "row"}, {"geometry": "vggt"}, {"geometry_features": "depth"}]
)
def test_an_unknown_choice_raises_and_lists_the_known_ones(change):
    with pytest.raises(ValueError, match="expected one of"):
        VLM3RConfig(**change)


def test_the_processor_survives_its_folder(tmp_path, loaded):
    processor = loaded[1]
    processor.save_pretrained(tmp_path)
    again = AutoProcessor.from_pretrained(tmp_path)
    for name in ("grid_side", "pool_mode", "newline_position", "num_frames", "video_fps", "force_sample", "max_length"):
        assert getattr(again, name) == getattr(processor, name)
    ours, theirs = (p("A question", video=FRAMES) for p in (processor, again))
    assert ours["pixel_values"].equal(theirs["pixel_values"])
    assert ours["input_ids"].equal(theirs["input_ids"])
