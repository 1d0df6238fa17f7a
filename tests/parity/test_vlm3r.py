"""Every recorded quantity of the published model, end to end and stage by stage, at a small size."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import vlm3r
from tests.published import golden_frames, golden_json, golden_tensors, size_overrides, write_published
from vlm3r.model.resampler import place_newlines, pool_frames
from vlm3r.processing.sampling import FrameSampling
from vlm3r.processing.video import VideoFrames

GOLDEN, TENSORS = golden_json(), golden_tensors()
LIMITS = GOLDEN["tolerance"]["end_to_end_atol"]
STAGE_LIMITS = GOLDEN["tolerance"]["stage_by_stage_atol"]
QUESTION = GOLDEN["inputs"]["question"]
MODES = {
    "pool_mode": GOLDEN["settings"]["mm_spatial_pool_mode"],
    "newline_position": GOLDEN["settings"]["mm_newline_position"],
}
PLACEHOLDER = -200


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return write_published(tmp_path_factory.mktemp("published"))


def load(published, **kwargs):
    overrides = size_overrides() | MODES
    return vlm3r.load(**published.sources, device="cpu", dtype="float32", config_overrides=overrides, **kwargs)


@pytest.fixture(scope="module")
def merged(published):
    return load(published)


@pytest.fixture(scope="module")
def unmerged(published):
    return load(published, merge_lora=False)


@pytest.fixture(scope="module")
def stages(merged):
    model, processor = merged
    with torch.no_grad():
        return model.encode_video(processor(QUESTION, video=golden_frames())["pixel_values"])


def assert_close(ours: torch.Tensor, name: str, limit: float) -> None:
    golden = TENSORS[name]
    assert ours.numel() == golden.numel(), name
    torch.testing.assert_close(ours.detach().reshape(golden.shape).float(), golden.float(), atol=limit, rtol=0)


def collapsed(ids: list[int], model) -> list[int]:
    """Token ids with every run of placeholders written as the published -200."""
    visual = {model.config.video_token_id, model.config.image_token_id}
    out: list[int] = []
    for i, token in enumerate(ids):
        if token not in visual:
            out.append(token)
        elif i == 0 or ids[i - 1] not in visual:
            out.append(PLACEHOLDER)
    return out


def test_pixel_values(merged):
    _, processor = merged
    assert_close(processor(QUESTION, video=golden_frames())["pixel_values"], "pixel_values", LIMITS["pixel_values"])


def test_still_image_pixel_values(merged):
    _, processor = merged
    pictures = golden_pictures(2)
    pixels = processor(QUESTION, images=pictures)["image_pixel_values"][0]
    assert_close(pixels[: len(TENSORS["image_pixel_values"])], "image_pixel_values", LIMITS["image_pixel_values"])


def test_frames_resized_for_the_geometry_encoder(merged, monkeypatch):
    model, processor = merged
    seen = []
    run = model.geometry_encoder.forward
    monkeypatch.setattr(model.geometry_encoder, "forward", lambda frames: seen.append(frames) or run(frames))
    model.encode_video(processor(QUESTION, video=golden_frames())["pixel_values"])
    assert_close(seen[0][0, :1], "spatial_pixel_values", LIMITS["spatial_pixel_values"])


@pytest.mark.parametrize("name", ["vision_tokens", "camera_tokens", "patch_tokens", "fused", "projected"])
def test_stage(stages, name):
    assert_close(getattr(stages, name), name, LIMITS[name])


def test_fusion_alone_from_recorded_tokens(merged):
    model, _ = merged
    geometry = torch.cat([TENSORS["camera_tokens"], TENSORS["patch_tokens"]], dim=1)
    fused = model.fusion(TENSORS["vision_tokens"][None], geometry[None])
    assert_close(fused, "fused", STAGE_LIMITS["fused from recorded vision and CUT3R tokens"])
    # Keys carry no position: their order cannot matter.
    reordered = model.fusion(TENSORS["vision_tokens"][None], geometry[None].flip(2))
    torch.testing.assert_close(reordered, fused, atol=1e-5, rtol=0)


def test_fusion_attention_weights(merged):
    model, _ = merged
    geometry = torch.cat([TENSORS["camera_tokens"], TENSORS["patch_tokens"]], dim=1)
    query, key, _ = model.fusion.project(TENSORS["vision_tokens"], geometry)
    assert_close(model.fusion.attention.weights(query, key), "fusion_attention", LIMITS["fusion_attention"])


def test_projector_alone_from_recorded_tokens(merged):
    model, _ = merged
    assert_close(model.projector(TENSORS["fused"]), "projected", STAGE_LIMITS["projected from recorded fused"])


@pytest.mark.parametrize("mode", ["average", "max", "bilinear"])
def test_pooling_and_every_newline_placement(merged, mode):
    model, _ = merged
    limit = STAGE_LIMITS["pooled and sequences from recorded projected"]
    pooled = pool_frames(TENSORS["projected"], mode)
    assert_close(pooled, f"pooled_{mode}", limit)
    for position in ("grid", "frame", "one_token", "no_token"):
        sequence = place_newlines(pooled, model.image_newline, position)
        assert sequence.shape[0] == GOLDEN["sequence_lengths"][f"{mode}_{position}"]
        assert_close(sequence, f"sequence_{mode}_{position}", limit)


def test_prompt_and_token_ids(merged):
    model, processor = merged
    inputs = processor(QUESTION, video=golden_frames())
    assert collapsed(inputs["input_ids"][0].tolist(), model) == GOLDEN["input_ids"]
    assert processor.prompt_text(inputs["input_ids"][0]) == GOLDEN["prompt"]


def clip_with_times() -> VideoFrames:
    spec = GOLDEN["inputs"]["video"]
    choice = FrameSampling.published_demo(4).choose(spec["total_frames"], spec["fps"])
    assert choice.indices.tolist() == spec["indices"]
    frames = golden_frames()
    return VideoFrames(
        frames, choice.indices, choice.times, choice.times, choice.duration, spec["fps"], spec["total_frames"], "", ""
    )


def test_time_sentence_stands_in_the_prompt_once_however_often_a_clip_is_read(merged):
    model, processor = merged
    clip = clip_with_times()
    for _ in range(3):
        inputs = processor(QUESTION, video=clip)
        assert processor.prompt_text(inputs["input_ids"][0]) == GOLDEN["prompt_with_time"]
        assert collapsed(inputs["input_ids"][0].tolist(), model) == GOLDEN["input_ids_with_time"]


def test_training_text_and_labels_from_a_clip_with_times(merged):
    _, processor = merged
    training = GOLDEN["training"]
    for _ in range(2):
        inputs = processor(f"<image>\n{QUESTION}", video=clip_with_times(), answer=GOLDEN["inputs"]["answer"])
        assert training["human_value"] in processor.prompt_text(inputs["input_ids"][0])
        assert inputs["labels"][0].tolist() == training["spliced_labels"]
    assert (inputs["labels"] != -100).sum() == training["supervised"]


def test_input_embeddings_and_logits(merged):
    model, processor = merged
    inputs = processor(QUESTION, video=golden_frames())
    with torch.no_grad():
        assert_close(model.embed(inputs["input_ids"], inputs["pixel_values"]), "inputs_embeds", LIMITS["inputs_embeds"])
        logits = model(**inputs).logits
        from_embeddings = model(inputs_embeds=TENSORS["inputs_embeds"].reshape(1, -1, 64)).logits
    rows = GOLDEN["logit_rows"]
    assert_close(logits[..., :rows], "logits", LIMITS["logits"])
    assert_close(from_embeddings[..., :rows], "logits", STAGE_LIMITS["logits from recorded inputs_embeds"])


def test_text_only_logits_and_hidden_states(merged):
    model, processor = merged
    ids = torch.tensor([[i for i in GOLDEN["input_ids"] if i != PLACEHOLDER]])
    assert processor(QUESTION)["input_ids"].shape[1] == ids.shape[1] - 1  # no newline after a placeholder
    with torch.no_grad():
        output = model(input_ids=ids, output_hidden_states=True)
    assert_close(output.logits[..., : GOLDEN["logit_rows"]], "text_only_logits", LIMITS["text_only_logits"])
    norms = output.hidden_states[-1].norm(dim=-1)
    assert_close(norms, "text_only_hidden_norm", LIMITS["text_only_hidden_norm"])


@pytest.mark.parametrize("penalty", [1.0, 1.05, 1.1, 1.2, 1.3])
def test_greedy_ids_also_under_a_repetition_penalty(merged, penalty):
    model, processor = merged
    expected = GOLDEN["generated_ids"] if penalty == 1 else GOLDEN["generated_ids_repetition_penalty"][str(penalty)]
    inputs = processor(QUESTION, video=golden_frames())
    output = model.generate(**inputs, max_new_tokens=len(expected), repetition_penalty=penalty)
    assert output[0, inputs["input_ids"].shape[1] :].tolist() == expected
    if penalty == 1:
        assert processor.answers(output, inputs["input_ids"].shape[1]) == [GOLDEN["generated_text"].strip()]


def golden_pictures(count: int) -> list[np.ndarray]:
    spec = GOLDEN["inputs"]["images"]
    pictures = np.random.Generator(np.random.PCG64(spec["seed"])).integers(0, 256, spec["shape"], dtype=np.uint8)
    return list(pictures[:count])


@pytest.mark.parametrize("count", [1, 2])
def test_still_images(merged, count):
    model, processor = merged
    inputs = processor(QUESTION, images=golden_pictures(count))
    golden = GOLDEN["images"][str(count)]
    assert collapsed(inputs["input_ids"][0].tolist(), model) == golden["input_ids"]
    assert inputs["input_ids"].shape[1] == golden["inputs_embeds_length"]
    with torch.no_grad():
        embeddings = model.embed(inputs["input_ids"], image_pixel_values=inputs["image_pixel_values"])
        logits = model(**inputs).logits[0, -1, : GOLDEN["logit_rows"]]
    assert_close(embeddings, f"images_{count}_inputs_embeds", LIMITS["images_*_inputs_embeds"])
    assert_close(logits, f"images_{count}_last_logits", LIMITS["images_*_last_logits"])


def published_name(name: str) -> str:
    """A native parameter's name in the recorded gradients."""
    from vlm3r.checkpoints.maps import LANGUAGE, NON_LORA, covered, to_published

    table = NON_LORA if covered(name, NON_LORA) else LANGUAGE
    return "base_model.model." + to_published(name.replace(".default", ""), table)


