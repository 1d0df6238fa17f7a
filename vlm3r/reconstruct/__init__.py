"""Point clouds, depth maps and camera paths from a video, by way of CUT3R's reconstruction heads.

Names are loaded on first use, so that the command line can read option defaults without importing torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm3r.reconstruct.options import ReconstructOptions
    from vlm3r.reconstruct.pipeline import reconstruct
    from vlm3r.reconstruct.summary import ReconstructionSummary

__all__ = ["ReconstructOptions", "ReconstructionSummary", "reconstruct"]

_HOME = {"ReconstructOptions": "options", "ReconstructionSummary": "summary", "reconstruct": "pipeline"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
