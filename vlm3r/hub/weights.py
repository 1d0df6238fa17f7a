"""Weight files that are about to be published: whole, named as they should be, and finite."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from vlm3r.checkpoints.files import read_tensors
from vlm3r.checkpoints.lora import read_adapter
from vlm3r.checkpoints.maps import ADAPTER_PREFIX, LANGUAGE, UnknownKeyError, to_native
from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.hub.secrets import refuse_secrets


def check_weights(path: Path, source: str | Path) -> int:
    """Number of weights in a safetensors file, after a look at every one of them.

    Args:
        path: the file.
        source: what messages call it.

    Raises:
        UserError: it is no safetensors file (whatever its name), is cut short, holds no weights, or holds a value
            that is not finite; or its header carries a secret.
    """
    count = 0
    try:
        with safe_open(path, framework="pt") as file:
            refuse_secrets(json.dumps(file.metadata() or {}), source)
            for name in file.keys():  # noqa: SIM118 (not iterable itself)
                tensor: Tensor = file.get_tensor(name)
                if tensor.numel() == 0:
                    raise UserError(f"{source}: {name} is empty; write the checkpoint again")
                if tensor.is_floating_point() and not _finite(tensor):
                    raise UserError(f"{source}: {name} holds NaN or infinity; publish an earlier checkpoint")
                count += tensor.numel()
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(
            f"{source}: truncated or no safetensors file ({first_line(error)}); write the checkpoint again"
        ) from error
    if count == 0:
        raise UserError(f"{source}: holds no weights; write the checkpoint again")
    return count


def _finite(tensor: Tensor) -> bool:
    # The types of one byte know no `isfinite`.
    return bool(torch.isfinite(tensor.float() if tensor.element_size() == 1 else tensor).all())


def read_adapter_alone(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder's adapter, which agree with its configuration as far as that shows without the base.

    Raises:
        UserError: see `vlm3r.checkpoints.lora.read_adapter`.
    """
    path = folder / "adapter_model.safetensors"
    tensors = read_tensors(path if path.exists() else folder / "adapter_model.bin")
    read_adapter(folder, _targets(tensors))
    return tensors


def _targets(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Weights without content of the modules and sizes that an adapter is for."""
    found = {}
    for key, a in tensors.items():
        module, _, part = key.rpartition(".lora_")
        b = tensors.get(f"{module}.lora_B.weight")
        if part != "A.weight" or b is None or a.ndim != 2 or b.ndim != 2:
            continue
        try:
            name = to_native(module.removeprefix(ADAPTER_PREFIX), LANGUAGE)
        except UnknownKeyError:
            continue
        found[f"{name}.weight"] = torch.empty(b.shape[0], a.shape[1], device="meta")
    return found
