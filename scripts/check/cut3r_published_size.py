#!/usr/bin/env python
"""Compares a CUT3R of the published size with recorded outputs of the published code: about 5 GiB, minutes on a CPU.

    python scripts/check/cut3r_published_size.py

Weights are noise that depends on their names, so no checkpoint is needed. Prints one line per tensor and exits with 1
if any is outside its limit.
"""

from __future__ import annotations

import argparse
import sys
import time
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.cut3r import cut3r_golden as reference

RELATIVE, ELEMENTWISE, STATISTICS = 3e-5, 2e-4, 2e-5
SIDE = 432  # the side of the frames that VLM-3R gives to CUT3R


def recorded_frames() -> Tensor:
    """The frames of the record, (1, frame, 3, height, width), resized as VLM-3R does."""
    described = reference.config_of("full")["input"]
    generator = np.random.Generator(np.random.PCG64(described["seed"]))
    frames = torch.from_numpy(generator.random(described["shape"], dtype=np.float32) * 2 - 1)
    if f"{zlib.crc32(frames.numpy().tobytes()):08x}" != reference.CHECKSUMS["full"][1]:
        raise SystemExit("the input frames are not the recorded ones: does numpy draw as it used to?")
    return F.interpolate(frames, size=(SIDE, SIDE), mode="bilinear", align_corners=False)[None]


def statistics(tensor: Tensor) -> Tensor:
    """Mean, standard deviation and norm of every frame, (frame, 3), in float64."""
    flat = tensor.double().flatten(1)
    return torch.stack((flat.mean(1), flat.std(1), flat.norm(dim=1)), dim=1)


def run_model() -> dict[str, Tensor]:
    """Every recorded tensor, frame axis first, from the project's model."""
    if reference.weights_checksum("full") != reference.CHECKSUMS["full"][0]:
        raise SystemExit("the filled weights are not the recorded ones: does numpy draw as it used to?")
    model = reference.model_of("full")
    start = time.perf_counter()
    with torch.no_grad(), reference.Recorder(model) as recorder:
        output = model(recorded_frames(), heads=True)
    print(f"3 frames with heads: {time.perf_counter() - start:.1f} s")
    return recorder.stacked() | reference.output_tensors(output)


def compare(ours: dict[str, Tensor]) -> list[tuple[str, float, float, bool]]:
    """Per recorded tensor: name, relative and elementwise error, and whether both are within the limits."""
    slices, golden = reference.config_of("full")["slices"], reference.golden_of("full")
    rows = []
    for name, tensor in ours.items():
        sliced = tensor[tuple(slice(None, None, stride) for stride in slices[name])]
        relative, elementwise = reference.errors(sliced, golden[name])
        rows.append((name, relative, elementwise, relative < RELATIVE and elementwise < ELEMENTWISE))
        relative, elementwise = reference.errors(statistics(tensor), golden[f"{name}.stats"])
        rows.append((f"{name}.stats", relative, elementwise, elementwise < STATISTICS))
    missing = [name for name in slices if name not in ours]
    return rows + [(name, float("inf"), float("inf"), False) for name in missing]


def main() -> int:
    """Runs the comparison; the exit status is 1 if a tensor is outside its limit."""
    argparse.ArgumentParser(description=str(__doc__).splitlines()[0]).parse_args()
    rows = compare(run_model())
    print(f"{'tensor':28} {'relative L2':>12} {'elementwise':>12}")
    for name, relative, elementwise, good in rows:
        print(f"{name:28} {relative:12.1e} {elementwise:12.1e}{'' if good else '  TOO LARGE'}")
    failed = sum(not good for *_, good in rows)
    print(f"limits: relative {RELATIVE:g}, elementwise {ELEMENTWISE:g}, statistics {STATISTICS:g}; {failed} outside")
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
