"""Properties of the whole model that recorded numbers cannot show."""

from __future__ import annotations

import pytest
import torch
from peft import LoraConfig
from transformers import GenerationConfig

from vlm3r.checkpoints.loading import load
from vlm3r.checkpoints.native import parts_of, write_native
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration

CLOSE = {"atol": 2e-4, "rtol": 1e-4}
QUESTIONS = ["How many chairs?", "If I stand by the stool and face the stove, is the sofa to my left, right or back?"]


def logits_of(model, inputs):
    with torch.no_grad():
        return model(**inputs).logits


def generate(model, inputs, **kwargs):
    output = model.generate(**inputs, max_new_tokens=6, do_sample=False, eos_token_id=None, **kwargs)
    return output[:, inputs["input_ids"].shape[1] :]


def test_a_batch_of_two_videos_equals_two_batches_of_one(small, make_video):
    model, processor = small
    videos = [make_video(1, 4), make_video(2, 4)]
    together = model.encode_video(processor(QUESTIONS, video=videos)["pixel_values"])
    for i, video in enumerate(videos):
        alone = model.encode_video(processor(QUESTIONS[i], video=video)["pixel_values"])
        for name in ("vision_tokens", "camera_tokens", "patch_tokens", "fused", "pooled", "embeddings"):
            torch.testing.assert_close(getattr(together, name)[i], getattr(alone, name)[0], **CLOSE)


def test_left_padding_and_frame_padding_change_no_logit(small, make_video):
    model, processor = small
    videos = [make_video(1, 2), make_video(2, 5)]
    batch = processor(QUESTIONS, video=videos)
    assert batch["frame_counts"].tolist() == [2, 5]
    assert (batch["attention_mask"] == 0).any()
    together = logits_of(model, batch)
    for i, video in enumerate(videos):
        inputs = processor(QUESTIONS[i], video=video)
        length = inputs["input_ids"].shape[1]
        torch.testing.assert_close(together[i, -length:], logits_of(model, inputs)[0], **CLOSE)


def test_batched_generation_gives_the_ids_of_single_generation(small, make_video):
    model, processor = small
    videos = [make_video(3, 3), None, make_video(4, 2)]
    questions = [*QUESTIONS, "Is this room large?"]
    batch = generate(model, processor(questions, video=videos))
    for i, (question, video) in enumerate(zip(questions, videos, strict=True)):
        assert torch.equal(batch[i], generate(model, processor(question, video=video))[0])


def test_cached_generation_equals_uncached(small, make_video):
    model, processor = small
    inputs = processor(QUESTIONS, video=[make_video(5, 3), make_video(6, 3)])
    assert torch.equal(generate(model, inputs), generate(model, inputs, use_cache=False))


def test_several_sequences_and_beams_keep_each_questions_own_clip(small, make_video):
    model, processor = small
    inputs = processor(QUESTIONS, video=[[make_video(5, 2), make_video(7, 2)], make_video(6, 2)])
    beams = generate(model, inputs, num_beams=3, num_return_sequences=3)
    for i, video in enumerate([[make_video(5, 2), make_video(7, 2)], make_video(6, 2)]):
        alone = generate(model, processor(QUESTIONS[i], video=video), num_beams=3, num_return_sequences=3)
        assert torch.equal(beams[3 * i : 3 * i + 3], alone)


def test_permuting_frames_changes_later_geometry_tokens_but_no_visual_one(small, make_video):
    model, processor = small
    pixels = processor("q", video=make_video(1, 4))["pixel_values"]
    order = [0, 2, 1, 3]
    straight, swapped = model.encode_video(pixels), model.encode_video(pixels[:, order])
    torch.testing.assert_close(straight.vision_tokens[:, order], swapped.vision_tokens, **CLOSE)
    torch.testing.assert_close(straight.camera_tokens[:, 0], swapped.camera_tokens[:, 0], **CLOSE)
    # Frame 3 is the same picture in both, seen after another history.
    assert (straight.camera_tokens[:, 3] - swapped.camera_tokens[:, 3]).abs().max() > 1e-3


def test_heads_of_the_geometry_encoder_never_run(small, make_video, monkeypatch):
    model, processor = small

    def refuse(*_args, **_kwargs):
        raise AssertionError("a reconstruction head ran although only tokens are needed")

    monkeypatch.setattr(model.geometry_encoder.downstream_head, "forward", refuse)
    model.encode_video(processor("q", video=make_video(1, 2))["pixel_values"])


