"""`vlm3r.load`: a model and its processor from whatever layout a checkpoint has."""

from __future__ import annotations

import difflib
import importlib.util
import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from vlm3r.checkpoints.files import read_json, resolve_folder
from vlm3r.checkpoints.lora import attach_adapter
from vlm3r.checkpoints.native import read_native
from vlm3r.checkpoints.parts import Parts, make_config
from vlm3r.checkpoints.published import CUT3R_FILE, is_published, non_lora_file, read_published
from vlm3r.checkpoints.quantised import Quantization, keep_unpacked, pack, quantization_config
from vlm3r.errors import UserError
from vlm3r.model import NEWLINE_POSITIONS, POOL_MODES, VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.model.config import GEOMETRY_FEATURES
from vlm3r.processing.processor import VLM3RProcessor

REPOSITORY = Path(__file__).resolve().parents[2]
EMBEDDED_MODEL = REPOSITORY / "playground" / "models" / "vlm3r-tiny"
PUBLISHED_CUT3R = (REPOSITORY / "CUT3R" / "src" / CUT3R_FILE, "liguang0115/cut3r")
"""Where CUT3R's file is looked for when none is named: where the published code keeps it, then the hub."""

DTYPES = ("auto", "float32", "bfloat16", "float16")
LARGE = 1_000_000_000
SIZE_OVERRIDES = ("vision_config", "geometry_image_size", "vocab_size")
CHOICE_OVERRIDES = {
    "pool_mode": POOL_MODES,
    "newline_position": NEWLINE_POSITIONS,
    "geometry_features": (*GEOMETRY_FEATURES, "all_tokens"),
}
SETTING_OVERRIDES = ("num_frames", "video_fps", "force_sample", "add_time_instruction", "max_length")
Attention = Literal["sdpa", "eager", "flex_attention", "flash_attention_2"]


def load(
    checkpoint: str | Path | None = None,
    *,
    base: str | Path | None = None,
    geometry: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    merge_lora: bool = True,
    quantization: Quantization | None = None,
    attention: Attention = "sdpa",
    config_overrides: Mapping[str, Any] | None = None,
) -> tuple[VLM3RForConditionalGeneration, VLM3RProcessor]:
    """A model in evaluation mode and its processor.

    Args:
        checkpoint: a native folder, a LoRA repository, or a base model of the published layout; a folder or a hub id.
            None is the embedded model.
        base: the base model of a LoRA repository; default the one that its adapter names.
        geometry: CUT3R's file, folder or hub id; `none` for plain LLaVA-Video; None for what the checkpoint holds or,
            in the published layout, the published file.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.
        dtype: `float32`, `bfloat16`, `float16`, or `auto`: bfloat16 on a GPU that has it (else float16), float32 on a
            CPU up to a billion parameters and bfloat16 beyond.
        merge_lora: whether to add the adapter to the weights; else it is attached through PEFT, trainable.
        quantization: `4bit` or `8bit` for the language model's linear layers, through bitsandbytes. In 4 bits on a CPU,
            the model is for inference only, unless an adapter stays apart.
        attention: kernel of SigLIP's and Qwen2's attention; `flash_attention_2` needs flash-attn and half precision.
        config_overrides: choices (`pool_mode`, `newline_position`, `geometry_features`), processor settings
            (`num_frames`, `force_sample`, ...) and, for published layouts, sizes that their configurations only imply.

    Raises:
        UserError: anything that the user can mend, in one line.
    """
    overrides = _checked_overrides(config_overrides or {})
    target = resolve_device(device)
    parts, fresh = read_checkpoint(checkpoint, base, geometry, overrides)
    parts = _with_choices(parts, overrides)
    if fresh:
        warnings.warn("the checkpoint has no fusion block: it starts untrained, and answers mean nothing", stacklevel=2)
    if merge_lora:
        parts = parts.merged()
    model, processor = build(parts, target, resolve_dtype(dtype, target, parts), quantization, attention, fresh)
    if quantization == "4bit" and parts.adapter is None:
        pack(model)
    return model, processor


