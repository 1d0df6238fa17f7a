"""What a run starts from: a checkpoint of any layout, with geometry, fusion and adapter as the recipe wants them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from cut3r import CUT3R, CheckpointError, CUT3RConfig
from torch import Tensor, nn

from vlm3r.checkpoints.files import read_json, resolve_folder
from vlm3r.checkpoints.loading import EMBEDDED_MODEL, default_cut3r, read_checkpoint
from vlm3r.checkpoints.lora import Adapter
from vlm3r.checkpoints.parts import Parts, make_config
from vlm3r.errors import UserError
from vlm3r.files import expand_home
from vlm3r.model import VLM3RConfig
from vlm3r.model.fusion import SpatialFusion
from vlm3r.training.recipe import DataRecipe, LoraRecipe, ModelRecipe, Recipe

FUSION = "fusion."
GEOMETRY = "geometry_encoder."
BLOCKS = "language_model.model.layers."
CHOICES = ("geometry_features", "pool_mode", "newline_position")


@dataclass(frozen=True)
class Start:
    """A checkpoint before training."""

    parts: Parts
    """Weights, adapter, tokenizer and settings; tensors lie on the CPU, memory-mapped where the files allow it."""
    base_name: str
    """What an adapter trained on it names as its base model."""
    native: bool
    """Whether the source is a native folder, which alone cannot be the base of a published LoRA repository."""


def read_start(recipe: Recipe) -> Start:
    """The checkpoint that the recipe starts from.

    Fresh weights (fusion, adapter) depend on the seed alone, so every process makes the same ones.

    Raises:
        UserError: the source cannot be read, or does not fit the recipe.
    """
    model = recipe.model
    native = _is_native(model)
    geometry = str(default_cut3r()) if model.geometry == "published" else model.geometry
    if native:
        parts, fresh = read_checkpoint(model.source, model.base, None)
        parts, fresh = _with_geometry(parts, geometry)
    else:
        parts, fresh = read_checkpoint(model.source, model.base, geometry)
    parts = _with_choices(parts, model, recipe.data)
    if parts.config.geometry != "none":
        parts = _with_fusion(parts, model, recipe.optimiser.seed, bool(fresh))
    parts = _with_adapter(parts, recipe)
    return Start(parts, _base_name(model), native)


def _is_native(model: ModelRecipe) -> bool:
    folder = EMBEDDED_MODEL if model.source is None else resolve_folder(model.source, "checkpoint")
    return read_json(folder / "config.json").get("model_type") == VLM3RConfig.model_type


def _base_name(model: ModelRecipe) -> str:
    if model.base is not None:
        return model.base
    if model.source is None:
        return str(EMBEDDED_MODEL)
    folder = resolve_folder(model.source, "checkpoint")
    adapter = folder / "adapter_config.json"
    named = read_json(adapter).get("base_model_name_or_path") if adapter.exists() else None
    # A folder is named in full, because the run's own folder is another place to look from.
    return str(named or (folder.resolve() if expand_home(model.source).is_dir() else model.source))


def _with_geometry(parts: Parts, geometry: str | None) -> tuple[Parts, tuple[str, ...]]:
    """A native checkpoint with the named geometry encoder in place of its own, or without any."""
    if geometry is None:
        return parts, ()
    if geometry == "none":
        return parts.without_geometry(), ()
    try:
        encoder = CUT3R.from_pretrained(geometry)
    except CheckpointError as error:
        raise UserError(f"model.geometry: {error}") from error
    fresh = () if parts.config.geometry != "none" else (FUSION,)
    fields = parts.config.to_dict() | {"geometry": "cut3r", "geometry_config": encoder.config.to_dict()}
    config = make_config(fields, "model.geometry")
    tensors = {name: tensor for name, tensor in parts.tensors.items() if not name.startswith(GEOMETRY)}
    tensors |= {GEOMETRY + name: tensor for name, tensor in encoder.state_dict().items()}
    return replace(parts, config=config, tensors=tensors), fresh


def _with_choices(parts: Parts, model: ModelRecipe, data: DataRecipe) -> Parts:
    """The recipe's choices of tokens and frames, which the trained model then keeps."""
    choices: dict[str, Any] = {name: getattr(model, name) for name in CHOICES if getattr(model, name) is not None}
    config = make_config(parts.config.to_dict() | choices | {"untrained": False}, "model")
    settings = parts.settings | {"add_time_instruction": data.time_instruction}
    if data.frames is not None:
        settings |= {"num_frames": data.frames}
    return replace(parts, config=config, settings=settings)