def test_each_sample_uses_its_own_precomputed_geometry(small, make_video):
    model, processor = small
    inputs = processor(QUESTIONS, video=[make_video(1, 3), make_video(2, 3)])
    stages = model.encode_video(inputs["pixel_values"])
    stored = {"camera_tokens": stages.camera_tokens, "patch_tokens": stages.patch_tokens}
    torch.testing.assert_close(logits_of(model, inputs | stored), logits_of(model, inputs), **CLOSE)
    crossed = {name: tokens.flip(0) for name, tokens in stored.items()}
    assert (logits_of(model, inputs | crossed) - logits_of(model, inputs)).abs().max() > 1e-2
    first_only = {name: tokens[:1] for name, tokens in stored.items()}
    with pytest.raises(ValueError, match="every frame needs its own"):
        model(**inputs, **first_only)


def test_an_encoded_clip_gives_what_its_pixels_give(small, make_video):
    model, processor = small
    video = make_video(1, 3)
    inputs = processor(QUESTIONS[0], video=video)
    stages = model.encode_video(inputs["pixel_values"])
    text = processor(QUESTIONS[0], video=video, with_pixels=False)
    torch.testing.assert_close(
        logits_of(model, text | {"video_embeddings": stages.sequences[0]}), logits_of(model, inputs)
    )


def test_text_alone_needs_no_picture_and_ignores_the_visual_towers(small):
    model, processor = small
    inputs = processor("How are you?")
    expected = model.language_model(input_ids=inputs["input_ids"]).logits
    torch.testing.assert_close(logits_of(model, inputs), expected)


def test_images_keep_their_full_grid_and_share_one_geometry_sequence(small, make_video):
    model, processor = small
    pictures = list(make_video(8, 3))
    inputs = processor("What is this?", images=pictures)
    stages = model.encode_images(inputs["image_pixel_values"])
    side = model.config.layout.grid_side
    assert stages.sequences[0].shape[0] == 3 * side * (side + 1)
    assert (inputs["input_ids"] == model.config.image_token_id).sum() == 3 * side * (side + 1)
    as_video = model.encode_video(inputs["image_pixel_values"])
    torch.testing.assert_close(stages.camera_tokens, as_video.camera_tokens)
    assert torch.isfinite(logits_of(model, inputs)).all()


@pytest.mark.parametrize("frames", [1, 2, 7])
def test_any_number_of_frames_gives_as_many_tokens_as_placeholders(small, make_video, frames):
    model, processor = small
    inputs = processor("q", video=make_video(9, frames))
    stages = model.encode_video(inputs["pixel_values"])
    assert stages.sequences[0].shape[0] == (inputs["input_ids"] == model.config.video_token_id).sum()


def test_placeholders_that_do_not_match_the_frames_are_an_error(small, make_video):
    model, processor = small
    inputs = processor("q", video=make_video(9, 3))
    with pytest.raises(ValueError, match="placeholders"):
        model(**(inputs | {"pixel_values": inputs["pixel_values"][:, :2], "frame_counts": torch.tensor([2])}))


def test_without_geometry_the_model_is_the_plain_video_language_model(small, make_video):
    model, processor = small
    plain = VLM3RForConditionalGeneration(VLM3RConfig(**(model.config.to_dict() | {"geometry": "none"}))).eval()
    kept = {k: v for k, v in model.state_dict().items() if not k.startswith(("geometry_encoder.", "fusion."))}
    plain.load_state_dict(kept)
    stages = plain.encode_video(processor("q", video=make_video(1, 2))["pixel_values"])
    assert stages.camera_tokens is None
    torch.testing.assert_close(stages.projected, plain.projector(stages.vision_tokens))


@pytest.mark.parametrize("selection", ["camera_tokens", "patch_tokens", "all", "all_tokens"])
def test_feature_selection_shows_fusion_only_what_it_names(small, make_video, selection):
    model, processor = small
    pixels = processor("q", video=make_video(1, 2))["pixel_values"]
    config = VLM3RConfig(**(model.config.to_dict() | {"geometry_features": selection}))
    chosen = VLM3RForConditionalGeneration(config).eval()
    chosen.load_state_dict(model.state_dict())
    stages = chosen.encode_video(pixels)
    tokens = {"camera_tokens": stages.camera_tokens, "patch_tokens": stages.patch_tokens}
    for name in tokens:
        changed = chosen.encode_video(pixels, **(tokens | {name: tokens[name].flip(-1)}))
        matters = selection in ("all", "all_tokens", name)
        assert ((changed.fused - stages.fused).abs().max() > 1e-4) == matters


