"""Frames of a scene with the objects asked about marked; drawn from the boxes where there are no pixels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vlm3r.errors import UserError
from vlm3r.scenes.schema import CORNER_SIGNS, Frame, Scene

PALETTE = ("#d1495b", "#00798c", "#edae49", "#6a4c93", "#66a182", "#2e4057", "#c8553d", "#3a86ff")
"""Colours of the objects asked about, in the order in which the question names them."""
HEIGHT = 240
MOST_FRAMES = 4
NEAR = 0.1
EDGES = [(i, j) for i, j in combinations(range(8), 2) if np.abs(CORNER_SIGNS[i] - CORNER_SIGNS[j]).sum() == 1]


@dataclass(frozen=True)
class Picture:
    """One frame as it is shown."""

    image: Image.Image
    caption: str


def colour(number: int) -> str:
    """Colour of the object that the question names at that place."""
    return PALETTE[number % len(PALETTE)]


def frames_to_show(scene: Scene, question: Mapping[str, Any]) -> list[int]:
    """Places (0-based) among the frames that the model sees: those asked about, or those that show the objects best."""
    places = [frame["place"] - 1 for frame in question["frames"]]
    seen = scene.seen_frames
    if not places:
        for thing in question["objects"][:MOST_FRAMES]:
            best = max(range(len(seen)), key=lambda i: _area(seen[i], thing["instance_id"]), default=None)
            if best is not None and _area(seen[best], thing["instance_id"]) > 0:
                places.append(best)
    if not places and seen:
        places = np.linspace(0, len(seen) - 1, min(MOST_FRAMES, len(seen))).astype(int).tolist()
    return sorted(set(places))


def picture(scene: Scene, folder: Path, place: int, question: Mapping[str, Any]) -> Picture:
    """The frame at a place among those seen, with the asked objects' 2-D boxes.

    Args:
        scene: the scene.
        folder: where its files are.
        place: 0-based.
        question: provenance of a row: `objects`.
    """
    frame = scene.seen_frames[place]
    pixels = _pixels(scene, folder, place)
    note = "" if pixels else " (drawn from the boxes)"
    image = pixels or _wire_frame(scene, frame, question)
    width = scene.intrinsics.width if scene.intrinsics else image.width
    scale = HEIGHT / image.height
    shown = image.resize((max(1, round(image.width * scale)), HEIGHT))
    _mark(shown, frame, question, shown.width / width)
    return Picture(shown, f"frame {place + 1} of {len(scene.seen_frames)}{note}")


def _area(frame: Frame, instance_id: int | None) -> float:
    boxes = [s.box for s in frame.sightings if s.instance_id == instance_id and instance_id is not None]
    return max(((right - left + 1) * (bottom - top + 1) for left, top, right, bottom in boxes), default=0)


def _pixels(scene: Scene, folder: Path, place: int) -> Image.Image | None:
    """The frame from its image file or from the video; None where neither is there."""
    frame = scene.seen_frames[place]
    image, video = (_file_below(folder, name) for name in (frame.image, scene.video))
    try:
        if image is not None:
            return Image.open(image).convert("RGB")
        if video is not None and frame.position is not None:
            from vlm3r.processing.video import decode_indices

            return Image.fromarray(np.asarray(decode_indices(video, [frame.position]).frames[0]))
    except (UserError, IndexError, OSError, Image.DecompressionBombError):
        pass  # unreadable pictures are drawn, as missing ones are
    return None


def _file_below(folder: Path, name: str | None) -> Path | None:
    """The file that a scene names, if it is there; a page must not show what lies outside the scene's folder."""
    path = Path(os.path.normpath(folder / (name or "")))
    inside = path.is_relative_to(os.path.normpath(folder))
    try:
        return path if name and inside and path.is_file() else None
    except OSError:  # a name that no file can have
        return None


def _wire_frame(scene: Scene, frame: Frame, question: Mapping[str, Any]) -> Image.Image:
    """All boxes as the camera sees them, the asked ones in colour."""
    size = (scene.intrinsics.width, scene.intrinsics.height) if scene.intrinsics else (320, 240)
    image = Image.new("RGB", size, "#f4f1ea")
    if frame.pose is None or scene.intrinsics is None:
        return image
    camera, draw = scene.intrinsics, ImageDraw.Draw(image)
    colours = {thing["index"]: colour(i) for i, thing in enumerate(question["objects"])}
    for index, thing in sorted(enumerate(scene.objects), key=lambda pair: pair[0] in colours):
        points = (thing.box.corners - frame.pose[:3, 3]) @ frame.pose[:3, :3]
        for i, j in EDGES:
            if min(points[i, 2], points[j, 2]) > NEAR:
                ends = [
                    (camera.cx + camera.fx * x / z, camera.cy + camera.fy * y / z) for x, y, z in (points[i], points[j])
                ]
                draw.line(ends, fill=colours.get(index, "#b5b0a5"), width=3 if index in colours else 1)
    return image


def _mark(image: Image.Image, frame: Frame, question: Mapping[str, Any], scale: float) -> None:
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(12)
    for number, thing in enumerate(question["objects"]):
        for sighting in frame.sightings:
            if sighting.instance_id != thing["instance_id"] or thing["instance_id"] is None:
                continue
            left, top, right, bottom = (scale * value for value in sighting.box)
            draw.rectangle((left, top, right, bottom), outline=colour(number), width=2)
            place = (min(left + 2, image.width - 60), max(0, min(top + 1, image.height - 16)))
            draw.rectangle(draw.textbbox(place, thing["category"], font=font), fill=colour(number))
            draw.text(place, thing["category"], fill="white", font=font)


def strip(pictures: Sequence[Picture]) -> Image.Image | None:
    """The pictures side by side with their captions below."""
    if not pictures:
        return None
    gap, line = 6, 18
    width = sum(p.image.width for p in pictures) + gap * (len(pictures) - 1)
    sheet = Image.new("RGB", (width, HEIGHT + line), "white")
    draw, font, x = ImageDraw.Draw(sheet), ImageFont.load_default(12), 0
    for shown in pictures:
        sheet.paste(shown.image, (x, 0))
        draw.text((x + 2, HEIGHT + 2), shown.caption, fill="#333333", font=font)
        x += shown.image.width + gap
    return sheet
