#!/usr/bin/env python
"""Questions a second by the number of questions about one video, encoded once or for every question again.

    python benchmarks/questions_per_video.py --json figures.json
    python benchmarks/questions_per_video.py --device cuda --dtype bfloat16

`shared` opens the decoded video once and asks all questions together; `again` encodes it and reads its whole prompt
for every question. Both begin with the same frames in memory and generate the same number of tokens; reading the file,
which `again` would also repeat, is not counted. Both are measured in turn in every round, and the ratio is taken round
by round, so that a busy machine hits them alike. The bytes of the open video stand beside those computed from the
configuration.
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
from vlm3r.inference.ask import ask
from vlm3r.inference.opened import OpenedVideo, open_video
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.model.costs import cache_bytes
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

SIZES = (1, 4, 18)
WORDS = ["stove", "sofa", "stool", "bed", "desk", "lamp", "chair", "table", "door", "sink"]
ASKED = (
    "These are frames of a video.\nSuppose I am standing by the {a} and facing the {b}: is the {c} to my left, right, "
    "or back? An object counts as to my back if facing it takes a turn of at least 135 degrees.\nOptions:\nA. left\n"
    "B. right\nC. back\nAnswer with the option's letter from the given choices directly."
)


def question(number: int) -> str:
    """One of the prompts; every number gives another."""
    a, b, c = (WORDS[(number // 10**i + 3 * i) % 10] for i in range(3))
    return ASKED.format(a=a, b=b, c=c)


def timed(device: torch.device, work: Callable[[], Any]) -> float:
    """Seconds that `work` took, the device's queue included."""
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - began


def allocated(device: torch.device) -> int:
    """Bytes that torch holds on a CUDA device; 0 elsewhere."""
    return torch.cuda.memory_allocated(device) if device.type == "cuda" else 0


def memory(model: VLM3RForConditionalGeneration, processor: VLM3RProcessor, clip: VideoFrames) -> dict[str, Any]:
    """Bytes of an open video, as it counts them, as the device does, and as they follow from the configuration."""
    before = allocated(model.device)
    opened: OpenedVideo = open_video(model, processor, clip)
    width = next(model.get_input_embeddings().parameters()).element_size()
    held, on_device = opened.nbytes, allocated(model.device) - before
    opened.ask([question(number) for number in range(SIZES[-1])], 2)
    return {
        "prefix_tokens": opened.prefix_tokens,
        "keys_values": held,
        "keys_values_after_questions": opened.nbytes,
        "keys_values_computed": cache_bytes(model.config, opened.prefix_tokens, width),
        "visual_tokens": opened.clip_nbytes,
        "allocated": on_device or None,
    }


def rates(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    clip: VideoFrames,
    asked: list[str],
    new_tokens: int,
) -> tuple[float, float]:
    """Questions a second, shared and encoded again each time."""

    def again() -> None:
        for text in asked:
            ask(model, processor, [text], video=clip, max_new_tokens=new_tokens)

    shared = timed(model.device, lambda: open_video(model, processor, clip).ask(asked, new_tokens))
    return len(asked) / shared, len(asked) / timed(model.device, again)


def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """Memory, and the rates of all numbers of questions."""
    model, processor = vlm3r.load(
        arguments.model, device=arguments.device, dtype=arguments.dtype, attention=arguments.attention
    )
    model.generation_config.eos_token_id = None  # the same number of tokens for both
    generator = torch.Generator().manual_seed(0)
    size = (arguments.frames, 240, 320, 3)
    clip = VideoFrames.from_array(torch.randint(0, 256, size, generator=generator, dtype=torch.uint8).numpy())
    rates(model, processor, clip, [question(0)], arguments.new_tokens)  # warm up
    results: dict[str, Any] = {"arguments": vars(arguments), "memory": memory(model, processor, clip), "questions": {}}
    kept, computed = results["memory"]["keys_values"], results["memory"]["keys_values_computed"]
    after = results["memory"]["keys_values_after_questions"]
    print(f"{arguments.frames} frames, {results['memory']['prefix_tokens']} tokens shared, {model.device}")
    print(
        f"keys and values {kept / 1e6:.2f} MB, {kept / computed:.3f} x computed, {after / computed:.3f} x with the "
        f"room of {SIZES[-1]} questions; all figures in --json"
    )
    for k in SIZES:
        asked = [question(number) for number in range(k)]
        rounds = [rates(model, processor, clip, asked, arguments.new_tokens) for _ in range(arguments.rounds)]
        results["questions"][k] = {
            "shared_per_s": statistics.median(shared for shared, _ in rounds),
            "again_per_s": statistics.median(again for _, again in rounds),
            "times_again": statistics.median(shared / again for shared, again in rounds),
        }
        figures = results["questions"][k]
        print(
            f"{k:3} questions: {figures['shared_per_s']:8.2f}/s shared, {figures['again_per_s']:8.2f}/s again, "
            f"{figures['times_again']:5.1f} x"
        )
    return results


def main() -> None:
    """Measure, print, and write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="checkpoint; default: the embedded model")
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--new-tokens", type=int, default=2, help="generated per question: a letter and the stop token")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager", "flex_attention", "flash_attention_2"])
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    results = measure(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2, default=str) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
