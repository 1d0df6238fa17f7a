"""A checkpoint in memory, whatever layout it was read from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from cut3r import CUT3R, CUT3RConfig
from huggingface_hub.errors import StrictDataclassError
from torch import Tensor
from transformers import GenerationConfig, PreTrainedTokenizerBase

from vlm3r.checkpoints.lora import Adapter, merge_adapter
from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration

GEOMETRY_PREFIXES = ("geometry_encoder.", "fusion.")
LISTED = 8
# Everything that the configuration classes and the model's constructor say of values that fit no model.
BAD_SIZES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    KeyError,
    RuntimeError,
    StrictDataclassError,
    TypeError,
    ValueError,
)


@dataclass(frozen=True)
class Parts:
    """Everything that a checkpoint holds, under native names and in the types in which it is stored."""

    config: VLM3RConfig
    """The model's configuration."""
    tensors: Mapping[str, Tensor]
    """Native weight name to tensor, the adapter not included."""
    adapter: Adapter | None
    """The LoRA adapter, where it is kept apart."""
    tokenizer: PreTrainedTokenizerBase
    """Qwen2's tokenizer."""
    generation: GenerationConfig
    """Defaults of `generate`."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Further arguments of the processor: frame sampling, time sentence, longest prompt."""

    def merged(self) -> Parts:
        """The same model with its adapter added to the weights."""
        if self.adapter is None:
            return self
        return replace(self, tensors=merge_adapter(self.tensors, self.adapter), adapter=None)

    def cast(self, dtype: torch.dtype) -> Parts:
        """The same model with all its weights, and its adapter's, in another number format.

        Raises:
            UserError: a weight is too large for the format.
        """
        adapter = self.adapter
        if adapter is not None:
            matrices = {n: (_cast(n, a, dtype), _cast(n, b, dtype)) for n, (a, b) in adapter.matrices.items()}
            adapter = replace(adapter, matrices=matrices)
        return replace(self, tensors={n: _cast(n, t, dtype) for n, t in self.tensors.items()}, adapter=adapter)

    def without_geometry(self) -> Parts:
        """The plain video language model: no geometry encoder, no fusion."""
        config = VLM3RConfig(**(self.config.to_dict() | {"geometry": "none", "geometry_config": None}))
        tensors = {k: t for k, t in self.tensors.items() if not k.startswith(GEOMETRY_PREFIXES)}
        return replace(self, config=config, tensors=tensors)

    def geometry_encoder(self) -> CUT3R:
        """The geometry encoder alone, in its stored type; only where `config.geometry` is `cut3r`."""
        prefix = GEOMETRY_PREFIXES[0]
        state = {k.removeprefix(prefix): t for k, t in self.tensors.items() if k.startswith(prefix)}
        with torch.device("meta"):
            encoder = CUT3R(CUT3RConfig.from_dict(self.config.geometry_config or {}))
        encoder.load_state_dict(state, assign=True)
        return encoder


def _cast(name: str, tensor: Tensor, dtype: torch.dtype) -> Tensor:
    result = tensor.to(dtype)
    narrower = torch.finfo(dtype).max < torch.finfo(tensor.dtype).max
    if narrower and bool(result.isinf().any()) and not bool(tensor.isinf().any()):
        shown = str(dtype).removeprefix("torch.")
        raise UserError(f"{name}: holds numbers too large for {shown}; keep its format, or take another one")
    return result


def make_config(fields: Mapping[str, Any], source: str) -> VLM3RConfig:
    """A configuration with these fields.

    Args:
        fields: arguments of `VLM3RConfig`.
        source: what the message calls the place where they stand.

    Raises:
        UserError: a value is unknown or of the wrong kind.
    """
    try:
        return VLM3RConfig(**fields)
    except BAD_SIZES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{source}: no usable configuration: {reason}") from error


def check_settings(settings: Mapping[str, Any], source: str) -> None:
    """Raise unless the processor can work with these settings; those that are absent keep their defaults.

    Args:
        settings: as `Parts.settings`.
        source: what the message calls the file that they stand in.

    Raises:
        UserError: a value of another kind, or a number that nothing can have.
    """
    for name, value in settings.items():
        if name in ("num_frames", "max_length"):
            fits, wanted = type(value) is int and value >= 1, "a whole number of at least 1"
        elif name == "video_fps":
            fits, wanted = type(value) in (int, float) and 0 < value < math.inf, "a number above 0"
        else:
            fits, wanted = type(value) is bool, "true or false"
        if not fits:
            raise UserError(f"{source}: {name} is {value!r}; it must be {wanted}")


def _check_frame_size(config: VLM3RConfig) -> None:
    """Raise `ValueError` unless the geometry encoder can read frames of the configured size."""
    if config.geometry == "none":
        return
    side, patch = config.geometry_image_size, CUT3RConfig.from_dict(config.geometry_config or {}).patch_size
    if side < 1 or side % patch:
        raise ValueError(f"geometry_image_size must be a positive multiple of the patch size, {patch}, and is {side}")


def check_tensors(config: VLM3RConfig, tensors: Mapping[str, Tensor], source: str, fresh: tuple[str, ...] = ()) -> None:
    """Raise unless the weights are exactly those that the configuration asks for.

    Args:
        config: the model's configuration.
        tensors: native weight name to tensor.
        source: what the message calls the checkpoint.
        fresh: prefixes of weights that may be missing, because training starts them anew.

    Raises:
        UserError: missing, unexpected, mis-shaped or mistyped weights, listed; or no model has such a configuration.
    """
    try:
        with torch.device("meta"):
            wanted = {name: tuple(t.shape) for name, t in VLM3RForConditionalGeneration(config).state_dict().items()}
        _check_frame_size(config)
    except BAD_SIZES as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{source}: config.json describes no possible model: {reason}") from error
    missing = [name for name in wanted if name not in tensors and not name.startswith(fresh or ("\0",))]
    unexpected = [name for name in tensors if name not in wanted]
    misshaped = [
        f"{name} {tuple(t.shape)} instead of {wanted[name]}"
        for name, t in tensors.items()
        if name in wanted and tuple(t.shape) != wanted[name]
    ]
    mistyped = [f"{name} {t.dtype}" for name, t in tensors.items() if name in wanted and not t.is_floating_point()]
    problems = [
        f"{len(names)} {kind} ({', '.join(names[:LISTED])}{', ...' if len(names) > LISTED else ''})"
        for kind, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("mis-shaped", misshaped),
            ("not of a float type", mistyped),
        )
        if names
    ]
    if problems:
        raise UserError(f"{source}: weights do not match the model: {'; '.join(problems)}; is a part of another size?")
