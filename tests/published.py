"""A small checkpoint in the published layout, written from the recorded manifests and the deterministic filling."""

from __future__ import annotations

import argparse
import functools
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.fill import fill
from vlm3r.checkpoints import maps

TINY = Path(__file__).resolve().parent / "data" / "parity" / "vlm3r" / "tiny"
FULL_FRONTEND = TINY.parent / "full_frontend"
CUT3R_NAME = "cut3r_512_dpt_4_64.pth"
BaseForm = Literal["file", "index", "set", "bin"]
Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Published:
    """The three parts of a published checkpoint."""

    lora: Path
    base: Path
    geometry: Path

    @property
    def sources(self) -> dict[str, Any]:
        """Keyword arguments of `vlm3r.load` and `read_checkpoint`."""
        return {"checkpoint": self.lora, "base": self.base, "geometry": self.geometry}


@functools.cache
def golden_json() -> dict[str, Any]:
    return json.loads((TINY / "golden.json").read_text())


@functools.cache
def golden_tensors() -> Weights:
    return load_file(TINY / "golden.safetensors")


@functools.cache
def manifest(part: str) -> dict[str, tuple[int, ...]]:
    """Key to shape of `base/model`, `lora/adapter_model`, `lora/non_lora_trainables` or `cut3r/model`."""
    shapes = json.loads((TINY / f"{part}.manifest.json").read_text())
    return {key: tuple(shape) for key, shape in shapes.items()}


@functools.cache
def _filled(part: str) -> Weights:
    return {key: fill(key, shape) for key, shape in manifest(part).items()}


def filled(part: str) -> Weights:
    """The weights of a part; a dictionary of the caller's own."""
    return dict(_filled(part))


def size_overrides() -> dict[str, Any]:
    """What `config_overrides` must say, because published configurations only imply their sizes."""
    sizes = json.loads((TINY / "lora" / "config.json").read_text())["parity_overrides"]
    return {
        "vision_config": sizes["vision_config"],
        "geometry_image_size": sizes["spatial_image_size"],
        "vocab_size": sizes["vocab_size"],
    }


def golden_frames() -> NDArray[np.uint8]:
    """The recorded run's frames (frame, H, W, 3)."""
    spec = golden_json()["inputs"]["frames"]
    generator = np.random.Generator(np.random.PCG64(spec["seed"]))
    return generator.integers(0, 256, spec["shape"], dtype=np.uint8)


def write_published(
    root: Path,
    adapter: Literal["safetensors", "bin"] = "safetensors",
    non_lora_prefix: str = maps.NON_LORA_PREFIXES[0],
    base_form: BaseForm = "file",
    lora_name: str = "vlm-3r-llava-qwen2-lora",
    base_name: str = "LLaVA-NeXT-Video-7B-Qwen2",
) -> Published:
    """Write the three parts into the existing folder `root`."""
    parts = Published(root / lora_name, root / base_name, root / CUT3R_NAME)
    for source, target in ((TINY / "base", parts.base), (TINY / "lora", parts.lora)):
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("*.manifest.json"))
    write_base(filled("base/model"), parts.base, base_form)
    write_adapter(filled("lora/adapter_model"), parts.lora, adapter)
    write_non_lora(filled("lora/non_lora_trainables"), parts.lora, non_lora_prefix)
    write_cut3r(filled("cut3r/model"), parts.geometry)
    return parts


def write_base(weights: Weights, folder: Path, form: BaseForm = "file") -> None:
    """Write the base model's weights: one file, shards with an index, any set of files, or a pickle."""
    save = functools.partial(save_file, metadata={"format": "pt"})
    half = len(weights) // 2
    first, second = dict(list(weights.items())[:half]), dict(list(weights.items())[half:])
    if form == "bin":
        torch.save(weights, folder / "pytorch_model.bin")
    elif form == "set":
        save(first, folder / "language.safetensors")
        save(second, folder / "vision.safetensors")
    elif form == "index":
        names = ("model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors")
        for part, name in zip((first, second), names, strict=True):
            save(part, folder / name)
        where = dict.fromkeys(first, names[0]) | dict.fromkeys(second, names[1])
        index = {"metadata": {"total_size": 0}, "weight_map": where}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    else:
        save(weights, folder / "model.safetensors")


def write_adapter(weights: Weights, folder: Path, form: str = "safetensors") -> None:
    """Write the LoRA matrices."""
    if form == "bin":
        torch.save(weights, folder / "adapter_model.bin")
    else:
        save_file(weights, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def write_non_lora(weights: Weights, folder: Path, prefix: str = maps.NON_LORA_PREFIXES[0]) -> None:
    """Write fusion and projector under keys that begin with `prefix` and `model.`."""
    renamed = {prefix + key.removeprefix(maps.NON_LORA_PREFIXES[0]): tensor for key, tensor in weights.items()}
    torch.save(renamed, folder / "non_lora_trainables.bin")


def write_cut3r(weights: Weights, path: Path) -> None:
    """Write CUT3R's file, whose arguments are an object as in the published one."""
    args = json.loads((TINY / "cut3r" / "args.json").read_text())["args"]
    torch.save({"model": weights, "args": argparse.Namespace(**args), "epoch": 0}, path)


def edit_json(path: Path, **changes: Any) -> None:
    """Change fields of a JSON file; `...` takes one out."""
    value = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({key: item for key, item in value.items() if item is not ...}))
