#!/usr/bin/env python
"""Peak memory of a CUT3R stream over few and over many frames, each in a process of its own.

    python benchmarks/stream_memory.py --frames 10 1000

Frames are noise of the embedded model's size and go in one at a time; a constant peak means that nothing is kept.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys

import torch

UNIT = 2**20 if sys.platform == "darwin" else 2**10


def run(frames: int, heads: bool) -> None:
    """Stream `frames` frames and print the process's peak memory in MiB."""
    from vlm3r.checkpoints.loading import read_checkpoint

    parts, _ = read_checkpoint()
    side = parts.config.geometry_image_size
    stream = parts.geometry_encoder().float().eval().stream(heads=heads)
    with torch.inference_mode():
        for _ in range(frames):
            stream.push(torch.rand(1, 1, 3, side, side) * 2 - 1)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT)


def main() -> None:
    """Print a line per length."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--frames", type=int, nargs="+", default=[10, 1000])
    parser.add_argument("--heads", action="store_true", help="also run the reconstruction heads")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one is not None:
        run(args.one, args.heads)
        return
    for frames in args.frames:
        command = [sys.executable, __file__, "--one", str(frames), *(["--heads"] if args.heads else [])]
        peak = float(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
        print(f"{frames:6d} frames: {peak:8.1f} MiB at most")


if __name__ == "__main__":
    main()
