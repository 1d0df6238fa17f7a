"""The native layout: one folder of safetensors, configuration and processor, with an optional `adapter/`."""

from __future__ import annotations

from pathlib import Path

import torch
from huggingface_hub import save_torch_state_dict

from vlm3r.checkpoints.files import atomic_folder, read_json, read_model_folder
from vlm3r.checkpoints.lora import detach_adapter, read_adapter, write_adapter
from vlm3r.checkpoints.parts import Parts, check_settings, check_tensors, make_config
from vlm3r.checkpoints.published import read_generation, read_tokenizer
from vlm3r.errors import UserError
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor

ADAPTER_FOLDER = "adapter"
SETTINGS = ("num_frames", "video_fps", "force_sample", "add_time_instruction", "max_length")
"""What the processor decides alone; everything else follows from the model's configuration."""


def read_native(folder: Path) -> Parts:
    """The checkpoint in a native folder.

    Raises:
        UserError: a file is missing, broken, or does not fit the others.
    """
    raw = read_json(folder / "config.json")
    config = make_config({k: v for k, v in raw.items() if k != "model_type"}, str(folder / "config.json"))
    tensors = read_model_folder(folder)
    check_tensors(config, tensors, str(folder))
    adapter = None
    if (folder / ADAPTER_FOLDER / "adapter_config.json").exists():
        adapter = read_adapter(folder / ADAPTER_FOLDER, tensors, native_names=True)
    tokenizer = read_tokenizer(folder)
    saved = read_json(folder / "processor_config.json")
    settings = {name: saved[name] for name in SETTINGS if name in saved}
    check_settings(settings, str(folder / "processor_config.json"))
    return Parts(config, tensors, adapter, tokenizer, read_generation(folder, tokenizer), settings)


def write_native(parts: Parts, folder: Path, overwrite: bool = False, max_shard_size: str = "5GB") -> None:
    """Write a native folder in one step; weights keep the types that they have.

    Raises:
        UserError: the folder exists already, or the disk is full.
    """
    with atomic_folder(folder, overwrite) as building:
        tensors: dict[str, torch.Tensor] = {name: t.contiguous() for name, t in parts.tensors.items()}
        save_torch_state_dict(tensors, building, max_shard_size=max_shard_size)
        parts.config.architectures = [VLM3RForConditionalGeneration.__name__]
        parts.config.save_pretrained(building)
        parts.generation.save_pretrained(building)
        VLM3RProcessor.from_config(parts.config, parts.tokenizer, **parts.settings).save_pretrained(building)
        if parts.adapter is not None:
            (building / ADAPTER_FOLDER).mkdir()
            write_adapter(parts.adapter, building / ADAPTER_FOLDER, base_name="..", native_names=True)


def parts_of(model: VLM3RForConditionalGeneration, processor: VLM3RProcessor) -> Parts:
    """What a model in memory (with or without an attached adapter) would be saved as.

    Raises:
        UserError: the model is quantised; its original weights are gone.
    """
    if getattr(model, "is_quantized", False):
        raise UserError("a model loaded in 4 or 8 bits cannot be saved; load it again without quantisation")
    tensors = {
        name.replace(".base_layer.", "."): tensor.detach().cpu()
        for name, tensor in model.state_dict().items()
        if ".lora_" not in name
    }
    settings = {name: getattr(processor, name) for name in SETTINGS}
    adapter = detach_adapter(model)
    return Parts(model.config, tensors, adapter, processor.tokenizer, model.generation_config, settings)