def read_checkpoint(
    checkpoint: str | Path | None = None,
    base: str | Path | None = None,
    geometry: str | Path | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> tuple[Parts, tuple[str, ...]]:
    """The parts of a checkpoint of any layout, and the prefixes of weights that training would start anew."""
    folder = EMBEDDED_MODEL if checkpoint is None else resolve_folder(checkpoint, "checkpoint")
    if checkpoint is None and not folder.is_dir():
        raise UserError(f"{folder}: the embedded model is not there; run from a clone of the repository or name one")
    sizes = {name: value for name, value in (overrides or {}).items() if name in SIZE_OVERRIDES}
    raw = read_json(folder / "config.json")
    if raw.get("model_type") == VLM3RConfig.model_type:
        return _read_native(folder, base, geometry, sizes), ()
    if not is_published(raw):
        raise UserError(
            f"{folder}: config.json describes {raw.get('model_type')!r}; expected a native folder, a VLM-3R LoRA "
            "repository or a LLaVA-Video-Qwen2 base model"
        )
    if not (folder / "adapter_config.json").exists():
        if non_lora_file(folder).is_file():
            raise UserError(f"{folder}: a LoRA repository without its adapter_config.json; download it again")
        if base is not None:
            raise UserError(f"{folder}: is no LoRA repository (no adapter_config.json in it); leave --base out")
        return read_published(folder, None, _without_none(geometry), sizes)
    base_folder = _base_of(folder) if base is None else resolve_folder(base, "base model")
    return read_published(base_folder, folder, _geometry_of(folder, raw, geometry), sizes)


def _base_of(lora: Path) -> Path:
    """The base model that a LoRA repository's adapter names: an absolute path, a folder beside the repository, a
    folder, or a hub id."""
    name = read_json(lora / "adapter_config.json").get("base_model_name_or_path")
    if not isinstance(name, str) or not name:
        raise UserError(f"{lora}: its adapter names no base model; give one with --base")
    beside = lora.parent / Path(name).name
    named = Path(name)
    if named.is_absolute() and (named / "config.json").is_file():
        return named
    if (beside / "config.json").is_file() and beside.resolve() != lora.resolve():
        return beside
    try:
        return resolve_folder(name, "base model")
    except UserError as error:
        raise UserError(f"{lora}: its base model {name!r} was not found ({error}); give one with --base") from None


def _read_native(folder: Path, base: Any, geometry: Any, sizes: Mapping[str, Any]) -> Parts:
    if base is not None:
        raise UserError(f"{folder}: a native folder holds its base model; leave --base out")
    if sizes:
        raise UserError(f"{folder}: a native folder states its sizes; leave out {', '.join(sizes)}")
    parts = read_native(folder)
    if geometry is None:
        return parts
    if str(geometry) != "none":
        raise UserError(f"{folder}: a native folder holds its geometry encoder; --geometry can only be none")
    return parts.without_geometry()


def _without_none(geometry: str | Path | None) -> str | Path | None:
    return None if geometry is None or str(geometry) == "none" else geometry


def _geometry_of(lora: Path, raw: Mapping[str, Any], geometry: str | Path | None) -> str | Path | None:
    """CUT3R for a LoRA repository: the one that is named, the file beside the repository, or the published one."""
    if geometry is not None:
        return _without_none(geometry)
    if not raw.get("spatial_tower"):
        return None
    beside = lora.parent / CUT3R_FILE
    return beside if beside.is_file() else default_cut3r()


def default_cut3r() -> str | Path:
    """Where the published CUT3R weights are: `$VLM3R_CUT3R`, else where the published code keeps them, else the hub."""
    if os.environ.get("VLM3R_CUT3R"):
        return os.environ["VLM3R_CUT3R"]
    place, hub_id = PUBLISHED_CUT3R
    return place if place.exists() else hub_id


def _checked_overrides(overrides: Mapping[str, Any]) -> Mapping[str, Any]:
    known = (*SIZE_OVERRIDES, *CHOICE_OVERRIDES, *SETTING_OVERRIDES)
    for name in overrides:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(known)}"
            raise UserError(f"unknown configuration override {name}{hint}")
    return overrides


