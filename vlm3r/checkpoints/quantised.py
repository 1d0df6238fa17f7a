"""The language model's linear layers in 4 or 8 bits, through bitsandbytes; everything else stays as it is."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterator
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from vlm3r.errors import UserError

Quantization = Literal["4bit", "8bit"]
KEPT = ("vision_tower", "geometry_encoder", "fusion", "projector", "lm_head")
"""Modules whose layers keep the working precision."""
BLOCK, ROWS = 64, 32
"""Inputs and outputs that bitsandbytes packs together on a CPU; layers of other widths cannot be packed."""


def quantization_config(quantization: Quantization | None, dtype: torch.dtype) -> Any:
    """What `from_pretrained` is told; None to load all layers as they are.

    Raises:
        UserError: the name is unknown, or bitsandbytes is missing or too old.
    """
    if quantization is None:
        return None
    if quantization not in get_args(Quantization):
        raise UserError(f"unknown quantization {quantization!r}: expected {' or '.join(get_args(Quantization))}")
    # Else it warns in every layer of every step that 8-bit layers compute in float16.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    try:
        importlib.import_module("bitsandbytes")
    except ImportError:
        raise UserError("4- and 8-bit loading needs bitsandbytes: pip install -e '.[quant]' in the clone") from None
    from transformers import BitsAndBytesConfig
    from transformers.utils.import_utils import is_bitsandbytes_available

    if not is_bitsandbytes_available():
        raise UserError("bitsandbytes is too old for transformers: pip install -U bitsandbytes")
    return BitsAndBytesConfig(
        load_in_4bit=quantization == "4bit",
        load_in_8bit=quantization == "8bit",
        bnb_4bit_compute_dtype=dtype,
        bnb_4bit_quant_type="nf4",
        llm_int8_skip_modules=list(KEPT),
    )


def quantization_of(model: nn.Module) -> Quantization | None:
    """How a model was loaded."""
    if not getattr(model, "is_quantized", False):
        return None
    config: Any = model.config
    return "4bit" if config.quantization_config.load_in_4bit else "8bit"


def keep_unpacked(model: nn.Module) -> None:
    """Let 4-bit layers stay as they were loaded on a CPU too.

    In its first pass outside of training, bitsandbytes packs a layer for processors with AVX-512 bf16. A packed layer
    passes no gradients on, and asking for its `state_dict` spoils it.
    """
    for module in _four_bit_layers(model):
        module.support_avx512bf16_for_cpu = False


@torch.no_grad()
def pack(model: nn.Module) -> None:
    """Pack 4-bit layers on a CPU that gains by it, for inference only; layers whose widths do not fit stay as they are.

    One pass now, so that the weights are the same before and after the first question.
    """
    functional: Any = importlib.import_module("bitsandbytes.functional")
    packs = getattr(functional, "has_avx512bf16", None)  # older versions pack nothing
    if packs is None or not packs() or all(parameter.device.type != "cpu" for parameter in model.parameters()):
        return
    model.requires_grad_(False)  # packed layers fail where gradients are kept
    for module in _four_bit_layers(model):
        if module.in_features % BLOCK or module.out_features % ROWS:
            continue
        module.support_avx512bf16_for_cpu = True
        module(torch.zeros(1, module.in_features, dtype=module.compute_dtype))


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """The tensors that make up a model, by name: its `state_dict`, but 4-bit layers are read as they lie."""
    if quantization_of(model) != "4bit":
        return model.state_dict()
    tensors: dict[str, Tensor] = dict(model.named_parameters(recurse=False))
    for part, child in model.named_children():
        if not any(map(_is_four_bit, child.modules())):
            tensors |= child.state_dict(prefix=f"{part}.")
            continue
        for name, parameter in child.named_parameters(part, remove_duplicate=False):
            tensors[name] = parameter
            state = getattr(parameter, "quant_state", None)
            if state is not None:
                tensors[f"{name}.absmax"] = state.absmax
    return tensors


def _four_bit_layers(model: nn.Module) -> Iterator[Any]:
    return (module for module in model.modules() if _is_four_bit(module))


def _is_four_bit(module: nn.Module) -> bool:
    return hasattr(module, "support_avx512bf16_for_cpu")
