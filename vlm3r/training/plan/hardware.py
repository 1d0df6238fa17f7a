"""Devices that a run can be planned for: peaks and memory as their vendors state them."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from vlm3r.errors import UserError

GIB = 2**30
USABLE = 0.98
"""Share of the stated memory that driver and error correction leave to programs."""


@dataclass(frozen=True)
class Device:
    """One accelerator."""

    name: str
    """Short name, as `--gpu` takes it."""
    peak_tflops: float
    """Dense bfloat16 with float32 accumulation, TFLOP/s (half of what data sheets state with sparsity)."""
    memory_gib: float | None
    """Stated memory; None where it is not known."""
    bandwidth_gbs: float | None
    """Memory bandwidth, GB/s; None where it is not known."""
    words: tuple[str, ...]
    """Words that the driver's name for the device contains."""
    source: str
    """Where the numbers stand."""

    @property
    def usable_bytes(self) -> float | None:
        """Memory that a program can have."""
        return None if self.memory_gib is None else USABLE * self.memory_gib * GIB


DEVICES = (
    Device("h100", 989.4, 80, 3350, ("h100",), "NVIDIA H100 Tensor Core GPU data sheet, SXM"),
    Device("h100-pcie", 756.0, 80, 2000, ("h100", "pcie"), "NVIDIA H100 Tensor Core GPU data sheet, PCIe"),
    Device("h100-nvl", 835.5, 94, 3900, ("h100", "nvl"), "NVIDIA H100 Tensor Core GPU data sheet, NVL"),
    Device("h200", 989.4, 141, 4800, ("h200",), "NVIDIA H200 Tensor Core GPU data sheet, SXM"),
    Device("h200-nvl", 835.5, 141, 4800, ("h200", "nvl"), "NVIDIA H200 Tensor Core GPU data sheet, NVL"),
    Device("b200", 2250.0, 180, 8000, ("b200",), "NVIDIA HGX B200 data sheet"),
    Device("a100", 312.0, 80, 2039, ("a100",), "NVIDIA A100 Tensor Core GPU data sheet, 80 GB SXM"),
    Device("a100-40gb", 312.0, 40, 1555, ("a100", "40gb"), "NVIDIA A100 Tensor Core GPU data sheet, 40 GB SXM"),
    Device("l40s", 362.0, 48, 864, ("l40s",), "NVIDIA L40S data sheet"),
    Device("l4", 121.0, 24, 300, ("l4",), "NVIDIA L4 Tensor Core GPU data sheet"),
    Device("a10", 125.0, 24, 600, ("a10",), "NVIDIA A10 Tensor Core GPU data sheet"),
    Device("a6000", 154.8, 48, 768, ("a6000",), "NVIDIA RTX A6000 data sheet"),
    Device("rtx4090", 165.2, 24, 1008, ("rtx", "4090"), "NVIDIA Ada GPU Architecture white paper"),
    Device("rtx3090", 71.0, 24, 936, ("rtx", "3090"), "NVIDIA Ampere GA102 GPU Architecture white paper"),
    Device("mi300x", 1307.4, 192, 5300, ("mi300x",), "AMD Instinct MI300X data sheet"),
    Device("cpu", 0.1, None, None, ("cpu",), "2 cores of an AMD EPYC in float32, measured on SigLIP and CUT3R"),
)


def find_device(name: str) -> Device:
    """The device of a short name.

    Raises:
        UserError: the name is unknown; the message names the nearest and all known ones.
    """
    known = {device.name: device for device in DEVICES}
    wanted = name.strip().lower()
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise UserError(f"--gpu {name!r} is unknown; {hint}(known: {', '.join(known)})")


def recognise(name: str) -> Device | None:
    """The device that a driver calls `name` (as `torch.cuda.get_device_name` gives it), or None."""
    words = set(re.split(r"[^a-z0-9]+", name.lower()))
    fitting = [device for device in DEVICES if words.issuperset(device.words)]
    return max(fitting, key=lambda device: len(device.words), default=None)
