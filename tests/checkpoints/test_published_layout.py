"""Every way in which the published layout is found on disk gives the recorded weights."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import vlm3r
from tests.published import (
    FULL_FRONTEND,
    Published,
    edit_json,
    filled,
    golden_json,
    golden_tensors,
    manifest,
    size_overrides,
    write_base,
    write_non_lora,
    write_published,
)
from vlm3r.checkpoints import maps
from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.checkpoints.parts import Parts
from vlm3r.errors import UserError

VISION = "model.vision_tower.vision_tower.vision_model."
PUBLISHED_NAMES = (*maps.BASE, *maps.NON_LORA[len(maps.PROJECTOR) :])


def read(parts: Published, **changes: Any) -> Parts:
    return read_checkpoint(**(parts.sources | changes), overrides=size_overrides())[0]


def assert_same_weights(parts: Parts, other: Parts) -> None:
    assert parts.tensors.keys() == other.tensors.keys()
    assert [
        n for n, t in parts.tensors.items() if t.dtype != other.tensors[n].dtype or not t.equal(other.tensors[n])
    ] == []


def test_the_recorded_norms_of_all_87_loaded_weights_are_reproduced(intact_parts):
    norms, settings = golden_json()["state_norms"], golden_json()
    assert len(norms) == 87
    merged = intact_parts.merged()
    ours = {}
    for name, tensor in merged.tensors.items():
        if name.startswith("geometry_encoder."):
            continue
        table = maps.NON_LORA if maps.covered(name, maps.NON_LORA) else maps.BASE
        rows = settings["len_tokenizer"] if re.search(r"embed_tokens|lm_head", name) else len(tensor)
        ours[maps.to_published(name, table)] = float(tensor[:rows].double().norm())
    unused = {key for key in ours if "post_layernorm" in key}
    assert ours.keys() - unused == norms.keys() - unused
    wrong = {key: (ours[key], norm) for key, norm in norms.items() if abs(ours[key] / norm - 1) > 1e-6}
    assert wrong == {}


def test_merged_weights_equal_the_recorded_ones(intact_parts):
    merged = intact_parts.merged().tensors
    for name in ("0.self_attn.q_proj", "1.mlp.down_proj"):
        golden, key = (
            golden_tensors()[f"merged_{name.split('.')[2]}_weight"],
            f"language_model.model.layers.{name}.weight",
        )
        assert (merged[key] - golden).abs().max() < 1e-6
        assert (intact_parts.tensors[key] - golden).abs().max() > 1e-2


@pytest.mark.parametrize("prefix", maps.NON_LORA_PREFIXES)
@pytest.mark.parametrize("adapter", ["safetensors", "bin"])
def test_adapter_files_and_key_prefixes_of_either_training_version_are_the_same(
    tmp_path, intact_parts, adapter, prefix
):
    parts = read(write_published(tmp_path, adapter=adapter, non_lora_prefix=prefix))
    assert_same_weights(parts, intact_parts)
    assert_same_weights(parts.merged(), intact_parts.merged())


def test_fusion_and_projector_may_be_safetensors_which_are_read_before_the_pickle(published, intact_parts):
    pickled = published.lora / "non_lora_trainables.bin"
    save_file(torch.load(pickled, weights_only=True), pickled.with_suffix(".safetensors"))
    pickled.write_bytes(b"not looked at")
    assert_same_weights(read(published), intact_parts)
    pickled.unlink()
    assert_same_weights(read(published), intact_parts)


@pytest.mark.parametrize("form", ["index", "set", "bin"])
def test_the_base_may_be_shards_with_an_index_a_set_of_files_or_a_pickle(tmp_path, intact_parts, form):
    assert_same_weights(read(write_published(tmp_path, base_form=form)), intact_parts)


def test_a_pickle_from_before_zip_files_is_read(published, intact_parts):
    weights = torch.load(published.lora / "non_lora_trainables.bin")
    torch.save(weights, published.lora / "non_lora_trainables.bin", _use_new_zipfile_serialization=False)
    assert_same_weights(read(published), intact_parts)


def test_the_repositorys_projector_overrides_the_bases(intact_parts):
    key = "model.mm_projector.0.weight"
    loaded = intact_parts.tensors["projector.linear_1.weight"]
    assert loaded.equal(filled("lora/non_lora_trainables")[f"base_model.model.{key}"])
    assert not loaded.equal(filled("base/model")[key])


TOLERATED = {
    f"{VISION}encoder.layers.2.mlp.fc1.weight": (144, 72),
    f"{VISION}head.probe": (1, 1, 72),
    f"{VISION}head.attention.in_proj_weight": (216, 72),
    f"{VISION}embeddings.position_ids": (1, 25),
}


def test_siglips_dropped_layer_head_and_position_ids_are_tolerated(published, intact_parts):
    write_base(filled("base/model") | {k: torch.zeros(s) for k, s in TOLERATED.items()}, published.base)
    assert_same_weights(read(published), intact_parts)


@pytest.mark.parametrize(
    "key",
    [
        f"{VISION}encoder.layers.3.mlp.fc1.weight",
        f"{VISION}encoder.layers.20.mlp.fc1.weight",
        f"{VISION}embeddings.position_ids2",
        f"{VISION}header.probe",
        "model.spatial_tower.x",
        "model.layers.2.mlp.up_proj.weight",
        "model.fusion_block.out_norm.weight",
        "model.layers.0.self_attn.q_proj.lora_A.weight",
        "vision_model.head.probe",
    ],
)
def test_any_other_extra_key_of_the_base_is_an_error_that_names_it(published, key):
    write_base(filled("base/model") | {key: torch.zeros(4)}, published.base)
    with pytest.raises(UserError, match=r"unknown weight|unexpected") as error:
        read(published)
    assert key.rsplit(".", 2)[-2] in str(error.value)


def test_model_type_llava_is_accepted_only_with_the_right_architecture(published, intact_parts):
    config = published.lora / "config.json"
    edit_json(config, model_type="llava")
    assert_same_weights(read(published), intact_parts)
    for architectures in (["LlavaForConditionalGeneration"], "LlavaQwenForCausalLM", 3, ...):
        edit_json(config, architectures=architectures)
        with pytest.raises(UserError, match="describes 'llava'"):
            read(published)


@pytest.mark.parametrize(
    ("lora_name", "base_name"), [("a", "b"), ("base", "lora"), ("llava-base", "qwen-lora-adapter"), ("x y", "ü.pth")]
)
def test_folder_names_decide_nothing(tmp_path, intact_parts, lora_name, base_name):
    parts = write_published(tmp_path, lora_name=lora_name, base_name=base_name)
    assert_same_weights(read(parts), intact_parts)


def test_base_and_geometry_are_found_beside_the_repository(intact, intact_parts):
    assert_same_weights(read(intact, base=None, geometry=None), intact_parts)


def test_a_base_named_in_full_wins_over_a_folder_of_its_name_beside_the_repository(published, intact_parts):
    (published.lora.parent / "elsewhere").mkdir()
    base = published.base.rename(published.lora.parent / "elsewhere" / "model")
    (published.lora.parent / "model").symlink_to(published.lora)
    settings = json.loads((published.lora / "adapter_config.json").read_text())
    settings["base_model_name_or_path"] = str(base)
    (published.lora / "adapter_config.json").write_text(json.dumps(settings))
    assert_same_weights(read(published, base=None), intact_parts)


def test_a_folder_with_only_a_pth_file_serves_as_geometry(published, intact_parts):
    folder = published.geometry.parent / "cut3r"
    folder.mkdir()
    shutil.copy(published.geometry, folder)
    assert_same_weights(read(published, geometry=folder), intact_parts)


def test_geometry_none_gives_the_plain_video_language_model(intact, intact_parts):
    parts = read(intact, geometry="none")
    assert parts.config.geometry == "none"
    assert_same_weights(parts, intact_parts.without_geometry())
    assert not any(name.startswith(("fusion.", "geometry_encoder.")) for name in parts.tensors)


def test_the_base_alone_loads_as_plain_video_language_model(intact):
    parts, fresh = read_checkpoint(intact.base, overrides=size_overrides())
    assert (parts.config.geometry, parts.adapter, fresh) == ("none", None, ())
    base = filled("base/model")["model.mm_projector.2.bias"]
    assert parts.tensors["projector.linear_2.bias"].equal(base)


def test_the_base_with_geometry_says_that_its_fusion_block_is_untrained(intact):
    with pytest.warns(UserWarning, match="no fusion block"):
        model, _ = vlm3r.load(intact.base, geometry=intact.geometry, device="cpu", config_overrides=size_overrides())
    for name, parameter in model.fusion.named_parameters():
        assert parameter.isfinite().all(), name
        assert parameter.abs().max() <= 1, name


@pytest.mark.parametrize(
    ("selection", "expected"),
    [("all_tokens", "all"), ("camera_tokens", "camera_tokens"), (..., "patch_tokens"), (None, "patch_tokens")],
)
def test_the_repositorys_selection_of_geometry_tokens_is_read(published, selection, expected):
    edit_json(published.lora / "config.json", spatial_tower_select_feature=selection)
    assert read(published).config.geometry_features == expected


def test_the_repositorys_configuration_drives_the_model_not_the_bases(published):
    edit_json(published.base / "config.json", mm_spatial_pool_mode="max", mm_newline_position="frame", hidden_size=1)
    config = read(published).config
    assert (config.pool_mode, config.newline_position, config.qwen2.hidden_size) == ("bilinear", "grid", 64)


def test_missing_choices_take_the_published_defaults(published):
    edit_json(
        published.lora / "config.json", mm_spatial_pool_mode=..., mm_newline_position=..., add_time_instruction=...
    )
    parts = read(published)
    assert (parts.config.pool_mode, parts.config.newline_position) == ("bilinear", "one_token")
    assert parts.settings["add_time_instruction"] is False


def test_stop_tokens_and_penalty_of_the_bases_generation_config_are_kept(published):
    edit_json(published.base / "generation_config.json", eos_token_id=600, repetition_penalty=1.05)
    generation = read(published).generation
    assert (generation.eos_token_id, generation.repetition_penalty) == ([600, 602], 1.05)


def test_published_size_manifests_map_onto_the_published_size_model(intact_parts):
    """Names only: every key of the full base, repository and adapter has a native place, and each place has one key."""
    import json

    from vlm3r.checkpoints.published import published_config
    from vlm3r.model import VLM3RForConditionalGeneration

    def keys(name: str) -> dict[str, list[int]]:
        return json.loads((FULL_FRONTEND / f"{name}.manifest.json").read_text())

    native = {maps.to_native(k, maps.BASE): tuple(v) for k, v in keys("base").items()}
    native |= {
        maps.to_native(k, maps.NON_LORA): tuple(v)
        for k, v in maps.strip_non_lora_prefix(keys("non_lora_trainables")).items()
    }
    raw = json.loads((FULL_FRONTEND / "lora_config.json").read_text())
    from cut3r import CUT3RConfig

    config = published_config(raw, 151646, CUT3RConfig(), {})
    with torch.device("meta"):
        state = VLM3RForConditionalGeneration(config).state_dict()
    wanted = {n: tuple(t.shape) for n, t in state.items() if not n.startswith("geometry_encoder.")}
    assert native == wanted
    adapter = {k.removeprefix(maps.ADAPTER_PREFIX).rpartition(".lora_")[0] for k in keys("adapter_model")}
    assert len(adapter) == 196
    assert {f"{maps.to_native(k, maps.LANGUAGE)}.weight" for k in adapter} <= wanted.keys()


def test_the_tables_are_one_to_one():
    for table in (maps.BASE, maps.NON_LORA, maps.LANGUAGE):
        for side in (0, 1):
            prefixes = [row[side] for row in table]
            assert not [(a, b) for a in prefixes for b in prefixes if a != b and b.startswith(a)]
    for part, table in (("base/model", maps.BASE),):
        for key in manifest(part):
            assert maps.to_published(maps.to_native(key, table), table) == key


def test_a_projector_that_lacks_a_weight_is_an_error(published):
    weights = filled("lora/non_lora_trainables")
    del weights["base_model.model.model.mm_projector.2.bias"]
    write_non_lora(weights, published.lora)
    with pytest.raises(UserError, match=r"non_lora_trainables.bin: projector.linear_2.bias missing"):
        read(published)


def test_the_paths_may_be_given_as_text(intact, intact_parts):
    parts = read(intact, checkpoint=str(intact.lora), base=str(intact.base), geometry=str(intact.geometry))
    assert_same_weights(parts, intact_parts)


def test_a_published_folder_is_never_written_to(intact):
    before = {p: p.stat().st_mtime_ns for p in Path(intact.lora.parent).rglob("*")}
    read(intact).merged()
    assert {p: p.stat().st_mtime_ns for p in Path(intact.lora.parent).rglob("*")} == before
