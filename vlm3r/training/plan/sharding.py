"""How a run spreads weights, gradients and optimiser state: plain data parallelism or a DeepSpeed stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm3r.checkpoints.files import read_json
from vlm3r.errors import UserError

BUCKET = 500_000_000
"""DeepSpeed's default size of a reduction bucket, in numbers."""
LIVE = 1_000_000_000
"""DeepSpeed's default limit of gathered parameters under ZeRO-3."""


@dataclass(frozen=True)
class Sharding:
    """What is split over devices, and what is kept in host memory."""

    stage: int = 0
    """ZeRO stage; 0 is plain data parallelism."""
    bucket: int = BUCKET
    """Numbers in a reduction bucket."""
    live: int = LIVE
    """Parameters that ZeRO-3 gathers at a time, at most."""
    optimiser_on_host: bool = False
    """Whether optimiser state lies in host memory."""
    weights_on_host: bool = False
    """Whether sharded weights lie in host memory."""

    @property
    def name(self) -> str:
        """`DDP` or `ZeRO-2`."""
        return f"ZeRO-{self.stage}" if self.stage else "DDP"


def read_sharding(path: Path | None) -> Sharding:
    """The sharding of a DeepSpeed configuration; None is plain data parallelism.

    Raises:
        UserError: the file is missing or no DeepSpeed configuration.
    """
    if path is None:
        return Sharding()
    zero = read_json(path).get("zero_optimization") or {}
    if not isinstance(zero, Mapping) or zero.get("stage", 0) not in (0, 1, 2, 3):
        raise UserError(f"{path}: zero_optimization needs a stage of 0 to 3; see configs/deepspeed for examples")
    return Sharding(
        stage=zero.get("stage", 0),
        bucket=_number(zero.get("reduce_bucket_size"), BUCKET),
        live=_number(zero.get("stage3_max_live_parameters"), LIVE),
        optimiser_on_host=_on_host(zero.get("offload_optimizer")),
        weights_on_host=_on_host(zero.get("offload_param")),
    )


def _number(value: Any, default: int) -> int:
    return int(value) if isinstance(value, int | float) else default


def _on_host(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("device") in ("cpu", "nvme")