def _with_fusion(parts: Parts, model: ModelRecipe, seed: int, missing: bool) -> Parts:
    """A fresh fusion block where the source has none or the recipe asks for a fresh one."""
    if not missing and model.fusion_init is None:
        return parts
    config = parts.config
    width = CUT3RConfig.from_dict(config.geometry_config or {}).dec_embed_dim
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            fusion = SpatialFusion(config.siglip.hidden_size, width, config.fusion_num_heads, config.fusion_dropout)
        except ValueError as error:
            raise UserError(f"model.source: its fusion_num_heads do not fit ({error})") from error
        fusion.reset_parameters()
    if model.fusion_init != "published":
        nn.init.zeros_(fusion.out_norm.weight)
    tensors = {name: tensor for name, tensor in parts.tensors.items() if not name.startswith(FUSION)}
    return replace(parts, tensors=tensors | {FUSION + n: t.detach() for n, t in fusion.state_dict().items()})


def _with_adapter(parts: Parts, recipe: Recipe) -> Parts:
    """The adapter to train: the source's own, or a fresh one; merged where the language model is trained in full."""
    mode = recipe.parts.language_model
    if mode == "full":
        return parts.merged()
    if mode == "frozen":
        return parts
    if parts.adapter is None:
        return replace(parts, adapter=fresh_adapter(parts.tensors, recipe.lora, recipe.optimiser.seed))
    own, wanted = parts.adapter, recipe.lora
    targets = {module.rsplit(".", 1)[-1] for module in own.matrices}
    if (own.rank, own.alpha, targets) != (wanted.rank, wanted.alpha, set(wanted.targets)):
        raise UserError(
            f"lora: the source's adapter has rank {own.rank}, alpha {own.alpha:g} and targets "
            f"{', '.join(sorted(targets))}; give the same to continue it, or merge it first by vlm3r convert"
        )
    return replace(parts, adapter=replace(own, dropout=wanted.dropout))


def fresh_adapter(tensors: Mapping[str, Tensor], lora: LoraRecipe, seed: int) -> Adapter:
    """An adapter that changes nothing yet: A Kaiming-uniform as PEFT draws it, B zero.

    Raises:
        UserError: a target names no linear layer of the language model's blocks.
    """
    generator = torch.Generator().manual_seed(seed)
    matrices: dict[str, tuple[Tensor, Tensor]] = {}
    found: set[str] = set()
    for name in sorted(tensors):
        module = name.removesuffix(".weight")
        kind = module.rsplit(".", 1)[-1]
        if module == name or not module.startswith(BLOCKS) or tensors[name].ndim != 2:
            continue
        found.add(kind)
        if kind in lora.targets:
            rows, columns = tensors[name].shape
            a = torch.empty(lora.rank, columns)
            nn.init.kaiming_uniform_(a, a=math.sqrt(5), generator=generator)
            matrices[module] = (a, torch.zeros(rows, lora.rank))
    unknown = [target for target in lora.targets if target not in found]
    if unknown or not matrices:
        raise UserError(
            f"lora.targets: {', '.join(unknown) or 'none given'}; the layers are {', '.join(sorted(found))}"
        )
    return Adapter(lora.rank, lora.alpha, lora.dropout, matrices)
