"""Pictures of a scene to look at: a contact sheet of its frames and a map from above."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlm3r.scenes.schema import Scene, SceneObject

from .shapes import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 8
THUMBNAIL = 192
"""Width of a frame on the contact sheet, pixels."""
UNDER = ("rug",)
"""Categories that others stand on; drawn first and faintly."""


def contact_sheet(path: Path, frames: Sequence[Array], times: Sequence[float]) -> None:
    """Write the frames (height, width, 3) in a grid with their times in seconds, row by row."""
    height = round(THUMBNAIL * frames[0].shape[0] / frames[0].shape[1])
    rows = -(-len(frames) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * (THUMBNAIL + 2) - 2, rows * (height + 2) - 2), "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for number, (frame, time) in enumerate(zip(frames, times, strict=True)):
        x, y = number % COLUMNS * (THUMBNAIL + 2), number // COLUMNS * (height + 2)
        sheet.paste(Image.fromarray(frame).resize((THUMBNAIL, height), Image.Resampling.LANCZOS), (x, y))
        draw.text(
            (x + 4, y + 2), f"{number + 1}: {time:.1f} s", fill="white", stroke_fill="black", stroke_width=2, font=font
        )
    sheet.save(path, format="PNG")


def top_down_map(path: Path, scene: Scene) -> None:
    """Write a map: outlines of the rooms, boxes with their names, and the camera's way with its viewing directions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon

    corners = np.array([corner for outline in scene.room.outlines for corner in outline.polygon])
    span = np.maximum(np.ptp(corners, axis=0), 1.0)
    figure = Figure(figsize=(11.0, float(np.clip(11.0 * span[1] / span[0], 5.0, 13.0))), layout="constrained")
    axes = figure.add_subplot()
    for outline in scene.room.outlines:
        axes.add_patch(Polygon(outline.polygon, facecolor="#f4efe6", edgecolor="#444444", linewidth=1.6, zorder=0))
        x, y = np.mean(outline.polygon, axis=0)
        if outline.use != "doorway":
            axes.text(x, y, outline.use, fontsize=15, color="#c9bda8", ha="center", va="center", zorder=0.5)
    names = sorted({o.category for o in scene.objects})
    for thing in sorted(scene.objects, key=lambda o: (o.category not in UNDER, o.box.corners[:, 2].max())):
        _draw_object(axes, thing, names.index(thing.category) / max(len(names), 1))
    _draw_camera(axes, scene)
    axes.set_aspect("equal")
    axes.set_xlim(corners[:, 0].min() - 0.4, corners[:, 0].max() + 0.4)
    axes.set_ylim(corners[:, 1].min() - 0.4, corners[:, 1].max() + 0.4)
    axes.set_xlabel("x, metres")
    axes.set_ylabel("y, metres")
    area = "" if scene.room.area is None else f", {scene.room.area:.1f} m²"
    axes.set_title(f"{scene.scene_id}: {len(scene.objects)} objects{area}, {scene.frames[-1].timestamp:.0f} s")
    buffer = BytesIO()
    FigureCanvasAgg(figure).print_figure(buffer, format="png", dpi=80, metadata={"Software": None})
    path.write_bytes(buffer.getvalue())


def _draw_object(axes: Axes, thing: SceneObject, hue: float) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Polygon

    ring = _footprint(thing)
    colour = colormaps["hsv"](hue)
    faint = thing.category in UNDER
    axes.add_patch(
        Polygon(ring, facecolor=(*colour[:3], 0.08 if faint else 0.3), edgecolor=colour, linewidth=1.1, zorder=2)
    )
    x, y = thing.box.centre[:2]
    label = thing.category if thing.instance_id is None else f"{thing.category} {thing.instance_id}"
    axes.text(x, y, label, fontsize=7.5, ha="center", va="center", zorder=4, color="#222222")


def _footprint(thing: SceneObject) -> Array:
    """Outline of a box from above, (corner, 2)."""
    import shapely

    return np.asarray(shapely.MultiPoint(thing.box.corners[:, :2]).convex_hull.buffer(1e-4).exterior.coords)


def _draw_camera(axes: Axes, scene: Scene) -> None:
    poses = np.array([frame.pose for frame in scene.frames if frame.pose is not None])
    seen = np.array([frame.pose for frame in scene.seen_frames if frame.pose is not None])
    axes.plot(poses[:, 0, 3], poses[:, 1, 3], color="#1f4e9e", linewidth=1.5, zorder=3)
    axes.quiver(
        seen[:, 0, 3], seen[:, 1, 3], seen[:, 0, 2], seen[:, 1, 2],
        angles="xy", scale_units="xy", scale=2.2, width=0.0022, color="#1f4e9e", zorder=3,
    )  # fmt: skip
    axes.plot(*poses[0, :2, 3], marker="o", color="#1f4e9e", markersize=7, zorder=3)
