"""Weights that depend on nothing but their names, so that parity data need no checkpoint."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from torch import Tensor


def fill(name: str, shape: tuple[int, ...]) -> Tensor:
    """Float32 normal noise of `shape`, seeded by `name`, at the scale that the parity data use.

    Matrices and kernels are divided by the root of their fan-in (of their width, for embedding tables taller than
    wide); vectors are 0.02 times the noise, those called `weight` around 1.
    """
    generator = np.random.Generator(np.random.PCG64(zlib.crc32(name.encode())))
    noise = torch.from_numpy(np.asarray(generator.standard_normal(tuple(shape), dtype=np.float32)).reshape(shape))
    if len(shape) < 2:
        return noise * 0.02 + 1 if name.endswith("weight") else noise * 0.02
    table = len(shape) == 2 and shape[0] > shape[1] and "embed" in name
    fan_in = shape[1] if table else math.prod(shape[1:])
    return noise / math.sqrt(fan_in)
