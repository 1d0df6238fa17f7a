"""VLM-3R: questions about 3-D space answered from a plain monocular video."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm3r.checkpoints.loading import load
    from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
    from vlm3r.processing.processor import VLM3RProcessor

__version__ = "0.1.0"
__all__ = ["VLM3RConfig", "VLM3RForConditionalGeneration", "VLM3RProcessor", "load"]

_HOMES = {
    "load": "vlm3r.checkpoints.loading",
    "VLM3RConfig": "vlm3r.model",
    "VLM3RForConditionalGeneration": "vlm3r.model",
    "VLM3RProcessor": "vlm3r.processing.processor",
}


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `vlm3r --help` does not wait for torch.
    if name not in _HOMES:
        raise AttributeError(f"module 'vlm3r' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
