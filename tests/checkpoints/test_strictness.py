"""What does not fit, is damaged or hostile becomes one line that names the file or weights; nothing is executed."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

import vlm3r
from tests.checkpoints.conftest import read
from tests.published import (
    CUT3R_NAME,
    edit_json,
    filled,
    size_overrides,
    write_adapter,
    write_base,
    write_cut3r,
    write_non_lora,
    write_published,
)
from vlm3r.checkpoints.files import read_tensors
from vlm3r.checkpoints.loading import EMBEDDED_MODEL
from vlm3r.checkpoints.native import read_native
from vlm3r.errors import UserError

FUSION = "base_model.model.model.fusion_block."
Q_PROJ = "base_model.model.model.layers.1.self_attn.q_proj"


def refusal(*args: Any, **changes: Any) -> str:
    """The message of the UserError that reading raises; one line."""
    with pytest.raises(UserError) as error:
        read(*args, **changes)
    message = str(error.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("name", ["cross_attention.in_proj_bias", "out_norm.weight", "clip_query_proj.weight"])
def test_a_missing_fusion_tensor_is_named(published, name):
    weights = filled("lora/non_lora_trainables")
    del weights[FUSION + name]
    write_non_lora(weights, published.lora)
    message = refusal(published)
    assert "1 missing (fusion." in message
    assert name.rsplit(".", 1)[1] in message


def test_a_repository_without_any_fusion_is_refused(published):
    write_non_lora({k: t for k, t in filled("lora/non_lora_trainables").items() if "mm_projector" in k}, published.lora)
    assert "18 missing (fusion." in refusal(published)


@pytest.mark.parametrize("key", [f"{FUSION}extra.weight", "base_model.model.lm_head.weight", "other.fusion_block.x"])
def test_an_extra_key_beside_the_fusion_is_named(published, key):
    write_non_lora(filled("lora/non_lora_trainables") | {key: torch.zeros(2)}, published.lora)
    message = refusal(published)
    assert "non_lora_trainables.bin" in message
    assert key in message or key.removeprefix("base_model.model.") in message


def test_an_extra_weight_inside_a_known_module_is_named(published):
    write_non_lora(filled("lora/non_lora_trainables") | {f"{FUSION}out_norm.scale": torch.zeros(2)}, published.lora)
    assert "1 unexpected (fusion.out_norm.scale)" in refusal(published)


@pytest.mark.parametrize(
    ("part", "key", "native"),
    [
        ("base", "model.norm.weight", "language_model.model.norm.weight"),
        ("base", "model.image_newline", "image_newline"),
        ("non_lora", f"{FUSION}out_proj.weight", "fusion.out_proj.weight"),
    ],
)
def test_a_misshaped_tensor_is_named_with_both_shapes(published, part, key, native):
    if part == "base":
        write_base(filled("base/model") | {key: torch.zeros(7)}, published.base)
    else:
        write_non_lora(filled("lora/non_lora_trainables") | {key: torch.zeros(7)}, published.lora)
    message = refusal(published)
    assert f"1 mis-shaped ({native} (7,) instead of (" in message


def test_weights_that_are_no_floats_are_named(published):
    weights = filled("base/model")
    write_base(weights | {"model.norm.weight": weights["model.norm.weight"].int()}, published.base)
    assert "1 not of a float type (language_model.model.norm.weight torch.int32)" in refusal(published)


@pytest.mark.parametrize("key", ["model.norm.weight", "model.image_newline", "lm_head.weight"])
def test_a_base_that_lacks_a_weight_is_refused(published, key):
    weights = filled("base/model")
    del weights[key]
    write_base(weights, published.base)
    assert "1 missing (" in refusal(published)


def test_the_cut3r_file_of_another_size_is_refused(published):
    weights = filled("cut3r/model")
    name = next(key for key, tensor in weights.items() if tensor.ndim == 2)
    write_cut3r(weights | {name: torch.zeros(3, 3)}, published.geometry)
    message = refusal(published)
    assert str(published.geometry) in message
    assert name in message


@pytest.mark.parametrize("side", ["A", "B"])
def test_half_a_lora_pair_is_refused(published, side):
    weights = filled("lora/adapter_model")
    del weights[f"{Q_PROJ}.lora_{side}.weight"]
    write_adapter(weights, published.lora)
    message = refusal(published)
    assert "adapter_model.safetensors: incomplete adapter" in message
    assert "layers.1.self_attn.q_proj" in message


@pytest.mark.parametrize("targets", ["full", "short"])
def test_a_whole_missing_lora_pair_is_refused(published, targets):
    weights = {k: t for k, t in filled("lora/adapter_model").items() if not k.startswith(Q_PROJ)}
    write_adapter(weights, published.lora)
    if targets == "short":
        names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
        edit_json(published.lora / "adapter_config.json", target_modules=names)
    assert "misses 1 of the target modules (language_model.model.layers.1.self_attn.q_proj)" in refusal(published)


def test_a_lora_pair_that_the_configuration_does_not_announce_is_refused(published):
    config = published.lora / "adapter_config.json"
    targets = json.loads(config.read_text())["target_modules"]
    edit_json(config, target_modules=targets[1:])
    assert "has unannounced 1 of the target modules" in refusal(published)


def test_short_target_names_are_read_like_full_ones(published, intact_parts):
    names = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
    edit_json(published.lora / "adapter_config.json", target_modules=names)
    assert read(published).adapter.matrices.keys() == intact_parts.adapter.matrices.keys()


@pytest.mark.parametrize("key", ["base_model.model.model.layers.0.self_attn.q_proj.lora_C.weight", "x.lora_A.weight"])
def test_an_unknown_adapter_key_is_named(published, key):
    write_adapter(filled("lora/adapter_model") | {key: torch.zeros(4, 4)}, published.lora)
    assert f"unknown adapter weight {key}" in refusal(published)


def test_an_adapter_of_a_model_of_another_size_is_refused(published):
    weights = filled("lora/adapter_model")
    weights |= {f"{Q_PROJ}.lora_A.weight": torch.zeros(4, 96), f"{Q_PROJ}.lora_B.weight": torch.zeros(96, 4)}
    write_adapter(weights, published.lora)
    assert "does not fit the base model: language_model.model.layers.1.self_attn.q_proj" in refusal(published)


def test_an_adapter_of_a_model_with_more_layers_is_refused(published):
    weights = filled("lora/adapter_model")
    for side in "AB":
        weights[f"{Q_PROJ.replace('.1.', '.9.')}.lora_{side}.weight"] = weights[f"{Q_PROJ}.lora_{side}.weight"].clone()
    write_adapter(weights, published.lora)
    assert "layers.9.self_attn.q_proj" in refusal(published)


@pytest.mark.parametrize("shape", [(8, 64), (64,), (4, 4, 4)])
def test_a_lora_matrix_of_another_rank_is_refused(published, shape):
    write_adapter(filled("lora/adapter_model") | {f"{Q_PROJ}.lora_A.weight": torch.zeros(shape)}, published.lora)
    assert "adapter_config.json says rank 4" in refusal(published)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("use_dora", True),
        ("use_rslora", True),
        ("bias", "all"),
        ("rank_pattern", {"q_proj": 8}),
        ("alpha_pattern", {"q_proj": 8}),
        ("fan_in_fan_out", True),
        ("modules_to_save", ["lm_head"]),
        ("peft_type", "IA3"),
    ],
)
def test_an_adapter_beyond_plain_lora_is_refused(published, field, value):
    edit_json(published.lora / "adapter_config.json", **{field: value})
    assert f"adapter_config.json: {field}={value!r} is not supported" in refusal(published)


@pytest.mark.parametrize(("field", "value"), [("r", 0), ("r", "four"), ("r", ...), ("lora_alpha", None), ("r", -4)])
def test_an_adapter_without_usable_rank_or_alpha_is_refused(published, field, value):
    edit_json(published.lora / "adapter_config.json", **{field: value})
    assert "adapter_config.json: needs a rank r" in refusal(published)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mm_projector_type", "linear"),
        ("mm_patch_merge_type", "flat"),
        ("fusion_block", "transformer"),
        ("spatial_tower", "vggt"),
        ("mm_use_im_start_end", True),
        ("mm_spatial_pool_mode", "sum"),
        ("mm_newline_position", "everywhere"),
        ("spatial_tower_select_feature", "depth_tokens"),
        ("hidden_size", "wide"),
        ("num_attention_heads", 0),
        ("tokenizer_model_max_length", "long"),
    ],
)
def test_a_configuration_that_this_model_does_not_implement_is_refused(published, field, value):
    edit_json(published.lora / "config.json", **{field: value})
    message = refusal(published)
    assert "config.json" in message or str(published.lora) in message
    if isinstance(value, str) and field.startswith(("mm_", "fusion", "spatial")):
        assert repr(value) in message


FILES = ["base/model.safetensors", "lora/adapter_model.safetensors", "lora/non_lora_trainables.bin", CUT3R_NAME]


OTHER_CONTENT = (b"", b"PK\x03\x04", b"<html>404</html>", b"version https://git-lfs", bytes(range(256)), b"\x80\x02.")


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_or_foreign_file_is_named(tmp_path, file):
    parts = write_published(tmp_path, lora_name="lora", base_name="base")
    path = tmp_path / file
    whole = path.read_bytes()
    cuts = [whole[: int(len(whole) * share)] for share in (0.02, 0.5, 0.97)]
    for content in (*cuts, whole[:-1], *OTHER_CONTENT):
        path.write_bytes(content)
        assert str(path) in refusal(parts)


class Payload:
    """Unpickles by calling a function."""

    def __init__(self, function: Any, *args: Any):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def payloads(victim: Path) -> dict[str, Any]:
    call = Payload(os.system, f"touch '{victim}'")
    code = Payload(builtins.exec, f"open({str(victim)!r}, 'w').close()")
    return {
        "system": call,
        "exec": code,
        "nested": {"model": {"a": [{"b": (torch.zeros(2), code)}]}, "args": call},
        "eval in a weight": {"model.norm.weight": Payload(builtins.eval, f"open({str(victim)!r}, 'w')")},
        "getattr": Payload(getattr, Path(victim), "touch"),
    }


@pytest.mark.parametrize("container", ["zip", "legacy", "raw pickle"])
@pytest.mark.parametrize("file", ["adapter_model.bin", "non_lora_trainables.bin", CUT3R_NAME, "pytorch_model.bin"])
def test_a_hostile_pickle_is_refused_and_never_run(tmp_path, file, container):
    parts = write_published(tmp_path, adapter="bin", base_form="bin", lora_name="lora", base_name="base")
    victim = tmp_path / "executed"
    path = next(tmp_path.rglob(file))
    for payload in payloads(victim).values():
        if container == "raw pickle":
            path.write_bytes(pickle.dumps(payload, protocol=2))
        else:
            torch.save(payload, path, _use_new_zipfile_serialization=container == "zip")
        assert str(path) in refusal(parts)
        assert not victim.exists()


def test_the_payloads_of_these_tests_would_run(tmp_path):
    victim = tmp_path / "executed"
    torch.save(payloads(victim)["system"], tmp_path / "x.bin")
    torch.load(tmp_path / "x.bin", weights_only=False)
    assert victim.exists()


def test_hostile_constructor_arguments_of_cut3r_are_never_evaluated(published):
    import argparse

    victim = published.geometry.parent / "executed"
    text = f"ARCroco3DStereo(ARCroco3DStereoConfig(state_size=open({str(victim)!r}, 'w')))"
    torch.save({"model": filled("cut3r/model"), "args": argparse.Namespace(model=text)}, published.geometry)
    assert "is not a literal" in refusal(published)
    assert not victim.exists()


@pytest.mark.parametrize(
    "content", [[1, 2], {"a": 3}, {1: torch.zeros(1)}, {"a": {"b": torch.zeros(1)}}, torch.zeros(2)]
)
def test_a_bin_file_without_named_tensors_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.bin")
    with pytest.raises(UserError, match=r"x\.bin: is no dictionary of tensors"):
        read_tensors(tmp_path / "x.bin")


def test_a_zip_file_that_is_no_checkpoint_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.bin", "w") as archive:
        archive.writestr("data.txt", "hello")
    with pytest.raises(UserError, match=r"x\.bin: truncated"):
        read_tensors(tmp_path / "x.bin")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "sub/x.safetensors", "a/../../b.safetensors"])
def test_an_index_that_names_a_shard_outside_its_folder_is_refused(published, name):
    save_file({"model.norm.weight": torch.zeros(2)}, published.base.parent / "secret.safetensors")
    (published.base / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"model.norm.weight": name}})
    )
    assert "names a shard outside its folder" in refusal(published)


@pytest.mark.parametrize("weight_map", [None, [], {}, {"a": 1}, {"a": ["x"]}, "x"])
def test_an_index_without_a_usable_map_is_refused(published, weight_map):
    (published.base / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    assert "model.safetensors.index.json" in refusal(published)


def test_a_missing_shard_is_named(tmp_path):
    parts = write_published(tmp_path, base_form="index")
    (parts.base / "model-00002-of-00002.safetensors").unlink()
    assert "missing: model-00002-of-00002.safetensors" in refusal(parts)


def test_a_key_in_two_shards_is_refused(tmp_path):
    parts = write_published(tmp_path, base_form="set")
    shutil.copy(parts.base / "vision.safetensors", parts.base / "vision2.safetensors")
    assert "stand in another shard too" in refusal(parts)


@pytest.mark.parametrize("part", ["lora", "base"])
def test_a_wrong_folder_is_named(published, part):
    wrong = published.lora.parent / "wrong"
    wrong.mkdir()
    changes: dict[str, Any] = {"checkpoint" if part == "lora" else "base": wrong}
    assert str(wrong) in refusal(published, **changes)
    (wrong / "notes.txt").write_text("hello")
    assert str(wrong) in refusal(published, **changes)
    changes = dict.fromkeys(changes, wrong / "notes.txt")
    assert "must be a folder, not a file" in refusal(published, **changes)
    changes = dict.fromkeys(changes, wrong / "absent")
    assert "no such folder" in refusal(published, **changes)


def test_a_wrong_geometry_path_is_named(published):
    for wrong in (published.geometry.parent / "absent.pth", published.base, published.base / "config.json"):
        assert str(wrong) in refusal(published, geometry=wrong)


def test_another_kind_of_model_is_refused(published):
    edit_json(published.lora / "config.json", model_type="bert", architectures=["BertModel"])
    assert "describes 'bert'" in refusal(published)


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "null", '"text"', "{'a': 1}", "[" * 100_000])
@pytest.mark.parametrize("file", ["lora/config.json", "lora/adapter_config.json"])
def test_broken_json_is_named(tmp_path, file, text):
    parts = write_published(tmp_path, lora_name="lora", base_name="base")
    (tmp_path / file).write_text(text)
    assert str(tmp_path / file) in refusal(parts)


@pytest.mark.parametrize("file", ["lora/config.json", "lora/non_lora_trainables.bin", "lora/adapter_model.safetensors"])
def test_a_missing_file_is_named(tmp_path, file):
    parts = write_published(tmp_path, lora_name="lora", base_name="base")
    (tmp_path / file).unlink()
    assert file.split("/")[1].split(".")[0] in refusal(parts)


def test_an_incomplete_repository_is_not_mistaken_for_a_base(published):
    (published.lora / "adapter_config.json").unlink()
    for changes in ({}, {"base": None, "geometry": None}):
        assert "a LoRA repository without its adapter_config.json" in refusal(published, **changes)


@pytest.mark.parametrize("text", ["", "{}", "{", '{"version": "1.0", "model": {"type": "Nonsense"}}', "[]"])
def test_a_broken_tokenizer_is_named(published, text):
    for name in ("vocab.json", "merges.txt"):
        (published.base / name).unlink()
    (published.base / "tokenizer.json").write_text(text)
    message = refusal(published)
    assert str(published.base) in message
    assert "tokenizer" in message


def test_a_missing_tokenizer_is_named(published):
    for name in ("vocab.json", "merges.txt", "tokenizer.json"):
        (published.base / name).unlink()
    assert f"{published.base}: no tokenizer.json or vocab.json" in refusal(published)


@pytest.mark.parametrize(
    "change", [{"eos_token_id": "end"}, {"repetition_penalty": "high"}, {"repetition_penalty": -1}]
)
def test_a_generation_config_with_other_things_than_numbers_is_named(published, change):
    edit_json(published.base / "generation_config.json", **change)
    assert "generation_config.json" in refusal(published)


def test_a_repository_whose_base_is_nowhere_asks_for_it(published):
    moved = published.base.parent / "elsewhere"
    published.base.rename(moved)
    message = refusal(published, base=None)
    assert "'LLaVA-NeXT-Video-7B-Qwen2' was not found" in message
    assert "--base" in message
    edit_json(published.lora / "adapter_config.json", base_model_name_or_path=None)
    assert "names no base model; give one with --base" in refusal(published, base=None)


def test_a_hub_name_that_cannot_be_reached_is_named(published):
    assert "nobody/nothing: no such folder, and the hub" in refusal(published, base="nobody/nothing")


@pytest.mark.parametrize(
    ("override", "near"),
    [
        ({"pool_mode": "avrage"}, "average"),
        ({"newline_position": "grids"}, "grid"),
        ({"geometry_features": "camera_token"}, "camera_tokens"),
        ({"geometry_features": "camera_tokens,patches"}, "patch_tokens"),
        ({"pool_mod": "max"}, "pool_mode"),
        ({"num_frame": 8}, "num_frames"),
    ],
)
def test_an_unknown_override_names_the_nearest_known_one(override, near):
    with pytest.raises(UserError, match=rf"did you mean {near}\?"):
        vlm3r.load(config_overrides=override)


@pytest.mark.parametrize(
    "override",
    [{"vision_config": 3}, {"vision_config": {"num_hidden_layers": "x"}}, {"vocab_size": "many"}, {"vocab_size": 7}],
)
def test_impossible_sizes_are_refused(intact, override):
    with pytest.raises(UserError):
        vlm3r.load(
            intact.lora, base=intact.base, geometry=intact.geometry, config_overrides=size_overrides() | override
        )


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "", "meta", "cpu:x", "tpu", "xpu"])
def test_an_unknown_or_absent_device_is_named(device):
    with pytest.raises(UserError, match=r"device"):
        vlm3r.load(device=device)


@pytest.mark.parametrize("dtype", ["fp16", "int8", "double", ""])
def test_an_unknown_dtype_is_named(dtype):
    with pytest.raises(UserError, match=f"unknown dtype {dtype!r}"):
        vlm3r.load(device="cpu", dtype=dtype)


def test_an_unknown_quantization_is_named():
    with pytest.raises(UserError, match="unknown quantization '2bit'"):
        vlm3r.load(device="cpu", quantization="2bit")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"base": "x/y"}, "leave --base out"),
        ({"geometry": "x.pth"}, "--geometry can only be none"),
        ({"config_overrides": {"vocab_size": 3}}, "states its sizes"),
    ],
)
def test_a_native_folder_takes_no_second_part(arguments, expected):
    with pytest.raises(UserError, match=expected):
        vlm3r.load(**arguments)


@pytest.fixture
def native(tmp_path):
    return shutil.copytree(EMBEDDED_MODEL, tmp_path / "native")


@pytest.mark.parametrize(
    "change",
    [
        {"pool_mode": "sum"},
        {"newline_position": 3},
        {"geometry": "vggt"},
        {"geometry_features": "depth"},
        {"geometry_features": None},
        {"geometry_config": {"dec_depth": -1}},
        {"geometry_config": {"unknown_size": 3}},
        {"geometry_config": []},
        {"text_config": {"hidden_size": "wide"}},
        {"text_config": []},
        {"vision_config": {"patch_size": 0}},
        {"fusion_num_heads": 7},
        {"fusion_num_heads": 0},
        {"geometry_image_size": 145},
        {"geometry_image_size": -144},
        {"text_config": ...},
        {"vision_config": ...},
    ],
)
def test_a_native_configuration_that_fits_no_model_is_refused(native, change):
    edit_json(native / "config.json", **change)
    with pytest.raises(UserError, match=str(native)) as error:
        vlm3r.load(native, device="cpu")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("file", ["config.json", "processor_config.json", "tokenizer.json", "model.safetensors"])
def test_a_native_folder_that_lacks_a_file_says_so(native, file):
    (native / file).unlink()
    with pytest.raises(UserError, match=str(native)):
        vlm3r.load(native, device="cpu")


@pytest.mark.parametrize(
    ("field", "value", "wanted"),
    [
        ("num_frames", -1, "a whole number of at least 1"),
        ("num_frames", "x", "a whole number"),
        ("num_frames", True, "a whole number"),
        ("max_length", [1], "a whole number"),
        ("video_fps", float("nan"), "a number above 0"),
        ("video_fps", "1", "a number above 0"),
        ("force_sample", "no", "true or false"),
        ("add_time_instruction", 1, "true or false"),
    ],
)
def test_a_setting_that_no_processor_can_work_with_is_named(native, field, value, wanted):
    edit_json(native / "processor_config.json", **{field: value})
    with pytest.raises(UserError, match=rf"processor_config\.json: {field} is .*; it must be {wanted}"):
        read_native(native)


def test_weights_too_large_for_a_format_are_not_turned_into_infinities(native):
    parts = read_native(native)
    name = "fusion.attention.in_proj_bias"
    parts = replace(parts, tensors={**parts.tensors, name: torch.full_like(parts.tensors[name], 1e5)})
    with pytest.raises(UserError, match=f"{name}: holds numbers too large for float16"):
        parts.cast(torch.float16)
    assert parts.cast(torch.bfloat16).tensors[name].isfinite().all()


def test_a_truncated_native_folder_says_so(native):
    os.truncate(native / "model.safetensors", 100_000)
    with pytest.raises(UserError, match=r"model.safetensors: truncated"):
        vlm3r.load(native, device="cpu")
