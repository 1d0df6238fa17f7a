#!/usr/bin/env python
"""Milliseconds a generated token behind a video's prefix: growing cache, static cache, and static cache compiled.

    python benchmarks/decode_speed.py
    python benchmarks/decode_speed.py --hidden-size 1024 --layers 8
    python benchmarks/decode_speed.py --device cuda --dtype bfloat16 --hidden-size 3584 --layers 28

`growing` is what open videos use. `static` writes into buffers of the final length and attends to all of them under a
mask; `compiled` is the same through `torch.compile`, whose first step (seconds, printed apart) is not counted. All read
the same prefix of noise and generate the same number of tokens for one question; they are measured in turn in every
round, and ratios are taken round by round.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import Qwen2Config, Qwen2ForCausalLM, StaticCache

from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.inference.prefix_cache import PrefixCache

HEAD_DIM = 64


def make(arguments: argparse.Namespace) -> Qwen2ForCausalLM:
    """The embedded language model's architecture, or a wider one, with random weights."""
    parts, _ = read_checkpoint()
    sizes = parts.config.qwen2.to_dict()
    if arguments.hidden_size:
        heads = arguments.hidden_size // HEAD_DIM
        sizes |= {
            "hidden_size": arguments.hidden_size,
            "intermediate_size": 4 * arguments.hidden_size,
            "num_attention_heads": heads,
            "num_key_value_heads": max(heads // 4, 1),
        }
    if arguments.layers:
        sizes |= {"num_hidden_layers": arguments.layers, "layer_types": ["full_attention"] * arguments.layers}
    torch.manual_seed(0)
    model = Qwen2ForCausalLM(Qwen2Config(**sizes)).eval()
    return model.to(arguments.device, getattr(torch, arguments.dtype))


def wait(device: str) -> None:
    """Let the device finish."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def decode(model: Any, step: Callable[..., Any], cache: Any, prefix: Tensor, count: int) -> float:
    """Seconds a token for `count` tokens behind `prefix` `(1, token)`."""
    token = model(input_ids=prefix, past_key_values=cache, logits_to_keep=1).logits[:, -1:].argmax(-1)
    wait(str(model.device))
    began = time.perf_counter()
    for place in range(prefix.shape[1], prefix.shape[1] + count):
        positions = torch.tensor([[place]], device=model.device)
        token = step(input_ids=token, past_key_values=cache, position_ids=positions).logits[:, -1:].argmax(-1)
    wait(str(model.device))
    return (time.perf_counter() - began) / count


@torch.inference_mode()
def measure(arguments: argparse.Namespace) -> None:
    """Print what each way costs."""
    model = make(arguments)
    compiled = torch.compile(model.forward, mode=arguments.mode, fullgraph=True, dynamic=False)
    prefix = torch.randint(0, model.config.vocab_size, (1, arguments.prefix), device=arguments.device)
    room = arguments.prefix + arguments.new_tokens

    def growing() -> float:
        return decode(model, model, PrefixCache(model.config.num_hidden_layers), prefix, arguments.new_tokens)

    def static(step: Callable[..., Any]) -> float:
        return decode(model, step, StaticCache(config=model.config, max_cache_len=room), prefix, arguments.new_tokens)

    ways = {"growing": growing, "static": lambda: static(model), "compiled": lambda: static(compiled)}
    for name, way in ways.items():
        began = time.perf_counter()
        way()
        print(f"{name}: first time {time.perf_counter() - began:.1f} s", flush=True)
    rounds = [{name: way() for name, way in ways.items()} for _ in range(arguments.rounds)]
    weights = sum(parameter.numel() for parameter in model.parameters())
    print(f"{weights / 1e6:.1f} million parameters, {arguments.prefix} tokens before, {arguments.device}")
    for name in ways:
        spent = statistics.median(1000 * found[name] for found in rounds)
        ratio = statistics.median(found["growing"] / found[name] for found in rounds)
        print(f"{name:>10}: {spent:8.2f} ms a token, {ratio:5.2f} x growing")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prefix", type=int, default=975, help="tokens before; 32 frames of the embedded model")
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--hidden-size", type=int, default=0, help="0: the embedded model's")
    parser.add_argument("--layers", type=int, default=0, help="0: the embedded model's")
    parser.add_argument("--mode", default="default", help="of torch.compile; reduce-overhead uses CUDA graphs")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32")
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
