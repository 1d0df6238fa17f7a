#!/usr/bin/env python
"""Frames per second, peak memory and achieved FLOP/s of CUT3R at a given size, with random weights.

    python benchmarks/cut3r_speed.py --frames 4 --device cpu --dtype float32 --json figures.json

Every configuration runs in a process of its own, so that its peak memory is its own. The first frames warm up and are
not counted. CPU seconds, summed over threads, are what to compare on a machine that others use too. Memory is the
process's peak on the CPU (model included) and torch's peak on CUDA.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

SIDE = 432
CONFIGURATIONS = [{"heads": False}, {"heads": True}]


def synchronise(device: str) -> None:
    """Waits until the device has done what was asked of it."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
    elif device == "mps":
        torch.mps.synchronize()


def peak_memory(device: str) -> float:
    """Peak memory in GiB."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated() / 2**30
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Figures of one configuration, measured in this process."""
    from cut3r import CUT3R, CUT3RConfig
    from cut3r.costs import flops_per_frame

    config = CUT3RConfig()
    device, dtype = args.device, getattr(torch, args.dtype)
    with torch.device("meta"):
        model = CUT3R(config)
    model = model.to(dtype).to_empty(device=device).eval()
    # Speed does not depend on the weights; small ones keep every number finite.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.02)
    if args.compile:
        model.step = torch.compile(model.step, dynamic=False)
    frames = torch.rand(args.batch, args.frames, 3, args.side, args.side, device=device, dtype=dtype) * 2 - 1
    with torch.no_grad():
        model(frames[:, : args.warm_up], heads=args.heads)
        synchronise(device)
        start, processor = time.perf_counter(), time.process_time()
        model(frames, heads=args.heads)
        synchronise(device)
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    count = args.batch * args.frames
    costs = flops_per_frame(config, args.side, args.side, heads=args.heads)
    return {
        "heads": args.heads,
        "frames_per_second": count / seconds,
        "seconds_per_frame": seconds / count,
        "cpu_seconds_per_frame": processor / count,
        "peak_gib": peak_memory(device),
        "tflop_per_frame": costs.total / 1e12,
        "achieved_tflops": costs.total * count / seconds / 1e12,
        "tflop_by_part": {name: value / 1e12 for name, value in dataclasses.asdict(costs).items()},
    }


def in_own_process(options: list[str], heads: bool) -> dict[str, Any]:
    """Figures of one configuration, measured in a fresh process."""
    command = [sys.executable, __file__, *options, "--one", *(["--heads"] if heads else [])]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise SystemExit(f"the run {'with' if heads else 'without'} heads failed (see above)")
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    """Prints the table and writes the JSON file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--frames", type=int, default=8, help="frames of a video")
    parser.add_argument("--batch", type=int, default=1, help="videos side by side")
    parser.add_argument("--side", type=int, default=SIDE, help="height and width in pixels")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=["float32", "bfloat16", "float16"])
    parser.add_argument("--warm-up", type=int, default=1, help="frames that are run beforehand and not counted")
    parser.add_argument("--compile", action="store_true", help="compile the recurrent step (fixed shapes)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--heads", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args)))
        return
    rows = [in_own_process(sys.argv[1:], **configuration) for configuration in CONFIGURATIONS]
    print(f"CUT3R, {args.batch} x {args.frames} frames of {args.side} px, {args.device}, {args.dtype}")
    titles = ("heads", "frames/s", "s/frame", "CPU s/frame", "peak GiB", "TFLOP/frame", "TFLOP/s")
    print("".join(f"{title:>13}" for title in titles))
    keys = ("frames_per_second", "seconds_per_frame", "cpu_seconds_per_frame", "peak_gib")
    for row in rows:
        numbers = [row[key] for key in (*keys, "tflop_per_frame", "achieved_tflops")]
        print(f"{'yes' if row['heads'] else 'no':>13}" + "".join(f"{number:13.3f}" for number in numbers))
    if args.json:
        options = {key: value for key, value in vars(args).items() if key not in ("json", "one", "heads")}
        args.json.write_text(
            json.dumps({"options": options, "torch": torch.__version__, "rows": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
