"""An open video as a folder: keys, values and visual tokens as safetensors, and a JSON record of what made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from vlm3r.checkpoints.files import atomic_folder, read_json
from vlm3r.checkpoints.quantised import quantization_of
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.inference.fingerprint import file_hash, weight_hashes
from vlm3r.inference.prefix_cache import PrefixCache
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

RECORD, TENSORS = "opened_video.json", "opened_video.safetensors"
FORMAT = 1
"""Number of the layout; other numbers are refused."""
NAMED = ("geometry", "geometry_features", "geometry_image_size", "pool_mode", "newline_position")
"""Choices of the model's configuration that a message names; the others stand behind one hash."""
NO_CHOICES = {
    *("transformers_version", "_name_or_path", "architectures", "dtype", "quantization_config", "untrained"),
    *NAMED,
}
"""Entries of a configuration that decide nothing here, or are recorded by their name."""
REMEDY = "open the video again and save it anew"


@dataclass(frozen=True)
class SavedVideo:
    """What an open video is made of."""

    video: VideoFrames | None
    """The frames' numbers and times, without pixels; None for questions without any picture."""
    prefix: list[int]
    """Ids of the beginning that all prompts share."""
    clip: dict[str, Tensor]
    """Visual tokens as `encode_clip` gives them."""
    cache: PrefixCache
    """Keys and values of the beginning."""


