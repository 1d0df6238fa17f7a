"""The packed objective against transformers' own loss on separate samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import vlm3r
from vlm3r.checkpoints.lora import ADAPTER_NAME
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames
from vlm3r.training.objective import PackedObjective
from vlm3r.training.packing import PADDING, EncodedRow, PackedRows, pack_rows, target_weights

FRAMES = 4
QUESTIONS = {
    "How many chairs are there?": "3",
    "How many stools are there?": "12",
    "Which is closest to the bed?\nOptions:\nA. sofa\nB. lamp": "B",
    "What is the size of this room (in square meters)?": "24.5",
}


@pytest.fixture(scope="module")
def clip() -> VideoFrames:
    generator = torch.Generator().manual_seed(1)
    pixels = torch.randint(0, 256, (FRAMES, 48, 64, 3), generator=generator, dtype=torch.uint8)
    return VideoFrames.from_array(pixels.numpy())


def with_adapter(attention: Any = "sdpa") -> tuple[VLM3RForConditionalGeneration, VLM3RProcessor]:
    from peft import LoraConfig

    model, processor = vlm3r.load(dtype="float32", device="cpu", attention=attention)
    model.requires_grad_(False)
    targets = r"language_model\.model\.layers\.\d+\..*_proj"
    model.add_adapter(LoraConfig(r=4, lora_alpha=8, target_modules=targets), adapter_name=ADAPTER_NAME)
    generator = torch.Generator().manual_seed(2)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_(std=0.05, generator=generator)
        if name.startswith(("fusion.", "projector.")):
            parameter.requires_grad_(True)
    return model, processor


def encoded(processor: VLM3RProcessor, clip: VideoFrames) -> tuple[list[EncodedRow], dict[str, torch.Tensor]]:
    rows = []
    for question, answer in QUESTIONS.items():
        inputs = processor(question, video=clip, answer=answer, with_pixels=False)
        rows.append(EncodedRow(inputs["input_ids"][0].tolist(), inputs["labels"][0].tolist()))
    pixels = processor("", video=clip)
    return rows, {"pixel_values": pixels["pixel_values"]}


def batch_of(packs: list[PackedRows], clips: int, visual: dict[str, torch.Tensor], pad: int) -> dict[str, Any]:
    """Packs side by side, padded at their ends; each has the clip of its own."""
    width = max(len(pack.ids) for pack in packs)

    def padded(values: list[torch.Tensor], filler: int) -> torch.Tensor:
        return torch.stack([torch.nn.functional.pad(v, (0, width - len(v)), value=filler) for v in values])

    return {
        "input_ids": padded([pack.ids for pack in packs], pad),
        "position_ids": padded([pack.positions for pack in packs], 0),
        "segments": padded([pack.segments for pack in packs], PADDING),
        "sources": torch.cat([pack.sources + width * i for i, pack in enumerate(packs)]),
        "targets": torch.cat([pack.targets for pack in packs]),
        "weights": torch.cat([target_weights(pack, "question") for pack in packs]),
        "pixel_values": visual["pixel_values"].repeat(clips, 1, 1, 1, 1),
    }


def trained(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}


def separate(model: VLM3RForConditionalGeneration, rows: list[EncodedRow], visual: dict[str, Any]) -> torch.Tensor:
    """The sum of the losses that transformers computes for one sample at a time; gradients add up in the model."""
    total = torch.zeros(())
    for row in rows:
        ids, labels = torch.tensor([row.ids]), torch.tensor([row.labels])
        loss = model(input_ids=ids, labels=labels, **visual).loss
        loss.backward()
        total += loss.detach()
    return total


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_one_pack_has_the_loss_and_gradients_of_separate_samples(clip: VideoFrames, attention: str) -> None:
    model, processor = with_adapter(attention)
    rows, visual = encoded(processor, clip)
    expected = separate(model, rows, visual)
    reference = trained(model)
    assert len(reference) > 60 and any("lora_A" in name for name in reference)
    model.zero_grad()
    losses = PackedObjective(model)(batch_of([pack_rows(rows)], 1, visual, 0))
    losses.weighted_sum.backward()
    torch.testing.assert_close(losses.weighted_sum.detach(), expected, rtol=1e-5, atol=1e-5)
    for name, gradient in trained(model).items():
        scale = reference[name].abs().max().item()
        torch.testing.assert_close(gradient, reference[name], rtol=1e-3, atol=1e-5 * max(scale, 1e-3), msg=name)


def test_packs_of_different_lengths_in_one_batch_change_nothing(clip: VideoFrames) -> None:
    model, processor = with_adapter()
    rows, visual = encoded(processor, clip)
    with torch.no_grad():
        objective = PackedObjective(model)
        whole = objective(batch_of([pack_rows(rows)], 1, visual, 0)).weighted_sum
        parts = objective(batch_of([pack_rows(rows[:1]), pack_rows(rows[1:])], 2, visual, 0)).weighted_sum
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-5)


def test_a_question_is_blind_to_the_others_in_its_pack(clip: VideoFrames) -> None:
    model, processor = with_adapter()
    rows, visual = encoded(processor, clip)
    with torch.no_grad():
        objective = PackedObjective(model)
        first = objective(batch_of([pack_rows(rows)], 1, visual, 0)).per_target
        swapped = objective(batch_of([pack_rows([rows[0], *reversed(rows[1:])])], 1, visual, 0)).per_target
    count = int((pack_rows(rows).rows == 0).sum())
    torch.testing.assert_close(first[:count], swapped[:count], rtol=1e-5, atol=1e-5)


def test_chunks_of_targets_change_neither_loss_nor_gradient(clip: VideoFrames, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = with_adapter()
    rows, visual = encoded(processor, clip)
    results = []
    for chunk in (4096, 7):
        monkeypatch.setattr("vlm3r.training.objective.TARGET_CHUNK", chunk)
        model.zero_grad()
        loss = PackedObjective(model)(batch_of([pack_rows(rows)], 1, visual, 0)).weighted_sum
        loss.backward()
        results.append((loss.detach(), trained(model)["projector.linear_1.weight"]))
    torch.testing.assert_close(results[0], results[1], rtol=1e-5, atol=1e-6)


def test_frozen_towers_leave_no_gradient_graph(clip: VideoFrames) -> None:
    model, processor = with_adapter()
    stages = model.encode_video(processor("", video=clip)["pixel_values"])
    assert not stages.vision_tokens.requires_grad
    assert stages.patch_tokens is not None and not stages.patch_tokens.requires_grad
    assert stages.fused.requires_grad


def test_tokens_encoded_before_replace_pixels(clip: VideoFrames) -> None:
    model, processor = with_adapter()
    model.eval()
    rows, visual = encoded(processor, clip)
    ids = torch.tensor([rows[0].ids])
    with torch.no_grad():
        stages = model.encode_video(visual["pixel_values"])
        given = {name: getattr(stages, name) for name in ("vision_tokens", "camera_tokens", "patch_tokens")}
        torch.testing.assert_close(model(ids, **given).logits, model(ids, **visual).logits, rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="pixel values"):
        model.encode_video(vision_tokens=given["vision_tokens"])