def test_generation_never_yields_an_id_that_the_tokenizer_lacks(small, make_video):
    model, processor = small
    known = model.config.num_output_tokens
    with torch.no_grad():
        weight = model.language_model.lm_head.weight
        saved = weight.clone()
        weight[known:] = weight[:1] * 50  # rows that would win without the rule
    try:
        output = generate(model, processor(QUESTIONS, video=[make_video(1, 2), make_video(2, 2)]))
    finally:
        with torch.no_grad():
            weight.copy_(saved)
    assert output.max() < known


def test_saving_and_loading_gives_the_same_bits(small, make_video, tmp_path):
    model, processor = small
    write_native(parts_of(model, processor), tmp_path / "copy")
    again, other = load(tmp_path / "copy", device="cpu", dtype="float32")
    for (name, ours), (_, theirs) in zip(model.state_dict().items(), again.state_dict().items(), strict=True):
        assert torch.equal(ours, theirs), name
    video = make_video(1, 2)
    ours, theirs = processor("q", video=video), other("q", video=video)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert torch.equal(logits_of(model, ours), logits_of(again, theirs))


def test_gradients_reach_fusion_and_projector_when_the_towers_are_frozen(small, make_video):
    model, processor = small
    inputs = processor("q", video=make_video(1, 2), answer="left")
    model.requires_grad_(False)
    model.fusion.requires_grad_(True)
    model.projector.requires_grad_(True)
    try:
        model(**inputs).loss.backward()
        assert all(p.grad is not None for p in (*model.fusion.parameters(), *model.projector.parameters()))
        assert all(p.grad is None for p in model.vision_tower.parameters())
        assert all(p.grad is None for p in model.geometry_encoder.parameters())
    finally:
        model.zero_grad(set_to_none=True)
        model.requires_grad_(True)


def test_clips_in_another_order_than_the_questions_are_an_error(small, make_video):
    model, processor = small
    inputs = processor(QUESTIONS, video=[make_video(1, 3), make_video(2, 5)])
    flipped = {name: inputs[name].flip(0) for name in ("pixel_values", "frame_counts")}
    with pytest.raises(ValueError, match="same order"):
        model(**(inputs | flipped))


def test_frame_counts_beyond_the_frames_are_an_error(small, make_video):
    model, processor = small
    inputs = processor("q", video=make_video(1, 3))
    with pytest.raises(ValueError, match="do not fit"):
        model(**(inputs | {"frame_counts": torch.tensor([9])}))


def test_the_models_own_penalty_holds_under_a_generation_config_that_names_none(small, make_video, monkeypatch):
    model, processor = small
    inputs = processor(QUESTIONS[0], video=make_video(1, 2))
    monkeypatch.setattr(model.generation_config, "repetition_penalty", 1.7)
    ours = generate(model, inputs)
    config = GenerationConfig(max_new_tokens=6, eos_token_id=None)
    assert torch.equal(model.generate(**inputs, generation_config=config)[:, inputs["input_ids"].shape[1] :], ours)
    assert not torch.equal(generate(model, inputs, repetition_penalty=1.0), ours)


def test_lora_on_every_linear_layer_of_fusion_receives_gradients(embedded, make_video):
    model, processor = load(embedded, device="cpu", dtype="float32")
    targets = [n for n, m in model.fusion.named_modules() if isinstance(m, torch.nn.Linear)]
    model.add_adapter(LoraConfig(r=2, target_modules=[f"fusion.{name}" for name in targets]))
    model(**processor("q", video=make_video(1, 2), answer="left")).loss.backward()
    adapted = {n: p.grad for n, p in model.named_parameters() if "lora_B" in n}
    assert len(adapted) == len(targets) == 5
    assert all(gradient is not None and gradient.abs().max() > 0 for gradient in adapted.values())


def test_fresh_fusion_and_geometry_encoder_keep_their_own_initialisation(small):
    config = small[0].config
    torch.manual_seed(0)
    fresh = VLM3RForConditionalGeneration(config)
    qkv = fresh.geometry_encoder.enc_blocks[0].attn.qkv.weight
    xavier = (2 / sum(qkv.shape)) ** 0.5
    assert float(qkv.detach().std()) == pytest.approx(xavier, rel=0.05)
    assert float(fresh.fusion.key_proj.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert torch.equal(fresh.fusion.out_norm.weight, torch.ones_like(fresh.fusion.out_norm.weight))