def settings_of(
    model: VLM3RForConditionalGeneration, processor: VLM3RProcessor, weights: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What keys and values of a video depend on apart from the video: weights, configuration, dtype, prompt settings.

    Args:
        model: the model.
        processor: its processor.
        weights: what `weight_hashes` gave for the model; None computes it, which reads all weights.
    """
    config = json.dumps(_choices(model.config.to_dict()), sort_keys=True, default=str)
    return {
        "weights": dict(weight_hashes(model) if weights is None else weights),
        "configuration": hashlib.sha256(config.encode()).hexdigest(),
        "dtype": _dtype_name(model),
        "quantization": quantization_of(model),
        **{name: getattr(model.config, name) for name in NAMED},
        "add_time_instruction": processor.add_time_instruction,
    }


def write_saved(folder: Path, saved: SavedVideo, settings: Mapping[str, Any]) -> None:
    """Write a folder that appears whole or not at all.

    Raises:
        UserError: something stands there already, the place cannot be written, or the disk is full.
    """
    _check_free(folder)
    tensors = {"prefix": torch.tensor(saved.prefix), **saved.clip}
    for index, (keys, values) in enumerate(saved.cache.first(len(saved.prefix))):
        tensors |= {_key_name(index): keys, _value_name(index): values}
    whole = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    with atomic_folder(folder) as building:
        save_file(whole, building / TENSORS)
        record = {
            "format": FORMAT,
            "settings": settings,
            "video": None if saved.video is None else _video_record(saved.video),
            "sha256": file_hash(building / TENSORS),
        }
        (building / RECORD).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")


def read_saved(folder: Path, model: VLM3RForConditionalGeneration, settings: Mapping[str, Any]) -> SavedVideo:
    """What `write_saved` wrote, on the model's device.

    Raises:
        UserError: the folder is missing, incomplete, damaged, or was saved with other `settings`.
    """
    for name in (RECORD, TENSORS):
        if not (folder / name).is_file():
            raise UserError(f"{folder}: is no saved video, {name} is not in it; give a folder that `save` wrote")
    record = read_json(folder / RECORD)
    if record.get("format") != FORMAT:
        raise UserError(f"{folder / RECORD}: format {record.get('format')!r} is not known here; {REMEDY}")
    different = _different(record.get("settings"), settings)
    if different:
        raise UserError(f"{folder}: was saved with {different}; load what it was saved with, or {REMEDY}")
    video = _video_of(folder / RECORD, record.get("video"))
    tensors = _read_tensors(folder / TENSORS, record.get("sha256"))
    prefix = tensors.get("prefix", torch.empty(0))
    if prefix.dtype != torch.int64 or prefix.ndim != 1 or not len(prefix):
        raise UserError(f"{folder / TENSORS}: holds no ids of a prompt; {REMEDY}")
    _check_tensors(folder / TENSORS, tensors, _expected(model, len(prefix), video is not None), _dtype_name(model))
    # Copied: a tensor that is mapped from the file would change with it.
    clip = {"video_embeddings": tensors["video_embeddings"].to(model.device, copy=True)} if video is not None else {}
    cache = PrefixCache(model.config.qwen2.num_hidden_layers)
    for index in range(len(cache.layers)):
        keys, values = tensors[_key_name(index)], tensors[_value_name(index)]
        cache.update(keys.to(model.device), values.to(model.device), index)
    return SavedVideo(video, prefix.tolist(), clip, cache)


def _check_free(folder: Path) -> None:
    try:
        free = not folder.exists() or (folder.is_dir() and not any(folder.iterdir()))
    except OSError as error:
        raise UserError(f"{folder}: cannot be read ({first_line(error)}); choose another folder") from error
    if not free:
        raise UserError(f"{folder}: exists already; choose another folder or delete it")


def _choices(config: Any) -> Any:
    if not isinstance(config, dict):
        return config
    return {name: _choices(value) for name, value in config.items() if name not in NO_CHOICES}


def _dtype_name(model: VLM3RForConditionalGeneration) -> str:
    """The precision of keys and values, which is that of the text embedding, also where layers are quantised."""
    return str(model.get_input_embeddings().weight.dtype).removeprefix("torch.")


def _different(found: Any, settings: Mapping[str, Any]) -> str:
    """How saved settings differ from those of now, in words; empty where they do not."""
    if not isinstance(found, dict):
        return "no record of its settings"
    differences = []
    for name, now in settings.items():
        then = found.get(name)
        if then == now:
            continue
        if name == "weights":
            parts = [part for part in now if not isinstance(then, dict) or then.get(part) != now[part]]
            differences.append(f"other weights ({', '.join(parts) or 'of more parts'})")
        elif name == "configuration":
            differences.append("another model configuration")
        else:
            differences.append(f"{name} {then!r} instead of {now!r}")
    return " and ".join(differences)


def _video_record(video: VideoFrames) -> dict[str, Any]:
    record = {field.name: getattr(video, field.name) for field in fields(video) if field.name != "frames"}
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in record.items()}


def _video_of(path: Path, record: Any) -> VideoFrames | None:
    if record is None:
        return None
    try:
        indices = np.asarray(record["indices"], np.int64)
        shown = record["shown_times"]
        return VideoFrames(
            np.empty((len(indices), 0, 0, 3), np.uint8),
            indices,
            np.asarray(record["timestamps"], np.float64),
            None if shown is None else np.asarray(shown, np.float64),
            float(record["duration"]),
            float(record["fps"]),
            int(record["total_frames"]),
            str(record["decoder"]),
            str(record["source"]),
            tuple(str(note) for note in record["notes"]),
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"{path}: its video is not described as `save` does it ({first_line(error)}); {REMEDY}"
        ) from error


def _read_tensors(path: Path, expected: Any) -> dict[str, Tensor]:
    try:
        found = file_hash(path)
        tensors = load_file(path) if found == expected else {}
    # A damaged or hostile file can fail anywhere in the reader, with any exception.
    except Exception as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); {REMEDY}") from error
    if found != expected:
        raise UserError(f"{path}: is cut short or changed, its SHA-256 is not that of the record; {REMEDY}")
    return tensors


def _expected(model: VLM3RForConditionalGeneration, prefix: int, with_video: bool) -> dict[str, tuple[int | None, ...]]:
    """Names and shapes of the floating tensors; None where any size may stand."""
    text = model.config.qwen2
    dim = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    shape = (1, text.num_key_value_heads or text.num_attention_heads, prefix, dim)
    expected: dict[str, tuple[int | None, ...]] = {}
    for index in range(text.num_hidden_layers):
        expected |= {_key_name(index): shape, _value_name(index): shape}
    return expected | ({"video_embeddings": (None, text.hidden_size)} if with_video else {})


def _check_tensors(
    path: Path, tensors: Mapping[str, Tensor], expected: Mapping[str, tuple[int | None, ...]], dtype: str
) -> None:
    wrong = sorted((tensors.keys() - {"prefix"}) ^ expected.keys())
    if wrong:
        raise UserError(f"{path}: {wrong[0]} is missing or not expected; {REMEDY}")
    for name, shape in expected.items():
        tensor = tensors[name]
        fits = tensor.ndim == len(shape) and all(
            want in (None, has) for want, has in zip(shape, tensor.shape, strict=True)
        )
        if not fits or str(tensor.dtype) != f"torch.{dtype}":
            raise UserError(f"{path}: {name} is {tensor.dtype} {tuple(tensor.shape)}, which does not fit; {REMEDY}")


def _key_name(layer: int) -> str:
    return f"keys.{layer}"


def _value_name(layer: int) -> str:
    return f"values.{layer}"
