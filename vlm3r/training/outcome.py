"""What a finished run leaves: the model, the adapter in the published layout, and PEFT's own."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from vlm3r.checkpoints.files import atomic_folder
from vlm3r.checkpoints.lora import Adapter, write_adapter, zero_adapter
from vlm3r.checkpoints.native import write_native
from vlm3r.checkpoints.parts import Parts
from vlm3r.checkpoints.published import published_config_dict, write_lora_repository
from vlm3r.training.parts import LORA
from vlm3r.training.start import Start

MODEL, ADAPTER, PEFT = "model", "adapter", "peft"
IN_REPOSITORY = ("fusion.", "projector.")
"""Weights that a published LoRA repository holds beside the adapter."""


def finished_parts(start: Start, trained: Mapping[str, Tensor]) -> Parts:
    """The start with the trained weights in place.

    The language model's own weights keep the type in which the start stores them; the others, and the adapter, stay
    float32 as they were trained.

    Args:
        start: what training began with.
        trained: trained weights under the model's names, adapter matrices included.
    """
    parts = start.parts
    tensors = dict(parts.tensors)
    matrices = {} if parts.adapter is None else dict(parts.adapter.matrices)
    for name, tensor in trained.items():
        if LORA not in name:
            stored = tensors[name].dtype if name.startswith("language_model.") else tensor.dtype
            tensors[name] = tensor.to(stored)
            continue
        module, _, side = name.partition(LORA)
        a, b = matrices[module]
        matrices[module] = (tensor, b) if side.startswith("A") else (a, tensor)
    adapter = None if parts.adapter is None else replace(parts.adapter, matrices=matrices)
    return replace(parts, tensors=tensors, adapter=adapter)


def write_outcome(start: Start, trained: Mapping[str, Tensor], run: Path) -> None:
    """Write `model/`, which `vlm3r.load` reads, and where there is an adapter `adapter/` and `peft/`.

    `adapter/` is the published LoRA repository (adapter, fusion and projector; it names its base model). Where the
    base is of the published layout and nothing else was trained, `model` is a link to it and the base is not written
    again; else `model/` is a native folder that holds everything.

    Raises:
        UserError: the disk is full.
    """
    parts = finished_parts(start, trained)
    beyond = [name for name in trained if LORA not in name and not name.startswith(IN_REPOSITORY)]
    fits_repository = not any(name.startswith("language_model.") for name in beyond)
    adapter = parts.adapter or (zero_adapter(parts.tensors) if parts.config.geometry == "cut3r" else None)
    if adapter is not None and fits_repository:
        _write_repository(replace(parts, adapter=adapter), start.base_name, run / ADAPTER)
    if parts.adapter is not None:
        _write_peft(parts.adapter, start.base_name, run / PEFT)
    model = run / MODEL
    if model.is_symlink():
        model.unlink()
    if start.native or beyond or adapter is None:
        write_native(parts, model, overwrite=True)
    else:
        shutil.rmtree(model, ignore_errors=True)
        model.symlink_to(ADAPTER)


def _write_repository(parts: Parts, base_name: str, folder: Path) -> None:
    with atomic_folder(folder, overwrite=True) as building:
        write_lora_repository(parts, building, base_name, published_config_dict(parts))


def _write_peft(adapter: Adapter, base_name: str, folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    with atomic_folder(folder) as building:
        write_adapter(adapter, building, base_name, native_names=True)
