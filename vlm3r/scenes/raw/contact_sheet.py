"""One picture a scene, by which a person sees in seconds whether boxes, poses and pictures belong together."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vlm3r.errors import UserError
from vlm3r.files import first_line, replacing
from vlm3r.scenes.raw.file_check import seen_positions, spread
from vlm3r.scenes.raw.projection import boxes_in_view, edges_in_view
from vlm3r.scenes.schema import Array, Frame, RoomOutline, Scene, SceneObject
from vlm3r.scenes.synthetic.overview import top_down_map

COLUMNS, ROWS = 3, 2
WIDTH = 440
"""Pixels of a picture on the sheet; tall ones are as high as wide ones are broad."""
GAP = 6
MAP_WIDTH = 760
LINE = 22
TEXT = 15
LABEL = 13
MARGIN = 12
SHOWN_LINES = 6
SMALLEST = 0.004
"""Share of the picture below which a box is not drawn: far away, names would cover everything."""
CLOSEST_VIEW = 0.9
"""Share of the picture above which a box is not drawn: the camera is nearly in it."""
LINE_LENGTH = 190
"""Characters of a line of the head."""
BACKGROUND, INK, WARNING, FAINT = "#ffffff", "#202020", "#b00020", "#666666"
GOLDEN = 0.618034
"""Steps of hue after which colours of neighbouring ids differ."""


def draw_sheet(path: Path, scene: Scene, pictures: Mapping[int, NDArray[np.uint8]], faults: Sequence[str]) -> None:
    """Write the contact sheet of a scene as PNG; the file appears whole or not at all.

    Frames show the projected 3-D boxes in one colour an object, with its name and id, and the 2-D boxes as white
    frames; beside them is the map from above, and over them what was found wrong.

    Args:
        path: PNG file; its folder is made.
        scene: what is drawn.
        pictures: (H, W, 3) by the frame's position in the record; frames without are grey.
        faults: one line each.

    Raises:
        UserError: the file cannot be written.
    """
    positions = _chosen(scene, pictures)
    tiles = [_frame(scene, scene.frames[i], pictures.get(i), i) for i in positions]
    plan = _plan(scene)
    grid = _grid(tiles)
    width = grid.width + plan.width + GAP + 2 * MARGIN
    lines = _head(scene, faults)
    top = LINE * len(lines) + 2 * MARGIN
    sheet = Image.new("RGB", (width, top + max(grid.height, plan.height) + MARGIN), BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for number, (text, colour) in enumerate(lines):
        font = ImageFont.load_default(size=TEXT + (4 if number == 0 else 0))
        draw.text((MARGIN, MARGIN + number * LINE), text[:LINE_LENGTH], fill=colour, font=font)
    sheet.paste(grid, (MARGIN, top))
    sheet.paste(plan, (MARGIN + grid.width + GAP, top))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{path.parent}: cannot be made ({first_line(error)}); choose another --sheets") from None
    with replacing(path) as building:
        sheet.save(building, format="PNG")


def _chosen(scene: Scene, pictures: Mapping[int, NDArray[np.uint8]]) -> list[int]:
    """Positions of the frames on the sheet: those with most objects, with a picture where any has one."""
    there = sorted(pictures) or seen_positions(scene)
    fullest = sorted(spread(there, 2 * COLUMNS * ROWS), key=lambda i: -len(scene.frames[i].sightings))
    return sorted(fullest[: COLUMNS * ROWS])


def _head(scene: Scene, faults: Sequence[str]) -> list[tuple[str, str]]:
    area = "area unknown" if scene.room.area is None else f"{scene.room.area:.1f} square metres"
    facts = f"{len(scene.objects)} objects, {len(scene.frames)} frames ({len(scene.seen_frames)} to be seen), {area}"
    lines = [(f"{scene.dataset}  {scene.scene_id}:  {facts}", INK)]
    lines += [(fault, WARNING) for fault in faults[:SHOWN_LINES]]
    if len(faults) > SHOWN_LINES:
        lines.append((f"... and {len(faults) - SHOWN_LINES} more", WARNING))
    if not faults:
        lines.append(("nothing found wrong by the program: look whether coloured boxes lie on their objects", FAINT))
    lines.append(("coloured: 3-D boxes with name and id; thin white: 2-D boxes; right: from above", FAINT))
    return lines


def _colour(thing: SceneObject, number: int) -> tuple[int, int, int]:
    hue = ((number if thing.instance_id is None else thing.instance_id) * GOLDEN) % 1.0
    red, green, blue, _ = colormaps["hsv"](hue)
    return round(255 * red), round(255 * green), round(255 * blue)


def _frame(scene: Scene, frame: Frame, picture: NDArray[np.uint8] | None, position: int) -> Image.Image:
    """A picture with boxes drawn in."""
    camera = scene.intrinsics
    if picture is not None:
        size = picture.shape[1], picture.shape[0]
    else:
        size = (4, 3) if camera is None else (camera.width, camera.height)
    scale = WIDTH / max(size)
    shape = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
    tile = Image.new("RGB", shape, "#8a8a8a")
    if picture is not None:
        tile.paste(Image.fromarray(picture).resize(shape, Image.Resampling.LANCZOS))
    draw = ImageDraw.Draw(tile)
    if camera is not None:
        fitted = np.array([shape[0] / camera.width, shape[1] / camera.height])
        for seen in frame.sightings:
            low, high = np.array(seen.box[:2]) * fitted, (np.array(seen.box[2:]) + 1) * fitted
            draw.rectangle((*low, *np.maximum(high, low)), outline="white")
        if frame.pose is not None:
            _draw_boxes(draw, scene, frame, fitted)
    time = "" if frame.timestamp is None else f", {frame.timestamp:.1f} s"
    lost = "" if frame.pose is not None else ", no pose"
    _write(draw, (5, 3), f"frame {position}{time}{lost}", "white", LABEL + 1)
    return tile


def _draw_boxes(draw: ImageDraw.ImageDraw, scene: Scene, frame: Frame, fitted: Array) -> None:
    camera = scene.intrinsics
    assert camera is not None and frame.pose is not None
    seen = {sighting.instance_id for sighting in frame.sightings}
    # Without 2-D boxes any object may be in view; with them, those behind walls would only confuse.
    shown = [(n, o) for n, o in enumerate(scene.objects) if not seen or o.instance_id is None or o.instance_id in seen]
    if not shown:
        return
    corners = np.array([thing.box.corners for _, thing in shown])
    poses = np.broadcast_to(frame.pose, (len(shown), 4, 4))
    extents = boxes_in_view(corners, poses, camera)
    shares = np.prod(extents[:, 2:] - extents[:, :2], axis=1) / (camera.width * camera.height)
    edges = edges_in_view(corners, poses, camera) * fitted
    labels = []
    for place in np.argsort(-np.nan_to_num(shares)).tolist():
        number, thing = shown[place]
        if not SMALLEST <= shares[place] <= CLOSEST_VIEW:
            continue
        colour = _colour(thing, number)
        for first, second in edges[place]:
            if np.isfinite([first, second]).all() and np.abs([first, second]).max() < 1e5:
                draw.line((*first, *second), fill=colour, width=2)
        labels.append(((extents[place, :2] + extents[place, 2:]) / 2 * fitted, thing, colour))
    wide = camera.width * float(fitted[0])
    taken: list[tuple[float, float, float, float]] = []
    for middle, thing, colour in reversed(labels):
        _label(draw, middle, thing, colour, wide, taken)


def _label(
    draw: ImageDraw.ImageDraw,
    middle: Array,
    thing: SceneObject,
    colour: tuple[int, int, int],
    wide: float,
    taken: list[tuple[float, float, float, float]],
) -> None:
    """Name and id in the middle of the box, inside a picture so `wide`, moved down while it would cover another."""
    text = thing.category if thing.instance_id is None else f"{thing.category} {thing.instance_id}"
    font = ImageFont.load_default(size=LABEL)
    left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
    x, y = float(middle[0]) - (right - left) / 2, float(middle[1]) - (bottom - top) / 2
    x = min(max(x, 3.0), max(3.0, wide - (right - left) - 3))
    for _ in range(6):
        place = (x - 2, y - 1, x + right - left + 2, y + bottom - top + 4)
        if not any(place[0] < t[2] and t[0] < place[2] and place[1] < t[3] and t[1] < place[3] for t in taken):
            break
        y += LABEL + 3
    else:
        return
    taken.append(place)
    draw.rectangle(place, fill=tuple(round(0.35 * c) for c in colour))
    draw.text((x, y - top), text, fill="white", font=font)


def _write(draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, colour: str, size: int) -> None:
    draw.text(place, text, fill=colour, stroke_fill="black", stroke_width=2, font=ImageFont.load_default(size=size))


def _grid(tiles: Sequence[Image.Image]) -> Image.Image:
    if not tiles:
        return Image.new("RGB", (1, 1), BACKGROUND)
    columns = min(COLUMNS, len(tiles))
    width, height = max(tile.width for tile in tiles), max(tile.height for tile in tiles)
    rows = -(-len(tiles) // columns)
    grid = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP), BACKGROUND)
    for number, tile in enumerate(tiles):
        grid.paste(tile, (number % columns * (width + GAP), number // columns * (height + GAP)))
    return grid


def _plan(scene: Scene) -> Image.Image:
    """The map from above; a note where nothing is known to draw."""
    frames = tuple(frame for frame in scene.frames if frame.pose is not None)
    if not frames:
        note = Image.new("RGB", (MAP_WIDTH // 2, LINE * 2), BACKGROUND)
        _ = ImageDraw.Draw(note).text((GAP, GAP), "no poses: no map", fill=FAINT, font=ImageFont.load_default(TEXT))
        return note
    frames = tuple(replace(frame, timestamp=frame.timestamp or 0.0) for frame in frames)
    seen = {scene.frames[i].frame_id for i in scene.sampled} if scene.sampled is not None else None
    sampled = None if seen is None else tuple(i for i, frame in enumerate(frames) if frame.frame_id in seen)
    outlines = (_everything(scene, frames), *scene.room.outlines)
    drawn = replace(scene, frames=frames, sampled=sampled, room=replace(scene.room, outlines=outlines))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "map.png"
        top_down_map(file, drawn)
        with Image.open(file) as image:
            plan = image.convert("RGB")
    return plan.resize((MAP_WIDTH, round(plan.height * MAP_WIDTH / plan.width)), Image.Resampling.LANCZOS)


def _everything(scene: Scene, frames: Sequence[Frame]) -> RoomOutline:
    """A nameless outline around all boxes and cameras, so that the map shows what lies outside the room, too."""
    points = [frame.pose[:2, 3] for frame in frames if frame.pose is not None]
    points += [corner[:2] for thing in scene.objects for corner in thing.box.corners]
    low, high = np.min(points, axis=0).tolist(), np.max(points, axis=0).tolist()
    ring = ((low[0], low[1]), (high[0], low[1]), (high[0], high[1]), (low[0], high[1]))
    return RoomOutline("", ring)
