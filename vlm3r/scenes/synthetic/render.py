"""Pictures, depth and object identities of a furnished home, by OpenGL where the system has it, else by ray casting."""

from __future__ import annotations

from typing import Protocol

from vlm3r.errors import UserError
from vlm3r.scenes.schema import Intrinsics

from .opengl import OpenGLMissing, OpenGLRenderer
from .raycast import RaycastRenderer
from .shapes import Array
from .stage import PRESETS, RenderSettings, set_stage
from .world import World

__all__ = ["BACKENDS", "PRESETS", "OpenGLMissing", "RenderSettings", "Renderer", "open_renderer"]

BACKENDS = ("auto", "opengl", "raycast")


class Renderer(Protocol):
    """Draws one home from any pose: (4, 4) camera-to-world, camera axes x right, y down, z forward."""

    backend: str
    """`opengl` or `raycast`."""

    def frame(self, pose: Array) -> Array:
        """The picture, uint8 (height, width, RGB)."""
        ...

    def depth_and_instances(self, pose: Array) -> tuple[Array, Array]:
        """Depth along the optical axis, float32 (height, width) metres, and instances, int32 (height, width).

        An instance is 0 for the shell and 1 + i for `World.objects[i]`. Depth is 0 where there is nothing.
        """
        ...

    def capture(self, pose: Array) -> tuple[Array, Array, Array]:
        """Picture, depth and instances together, which is cheaper."""
        ...

    def close(self) -> None:
        """Give the memory back; the renderer is of no use afterwards."""
        ...


def open_renderer(
    world: World, camera: Intrinsics, settings: RenderSettings, seed: int, backend: str = "auto"
) -> Renderer:
    """A renderer of a home, its light computed.

    Args:
        world: the home; changing it later has no effect.
        camera: gives the size of the pictures.
        settings: how carefully; width and height are the camera's.
        seed: decides the directions of light rays.
        backend: `opengl`, `raycast`, or `auto` for OpenGL where it works.

    Raises:
        UserError: embreex is not installed; or the back end is unknown.
        OpenGLMissing: (a UserError) OpenGL was asked for and no context can be made.
    """
    if backend not in BACKENDS:
        raise UserError(f"renderer {backend!r} is unknown; give one of {', '.join(BACKENDS)}")
    stage = set_stage(world, settings, seed)
    if backend != "raycast":
        try:
            return OpenGLRenderer(stage, camera, settings.supersample)
        except OpenGLMissing:
            if backend == "opengl":
                raise
    return RaycastRenderer(stage, camera, settings.supersample)
