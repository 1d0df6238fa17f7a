"""The published layout: base model + LoRA repository + CUT3R file, read and written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from cut3r import CUT3R, CheckpointError, CUT3RConfig, export_published
from safetensors.torch import save_file
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase, Qwen2Config, Qwen2Tokenizer

from vlm3r.checkpoints import maps
from vlm3r.checkpoints.files import atomic_folder, read_json, read_model_folder, read_tensors
from vlm3r.checkpoints.lora import read_adapter, write_adapter, zero_adapter
from vlm3r.checkpoints.parts import GEOMETRY_PREFIXES, Parts, check_settings, check_tensors, make_config
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.model import VLM3RConfig
from vlm3r.model.config import PUBLISHED_VISION

SUPPORTED = {
    "mm_projector_type": ("mlp2x_gelu",),
    "mm_patch_merge_type": ("spatial_unpad",),
    "fusion_block": ("cross_attention", None),
    "spatial_tower": ("cut3r", None),
    "add_faster_video": (False, None),
    "mm_use_im_start_end": (False, None),
}
"""Fields of a published configuration and the values for which this model is the same model."""

COPIED_FIELDS = (
    "attention_dropout",
    "bos_token_id",
    "eos_token_id",
    "hidden_act",
    "hidden_size",
    "initializer_range",
    "intermediate_size",
    "max_position_embeddings",
    "max_window_layers",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "rms_norm_eps",
    "sliding_window",
    "tie_word_embeddings",
    "use_sliding_window",
    "vocab_size",
)
"""Qwen2 fields that stand in a published configuration under the same names."""

CUT3R_FILE = "cut3r_512_dpt_4_64.pth"
NON_LORA_FILE = "non_lora_trainables.bin"
NON_LORA_SAFE = "non_lora_trainables.safetensors"
"""The same tensors without a pickle around them; read first where a repository has both."""

OWN_FIELD = "vlm3r"
"""Where `write_published` notes in what this model differs from what the published code hard-codes."""

OWN_CONFIG_FIELDS = ("geometry_image_size", "fusion_num_heads", "fusion_dropout", "untrained")
OWN_SETTINGS = ("num_frames", "video_fps")
TOKEN_FLAGS = ("lstrip", "normalized", "rstrip", "single_word", "special")


def is_published(config: Mapping[str, Any]) -> bool:
    """Whether a `config.json` describes a model of the published layout (by its content, never its folder's name)."""
    architectures = config.get("architectures")
    named = isinstance(architectures, list) and "LlavaQwenForCausalLM" in architectures
    return config.get("model_type") == "llava_qwen" or (config.get("model_type") == "llava" and named)


def read_published(
    base: Path, lora: Path | None, geometry: Path | str | None, overrides: Mapping[str, Any] | None = None
) -> tuple[Parts, tuple[str, ...]]:
    """A checkpoint of the published layout, and the prefixes of the weights that it does not hold.

    Args:
        base: folder of the base model.
        lora: folder of the LoRA repository, whose configuration then drives the model; None for the base alone.
        geometry: CUT3R's file, folder or hub id; None for a model without geometry.
        overrides: sizes that published configurations only imply: `vision_config` (whose `num_hidden_layers` counts
            the layer that is then dropped), `geometry_image_size`, `vocab_size`.

    Raises:
        UserError: a file is missing, broken, or does not fit the others.
    """
    config_file = (lora or base) / "config.json"
    raw = read_json(config_file)
    if not is_published(raw):
        raise UserError(f"{config_file}: no LLaVA-Qwen configuration; is this the right folder?")
    tokenizer = read_tokenizer(base)
    encoder = None if geometry is None else read_cut3r(geometry)
    geometry_config = None if encoder is None else encoder.config
    config = published_config(raw, len(tokenizer), geometry_config, overrides or {}, str(config_file))
    tensors = _read_base(base, config)
    fresh: tuple[str, ...] = ("fusion.",) if encoder is not None else ()
    adapter = None
    if lora is not None:
        tensors |= read_non_lora(non_lora_file(lora), wants_fusion=encoder is not None)
        fresh = ()
        adapter = read_adapter(lora, tensors)
    if encoder is not None:
        tensors |= {f"geometry_encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    check_tensors(config, tensors, str(lora or base), fresh)
    generation = read_generation(base, tokenizer)
    return Parts(config, tensors, adapter, tokenizer, generation, _settings(raw, str(config_file))), fresh


def published_config(
    raw: Mapping[str, Any],
    tokenizer_size: int,
    geometry: CUT3RConfig | None,
    overrides: Mapping[str, Any],
    source: str = "config.json",
) -> VLM3RConfig:
    """This project's configuration of a published `config.json`.

    Raises:
        UserError: a field has a value that this model does not implement.
    """
    for field, known in SUPPORTED.items():
        if field in raw and raw[field] not in known:
            raise UserError(f"{source}: {field}={raw[field]!r} is not supported; expected {known[0]!r}")
    sizes = _own_fields(raw) | dict(overrides)
    names = {name for name in Qwen2Config().to_dict() if not name.startswith("_")} - {"rope_parameters"}
    text = {name: raw[name] for name in names & raw.keys() if name not in ("architectures", "model_type", "dtype")}
    text |= {"rope_parameters": {"rope_type": "default", "rope_theta": raw.get("rope_theta", 1e6)}}
    # The published loader forces these three, whatever the file says.
    text |= {"use_cache": True, "tie_word_embeddings": False, "vocab_size": sizes.get("vocab_size", 152064)}
    fields = {
        "text_config": text,
        "vision_config": _vision_config(sizes.get("vision_config"), source),
        "geometry": "none" if geometry is None else "cut3r",
        "geometry_config": None if geometry is None else geometry.to_dict(),
        "geometry_features": raw.get("spatial_tower_select_feature") or "patch_tokens",
        "pool_mode": raw.get("mm_spatial_pool_mode") or "bilinear",
        "newline_position": raw.get("mm_newline_position") or "one_token",
        "num_output_tokens": tokenizer_size,
        "video_token_id": tokenizer_size,
        "image_token_id": tokenizer_size + 1,
    }
    return make_config(fields | {name: sizes[name] for name in OWN_CONFIG_FIELDS if name in sizes}, source)


def _vision_config(given: Any, source: str) -> dict[str, Any]:
    """SigLIP's published sizes with those that are `given`, whose layer count includes the dropped layer."""
    if given is None:
        return PUBLISHED_VISION
    if not isinstance(given, Mapping) or not isinstance(given.get("num_hidden_layers", 27), int):
        raise UserError(f"{source}: vision_config must map names to sizes, and num_hidden_layers be a whole number")
    return PUBLISHED_VISION | dict(given) | {"num_hidden_layers": given.get("num_hidden_layers", 27) - 1}


def _own_fields(raw: Mapping[str, Any]) -> dict[str, Any]:
    own = raw.get(OWN_FIELD)
    return own if isinstance(own, dict) else {}


def _settings(raw: Mapping[str, Any], source: str) -> dict[str, Any]:
    length, own = raw.get("tokenizer_model_max_length") or 32768, _own_fields(raw)
    if not isinstance(length, int) or length < 1:
        raise UserError(f"{source}: tokenizer_model_max_length={length!r} is no number of tokens; get the file again")
    check_settings({name: own[name] for name in OWN_SETTINGS if name in own}, source)
    return {
        "add_time_instruction": bool(raw.get("add_time_instruction", False)),
        "force_sample": bool(raw.get("force_sample", False)),
        "max_length": length,
    } | {name: own[name] for name in OWN_SETTINGS if name in own}


def read_tokenizer(folder: Path) -> PreTrainedTokenizerBase:
    """The Qwen2 tokenizer of a folder.

    Raises:
        UserError: its files are missing or broken.
    """
    if not (folder / "tokenizer.json").exists() and not (folder / "vocab.json").exists():
        raise UserError(f"{folder}: no tokenizer.json or vocab.json in it; download the folder again")
    try:
        tokenizer = Qwen2Tokenizer.from_pretrained(folder, local_files_only=True)
    # The tokenizers library raises bare exceptions for files that it cannot read.
    except Exception as error:
        raise UserError(f"{folder}: no readable tokenizer ({first_line(error)}); download the folder again") from error
    if tokenizer.convert_tokens_to_ids("<|im_end|>") is None or tokenizer.pad_token_id is None:
        raise UserError(f"{folder}: its tokenizer lacks <|im_end|> or a padding token; is this a Qwen2 tokenizer?")
    return tokenizer


def read_generation(folder: Path, tokenizer: PreTrainedTokenizerBase) -> GenerationConfig:
    """Defaults of `generate`: greedy, as published, with the folder's stop tokens, `<|im_end|>`, and penalty."""
    path = folder / "generation_config.json"
    raw = read_json(path) if path.exists() else {}
    stops, penalty = raw.get("eos_token_id") or [], raw.get("repetition_penalty") or 1.0
    stops = stops if isinstance(stops, list) else [stops]
    if not all(isinstance(stop, int) for stop in stops) or not isinstance(penalty, int | float) or penalty <= 0:
        raise UserError(f"{path}: eos_token_id must be ids and repetition_penalty a positive number; get it again")
    return greedy(tokenizer, stops, penalty)


def greedy(tokenizer: PreTrainedTokenizerBase, stops: Sequence[int] = (), penalty: float = 1.0) -> GenerationConfig:
    """Greedy decoding that stops at `<|im_end|>` and at the given ids."""
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    return GenerationConfig(
        do_sample=False,
        eos_token_id=list(dict.fromkeys([*stops, end])),
        pad_token_id=tokenizer.pad_token_id,
        repetition_penalty=penalty,
    )


def _read_base(folder: Path, config: VLM3RConfig) -> dict[str, Tensor]:
    tensors = read_model_folder(folder)
    try:
        kept = maps.drop_tolerated(tensors, config.siglip.num_hidden_layers)
        return {maps.to_native(key, maps.BASE): tensors[key] for key in kept}
    except maps.UnknownKeyError as error:
        raise UserError(f"{folder}: unknown weight {error.args[0]}; is this a LLaVA-Video-Qwen2 base model?") from None


def non_lora_file(folder: Path) -> Path:
    """Where a LoRA repository keeps fusion and projector: safetensors if there, else the published pickle."""
    safe = folder / NON_LORA_SAFE
    return safe if safe.is_file() else folder / NON_LORA_FILE


def read_non_lora(path: Path, wants_fusion: bool = True) -> dict[str, Tensor]:
    """Fusion (if wanted) and projector of a LoRA repository, under native names.

    Raises:
        UserError: the file is missing or broken, a weight is unknown, or one of the projector's is missing.
    """
    try:
        tensors = maps.strip_non_lora_prefix(read_tensors(path))
        native = {maps.to_native(key, maps.NON_LORA): tensor for key, tensor in tensors.items()}
    except maps.UnknownKeyError as error:
        raise UserError(f"{path}: unknown weight {error.args[0]}; only fusion_block and mm_projector are") from None
    projector = [name for _, prefix in maps.PROJECTOR for name in (f"{prefix}weight", f"{prefix}bias")]
    missing = [name for name in projector if name not in native]
    if missing:
        raise UserError(f"{path}: {', '.join(missing)} missing; download it again")
    return native if wants_fusion else {k: t for k, t in native.items() if not k.startswith("fusion.")}


def read_cut3r(geometry: Path | str) -> CUT3R:
    """A geometry encoder of any layout; what cannot be read is a `UserError`."""
    try:
        return CUT3R.from_pretrained(geometry)
    except CheckpointError as error:
        raise UserError(str(error)) from error


def write_published(parts: Parts, folder: Path, base_name: str = "base", overwrite: bool = False) -> None:
    """Write the published layout: `base/`, `lora/` and CUT3R's file, so that the published code can read them.

    The LoRA repository is where that layout keeps the fusion block, so a model with geometry and without an adapter
    gets an adapter that adds zero. The projector stands in both folders; the repository's overrides the base's.

    Raises:
        UserError: the folder exists already, or the disk is full.
    """
    with atomic_folder(folder, overwrite) as building:
        base = building / base_name
        base.mkdir()
        config = _write_base(parts, base)
        if parts.config.geometry == "cut3r" and parts.adapter is None:
            parts = replace(parts, adapter=zero_adapter(parts.tensors))
        if parts.adapter is not None:
            lora = building / "lora"
            lora.mkdir()
            write_lora_repository(parts, lora, base_name, config)
        if parts.config.geometry == "cut3r":
            export_published(parts.geometry_encoder(), building / CUT3R_FILE)


def write_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as safetensors or as the pickle that the published layout has, by the path's suffix."""
    own = {name: tensor.contiguous().clone() for name, tensor in sorted(tensors.items())}
    if path.suffix == ".safetensors":
        save_file(own, path, metadata={"format": "pt"})
    else:
        torch.save(own, path)


def write_lora_repository(
    parts: Parts, folder: Path, base_name: str, config: Mapping[str, Any], non_lora_name: str = NON_LORA_FILE
) -> None:
    """Write `adapter_*`, `non_lora_trainables` and `config.json` into an existing folder.

    Args:
        parts: the checkpoint, with its adapter apart.
        folder: where to write.
        base_name: what the adapter calls its base model.
        config: the published `config.json`.
        non_lora_name: `non_lora_trainables.bin`, as published, or `.safetensors`.
    """
    assert parts.adapter is not None
    write_adapter(parts.adapter, folder, base_name)
    non_lora = {
        maps.NON_LORA_PREFIXES[0] + maps.to_published(name, maps.NON_LORA): tensor
        for name, tensor in parts.tensors.items()
        if maps.covered(name, maps.NON_LORA)
    }
    write_tensors(non_lora, folder / non_lora_name)
    (folder / "config.json").write_text(json.dumps(dict(config), indent=1) + "\n", encoding="utf-8")


def _write_base(parts: Parts, folder: Path) -> dict[str, Any]:
    tensors = {
        maps.to_published(name, maps.BASE): tensor.contiguous()
        for name, tensor in parts.tensors.items()
        if not name.startswith(GEOMETRY_PREFIXES)
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = published_config_dict(parts)
    bare = {k: v for k, v in config.items() if not k.startswith(("spatial_", "mm_spatial_tower", "fusion_"))}
    (folder / "config.json").write_text(json.dumps(bare, indent=1) + "\n", encoding="utf-8")
    _write_tokenizer(parts.tokenizer, folder)
    parts.generation.save_pretrained(folder)
    return config


def _write_tokenizer(tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the tokenizer as the transformers version of the published code reads it, slow class included."""
    tokenizer.save_pretrained(folder)
    backend: Any = getattr(tokenizer, "backend_tokenizer")  # noqa: B009 (only fast tokenizers declare it)
    backend.model.save(str(folder))  # vocab.json and merges.txt
    path = folder / "tokenizer_config.json"
    added = tokenizer.added_tokens_decoder.items()
    config = read_json(path) | {
        "tokenizer_class": "Qwen2Tokenizer",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "added_tokens_decoder": {
            str(index): {name: getattr(token, name) for name in ("content", *TOKEN_FLAGS)} for index, token in added
        },
    }
    config.pop("extra_special_tokens", None)
    path.write_text(json.dumps(config, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _own_fields_of(parts: Parts) -> dict[str, Any]:
    """What a reader of the published layout could not know otherwise; empty for a model of the published size."""
    plain, config = VLM3RConfig(), parts.config
    own = {name: getattr(config, name) for name in OWN_CONFIG_FIELDS}
    own = {name: value for name, value in own.items() if value != getattr(plain, name)}
    vision = config.siglip.to_dict()
    if vision != plain.siglip.to_dict():
        own["vision_config"] = vision | {"num_hidden_layers": vision["num_hidden_layers"] + 1}
    if config.qwen2.vocab_size != plain.qwen2.vocab_size:
        own["vocab_size"] = config.qwen2.vocab_size
    return own | {name: parts.settings[name] for name in OWN_SETTINGS if name in parts.settings}


def published_config_dict(parts: Parts) -> dict[str, Any]:
    """The fields of a published `config.json` that the published model code reads."""
    config, text = parts.config, parts.config.qwen2.to_dict()
    raw: dict[str, Any] = {name: text[name] for name in COPIED_FIELDS}
    raw |= {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava_qwen",
        "rope_theta": text["rope_parameters"]["rope_theta"],
        "rope_scaling": None,
        "use_cache": True,
        "mm_hidden_size": config.siglip.hidden_size,
        "mm_vision_tower": "google/siglip-so400m-patch14-384",
        "mm_vision_select_layer": -2,
        "mm_vision_select_feature": "patch",
        "mm_projector_type": "mlp2x_gelu",
        "mm_patch_merge_type": "spatial_unpad",
        "mm_newline_position": config.newline_position,
        "mm_spatial_pool_mode": config.pool_mode,
        "mm_spatial_pool_stride": 2,
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
        "use_mm_proj": True,
        "image_aspect_ratio": "anyres_max_9",
        "tokenizer_padding_side": "right",
        "tokenizer_model_max_length": parts.settings.get("max_length", 32768),
        "add_time_instruction": parts.settings.get("add_time_instruction", False),
        "force_sample": parts.settings.get("force_sample", True),
        "add_faster_video": False,
        "use_pos_skipping": False,
        "torch_dtype": str(parts.tensors["language_model.lm_head.weight"].dtype).removeprefix("torch."),
        OWN_FIELD: _own_fields_of(parts),
    }
    if config.geometry == "cut3r":
        width = CUT3RConfig.from_dict(config.geometry_config or {}).dec_embed_dim
        raw |= {
            "spatial_tower": "cut3r",
            "mm_spatial_tower": "cut3r",
            "spatial_tower_select_feature": config.geometry_features,
            "spatial_tower_select_layer": -1,
            "spatial_feature_dim": width,
            "fusion_block": "cross_attention",
        }
    return raw
