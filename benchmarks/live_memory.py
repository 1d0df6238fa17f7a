#!/usr/bin/env python
"""Memory of a live video as frames keep coming in and questions are asked about them.

    python benchmarks/live_memory.py --frames 10000

Frames are noise; every `--ask-every` frames a question is asked. At each power of ten the process's peak memory and
the bytes that the live video says it keeps are printed: both must stop growing once the budget has been filled and
its stride has doubled, so that all sizes have been seen.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

import vlm3r
from vlm3r.inference.live import LiveVideo

UNIT = 2**20 if sys.platform == "darwin" else 2**10
NOISE = 16


def run(arguments: argparse.Namespace) -> None:
    """Push, ask, and print."""
    model, processor = vlm3r.load(arguments.model, device=arguments.device)
    live = LiveVideo(model, processor, arguments.budget, arguments.state_update)
    noise = np.random.default_rng(0).integers(0, 256, (NOISE, 240, 320, 3), dtype=np.uint8)
    marks = {10**power for power in range(1, 9)} | {arguments.frames}
    print(f"{'frames':>8} {'kept':>5} {'peak MiB':>9} {'live MB':>8} {'frames/s':>9}")
    began = time.perf_counter()
    for count in range(1, arguments.frames + 1):
        live.push(noise[count % NOISE])
        if count % arguments.ask_every == 0:
            live.ask(["How many chairs are there?"], 2)
        if count in marks:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT
            kept, speed = len(live.frame_indices), count / (time.perf_counter() - began)
            print(f"{count:8,} {kept:5} {peak:9.1f} {live.nbytes / 1e6:8.3f} {speed:9.1f}", flush=True)


def main() -> None:
    """Read the options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=10_000)
    parser.add_argument("--budget", type=int, help="frames that a question sees; default: the processor's number")
    parser.add_argument("--ask-every", type=int, default=10)
    parser.add_argument("--state-update", default="cut3r", choices=["cut3r", "ttt3r"])
    parser.add_argument("--model", help="checkpoint; default: the embedded model")
    parser.add_argument("--device", default="cpu")
    run(parser.parse_args())


if __name__ == "__main__":
    main()