def _with_choices(parts: Parts, overrides: Mapping[str, Any]) -> Parts:
    choices = {name: value for name, value in overrides.items() if name in CHOICE_OVERRIDES}
    settings = {name: value for name, value in overrides.items() if name in SETTING_OVERRIDES}
    for name, value in choices.items():
        known = CHOICE_OVERRIDES[name]
        for part in str(value).split(",") if name == "geometry_features" else [str(value)]:
            if part.strip() not in known:
                near = difflib.get_close_matches(part.strip(), known, n=1, cutoff=0)
                raise UserError(f"unknown {name} {part!r}: did you mean {near[0]}? (known: {', '.join(known)})")
    config = make_config(parts.config.to_dict() | choices, "overrides") if choices else parts.config
    return replace(parts, config=config, settings=parts.settings | settings)


def resolve_device(device: str) -> torch.device:
    """The device that a name stands for; `auto` is CUDA, else MPS, else the CPU.

    Raises:
        UserError: there is no such device here.
    """
    available = ["cpu"]
    if torch.cuda.is_available():
        available.insert(0, "cuda")
    elif torch.backends.mps.is_available():
        available.insert(0, "mps")
    if device == "auto":
        return torch.device(available[0])
    try:
        chosen = torch.device(device)
    except RuntimeError:
        raise UserError(f"unknown device {device!r}: expected auto, cpu, cuda, cuda:N or mps") from None
    beyond = chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count()
    if chosen.type not in available or beyond:
        raise UserError(f"device {device!r} is not available here (found: {', '.join(available)}); run vlm3r doctor")
    return chosen


def resolve_dtype(dtype: str, device: torch.device, parts: Parts) -> torch.dtype:
    """The working precision, as described for `load`.

    Raises:
        UserError: the name is unknown.
    """
    if dtype not in DTYPES:
        raise UserError(f"unknown dtype {dtype!r}: expected one of {', '.join(DTYPES)}")
    if dtype != "auto":
        return getattr(torch, dtype)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    if device.type == "mps":
        return torch.float16
    return torch.bfloat16 if sum(t.numel() for t in parts.tensors.values()) > LARGE else torch.float32


def build(
    parts: Parts,
    device: torch.device,
    dtype: torch.dtype,
    quantization: Quantization | None = None,
    attention: Attention = "sdpa",
    fresh: tuple[str, ...] = (),
) -> tuple[VLM3RForConditionalGeneration, VLM3RProcessor]:
    """Instantiate checked parts on a device."""
    _check_attention(attention, device, dtype)
    tensors = dict(parts.tensors)
    if device.type == "cpu":
        # Memory-mapped weights lie unaligned, which costs speed and makes equal weights give unequal last bits.
        tensors = {name: tensor.to(dtype, copy=True) for name, tensor in tensors.items()}
    loaded: Any = VLM3RForConditionalGeneration.from_pretrained(
        None,
        config=parts.config,
        state_dict=tensors,
        dtype=dtype,
        device_map={"": device},
        attn_implementation=attention,
        quantization_config=quantization_config(quantization, dtype),
        output_loading_info=True,
    )
    model: VLM3RForConditionalGeneration
    model, info = loaded
    lost = [n for n in (*info["missing_keys"], *info["unexpected_keys"]) if not n.startswith(fresh or ("\0",))]
    if lost:
        raise UserError(f"weights found no place in the model: {', '.join(sorted(lost)[:8])}")
    model.generation_config = parts.generation
    keep_unpacked(model)
    if parts.adapter is not None:
        attach_adapter(model, parts.adapter)
    processor = VLM3RProcessor.from_config(parts.config, parts.tokenizer, **parts.settings)
    return model.eval(), processor


def _check_attention(attention: str, device: torch.device, dtype: torch.dtype) -> None:
    if attention not in get_args(Attention):
        raise UserError(f"unknown attention {attention!r}: expected one of {', '.join(get_args(Attention))}")
    if attention != "flash_attention_2":
        return
    if importlib.util.find_spec("flash_attn") is None:
        raise UserError("flash_attention_2 needs flash-attn: pip install -e '.[flash]' in the clone, or use sdpa")
    if device.type != "cuda" or dtype == torch.float32:
        raise UserError("flash_attention_2 runs on an NVIDIA GPU in bfloat16 or float16; use sdpa")
