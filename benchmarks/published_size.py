#!/usr/bin/env python
"""SigLIP, CUT3R, fusion and Qwen2-7B prefill at published size with random weights, beside their floors.

    python benchmarks/published_size.py --device cuda --dtype bfloat16
    python benchmarks/published_size.py --device cpu --dtype float32 --frames 1 --parts vision fusion

A floor is the part's FLOPs over `--peak` (TFLOP/s; default the dense bf16 peak of an H100 SXM). Each part is built,
timed (median of `--repeat` after a warm-up) and freed before the next, so that one part at a time must fit in memory.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cut3r import CUT3R, CUT3RConfig
from torch import nn
from transformers import Qwen2ForCausalLM

from vlm3r.model import VLM3RConfig
from vlm3r.model.costs import prefill_flops
from vlm3r.model.fusion import Projector, SpatialFusion
from vlm3r.model.geometry import encode_geometry
from vlm3r.model.vision import VisionTower

H100_PEAK = 989.0
TEXT_TOKENS = 80
PARTS = ("vision", "geometry", "fusion", "language")


def materialise(module: nn.Module, args: argparse.Namespace) -> Any:
    """A module built on the meta device, filled with small random weights on the real one."""
    module = module.to(args.dtype).to_empty(device=args.device).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.normal_(std=0.02)
    return module


def build(part: str, config: VLM3RConfig, args: argparse.Namespace) -> Callable[[], Any]:
    """The work of one part on random inputs."""

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, device=args.device, dtype=args.dtype)

    side, frames = config.image_size, args.frames
    tokens = config.layout.grid_side**2
    with torch.device("meta"):
        encoder = CUT3R(CUT3RConfig())
        width = encoder.config.dec_embed_dim
    if part == "vision":
        with torch.device("meta"):
            tower = VisionTower(config.siglip)
        tower = materialise(tower, args)
        tower.embeddings.position_ids = torch.arange(tokens, device=args.device)[None]
        pixels = random(1, frames, 3, side, side)
        return lambda: tower(pixels)
    if part == "geometry":
        encoder = materialise(encoder, args)
        if args.compile:
            encoder.step = torch.compile(encoder.step, dynamic=False)
        pixels = random(1, frames, 3, side, side).clamp(-1, 1)
        return lambda: encode_geometry(encoder, pixels, config.geometry_image_size)
    if part == "fusion":
        with torch.device("meta"):
            fusion = SpatialFusion(config.siglip.hidden_size, width, config.fusion_num_heads)
            projector = Projector(config.siglip.hidden_size, config.qwen2.hidden_size)
        fusion, projector = materialise(fusion, args), materialise(projector, args)
        visual, geometry = random(1, frames, tokens, config.siglip.hidden_size), random(1, frames, tokens + 1, width)
        return lambda: projector(fusion(visual, geometry))
    # Qwen2's rotary frequencies are a buffer, so it is built on the device itself.
    previous = torch.get_default_dtype()
    torch.set_default_dtype(args.dtype)
    with torch.device(args.device):
        language = Qwen2ForCausalLM(config.qwen2).eval()
    torch.set_default_dtype(previous)
    embeddings = random(1, config.layout.video_tokens(frames) + TEXT_TOKENS, config.qwen2.hidden_size)
    return lambda: language(inputs_embeds=embeddings, logits_to_keep=1, use_cache=True)


@torch.inference_mode()
def measure(part: str, config: VLM3RConfig, args: argparse.Namespace) -> dict[str, float]:
    """Seconds, floor and peak memory of one part."""
    on_gpu = args.device.startswith("cuda")
    if on_gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    work = build(part, config, args)
    work()
    seconds = []
    for _ in range(args.repeat):
        if on_gpu:
            torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        if on_gpu:
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    median = statistics.median(seconds)
    tflop = getattr(prefill_flops(config, args.frames, TEXT_TOKENS), part) / 1e12
    peak = torch.cuda.max_memory_allocated() / 2**30 if on_gpu else float("nan")
    return {"seconds": median, "tflop": tflop, "tflops": tflop / median, "floor": tflop / args.peak, "peak_gib": peak}


def main() -> None:
    """Prints the table and writes the JSON file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--peak", type=float, default=H100_PEAK, help="the device's peak in TFLOP/s")
    parser.add_argument("--compile", action="store_true", help="compile CUT3R's recurrent step")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    args.dtype = getattr(torch, args.dtype)
    config = VLM3RConfig()
    print(f"{args.frames} frames, {args.device}, {args.dtype}, torch {torch.__version__}")
    print(f"{'part':>9} {'seconds':>9} {'TFLOP':>7} {'TFLOP/s':>8} {'floor s':>8} {'x floor':>8} {'peak GiB':>9}")
    rows = {}
    for part in args.parts:
        row = rows[part] = measure(part, config, args)
        ratio = row["seconds"] / row["floor"]
        print(
            f"{part:>9} {row['seconds']:9.4f} {row['tflop']:7.2f} {row['tflops']:8.1f} {row['floor']:8.4f} "
            f"{ratio:8.2f} {row['peak_gib']:9.2f}",
            flush=True,
        )
    if args.json:
        args.json.write_text(json.dumps({"frames": args.frames, "device": args.device, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