def test_training_loss_and_every_gradient(unmerged):
    model, processor = unmerged
    training = GOLDEN["training"]
    question = training["human_value"].removeprefix("<image>\n")
    inputs = processor(question, video=golden_frames(), answer=GOLDEN["inputs"]["answer"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("lora_" in name or name.startswith(("fusion.", "projector.")))
    output = model(**inputs)
    assert output.logits.shape[-1] == training["logit_rows"]
    assert output.loss.item() == pytest.approx(training["loss"], rel=GOLDEN["tolerance"]["loss_rtol"])
    output.loss.backward()
    gradients = {published_name(n): p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert gradients.keys() == training["grad_norms"].keys() == set(training["trainable"])
    # A shift of all keys leaves the softmax as it is: that gradient is zero but for rounding.
    zero = [name for name in gradients if name.endswith("spatial_encoder_key_proj.bias")]
    assert max(float(gradients.pop(name).norm()) for name in zero) < 1e-6
    for name, gradient in gradients.items():
        assert float(gradient.norm()) == pytest.approx(training["grad_norms"][name], rel=1e-3), name
        golden = TENSORS[f"grad_slice.{name}"]
        flat = gradient.flatten()
        ours = flat[:: max(1, flat.numel() // 16)][:16]
        torch.testing.assert_close(ours, golden, atol=2e-4 * float(gradient.abs().max()) + 1e-7, rtol=1e-3)


def test_benchmark_prompts(merged):
    """The texts around a question are those of the published benchmark wrapper."""
    _, processor = merged
    path = Path(__file__).resolve().parents[1] / "data" / "parity" / "vlm3r" / "text_and_sampling.json"
    for case in json.loads(path.read_text())["prompts"].values():
        inputs = processor(case["text"], video=golden_frames())
        # The small tokenizer spells every text back.
        assert processor.prompt_text(inputs["input_ids"][0]) == case["prompt"]
