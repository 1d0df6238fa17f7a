"""Scenes as small RGB-D sequences, decoded and resized once.

Decoding videos and depth maps in every step would take longer than the step. A cache file holds one scene at the size
that training reads; its name ends with a hash of what it was made from, so that a changed scene gets a new file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from cut3r.sequences import RGBDSequence
from numpy.typing import NDArray
from PIL import Image
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from vlm3r.errors import UserError
from vlm3r.files import first_line, replacing
from vlm3r.processing.video import decode_indices
from vlm3r.scenes.schema import Frame, Intrinsics, Scene
from vlm3r.scenes.storage import find_scenes, folder_name, read_scene
from vlm3r.workers import default_workers, run

CACHE_VERSION = 1
MILLIMETRES = 1000
FEWEST_FRAMES = 2


@dataclass(frozen=True)
class CacheSizes:
    """Sizes of what a cache file holds."""

    picture: int
    """Side of the square pictures, pixels."""
    depth: int
    """Side of the square depth maps, pixels."""


class CachedSequences:
    """The sequences of cache files, read when they are asked for."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int, /) -> RGBDSequence:
        """The sequence of one scene.

        Raises:
            UserError: its file is gone or damaged.
        """
        path = self.files[index]
        try:
            sequence = RGBDSequence(**load_file(path))
            if len(sequence.frames) < FEWEST_FRAMES:
                raise ValueError(f"{len(sequence.frames)} frames")
            return sequence
        except (OSError, SafetensorError, TypeError, ValueError) as error:
            raise UserError(f"{path}: cannot be read ({first_line(error)}); delete it and run again") from error


@dataclass(frozen=True)
class Prepared:
    """Sequences of some scenes, and what could not be used."""

    sequences: CachedSequences
    problems: tuple[str, ...]
    """One line for each scene that was left out."""


def prepare(folders: Sequence[Path], cache: Path, sizes: CacheSizes, workers: int | None = None) -> Prepared:
    """The sequences of all scenes below some folders, in the order of their paths.

    Args:
        folders: folders of scenes, as `vlm3r scenes generate` writes them.
        cache: folder for the cache files; files of earlier runs are used again.
        sizes: sizes of pictures and depth maps.
        workers: processes; by default one per core.

    Raises:
        UserError: a folder holds no scene, the cache cannot be written, or no scene can be used.
    """
    scenes = [scene for folder in folders for scene in find_scenes(folder)]
    try:
        cache.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{cache}: cannot be made ({first_line(error)}); choose another cache folder") from error
    make = partial(cache_scene, cache=cache, sizes=sizes)
    files, problems = [], []
    for outcome in run(make, scenes, workers=workers or default_workers()):
        if outcome.value is None:
            problems.append(f"{outcome.item.parent.name}: {outcome.error}")
        else:
            files.append(outcome.value)
    if not files:
        raise UserError(f"{', '.join(map(str, folders))}: no scene can be used; the first: {problems[0]}")
    return Prepared(CachedSequences(files), tuple(problems))


def cache_scene(scene_file: Path, cache: Path, sizes: CacheSizes) -> Path:
    """The cache file of one scene, made unless it is there.

    Raises:
        UserError: the scene has no video, camera or depth, fewer than two usable frames, or a damaged file.
    """
    scene = read_scene(scene_file)
    # Not the scene's id, which may be any text, also a path that leaves the cache.
    target = cache / f"{folder_name(scene_file)}-{_key(scene_file, scene, sizes)}.safetensors"
    if not target.exists():
        arrays = {name: np.ascontiguousarray(value) for name, value in vars(read_sequence(scene_file, sizes)).items()}
        with replacing(target) as building:
            save_file(arrays, building)
    return target


def read_sequence(scene_file: Path, sizes: CacheSizes) -> RGBDSequence:
    """The frames of a scene that a model sees and that have a pose and a depth map.

    Pictures are resized as the SigLIP image processor does it (bicubic), depth to the nearest pixel; both are squeezed
    to a square.

    Raises:
        UserError: as `cache_scene`.
    """
    scene, folder = read_scene(scene_file), scene_file.parent
    frames = [frame for frame in scene.seen_frames if frame.pose is not None and frame.depth is not None]
    if scene.video is None or scene.intrinsics is None or len(frames) < FEWEST_FRAMES:
        raise UserError(
            f"{scene_file}: needs a video, intrinsics, and {FEWEST_FRAMES} frames with pose and depth; "
            "make scenes with `vlm3r scenes generate`"
        )
    decoded = decode_indices(folder / scene.video, [_position(frame, scene_file) for frame in frames])
    side = (sizes.picture, sizes.picture)
    pictures = [np.asarray(Image.fromarray(f).resize(side, Image.Resampling.BICUBIC)) for f in decoded.frames]
    depth = [read_depth(folder / str(frame.depth), sizes.depth) for frame in frames]
    if not np.any(depth):
        raise UserError(f"{scene_file}: no depth is known in any of its frames; make the scene again")
    return RGBDSequence(
        frames=np.stack(pictures),
        depth=np.stack(depth).astype(np.float16),
        intrinsics=_squeezed(scene.intrinsics, sizes.depth),
        camera_to_world=np.stack([np.asarray(frame.pose, np.float64) for frame in frames]),
    )


def read_depth(path: Path, side: int) -> NDArray[np.float32]:
    """Metres (side, side) in a 16-bit PNG of millimetres, 0 where unknown; each pixel is the nearest of the file's.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        with Image.open(path) as image:
            depth = np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); make the scene again") from error
    if depth.ndim != 2:
        raise UserError(f"{path}: is a picture of colours, not of depth; make the scene again")
    rows, columns = (((np.arange(side) + 0.5) * length / side).astype(int) for length in depth.shape)
    return (depth[rows[:, None], columns] / MILLIMETRES).astype(np.float32)


def _squeezed(camera: Intrinsics, side: int) -> NDArray[np.float64]:
    """The camera matrix of pictures that were squeezed to `side` x `side`."""
    x, y = side / camera.width, side / camera.height
    return np.array([[x * camera.fx, 0, x * camera.cx], [0, y * camera.fy, y * camera.cy], [0, 0, 1]])


def _position(frame: Frame, scene_file: Path) -> int:
    if frame.position is None:
        raise UserError(f"{scene_file}: frame {frame.frame_id} has a name instead of a number in the video")
    return frame.position


def _key(scene_file: Path, scene: Scene, sizes: CacheSizes) -> str:
    """A hash of the sizes, the scene file, the video, and the names and sizes of the depth maps."""
    folder = scene_file.parent
    digest = hashlib.sha256(json.dumps([CACHE_VERSION, sizes.picture, sizes.depth]).encode())
    digest.update(scene_file.read_bytes())
    try:
        if scene.video is not None:
            digest.update((folder / scene.video).read_bytes())
        for frame in scene.seen_frames:
            if frame.depth is not None:
                digest.update(f"{frame.depth} {(folder / frame.depth).stat().st_size}\n".encode())
    except (OSError, ValueError) as error:
        raise UserError(f"{folder}: a file is missing ({first_line(error)}); make the scene again") from error
    return digest.hexdigest()[:16]
