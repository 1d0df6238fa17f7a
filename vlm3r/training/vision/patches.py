"""Pictures of scenes with what each of their patches shows, decoded once and kept on disk."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from einops import rearrange
from numpy.typing import NDArray
from PIL import Image

from vlm3r.errors import UserError
from vlm3r.files import replacing
from vlm3r.processing.video import decode_indices
from vlm3r.scenes.schema import Scene
from vlm3r.scenes.storage import read_scene

MASK_VALUES = 1 << 16
"""Masks are 16-bit pictures."""


@dataclass(frozen=True)
class PatchTask:
    """One scene to decode."""

    scene: Path
    """Its scene file."""
    cache: Path
    """Folder of the cache."""
    image_size: int
    """Side of the pictures in pixels."""
    patch_size: int
    """Side of a patch in pixels."""


@dataclass(frozen=True)
class Patches:
    """The sampled frames of one scene."""

    pictures: NDArray[np.uint8]
    """`(frame, side, side, 3)`, squashed to a square as the model's processor does."""
    shares: NDArray[np.uint8]
    """`(frame, patch, category)`: share of the patch's pixels that the category covers, in 255ths."""
    categories: tuple[str, ...]
    """Names along the last axis of `shares`."""


def decode_scene(task: PatchTask) -> Path:
    """The cache file of a scene, made if it is not there.

    Raises:
        UserError: the scene has no video or no instance masks, or a file of it cannot be read.
    """
    key = hashlib.blake2b(f"{task.scene.resolve()} {task.image_size} {task.patch_size}".encode(), digest_size=8)
    target = task.cache / f"{task.scene.parent.name}_{key.hexdigest()}.npz"
    if target.is_file():
        return target
    scene = read_scene(task.scene)
    patches = make_patches(scene, task.scene.parent, task.image_size, task.patch_size)
    names = np.frombuffer(json.dumps(patches.categories).encode(), np.uint8)
    with replacing(target) as building, building.open("wb") as file:
        np.savez(file, pictures=patches.pictures, shares=patches.shares, names=names)
    return target


def read_patches(path: Path) -> Patches:
    """What `decode_scene` wrote.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            return Patches(held["pictures"], held["shares"], tuple(json.loads(held["names"].tobytes())))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile) as error:
        raise UserError(f"{path}: damaged cache file ({error}); delete it and run again") from error


def make_patches(scene: Scene, folder: Path, image_size: int, patch_size: int) -> Patches:
    """Decode the sampled frames of a scene and count what their patches show."""
    masks = {frame.position: frame.mask for frame in scene.seen_frames if frame.mask and frame.position is not None}
    if scene.video is None or not masks:
        raise UserError(f"{folder}: has no video or no instance masks; make scenes with `vlm3r scenes generate`")
    decoded = decode_indices(folder / scene.video, list(masks)).frames
    square = (image_size, image_size)
    pictures = np.stack([np.asarray(Image.fromarray(f).resize(square, Image.Resampling.BICUBIC)) for f in decoded])
    categories = tuple(sorted({o.category for o in scene.objects}))
    number = {name: i + 1 for i, name in enumerate(categories)}
    table = np.zeros(MASK_VALUES, np.int64)
    for thing in scene.objects:
        if thing.instance_id is not None and 0 < thing.instance_id + scene.mask_offset < MASK_VALUES:
            table[thing.instance_id + scene.mask_offset] = number[thing.category]
    table[0] = 0
    shares = [_shares(table, folder / mask, image_size, patch_size, len(categories)) for mask in masks.values()]
    return Patches(pictures, np.stack(shares), categories)


def _shares(table: NDArray[Any], mask: Path, image_size: int, patch_size: int, categories: int) -> NDArray[np.uint8]:
    """`(patch, category)` shares of one frame, in 255ths."""
    try:
        with Image.open(mask) as image:
            instances = np.asarray(image.resize((image_size, image_size), Image.Resampling.NEAREST)).astype(np.int64)
    except OSError as error:
        raise UserError(f"{mask}: cannot be read ({error}); make the scene again") from error
    shown = rearrange(table[instances], "(y p) (x q) -> (y x) (p q)", p=patch_size, q=patch_size)
    counts = np.stack([np.bincount(patch, minlength=categories + 1) for patch in shown])[:, 1:]
    return np.rint(counts * (255 / patch_size**2)).astype(np.uint8)
