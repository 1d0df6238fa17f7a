"""A home made ready to be drawn: its mesh, the light on it at the right exposure, and its textures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vlm3r.errors import UserError

from .light import Effort, bake
from .mesh import Mesh, world_mesh
from .probes import place_probes
from .shading import MAX_PANES, linear
from .shapes import Array
from .textures import texture_stack
from .world import World

MIDDLE = 0.30
"""Exposed radiance that half of a home's surface exceeds, were its colours only half as dark or bright as they are."""
BRIGHT = 1.0
"""Exposed radiance that a tenth of a home's surface may exceed."""
GREY = 0.5
"""Reflected share of light that counts as neither dark nor bright."""
FILL = 0.08
"""Least light of any surface, relative to the home's median."""
WHITE_BALANCE = 0.6
"""Share, as a power, of the light's colour that the picture takes out."""


@dataclass(frozen=True)
class RenderSettings:
    """Size and care of the pictures."""

    width: int = 320
    height: int = 240
    supersample: int = 1
    """Samples along either side of a pixel; above 1, edges are smooth, and depth takes a pass of its own."""
    spacing: float = 0.12
    """Metres between the probes of light, and about that between the vertices on flat surfaces."""
    tolerance: float = 0.002
    """Metres by which curved surfaces may be simplified."""
    light_samples: int = 10
    """Shadow rays from each probe to each window and lamp."""
    sky_rays: int = 40
    """Rays from each probe that look for reflected light."""
    bounces: int = 5
    """Diffuse reflections."""
    smoothing: int = 3
    """Passes of smoothing over reflected light, which hide the noise of few rays."""
    texture_size: int = 256
    """Pixels along either side of a texture."""

    def __post_init__(self) -> None:
        for name in ("width", "height", "supersample", "light_samples", "sky_rays", "texture_size"):
            if getattr(self, name) < 1:
                raise UserError(f"render setting {name} is {getattr(self, name)}; it must be 1 or more")
        if self.spacing <= 0 or min(self.tolerance, self.bounces, self.smoothing) < 0:
            raise UserError("render settings: spacing must be positive; tolerance, bounces, smoothing not negative")


PRESETS: dict[str, RenderSettings] = {
    "fast": RenderSettings(),
    "standard": RenderSettings(640, 480, 2, 0.08, 0.001, 24, 96, 6, 2, 512),
    "best": RenderSettings(640, 480, 2, 0.04, 0.0, 64, 320, 8, 1, 1024),
}


@dataclass(frozen=True, eq=False)
class Stage:
    """What both renderers draw."""

    mesh: Mesh
    light: Array  # (vertex, 4): exposed irradiance RGB, and the unobstructed share of the windows
    textures: Array  # (layer, row, column, RGB) uint8
    panes: Array  # (pane, 3, 3): corner, edge u and edge v of the windows that glossy surfaces mirror


def set_stage(world: World, settings: RenderSettings, seed: int) -> Stage:
    """Mesh, light and textures of a home; the same seed gives the same bytes.

    Raises:
        UserError: embreex is not installed.
        KeyError: a material names a texture that does not exist.
    """
    mesh = world_mesh(world, settings.spacing, settings.tolerance)
    probes = place_probes(mesh, settings.spacing)
    textures = texture_stack(mesh.textures, settings.texture_size)
    albedo = mesh.colour * linear(textures).mean(axis=(1, 2))[mesh.style[:, 0].astype(int)]
    effort = Effort(settings.light_samples, settings.sky_rays, settings.bounces, settings.smoothing)
    light = bake(world, mesh, probes, albedo, effort, seed)
    seen = _filled_in(light.irradiance)
    exposed = np.column_stack([seen * exposure(mesh, seen, albedo), light.daylight])
    largest = sorted(world.windows, key=lambda w: -float(np.linalg.norm(np.cross(w.edge_u, w.edge_v))))[:MAX_PANES]
    panes = np.array([(w.corner, w.edge_u, w.edge_v) for w in largest], np.float32).reshape(-1, 3, 3)
    return Stage(mesh, exposed.astype(np.float32), textures, panes)


def _filled_in(irradiance: Array) -> Array:
    """The light (vertex, 3) with a little of what is usual in the home where there is next to none, as in crevices."""
    return np.hypot(irradiance, FILL * np.median(irradiance, axis=0))


def exposure(mesh: Mesh, irradiance: Array, albedo: Array) -> Array:
    """The factors (RGB) that make a home look right, by the radiance of its surfaces weighted by area.

    Dark homes stay darker than bright ones, but less so, and most of the colour of the light is taken out.
    """
    triangles = mesh.triangles[: mesh.opaque]
    corner = mesh.position[triangles]
    area = np.linalg.norm(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0]), axis=1)
    typical = np.array([_quantile(irradiance[:, c][triangles].mean(axis=1), area, 0.5) for c in range(3)])
    balance = (typical.mean() / np.maximum(typical, 1e-6)) ** WHITE_BALANCE
    balanced = irradiance * balance / np.pi
    partly, wholly = (
        _quantile((shade * balanced).mean(axis=1)[triangles].mean(axis=1), area, share)
        for shade, share in ((np.sqrt(GREY * albedo), 0.5), (albedo, 0.9))
    )
    return balance * min(MIDDLE / max(partly, 1e-6), BRIGHT / max(wholly, 1e-6))


def _quantile(values: Array, weights: Array, share: float) -> float:
    """The value below which a share of the weight lies."""
    order = np.argsort(values, kind="stable")
    place = int(np.searchsorted(np.cumsum(weights[order]), share * weights.sum()))
    return float(values[order][min(place, len(order) - 1)])
