"""`preview.png`: a figure from which a person can judge a reconstruction at a glance."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from vlm3r.reconstruct.frusta import PATH_COLOURS, frustum_lines, path_colours, robust_bounds
from vlm3r.reconstruct.keyframes import Keyframe
from vlm3r.reconstruct.splat import shade, splat_until_covered
from vlm3r.reconstruct.viewpoint import dollhouse_view, level_axes
from vlm3r.reconstruct.voxels import PointCloud

Array = NDArray[np.float64]

_INCHES, _DPI = (16.0, 11.4), 110
_MOST_POINTS = 600_000
_DISC = 0.8  # radius of a disc in voxels: a little more than half the diagonal of a face
_HALO: list[AbstractPathEffect] = [withStroke(linewidth=4, foreground="white")]


@dataclass(frozen=True)
class Scene:
    """What the preview shows."""

    cloud: PointCloud
    """At least one point."""

    voxel_size: float
    """Metres; discs begin at this size."""

    matrices: Array
    """(pose, 4, 4) camera-to-world, at least one."""

    timestamps: list[float]
    """(pose,) seconds."""

    focal: float | None
    """Pixels of the model's pictures."""

    image_size: tuple[int, int]
    """(width, height) of the model's pictures."""

    up: Array
    """(3,) unit vector against gravity."""

    keyframes: list[Keyframe]
    """A few frames with their depth maps, in order."""

    title: str
    """One line over the figure."""

    caption: str | None
    """A remark under the title, in red."""


def render_preview(scene: Scene) -> bytes:
    """The PNG: a view from above and behind, a plan in metres, and a strip of frames over their depth maps."""
    scene = _thinned(scene)
    figure = Figure(figsize=_INCHES, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    figure.text(0.015, 0.975, scene.title, fontsize=15, fontweight="bold", va="top")
    if scene.caption:
        figure.text(0.015, 0.947, scene.caption, fontsize=13, color="#b00020", va="top", wrap=True)
    lines, owner = frustum_lines(scene.matrices, scene.cloud.positions, scene.focal, scene.image_size)
    _draw_dollhouse(_panel(figure, 0.01, 0.395, 0.595, 0.50), scene, lines, owner)
    _draw_plan(_panel(figure, 0.665, 0.435, 0.325, 0.46), scene, lines, owner)
    _draw_time_scale(figure, scene.timestamps)
    _draw_strip(figure, scene.keyframes)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, metadata={"Software": None})
    return buffer.getvalue()


