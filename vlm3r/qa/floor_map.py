"""A scene from above: room, objects, camera path, and what a question is about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from scipy.spatial import ConvexHull

from vlm3r.qa.pictures import colour
from vlm3r.scenes.schema import OrientedBox, Scene

INCHES, DPI = 3.9, 80
ARROW = {"arrowstyle": "-|>", "shrinkA": 0, "shrinkB": 0}


def floor_map(scene: Scene, question: Mapping[str, Any]) -> Image.Image:
    """The map of one question.

    Args:
        scene: the scene.
        question: provenance of a row: `objects`, `frames`, `details`, `task`.
    """
    figure = Figure(figsize=(INCHES, INCHES), dpi=DPI, layout="constrained")
    axes = figure.subplots()
    axes.set_aspect("equal")
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)
    _room(axes, scene)
    _objects(axes, scene, question)
    _cameras(axes, scene, question)
    _relations(axes, scene, question)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def footprint(box: OrientedBox) -> np.ndarray:
    """Outline of a box seen from above, (corner, 2) metres."""
    points = box.corners[:, :2]
    return points[ConvexHull(points).vertices]


def _room(axes: Axes, scene: Scene) -> None:
    for outline in scene.room.outlines:
        corners = np.array([*outline.polygon, outline.polygon[0]])
        axes.plot(corners[:, 0], corners[:, 1], color="#444444", lw=1.6)


def _objects(axes: Axes, scene: Scene, question: Mapping[str, Any]) -> None:
    asked = {thing["index"]: number for number, thing in enumerate(question["objects"])}
    for index, thing in enumerate(scene.objects):
        outline = footprint(thing.box)
        number = asked.get(index)
        face = "#e4e0d8" if number is None else colour(number)
        axes.fill(
            outline[:, 0], outline[:, 1], fc=face, ec="#8a857a", lw=0.6, alpha=0.85, zorder=2 + (number is not None)
        )
        x, y = thing.box.centre[:2]
        size, weight = (5, "normal") if number is None else (8, "bold")
        axes.text(x, y, thing.category, fontsize=size, weight=weight, ha="center", va="center", zorder=6, clip_on=True)


def _cameras(axes: Axes, scene: Scene, question: Mapping[str, Any]) -> None:
    poses = [frame.pose for frame in scene.seen_frames if frame.pose is not None]
    if poses:
        path = np.array([pose[:2, 3] for pose in poses])
        axes.plot(path[:, 0], path[:, 1], color="#9db4c0", lw=1, marker=".", ms=3, zorder=1)
    for frame in question["frames"]:
        pose = scene.seen_frames[frame["place"] - 1].pose
        if pose is None:
            continue
        x, y = pose[:2, 3]
        ahead = pose[:2, 2] / max(1e-9, float(np.linalg.norm(pose[:2, 2])))
        axes.annotate(
            "", (x + 0.7 * ahead[0], y + 0.7 * ahead[1]), (x, y), arrowprops={**ARROW, "color": "black"}, zorder=7
        )
        axes.text(x, y, f" {frame['place']}", fontsize=8, weight="bold", zorder=8)


def _relations(axes: Axes, scene: Scene, question: Mapping[str, Any]) -> None:
    """The path of a route, or where someone stands and looks."""
    if path := question["details"].get("polyline"):
        points = np.array(path)
        axes.plot(points[:, 0], points[:, 1], color="black", lw=1.8, zorder=5)
        axes.annotate("", points[-1], points[-2], arrowprops={**ARROW, "color": "black", "lw": 1.8}, zorder=5)
        axes.plot(*points[0], "o", color="black", ms=5, zorder=5)
    elif question["task"] == "object_rel_direction":
        standing, facing, queried = (scene.objects[thing["index"]].box.centre[:2] for thing in question["objects"])
        axes.annotate("", facing, standing, arrowprops={**ARROW, "color": "black", "lw": 1.5}, zorder=5)
        axes.annotate("", queried, standing, arrowprops={**ARROW, "color": "black", "ls": ":"}, zorder=5)
