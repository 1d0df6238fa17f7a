"""Writing and reading again loses no bit, in either layout; what is written is what the published code reads."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import vlm3r
from tests.published import (
    CUT3R_NAME,
    Published,
    edit_json,
    filled,
    golden_frames,
    golden_json,
    golden_tensors,
    manifest,
    size_overrides,
)
from vlm3r.checkpoints.files import read_model_folder, read_tensors
from vlm3r.checkpoints.loading import EMBEDDED_MODEL, read_checkpoint
from vlm3r.checkpoints.native import parts_of, read_native, write_native
from vlm3r.checkpoints.parts import Parts
from vlm3r.checkpoints.published import write_published
from vlm3r.errors import UserError

DEFAULTS = {"num_frames": 32, "video_fps": 1.0}
READ_BY_PUBLISHED_CODE = (
    "add_time_instruction architectures force_sample fusion_block hidden_size mm_hidden_size mm_newline_position "
    "mm_patch_merge_type mm_projector_type mm_spatial_pool_mode mm_use_im_patch_token mm_use_im_start_end "
    "mm_vision_tower model_type num_attention_heads rms_norm_eps rope_theta spatial_feature_dim spatial_tower "
    "spatial_tower_select_feature tokenizer_model_max_length vocab_size"
)


def differences(a: Parts, b: Parts) -> list[str]:
    """What differs between two checkpoints, bit for bit."""
    found = list(a.tensors.keys() ^ b.tensors.keys())
    found += [n for n in a.tensors if n in b.tensors and not identical(a.tensors[n], b.tensors[n])]
    if (a.adapter is None) != (b.adapter is None):
        return [*found, "adapter"]
    if a.adapter is not None and b.adapter is not None:
        mine, other = a.adapter, b.adapter
        if (mine.rank, mine.alpha, mine.dropout) != (other.rank, other.alpha, other.dropout):
            found.append("adapter settings")
        found += mine.matrices.keys() ^ other.matrices.keys()
        for name in mine.matrices.keys() & other.matrices.keys():
            pairs = zip(mine.matrices[name], other.matrices[name], strict=True)
            found += [f"lora {name}" for x, y in pairs if not identical(x, y)]
    mine_config, other_config = (config_of(parts) for parts in (a, b))
    found += [key for key in mine_config.keys() | other_config.keys() if mine_config.get(key) != other_config.get(key)]
    found += ["settings"] if DEFAULTS | a.settings != DEFAULTS | b.settings else []
    found += ["generation"] if generation_of(a) != generation_of(b) else []
    found += ["tokenizer"] if a.tokenizer.get_vocab() != b.tokenizer.get_vocab() else []
    text = "If I stand by the stool: <|im_end|>\n 12.5 ü"
    found += ["token ids"] if a.tokenizer(text)["input_ids"] != b.tokenizer(text)["input_ids"] else []
    return found


def identical(a: torch.Tensor, b: torch.Tensor) -> bool:
    return (
        a.dtype == b.dtype and a.shape == b.shape and a.flatten().view(torch.uint8).equal(b.flatten().view(torch.uint8))
    )


def config_of(parts: Parts) -> dict:
    config = json.loads(parts.config.to_json_string(use_diff=False))
    if parts.config.geometry == "none":
        config.pop("geometry_features")  # says nothing then, and the published layout leaves it out
    for part in (config, config["text_config"], config["vision_config"]):
        for name in ("architectures", "dtype", "torch_dtype", "transformers_version", "_name_or_path"):
            part.pop(name, None)
    return config


def generation_of(parts: Parts) -> tuple:
    generation = parts.generation
    return (generation.eos_token_id, generation.pad_token_id, generation.repetition_penalty, generation.do_sample)


def mixed(parts: Parts) -> Parts:
    """The checkpoint with every third weight in bfloat16 and every fifth in float16, the adapter in bfloat16."""
    types = [torch.bfloat16, torch.float32, torch.float32, torch.bfloat16, torch.float16]
    tensors = {name: tensor.to(types[i % 5]) for i, (name, tensor) in enumerate(parts.tensors.items())}
    assert parts.adapter is not None
    matrices = {n: (a.bfloat16(), b.float()) for n, (a, b) in parts.adapter.matrices.items()}
    return replace(parts, tensors=tensors, adapter=replace(parts.adapter, matrices=matrices))


def through_native(parts: Parts, folder: Path, **how) -> Parts:
    write_native(parts, folder, **how)
    return read_checkpoint(folder)[0]


def through_published(parts: Parts, folder: Path) -> Parts:
    write_published(parts, folder)
    return read_checkpoint(folder / "lora" if (folder / "lora").exists() else folder / "base")[0]


@pytest.mark.parametrize("types", ["float32", "mixed"])
@pytest.mark.parametrize("kind", ["adapter", "merged", "no geometry"])
def test_published_native_published_native_loses_no_bit(tmp_path, intact_parts, kind, types):
    parts = mixed(intact_parts) if types == "mixed" else intact_parts
    parts = {"adapter": parts, "merged": parts.merged(), "no geometry": parts.without_geometry()}[kind]
    first = through_native(parts, tmp_path / "native")
    assert differences(first, parts) == []
    again = through_published(first, tmp_path / "published")
    if kind == "merged":
        assert again.adapter is not None
        assert not any(b.any() for _, b in again.adapter.matrices.values())
        again = again.merged()
    assert differences(again, parts) == []
    assert differences(through_native(again, tmp_path / "native2"), parts) == []


def test_merging_commutes_with_writing(tmp_path, intact_parts):
    assert differences(through_native(intact_parts, tmp_path / "a").merged(), intact_parts.merged()) == []


def test_the_embedded_model_survives_the_published_layout(tmp_path):
    parts = read_checkpoint(EMBEDDED_MODEL)[0]
    again = through_published(parts, tmp_path / "published").merged()
    assert differences(again, parts) == []
    assert again.config.untrained is parts.config.untrained


def test_shards_are_read_back_whole(tmp_path, intact_parts):
    again = through_native(intact_parts, tmp_path / "native", max_shard_size="200KB")
    assert len(list((tmp_path / "native").glob("model-*.safetensors"))) > 3
    assert differences(again, intact_parts) == []


@pytest.mark.parametrize("merge", [True, False])
def test_a_model_in_memory_is_saved_as_it_was_read(tmp_path, intact_parts, merge):
    write_native(intact_parts, tmp_path / "first")
    model, processor = vlm3r.load(tmp_path / "first", device="cpu", dtype="float32", merge_lora=merge)
    saved = parts_of(model, processor)
    expected = intact_parts.merged() if merge else intact_parts
    assert differences(saved, expected) == []
    assert differences(through_native(saved, tmp_path / "second"), saved) == []


def test_changed_choices_and_settings_are_saved(tmp_path):
    overrides = {"pool_mode": "max", "newline_position": "frame", "num_frames": 5, "max_length": 999}
    model, processor = vlm3r.load(device="cpu", config_overrides=overrides)
    write_native(parts_of(model, processor), tmp_path / "saved")
    model, processor = vlm3r.load(tmp_path / "saved", device="cpu")
    assert (model.config.pool_mode, model.config.newline_position) == ("max", "frame")
    assert (processor.pool_mode, processor.newline_position) == ("max", "frame")
    assert (processor.num_frames, processor.max_length) == (5, 999)


def test_the_written_published_layout_has_exactly_the_published_keys(tmp_path, intact_parts):
    out = tmp_path / "out"
    write_published(through_native(intact_parts, tmp_path / "native"), out)

    def shapes(weights):
        return {key: tuple(tensor.shape) for key, tensor in weights.items()}

    assert shapes(read_model_folder(out / "base")) == manifest("base/model")
    assert shapes(read_tensors(out / "lora" / "adapter_model.safetensors")) == manifest("lora/adapter_model")
    assert shapes(read_tensors(out / "lora" / "non_lora_trainables.bin")) == manifest("lora/non_lora_trainables")
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(out / CUT3R_NAME, weights_only=True)
    assert shapes(content["model"]) == manifest("cut3r/model")
    for key, tensor in filled("lora/non_lora_trainables").items():
        assert identical(read_tensors(out / "lora" / "non_lora_trainables.bin")[key], tensor)


def test_the_written_configurations_say_what_the_published_code_reads(tmp_path, intact_parts, intact):
    out = tmp_path / "out"
    write_published(intact_parts, out)
    for part, source in (("lora", intact.lora), ("base", intact.base)):
        ours, theirs = (json.loads((folder / "config.json").read_text()) for folder in (out / part, source))
        for field in READ_BY_PUBLISHED_CODE.split():
            if part == "lora" or field != "mm_spatial_pool_mode":
                assert ours.get(field) == theirs.get(field), field
    adapter = json.loads((out / "lora" / "adapter_config.json").read_text())
    published = json.loads((intact.lora / "adapter_config.json").read_text())
    for field in ("r", "lora_alpha", "lora_dropout", "bias", "task_type", "peft_type"):
        assert adapter[field] == published[field]
    assert sorted(adapter["target_modules"]) == sorted(published["target_modules"])


def test_the_written_tokenizer_serves_the_slow_class_of_older_transformers(tmp_path, intact_parts, intact):
    write_published(intact_parts, tmp_path / "out")
    ours, theirs = tmp_path / "out" / "base", intact.base
    assert json.loads((ours / "vocab.json").read_text()) == json.loads((theirs / "vocab.json").read_text())

    def merges(folder):
        lines = (folder / "merges.txt").read_text().splitlines()
        return [line for line in lines if line and not line.startswith("#version")]

    assert merges(ours) == merges(theirs)
    mine, published = (json.loads((f / "tokenizer_config.json").read_text()) for f in (ours, theirs))
    for field in ("additional_special_tokens", "added_tokens_decoder", "eos_token", "pad_token", "tokenizer_class"):
        assert mine[field] == published[field], field


def test_written_files_are_readable_by_whoever_may_read_the_folder(tmp_path, intact_parts):
    umask = os.umask(0o022)
    try:
        write_native(intact_parts, tmp_path / "native")
        write_published(intact_parts, tmp_path / "published")
    finally:
        os.umask(umask)
    private = [p.name for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_mode & 0o777 != 0o644]
    assert private == []


@pytest.fixture(scope="module")
def unmerged(intact: Published):
    return vlm3r.load(
        intact.lora, base=intact.base, geometry=intact.geometry, device="cpu", merge_lora=False,
        config_overrides=size_overrides(),
    )  # fmt: skip


def test_an_attached_adapter_gives_the_merged_models_logits_and_the_recorded_ones(intact, unmerged):
    merged, processor = vlm3r.load(
        intact.lora, base=intact.base, geometry=intact.geometry, device="cpu", config_overrides=size_overrides()
    )
    inputs = processor(golden_json()["inputs"]["question"], video=golden_frames())
    with torch.no_grad():
        together, apart = merged(**inputs).logits, unmerged[0](**inputs).logits
    assert (together - apart).abs().max() < 5e-5  # 2e-5 between two runs of the published code
    golden = golden_tensors()["logits"]
    assert (together[..., : golden.shape[-1]] - golden).abs().max() < 5e-4


def test_only_the_attached_adapter_is_trainable_until_more_is_asked_for(unmerged):
    trainable = {name for name, parameter in unmerged[0].named_parameters() if parameter.requires_grad}
    assert len(trainable) == len(manifest("lora/adapter_model"))
    assert all("lora_" in name for name in trainable)
    assert not unmerged[0].training


def test_an_adapter_whose_modules_differ_cannot_be_saved(unmerged):
    model, processor = unmerged
    layer = model.get_submodule("language_model.model.layers.0.mlp.up_proj")
    layer.lora_alpha["default"] = 3.0
    try:
        with pytest.raises(UserError, match="differ in rank, alpha or dropout"):
            parts_of(model, processor)
    finally:
        layer.lora_alpha["default"] = 8.0


def test_a_trained_adapter_is_what_gets_saved(unmerged):
    model, processor = unmerged
    weight = model.get_submodule("language_model.model.layers.1.mlp.up_proj").lora_B["default"].weight
    with torch.no_grad():
        weight += 1
        saved = parts_of(model, processor)
        weight -= 1
    assert saved.adapter is not None
    expected = filled("lora/adapter_model")["base_model.model.model.layers.1.mlp.up_proj.lora_B.weight"]
    assert (saved.adapter.matrices["language_model.model.layers.1.mlp.up_proj"][1] - weight).abs().max() < 1e-6
    assert (weight - expected).abs().max() < 1e-6


def test_a_native_adapter_for_other_modules_is_refused(tmp_path, intact_parts):
    write_native(intact_parts, tmp_path / "native")
    edit_json(tmp_path / "native" / "adapter" / "adapter_config.json", target_modules=["q_proj"])
    with pytest.raises(UserError, match="unannounced"):
        read_native(tmp_path / "native")
