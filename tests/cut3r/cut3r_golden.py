"""The recorded outputs of the published CUT3R, and models and inputs to reproduce them."""

from __future__ import annotations

import functools
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cut3r import CUT3R
from safetensors.torch import load_file
from torch import Tensor

from tests.fill import fill

DATA = Path(__file__).resolve().parents[1] / "data" / "parity" / "cut3r"
MAPS = ("pts3d_in_self_view", "conf_self", "pts3d_in_other_view", "conf", "rgb")
# Running CRC-32 of all distinct weights in manifest order, and of the input (of case a).
CHECKSUMS = {"tiny": ("afa11f69", "04b69d96"), "tiny_dpt": ("ecb5c345", "4cf43fa7"), "full": ("23f75863", "6d7c59b6")}


def infinities(value: Any) -> Any:
    """JSON's stand-ins "inf" and "-inf" as floats, lists as tuples."""
    if isinstance(value, list):
        return tuple(infinities(item) for item in value)
    if isinstance(value, dict):
        return {key: infinities(item) for key, item in value.items()}
    return float(value) if value in ("inf", "-inf") else value


@functools.cache
def config_of(name: str) -> dict[str, Any]:
    return json.loads((DATA / name / "config.json").read_text())


@functools.cache
def manifest_of(name: str) -> dict[str, Any]:
    path = DATA / "full_manifest.json" if name == "full" else DATA / name / "manifest.json"
    return json.loads(path.read_text())


@functools.cache
def golden_of(name: str) -> dict[str, Tensor]:
    return load_file(DATA / name / "golden.safetensors")


def constructor_of(name: str) -> dict[str, Any]:
    return infinities(config_of(name)["constructor"])


@functools.cache
def published_weights(name: str) -> dict[str, Tensor]:
    manifest, scale = manifest_of(name), config_of(name)["fill_scale"]
    aliases = manifest["aliases"]
    weights = {
        key: fill(key, tuple(shape["shape"] if isinstance(shape, dict) else shape)) * scale.get(key, 1.0)
        for key, shape in manifest["tensors"].items()
        if key not in aliases
    }
    return weights | {key: weights[target] for key, target in aliases.items()}


@functools.cache
def model_of(name: str) -> CUT3R:
    return CUT3R.from_published(constructor_of(name), published_weights(name)).eval()


def weights_checksum(name: str) -> str:
    crc, aliases = 0, manifest_of(name)["aliases"]
    for key, value in published_weights(name).items():
        if key not in aliases:
            crc = zlib.crc32(value.contiguous().numpy().tobytes(), crc)
    return f"{crc:08x}"


def case_of(name: str, case: str) -> dict[str, Any]:
    return config_of(name)["cases"][case]


def inputs_of(case: dict[str, Any]) -> dict[str, Tensor]:
    """Arguments of a rollout, frame axis second; NaN wherever a mask is false."""
    frames, batch, height, width = (case[key] for key in ("frames", "batch", "height", "width"))
    generator = np.random.Generator(np.random.PCG64(case["seed"]))

    def uniform(*shape: int) -> Tensor:
        drawn = generator.random((frames, batch, *shape), dtype=np.float32) * 2 - 1
        return torch.from_numpy(drawn).transpose(0, 1).contiguous()

    inputs = {"frames": uniform(3, height, width)}
    for key, default in (("img_mask", True), ("ray_mask", False), ("update", True), ("reset", False)):
        if key in case:
            mask = torch.full((batch, frames), default)
            for frame, row in case[key].items():
                mask[:, int(frame)] = torch.tensor(row)
            inputs[key] = mask
    if "img_mask" in inputs:
        inputs["frames"][~inputs["img_mask"]] = float("nan")
    if "ray_mask" in inputs:
        inputs["ray_maps"] = uniform(height, width, 6)
        inputs["ray_maps"][~inputs["ray_mask"]] = float("nan")
    return inputs


class Recorder:
    """Keeps what goes in and out of every step of a model's rollouts, stacked as the goldens are (frame axis first)."""

    def __init__(self, model: CUT3R) -> None:
        self.model = model
        self.rows: dict[str, list[Tensor]] = {}

    def __enter__(self) -> Recorder:
        step, depth = self.model.step, self.model.config.dec_depth

        def recorded(encoded, carry, *args, **kwargs):
            if "state" not in self.rows:
                self.add(state=carry.state, mem=carry.memory)
            result = step(encoded, carry, *args, **kwargs)
            self.add(enc_feat=encoded, pose_in=result.pose_in, state=result.carry.state, mem=result.carry.memory)
            return result

        self.model.step = recorded
        self.hooks = [
            self.model.dec_blocks[layer - 1].register_forward_hook(
                lambda _, __, output, name=name: self.add(**{name: output[0]})
            )
            for name, layer in (("dec_hook2", depth * 2 // 4), ("dec_hook3", depth * 3 // 4))
        ]
        return self

    def __exit__(self, *_: object) -> None:
        del self.model.step
        for hook in self.hooks:
            hook.remove()

    def add(self, **tensors: Tensor) -> None:
        for name, tensor in tensors.items():
            self.rows.setdefault(name, []).append(tensor.detach())

    def stacked(self) -> dict[str, Tensor]:
        return {name: torch.stack(rows) for name, rows in self.rows.items()}


def output_tensors(output: Any, map_stride: int = 1) -> dict[str, Tensor]:
    """A rollout's per-frame tensors under the goldens' names, frame axis first, maps strided."""
    tensors = {"camera_token": output.camera_tokens, "patch_tokens": output.patch_tokens}
    if output.camera_pose is not None:
        tensors["camera_pose"] = output.camera_pose
        tensors |= {name: getattr(output, name)[:, :, ::map_stride, ::map_stride] for name in MAPS}
    return {name: value.transpose(0, 1) for name, value in tensors.items()}


def errors(ours: Tensor, golden: Tensor) -> tuple[float, float]:
    """Relative L2 error and largest elementwise |a - b| / (1 + |b|); infinite where shapes differ or a NaN is."""
    if ours.shape != golden.shape or not torch.isfinite(ours).all():
        return float("inf"), float("inf")
    difference, golden = ours.double() - golden.double(), golden.double()
    return float(difference.norm() / golden.norm()), float((difference.abs() / (1 + golden.abs())).max())


def tiny_frames(batch: int, frames: int, height: int = 48, width: int = 64, seed: int = 0) -> Tensor:
    """Random frames in [-1, 1)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, frames, 3, height, width, generator=generator) * 2 - 1
