#!/usr/bin/env python
"""Compares SigLIP, fusion, projector and pooling at published size with recorded outputs: about 3 GiB, a minute.

    python scripts/check/frontend_published_size.py

Weights are noise that depends on their published names and reach the model through the declared key maps, so no
checkpoint is needed. Prints one line per tensor and exits with 1 if any is outside its limit.
"""

from __future__ import annotations

import json
import sys
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.fill import fill  # noqa: E402
from vlm3r.checkpoints import maps  # noqa: E402
from vlm3r.model import VLM3RConfig  # noqa: E402
from vlm3r.model.fusion import Projector, SpatialFusion  # noqa: E402
from vlm3r.model.resampler import place_newlines, pool_frames  # noqa: E402
from vlm3r.model.vision import VisionTower  # noqa: E402
from vlm3r.processing.processor import make_image_processor  # noqa: E402

RECORD = ROOT / "tests" / "data" / "parity" / "vlm3r" / "full_frontend"


def shapes(part: str) -> dict[str, list[int]]:
    """Published key to shape."""
    return json.loads((RECORD / f"{part}.manifest.json").read_text())


def native_weights() -> dict[str, Tensor]:
    """The front end's weights under native names, filled by published name; the LoRA repository's projector wins."""
    base = {
        maps.to_native(key, maps.BASE): (key, shape)
        for key, shape in shapes("base").items()
        if key.startswith(("model.vision_tower.", "model.image_newline"))
    }
    trained = {
        maps.to_native(short, maps.NON_LORA): (key, shape)
        for key, shape in shapes("non_lora_trainables").items()
        for short in maps.strip_non_lora_prefix({key: None})
    }
    return {name: fill(key, tuple(shape)) for name, (key, shape) in (base | trained).items()}


def loaded(module: nn.Module, weights: dict[str, Tensor], prefix: str) -> nn.Module:
    """The module with the weights whose names begin with `prefix`."""
    own = {name.removeprefix(prefix): tensor for name, tensor in weights.items() if name.startswith(prefix)}
    module.load_state_dict(own)
    return module.eval()


def recorded_input(spec: dict, draw: str) -> np.ndarray:
    """An input of the record, checked against its checksum."""
    generator = np.random.Generator(np.random.PCG64(spec["seed"]))
    if draw == "integers":
        array = generator.integers(0, 256, spec["shape"], dtype=np.uint8)
    else:
        array = generator.standard_normal(spec["shape"], dtype=np.float32)
    if zlib.crc32(array.tobytes()) != spec["crc32"]:
        raise SystemExit("an input is not the recorded one: does numpy draw as it used to?")
    return array


@torch.no_grad()
def compute(inputs: dict) -> dict[str, Tensor]:
    """Every recorded tensor from the project's modules."""
    config, weights = VLM3RConfig(), native_weights()
    dim = config.siglip.hidden_size
    tower = loaded(VisionTower(config.siglip), weights, "vision_tower.")
    frame = recorded_input(inputs["frame"], "integers")
    tokens = torch.from_numpy(recorded_input(inputs["spatial_tokens"], "normal"))
    fusion: nn.Module = loaded(SpatialFusion(dim, tokens.shape[-1], config.fusion_num_heads), weights, "fusion.")
    projector = loaded(Projector(dim, config.qwen2.hidden_size), weights, "projector.")
    assert isinstance(fusion, SpatialFusion)
    pixels = make_image_processor(config.image_size)(list(frame), return_tensors="pt")["pixel_values"]
    side = (config.geometry_image_size,) * 2
    out = {"pixel_values": pixels, "vision_tokens": tower(pixels)}
    out["spatial_pixel_values"] = F.interpolate(pixels, size=side, mode="bilinear", align_corners=False)
    query, key, _ = fusion.project(out["vision_tokens"], tokens)
    out["fusion_attention"] = fusion.attention.weights(query, key)
    out["fused"] = fusion(out["vision_tokens"][None], tokens[None])[0]
    out["fused_patch_tokens_only"] = fusion(out["vision_tokens"][None], tokens[None, :, 1:])[0]
    out["projected"] = projector(out["fused"])
    for mode in ("average", "max", "bilinear"):
        pooled = out[f"pooled_{mode}"] = pool_frames(out["projected"], mode)
        out[f"sequence_{mode}_grid"] = place_newlines(pooled, weights["image_newline"], "grid")
    return out


def main() -> int:
    """Print the comparison; the exit status says whether everything agrees."""
    record, golden = json.loads((RECORD / "golden.json").read_text()), load_file(RECORD / "golden.safetensors")
    ours, limits, bad = compute(record["inputs"]), record["atol"], 0
    for name, tensor in ours.items():
        part = tensor[tuple(slice(None, None, step) for step in record["slices"][name])]
        error = float((part - golden[name]).abs().max())
        norm = abs(float(tensor.double().norm()) / record["norms"][name] - 1)
        limit = limits.get(name, limits["others"])
        good = list(tensor.shape) == record["shapes"][name] and error <= limit and norm <= record["norm_rtol"]
        bad += not good
        print(
            f"{name:<26} largest difference {error:.1e} (limit {limit:.0e})  norm {norm:.1e}  {'' if good else 'BAD'}"
        )
    first = ours["vision_tokens"].norm(dim=-1).flatten()[:8]
    bad += not torch.allclose(first, torch.tensor(record["vision_token_norms_first8"]), rtol=1e-6)
    print("all within their limits" if not bad else f"{bad} outside their limits")
    return int(bool(bad))


if __name__ == "__main__":
    raise SystemExit(main())
