#!/usr/bin/env python
"""Time from a video file to the first answer token, stage by stage, with the embedded model.

    python benchmarks/first_token.py --video playground/demo/room_walk.mp4 --device cpu --repeat 5

Every stage is the median over the repeats; the model is loaded once and not counted.
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

import vlm3r
from vlm3r.model.geometry import encode_geometry

QUESTION = "If I stand by the stool and face the stove, is the sofa to my left, right or back?"


def timed(device: torch.device, work: Callable[[], Any]) -> tuple[Any, float]:
    """The result of `work` and the seconds that it took, the device's queue included."""
    began = time.perf_counter()
    result = work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return result, time.perf_counter() - began


@torch.inference_mode()
def measure(model: Any, processor: Any, video: Path) -> dict[str, float]:
    """Seconds per stage of one question about one video."""
    device, seconds = model.device, {}
    clip, seconds["read and decode video"] = timed(device, lambda: processor.load_video(video))
    inputs, seconds["resize, normalise, tokenize"] = timed(device, lambda: processor(QUESTION, video=clip).to(device))
    pixels = inputs["pixel_values"]
    _, seconds["SigLIP"] = timed(device, lambda: model.vision_tower(pixels))
    size = model.config.geometry_image_size
    _, seconds["CUT3R"] = timed(device, lambda: encode_geometry(model.geometry_encoder, pixels, size))
    stages, both = timed(device, lambda: model.encode_video(pixels))
    seconds["fusion, projector, pooling"] = max(0.0, both - seconds["SigLIP"] - seconds["CUT3R"])
    prompt = {"input_ids": inputs["input_ids"], "video_embeddings": stages.sequences[0]}
    _, seconds["prefill to first token"] = timed(device, lambda: model(**prompt, logits_to_keep=1))
    return seconds


def main() -> None:
    """Prints the table and writes the JSON file."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--model", help="checkpoint folder; default: the embedded model")
    parser.add_argument("--video", type=Path, default=Path("playground/demo/room_walk.mp4"))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    model, processor = vlm3r.load(args.model, device=args.device, dtype=args.dtype)
    measure(model, processor, args.video)  # warm up
    runs = [measure(model, processor, args.video) for _ in range(args.repeat)]
    medians = {stage: statistics.median(run[stage] for run in runs) for stage in runs[0]}
    total = sum(medians.values())
    print(f"{args.video}, {processor.num_frames} frames, {model.device}, {str(model.dtype).removeprefix('torch.')}")
    for stage, seconds in medians.items():
        print(f"  {stage:<28} {seconds * 1e3:9.1f} ms {100 * seconds / total:5.1f} %")
    print(f"  {'time to first token':<28} {total * 1e3:9.1f} ms")
    if args.json:
        args.json.write_text(json.dumps({"seconds": medians, "total": total}, indent=2) + "\n")


if __name__ == "__main__":
    main()