def _panel(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    return figure.add_axes((left, bottom, width, height))


def _thinned(scene: Scene) -> Scene:
    """The scene without its loneliest points, and with a random part of the others if drawing needs no more."""
    cloud = scene.cloud
    cells = np.floor(cloud.positions / (4 * scene.voxel_size)).astype(np.int64)
    _, cell, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    kept = np.flatnonzero(counts[cell.reshape(-1)] >= 3)
    if len(kept) < len(cloud) / 2:  # a sparse cloud: all of its points are lonely
        kept = np.arange(len(cloud))
    if len(kept) > _MOST_POINTS:
        kept = np.random.default_rng(0).choice(kept, _MOST_POINTS, replace=False)
    thin = PointCloud(cloud.positions[kept], cloud.colours[kept], cloud.confidence[kept], cloud.normals[kept])
    return Scene(**{**vars(scene), "cloud": thin})


def _draw_dollhouse(axes: Axes, scene: Scene, lines: Array, owner: NDArray[np.int64]) -> None:
    """The cloud in perspective, without surfaces seen from behind: one looks over near walls and through ceilings."""
    box = axes.get_window_extent()
    size = (int(box.width), int(box.height))
    view = dollhouse_view(scene.cloud, scene.matrices, scene.up, size)
    cloud = scene.cloud
    away = ((view.position - cloud.positions) * cloud.normals).sum(-1) < 0
    pixels, depth = view.project(cloud.positions)
    drawn = ~away & (depth > 1e-6) & (np.abs(pixels) < 1e6).all(-1)
    radius = _DISC * scene.voxel_size * view.focal / np.maximum(depth[drawn], 1e-6)
    picture = splat_until_covered(pixels[drawn], depth[drawn], radius, cloud.colours[drawn], size)
    axes.imshow(shade(picture), extent=(0, size[0], size[1], 0), interpolation="none")
    axes.set(xlim=(0, size[0]), ylim=(size[1], 0), xticks=[], yticks=[])
    axes.set_title("From above and behind (surfaces facing away left out; grey: not seen)", fontsize=11, loc="left")
    ends, _ = view.project(lines.reshape(-1, 3))
    centres, _ = view.project(scene.matrices[:, :3, 3])
    _draw_path(axes, centres, ends.reshape(-1, 2, 2), owner)


def _draw_plan(axes: Axes, scene: Scene, lines: Array, owner: NDArray[np.int64]) -> None:
    """The cloud from straight above, in metres from the first camera, whose heading points up the page."""
    level = level_axes(scene.up, scene.matrices[0, :3, 2])
    origin = scene.matrices[0, :3, 3]
    points = (scene.cloud.positions - origin) @ level.T
    path = (scene.matrices[:, :3, 3] - origin) @ level.T
    low, high = robust_bounds(np.concatenate([points, path]))
    low, high = np.minimum(low, path.min(0))[:2], np.maximum(high, path.max(0))[:2]
    middle, half = (low + high) / 2, 0.54 * float((high - low).max()) + 1e-3
    box = axes.get_window_extent()
    pixels_per_metre = min(box.width, box.height) / (2 * half)
    stretch = np.array([box.width, box.height]) / min(box.width, box.height) * half
    size = (int(box.width), int(box.height))
    pixels = (points[:, :2] - (middle - stretch)) * pixels_per_metre
    drawn = (scene.cloud.normals @ scene.up > -0.2) & (np.abs(pixels) < 1e6).all(-1)
    radius = np.full(int(drawn.sum()), _DISC * scene.voxel_size * pixels_per_metre)
    height = points[drawn, 2]
    depth = height.max(initial=0) + 1 - height
    picture = splat_until_covered(pixels[drawn], depth, radius, scene.cloud.colours[drawn], size)
    extent = (middle[0] - stretch[0], middle[0] + stretch[0], middle[1] - stretch[1], middle[1] + stretch[1])
    axes.imshow(shade(picture), extent=extent, origin="lower", interpolation="none")
    axes.set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    axes.set_xlabel("metres to the right of the first camera", fontsize=10)
    axes.set_ylabel("metres ahead of the first camera", fontsize=10)
    axes.set_title("Plan (surfaces facing down left out)", fontsize=11, loc="left")
    axes.grid(color="#808080", alpha=0.35, linewidth=0.6)
    flat = ((lines.reshape(-1, 3) - origin) @ level.T)[:, :2].reshape(-1, 2, 2)
    _draw_path(axes, path[:, :2], flat, owner)


def _draw_path(axes: Axes, centres: Array, frusta: Array, owner: NDArray[np.int64]) -> None:
    """Draws camera centres (pose, 2) as a line from early to late, frusta (line, 2, 2) and marks at start and end."""
    colours = path_colours(len(centres)) / 255
    axes.add_collection(LineCollection(list(frusta), colors="white", linewidths=2.6, alpha=0.8, zorder=3))
    axes.add_collection(LineCollection(list(frusta), colors=list(colours[owner]), linewidths=1.2, zorder=4))
    if len(centres) > 1:
        steps = list(np.stack([centres[:-1], centres[1:]], 1))
        axes.add_collection(LineCollection(steps, colors="white", linewidths=5, alpha=0.9, zorder=5))
        axes.add_collection(LineCollection(steps, colors=list(colours[:-1]), linewidths=2.6, zorder=6))
    for name, place, colour, marker in (("start", 0, colours[0], "o"), ("end", -1, colours[-1], "s")):
        x, y = centres[place]
        axes.plot([x], [y], marker, color=colour, markersize=9, markeredgecolor="white", markeredgewidth=1.5, zorder=7)
        axes.annotate(
            name, (x, y), xytext=(9, 9 if place == 0 else -15), textcoords="offset points", fontsize=11, zorder=8
        ).set_path_effects(_HALO)


def _draw_time_scale(figure: Figure, timestamps: list[float]) -> None:
    first, last = timestamps[0], timestamps[-1]
    if not last > first:
        return
    shown = colormaps[PATH_COLOURS].resampled(256)
    axes = _panel(figure, 0.80, 0.955, 0.17, 0.012)
    gradient = shown(np.linspace(0, 0.9, 256))[None]  # the range that path_colours uses
    axes.imshow(gradient, extent=(first, last, 0, 1), aspect="auto")
    axes.set(yticks=[])
    axes.tick_params(labelsize=9)
    axes.set_title("camera path by time (s)", fontsize=10, pad=3)


def _draw_strip(figure: Figure, keyframes: list[Keyframe]) -> None:
    """Frames over their depth maps, on one colour scale in metres."""
    depths = [frame.depth[np.isfinite(frame.depth)] for frame in keyframes]
    pooled = np.concatenate(depths) if depths else np.zeros(0)
    low, high = np.percentile(pooled, [1, 99]) if len(pooled) else (0.0, 1.0)
    scale = Normalize(float(low), float(max(high, low + 1e-3)))
    colours = colormaps["viridis_r"].with_extremes(bad="#d9d9d9")
    width = 0.925 / max(len(keyframes), 1)
    for i, frame in enumerate(keyframes):
        left = 0.012 + i * width
        for bottom, content in ((0.19, frame.image), (0.01, frame.depth)):
            axes = _panel(figure, left, bottom, width - 0.008, 0.172)
            axes.imshow(content, cmap=colours, norm=scale, interpolation="nearest")
            axes.set(xticks=[], yticks=[], anchor="C")
            if bottom > 0.1:
                axes.set_title(f"frame {frame.frame_index}, {frame.timestamp:.1f} s", fontsize=10, pad=3)
    bar = figure.colorbar(ScalarMappable(scale, colours), cax=_panel(figure, 0.945, 0.02, 0.012, 0.15))
    bar.set_label("depth (m)", fontsize=10)
    bar.ax.invert_yaxis()
