"""Whether the files that a scene record names are there, sound, and of the pictures' size."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.processing.container import read_table
from vlm3r.processing.video import decode_indices
from vlm3r.scenes.raw.faults import PREPARE, Fault
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.schema import Array, Frame, Intrinsics, Scene
from vlm3r.scenes.synthetic.pictures import MILLIMETRES

LOOKED_AT = 8
"""Frames of the video that are decoded, spread over those that a model sees."""
SLOW = 0.5
"""Frames by which recorded times may differ from the video's."""
ROUNDING = 2
"""Pixels by which the sides of a map may differ from the picture's shape."""
NEAREST, FARTHEST = 0.2, 20.0
"""Metres between which the middle of a room's depth lies."""
MAX_MAP_PIXELS = 1 << 26

Pixels = NDArray[np.int64]


def spread(frames: Sequence[int], count: int) -> list[int]:
    """At most `count` of some positions, evenly spread, first and last included."""
    if not frames:
        return []
    return [frames[i] for i in sorted(set(np.linspace(0, len(frames) - 1, count).astype(int).tolist()))]


def seen_positions(scene: Scene) -> list[int]:
    """Positions in `frames` of those that a model sees."""
    return list(range(len(scene.frames))) if scene.sampled is None else list(scene.sampled)


def check_video(scene: Scene, folder: Path) -> tuple[list[Fault], dict[int, NDArray[np.uint8]]]:
    """What is wrong with the video, and some of its pictures `(H, W, 3)` by their frame's position in the record."""
    if scene.video is None:
        return [Fault("missing", "no video is recorded", f"{PREPARE}, with its recording")], {}
    try:
        path = within(folder, folder / scene.video)
    except UserError as error:
        return [Fault("missing", str(error), PREPARE)], {}
    if not path.is_file():
        return [Fault("missing", f"{scene.video} is not there", f"copy it back, or {PREPARE}")], {}
    try:
        table = read_table(path)
    except UserError as error:
        return [Fault("corrupt", f"{scene.video}: {_reason(error, path)}", PREPARE)], {}
    faults = []
    total = len(table.times)
    if total != len(scene.frames):
        text = f"{scene.video} has {total} frames and the record {len(scene.frames)}"
        faults.append(Fault("corrupt", text, f"the video was cut or replaced; {PREPARE}"))
    faults += _times(scene, table.times)
    wanted = [position for position in spread(seen_positions(scene), LOOKED_AT) if position < total]
    if not wanted:
        return faults, {}
    try:
        shown = decode_indices(path, wanted).frames
    except UserError as error:
        return [*faults, Fault("corrupt", f"{scene.video}: {_reason(error, path)}", PREPARE)], {}
    return [*faults, *_size(shown.shape[2], shown.shape[1], scene.intrinsics)], dict(zip(wanted, shown, strict=True))


def _reason(error: Exception, path: Path) -> str:
    return first_line(error).replace(f"{path}: ", "").replace(f"{path} ", "")


def _times(scene: Scene, times: Array) -> list[Fault]:
    recorded = np.array([np.nan if frame.timestamp is None else frame.timestamp for frame in scene.frames])
    count = min(len(recorded), len(times))
    if count < 2 or not np.isfinite(recorded[:count]).any():
        return []
    gap = float(times[count - 1]) / (count - 1)
    off = np.abs(recorded[:count] - times[:count])
    if not np.nanmax(off) > SLOW * gap:
        return []
    where = int(np.nanargmax(off))
    text = f"frame {where} is at {times[where]:.2f} s of the video and at {recorded[where]:.2f} s in the record"
    return [Fault("corrupt", text, f"the video has another frame rate than was recorded; {PREPARE}")]


def _size(width: int, height: int, camera: Intrinsics | None) -> list[Fault]:
    if camera is None or (width, height) == (camera.width, camera.height):
        return []
    text = f"pictures are {width}x{height} and the camera's are {camera.width}x{camera.height}"
    if (height, width) == (camera.width, camera.height):
        return [Fault("rotated", text, f"{PREPARE}, with pictures, poses and intrinsics turned together")]
    return [Fault("corrupt", text, f"scale the intrinsics with the pictures, or {PREPARE}")]


class Maps:
    """Depth and instance maps of one scene; reading one notes what is wrong with it."""

    def __init__(self, scene: Scene, folder: Path) -> None:
        self._camera, self._folder = scene.intrinsics, folder
        self._wrong: dict[tuple[str, str], list[str]] = {}

    def depth(self, frame: Frame) -> NDArray[np.float64] | None:
        """The depth map (h, w) in metres, 0 unknown; None where there is none or it is broken."""
        values = None if frame.depth is None else self._map(frame.depth, "depth map")
        if values is None:
            return None
        known = values[values > 0]
        if not len(known):
            self._note("a depth map without any depth", "corrupt", str(frame.depth))
            return None
        if not NEAREST <= float(np.median(known)) / MILLIMETRES <= FARTHEST:
            self._note("a depth map that is not in millimetres", "units", str(frame.depth))
        return values / MILLIMETRES

    def instances(self, frame: Frame) -> Pixels | None:
        """The values (h, w) of the instance map, 0 for none; None where there is none or it is broken."""
        return None if frame.mask is None else self._map(frame.mask, "instance map")

    def image(self, frame: Frame) -> None:
        """Note whether the picture is missing or broken, where one is recorded."""
        if frame.image is not None:
            self._open(frame.image, "picture")

    def faults(self) -> list[Fault]:
        """What was wrong with the maps read so far, one line for each way."""
        kinds = Counter({key: len(names) for key, names in self._wrong.items()})
        return [
            Fault(
                kind,  # pyright: ignore[reportArgumentType]
                f"{count} frames have {what}, such as {self._wrong[what, kind][0]}",
                f"copy the files back, or {PREPARE}",
            )
            for (what, kind), count in kinds.items()
        ]

    def _map(self, name: str, what: str) -> Pixels | None:
        values = self._open(name, what)
        if values is None or self._camera is None:
            return values
        height, width = values.shape
        if abs(width * self._camera.height - height * self._camera.width) > ROUNDING * max(self._camera.height, width):
            turned = abs(height * self._camera.height - width * self._camera.width) <= ROUNDING * max(values.shape)
            self._note(f"{_a(what)} of another shape than the picture", "rotated" if turned else "corrupt", name)
            return None
        return values

    def _open(self, name: str, what: str) -> Pixels | None:
        try:
            path = within(self._folder, self._folder / name)
        except UserError:
            self._note(f"{_a(what)} outside the scene's folder", "missing", name)
            return None
        if not path.is_file():
            self._note(f"no {what}, although one is recorded", "missing", name)
            return None
        try:
            with Image.open(path) as image:
                if image.width * image.height > MAX_MAP_PIXELS:
                    raise ValueError("too large")
                values = np.asarray(image)
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
            self._note(f"{_a(what)} that cannot be read", "corrupt", name)
            return None
        if what == "picture":
            return None
        if values.ndim != 2 or values.dtype.kind not in "iu":
            self._note(f"{_a(what)} that has no 16-bit numbers", "corrupt", name)
            return None
        return values.astype(np.int64)

    def _note(self, what: str, kind: str, name: str) -> None:
        self._wrong.setdefault((what, kind), []).append(name)


def _a(what: str) -> str:
    return f"{'an' if what[0] in 'aeiou' else 'a'} {what}"
