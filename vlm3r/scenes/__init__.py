"""Annotated 3D scenes: the schema, its readers and writers, the scene graph, and synthetic rooms."""

from vlm3r.scenes.published import load_published_metadata
from vlm3r.scenes.schema import Scene

__all__ = ["Scene", "load_published_metadata"]
