"""LoRA adapters: read and write PEFT's files, merge into weights, attach to a model."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vlm3r.checkpoints.files import read_json, read_tensors
from vlm3r.checkpoints.maps import ADAPTER_PREFIX, LANGUAGE, Table, UnknownKeyError, to_native, to_published
from vlm3r.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

ADAPTER_NAME = "default"
LISTED = 5
PLAIN = {
    "alpha_pattern": {},
    "bias": "none",
    "fan_in_fan_out": False,
    "layer_replication": None,
    "lora_bias": False,
    "modules_to_save": None,
    "peft_type": "LORA",
    "rank_pattern": {},
    "trainable_token_indices": None,
    "use_dora": False,
    "use_qalora": False,
    "use_rslora": False,
}
"""Fields of `adapter_config.json` and the value that each has in a plain LoRA."""


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


def read_adapter(folder: Path, tensors: Mapping[str, Tensor], native_names: bool = False) -> Adapter:
    """The adapter of a folder with `adapter_config.json` and `adapter_model.safetensors` or `.bin`.

    Args:
        folder: the LoRA repository.
        tensors: the base model's weights under native names, which the adapter must fit.
        native_names: whether keys carry this project's module names instead of the published ones.

    Raises:
        UserError: a file is missing or broken, a key is unknown, a pair is incomplete or of another rank, or the
            adapter uses a feature beyond plain LoRA.
    """
    path = folder / "adapter_config.json"
    config = read_json(path)
    for field, plain in PLAIN.items():
        if config.get(field, plain) not in (plain, None, []):
            raise UserError(f"{path}: {field}={config[field]!r} is not supported; only plain LoRA adapters are")
    rank, alpha, dropout = _numbers(config, path)
    weights = folder / "adapter_model.safetensors"
    if not weights.exists():
        weights = folder / "adapter_model.bin"
    table = tuple((name, name) for _, name in LANGUAGE) if native_names else LANGUAGE
    matrices = _pair(read_tensors(weights), weights, table)
    for name, (a, b) in matrices.items():
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != rank or b.shape[1] != rank:
            shapes = f"A {tuple(a.shape)} and B {tuple(b.shape)}"
            raise UserError(f"{weights}: {name} has {shapes}, but {path.name} says rank {rank}; download both again")
    _check_targets(config.get("target_modules"), matrices, [n.removesuffix(".weight") for n in tensors], table, weights)
    adapter = Adapter(rank, alpha, dropout, matrices)
    check_adapter(tensors, adapter)
    return adapter


def _numbers(config: Mapping[str, Any], path: Path) -> tuple[int, float, float]:
    try:
        rank, alpha, dropout = int(config["r"]), float(config["lora_alpha"]), float(config.get("lora_dropout") or 0.0)
        if rank < 1 or not math.isfinite(alpha) or not 0 <= dropout < 1:
            raise ValueError
    except (KeyError, TypeError, ValueError, OverflowError):
        raise UserError(
            f"{path}: needs a rank r of at least 1, a number lora_alpha and lora_dropout below 1; get the adapter again"
        ) from None
    return rank, alpha, dropout


def _check_targets(targets: Any, found: Mapping[str, Any], modules: list[str], table: Table, path: Path) -> None:
    """Raise `UserError` unless the adapter has matrices for exactly the modules that `target_modules` selects."""
    if not isinstance(targets, list) or not all(isinstance(target, str) for target in targets):
        # A pattern, or a missing list as PEFT never writes it, says nothing that the base model could be asked for.
        return

    def selected(module: str) -> bool:
        try:
            name = to_published(module, table)
        except UnknownKeyError:
            return False
        return any(name == target or name.endswith(f".{target}") for target in targets)

    wanted = {module for module in modules if selected(module)}
    missing, unexpected = sorted(wanted - found.keys()), sorted(found.keys() - wanted)
    if missing or unexpected:
        kind, names = ("misses", missing) if missing else ("has unannounced", unexpected)
        listed = ", ".join(names[:LISTED])
        raise UserError(f"{path}: {kind} {len(names)} of the target modules ({listed}); download the adapter again")


def _pair(tensors: Mapping[str, Tensor], path: Path, table: Table) -> dict[str, tuple[Tensor, Tensor]]:
    found: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        module, _, part = key.removeprefix(ADAPTER_PREFIX).rpartition(".lora_")
        try:
            if part not in ("A.weight", "B.weight"):
                raise UnknownKeyError(key)
            sides = found.setdefault(to_native(module, table), {})
            if part[0] in sides:
                raise UserError(f"{path}: {key} stands there twice, with and without prefix; download it again")
            sides[part[0]] = tensor
        except UnknownKeyError:
            raise UserError(f"{path}: unknown adapter weight {key}; is this an adapter of another model?") from None
    incomplete = [name for name, pair in found.items() if len(pair) != 2]
    if incomplete or not found:
        names = ", ".join(incomplete[:LISTED]) or "no weights"
        raise UserError(f"{path}: incomplete adapter, A or B is missing: {names}; download it again")
    return {name: (pair["A"], pair["B"]) for name, pair in found.items()}


def zero_adapter(tensors: Mapping[str, Tensor]) -> Adapter:
    """An adapter of rank 1 on the projections of every decoder layer that changes none of them."""
    matrices = {}
    for name, weight in tensors.items():
        module = name.removesuffix(".weight")
        if module != name and module.startswith("language_model.model.layers.") and module.endswith("_proj"):
            rows, columns = weight.shape
            matrices[module] = (weight.new_zeros(1, columns), weight.new_zeros(rows, 1))
    return Adapter(1, 1.0, 0.0, matrices)


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

    settings: dict[str, Any] = {"lora_alpha": adapter.alpha}  # declared as whole, but any number is taken
    config = LoraConfig(
        **settings,
        r=adapter.rank,
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
    """The adapter that `attach_adapter` (or PEFT training) put on the model, or None.

    Raises:
        UserError: its modules differ in rank, scale or dropout, which a plain LoRA cannot say.
    """
    matrices: dict[str, tuple[Tensor, Tensor]] = {}
    kinds: set[tuple[int, float, float]] = set()
    layer: Any
    for name, layer in model.named_modules():
        if ADAPTER_NAME not in getattr(layer, "lora_A", {}):
            continue
        a, b = (side[ADAPTER_NAME].weight.detach().cpu() for side in (layer.lora_A, layer.lora_B))
        matrices[name] = (a, b)
        dropout = getattr(layer.lora_dropout[ADAPTER_NAME], "p", 0.0)
        kinds.add((layer.r[ADAPTER_NAME], float(layer.lora_alpha[ADAPTER_NAME]), dropout))
    if not matrices:
        return None
    if len(kinds) > 1:
        raise UserError("the adapter's modules differ in rank, alpha or dropout and cannot be saved as a plain LoRA")
    return Adapter(*kinds.pop(), matrices)
