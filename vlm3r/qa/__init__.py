"""Spatial questions with true answers, from any annotated 3D scene."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vlm3r.qa.listing import candidates

__all__ = ["candidates"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that question types and scoring do not wait for geometry.
    if name != "candidates":
        raise AttributeError(f"module 'vlm3r.qa' has no attribute {name!r}")
    from vlm3r.qa.listing import candidates

    return candidates
