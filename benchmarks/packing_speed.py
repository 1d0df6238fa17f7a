#!/usr/bin/env python
"""Questions a second in training, by the number of questions that share one encoding of their video.

    python benchmarks/packing_speed.py --json figures.json
    python benchmarks/packing_speed.py --frames 32 --device cuda --attention flex_attention

One step is forward and backward of LoRA, fusion and projector, with CUT3R and SigLIP run for every sequence
(`pixels`) or with their tokens given, as from a feature store (`stored`). k = 1 is one sample a question, as published.
All k are measured in turn in every round, and the ratio to k = 1 is taken round by round, so that a busy machine hits
them alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig

import vlm3r
from vlm3r.checkpoints.lora import ADAPTER_NAME
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames
from vlm3r.training.data import LoadedPack, collate
from vlm3r.training.objective import PackedObjective
from vlm3r.training.packing import EncodedRow, pack_rows

SIZES = (1, 4, 16, 64)
WORDS = ["stove", "sofa", "stool", "bed", "desk", "lamp", "chair", "table", "door", "sink"]
PREAMBLE = "These are frames of a video.\n"
ASKED = (
    "Suppose I am standing by the {a} and facing the {b}: is the {c} to my left, right, or back? An object counts as "
    "to my back if facing it takes a turn of at least 135 degrees.\nOptions:\nA. left\nB. right\nC. back\nAnswer with "
    "the option's letter from the given choices directly."
)


def question(number: int) -> str:
    """One of the prompts; every number gives another."""
    a, b, c = (WORDS[(number // 10**i + 3 * i) % 10] for i in range(3))
    return PREAMBLE + ASKED.format(a=a, b=b, c=c)


def make_batch(processor: VLM3RProcessor, clip: VideoFrames, visual: dict[str, torch.Tensor], k: int) -> dict[str, Any]:
    """k questions about a clip as a batch of one sequence."""
    rows = []
    for number in range(k):
        inputs = processor(question(number), video=clip, answer="B", with_pixels=False)
        rows.append(EncodedRow(inputs["input_ids"][0].tolist(), inputs["labels"][0].tolist()))
    pack = LoadedPack((pack_rows(rows),), ("",) * k, ("",) * k, visual)
    return collate([pack], processor.tokenizer.pad_token_id)


def step(objective: PackedObjective, batch: dict[str, Any], repeats: int, precision: torch.dtype) -> float:
    """Seconds of a forward and backward pass."""
    device = next(objective.parameters()).device
    moved = {name: value.to(device) if isinstance(value, torch.Tensor) else value for name, value in batch.items()}
    began = time.perf_counter()
    for _ in range(repeats):
        with torch.autocast(device.type, precision, enabled=precision != torch.float32):
            loss = objective(moved).weighted_sum
        loss.backward()
        objective.zero_grad(set_to_none=True)
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - began) / repeats


def trainable(model: VLM3RForConditionalGeneration, rank: int) -> PackedObjective:
    """The model with LoRA, fusion and projector to train."""
    model.requires_grad_(False)
    targets = r"language_model\.model\.layers\.\d+\..*_proj"
    model.add_adapter(LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=targets), adapter_name=ADAPTER_NAME)
    for name, parameter in model.named_parameters():
        if name.startswith(("fusion.", "projector.")):
            parameter.requires_grad_(True)
    return PackedObjective(model)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Figures of all k, with pixels and with stored tokens."""
    model, processor = vlm3r.load(
        arguments.model, device=arguments.device, dtype="float32", attention=arguments.attention
    )
    generator = torch.Generator().manual_seed(0)
    size = (arguments.frames, 240, 320, 3)
    clip = VideoFrames.from_array(torch.randint(0, 256, size, generator=generator, dtype=torch.uint8).numpy())
    pixels = processor("", video=clip)["pixel_values"][0]
    with torch.no_grad():
        stages = model.encode_video(pixels[None])
    names = ("vision_tokens", "camera_tokens", "patch_tokens")
    stored = {name: getattr(stages, name)[0].cpu() for name in names}
    objective = trainable(model, arguments.rank)
    precision = getattr(torch, arguments.precision)
    results: dict[str, Any] = {"arguments": vars(arguments), "prefix_tokens": len(stages.sequences[0])}
    for kind, visual in (("pixels", {"pixel_values": pixels}), ("stored", stored)):
        batches = {k: make_batch(processor, clip, visual, k) for k in SIZES}
        for batch in batches.values():
            step(objective, batch, 1, precision)
        rounds = [
            {k: k / step(objective, batch, max(1, 4 // k), precision) for k, batch in batches.items()}
            for _ in range(arguments.rounds)
        ]
        results[kind] = {
            k: {
                "questions_per_s": statistics.median(r[k] for r in rounds),
                "times_k1": statistics.median(r[k] / r[1] for r in rounds),
                "tokens": batches[k]["lengths"][0],
            }
            for k in SIZES
        }
        for k, figures in results[kind].items():
            print(
                f"{kind:7} k = {k:2}: {figures['questions_per_s']:7.2f} questions/s, "
                f"{figures['times_k1']:5.1f} x k = 1, {figures['tokens']} tokens"
            )
    return results


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="checkpoint; default: the embedded model")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager", "flex_attention"])
    parser.add_argument("--precision", default="float32", choices=["float32", "bfloat16"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
