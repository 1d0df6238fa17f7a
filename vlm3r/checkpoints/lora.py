"""LoRA adapters: read and write PEFT's files, merge into weights, attach to a model."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vlm3r.checkpoints.files import read_json, read_tensors
from vlm3r.checkpoints.maps import ADAPTER_PREFIX, LANGUAGE, UnknownKeyError, to_native, to_published
from vlm3r.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_NAME = "default"
# Features that change what the two matrices mean; an adapter that uses one must not be read as a plain LoRA.
UNSUPPORTED = {"use_dora": False, "use_rslora": False, "bias": "none", "rank_pattern": {}, "alpha_pattern": {}}


@dataclass(frozen=True)
class Adapter:
    """A plain LoRA: for every target module two matrices, `W' = W + (alpha / rank) B A`."""

    rank: int
    """Columns of B and rows of A."""
    alpha: float
    """Numerator of the scale."""
    dropout: float
    """Dropout on the module's input while training."""
    matrices: dict[str, tuple[Tensor, Tensor]]
    """Native module name to A `(rank, in)` and B `(out, rank)`."""

    @property
    def scale(self) -> float:
        """Factor of `B A`."""
        return self.alpha / self.rank


def read_adapter(folder: Path, native_names: bool = False) -> Adapter:
    """The adapter of a folder with `adapter_config.json` and `adapter_model.safetensors` or `.bin`.

    Args:
        folder: the LoRA repository.
        native_names: whether keys carry this project's module names instead of the published ones.

    Raises:
        UserError: a file is missing or broken, a key is unknown, a pair is incomplete or of another rank, or the
            adapter uses a feature beyond plain LoRA.
    """
    path = folder / "adapter_config.json"
    config = read_json(path)
    for field, plain in UNSUPPORTED.items():
        if config.get(field, plain) not in (plain, None):
            raise UserError(f"{path}: {field}={config[field]!r} is not supported; only plain LoRA adapters are")
    try:
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{path}: r and lora_alpha must be numbers; get the adapter again") from None
    weights = folder / "adapter_model.safetensors"
    if not weights.exists():
        weights = folder / "adapter_model.bin"
    table = tuple((name, name) for _, name in LANGUAGE) if native_names else LANGUAGE
    matrices = _pair(read_tensors(weights), weights, table)
    for name, (a, b) in matrices.items():
        if a.shape[0] != rank or b.shape[1] != rank:
            raise UserError(f"{weights}: {name} has rank {a.shape[0]}, but {path.name} says {rank}")
    return Adapter(rank, alpha, float(config.get("lora_dropout", 0.0)), matrices)


def _pair(tensors: Mapping[str, Tensor], path: Path, table: tuple[tuple[str, str], ...]) -> dict:
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        module, _, part = key.removeprefix(ADAPTER_PREFIX).rpartition(".lora_")
        try:
            if part not in ("A.weight", "B.weight"):
                raise UnknownKeyError(key)
            found.setdefault(to_native(module, table), {})[part[0]] = tensor
        except UnknownKeyError:
            raise UserError(f"{path}: unknown adapter weight {key}; is this an adapter of another model?") from None
    incomplete = [name for name, pair in found.items() if len(pair) != 2]
    if incomplete or not found:
        raise UserError(f"{path}: incomplete adapter: {', '.join(incomplete[:5]) or 'no weights'}; download it again")
    return {name: (pair["A"], pair["B"]) for name, pair in found.items()}


def write_adapter(adapter: Adapter, folder: Path, base_name: str, native_names: bool = False) -> None:
    """Write the adapter as PEFT does, under the published names unless `native_names`."""

    def name_of(module: str) -> str:
        return module if native_names else to_published(module, LANGUAGE)

    tensors = {}
    for module, (a, b) in adapter.matrices.items():
        tensors[f"{ADAPTER_PREFIX}{name_of(module)}.lora_A.weight"] = a.contiguous()
        tensors[f"{ADAPTER_PREFIX}{name_of(module)}.lora_B.weight"] = b.contiguous()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config: dict[str, Any] = {
        "base_model_name_or_path": base_name,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": adapter.alpha if adapter.alpha % 1 else int(adapter.alpha),
        "lora_dropout": adapter.dropout,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": adapter.rank,
        "target_modules": sorted(name_of(module) for module in adapter.matrices),
        "task_type": "CAUSAL_LM",
    }
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")


def merge_adapter(tensors: Mapping[str, Tensor], adapter: Adapter) -> dict[str, Tensor]:
    """The weights with the adapter added, computed in float32 and rounded once to each weight's own type.

    Raises:
        UserError: the adapter belongs to a model of another size.
    """
    check_adapter(tensors, adapter)
    merged = dict(tensors)
    for module, (a, b) in adapter.matrices.items():
        weight = tensors[f"{module}.weight"]
        delta = adapter.scale * (b.float() @ a.float())  # (out, in)
        merged[f"{module}.weight"] = (weight.float() + delta).to(weight.dtype)
    return merged


def check_adapter(tensors: Mapping[str, Tensor], adapter: Adapter) -> None:
    """Raise `UserError` unless every target module exists and has the adapter's size."""
    for module, (a, b) in adapter.matrices.items():
        weight = tensors.get(f"{module}.weight")
        if weight is None or tuple(weight.shape) != (b.shape[0], a.shape[1]):
            held = "absent" if weight is None else f"{tuple(weight.shape)}"
            raise UserError(
                f"the LoRA adapter does not fit the base model: {module} is {(b.shape[0], a.shape[1])} in the adapter "
                f"and {held} in the base; give the base model that the adapter was trained on"
            )


def attach_adapter(model: PreTrainedModel, adapter: Adapter) -> None:
    """Put the adapter beside the model's frozen weights, trainable, through PEFT."""
    from peft import LoraConfig

    config = LoraConfig(
        r=adapter.rank,
        lora_alpha=adapter.alpha,  # pyright: ignore
        lora_dropout=adapter.dropout,
        target_modules=sorted(adapter.matrices),
        task_type="CAUSAL_LM",
    )
    model.add_adapter(config, adapter_name=ADAPTER_NAME)
    with torch.no_grad():
        for module, (a, b) in adapter.matrices.items():
            layer: Any = model.get_submodule(module)
            layer.lora_A[ADAPTER_NAME].weight.copy_(a)
            layer.lora_B[ADAPTER_NAME].weight.copy_(b)


def detach_adapter(model: PreTrainedModel) -> Adapter | None:
    """The adapter that `attach_adapter` (or PEFT training) put on the model, or None."""
    matrices, layer = {}, None
    for name, module in model.named_modules():
        if ADAPTER_NAME in getattr(module, "lora_A", {}):
            layer = module
            matrices[name] = tuple(
                side[ADAPTER_NAME].weight.detach().cpu() for side in (module.lora_A, module.lora_B)  # pyright: ignore
            )
    if layer is None:
        return None
    dropout = layer.lora_dropout[ADAPTER_NAME]  # pyright: ignore
    return Adapter(layer.r[ADAPTER_NAME], layer.lora_alpha[ADAPTER_NAME], getattr(dropout, "p", 0.0), matrices)  # pyright: ignore
