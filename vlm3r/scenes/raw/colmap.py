"""COLMAP models: cameras and images, from text or binary files. Points are passed over.

COLMAP writes poses as world-to-camera quaternions and translations; what is read here is camera-to-world.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.colmap_binary import BinaryModel
from vlm3r.scenes.raw.colmap_records import CameraRecord, ImageRecord
from vlm3r.scenes.raw.lens import Lens
from vlm3r.scenes.raw.paths import within
from vlm3r.scenes.schema import Array

LINE = 2048
"""Characters of a line that are kept: more than any camera or image takes; lists of points may be far longer."""
MAX_RECORDS = 1_000_000
UNIT_TOLERANCE = 1e-3
"""How far a quaternion's length may be from 1."""


@dataclass(frozen=True, eq=False)
class PosedImage:
    """One image of a model."""

    pose: Array
    """(4, 4) camera-to-world, x right, y down, z forward."""
    lens: Lens


@dataclass(frozen=True)
class ColmapModel:
    """The usable images of a model."""

    images: Mapping[str, PosedImage]
    """By file name, without folders."""
    problems: tuple[str, ...]
    """What was left out."""
    source: str
    """Name of the file that the poses are from."""


def read_model(scan: Path, folder: Path) -> ColmapModel:
    """The model in a folder of a scan: `cameras.bin` and `images.bin`, or else `cameras.txt` and `images.txt`.

    Raises:
        UserError: neither pair is there, a file is a link out of the scan, cut short or malformed, or nothing in it can
            be used.
    """
    binary = (folder / "images.bin").is_file() and (folder / "cameras.bin").is_file()
    suffix = "bin" if binary else "txt"
    cameras, images = (within(scan, folder / f"{name}.{suffix}") for name in ("cameras", "images"))
    for path in (cameras, images):
        if not path.is_file():
            raise UserError(f"{path}: no such file; download the scan's COLMAP model")
    if binary:
        model = BinaryModel(MAX_RECORDS)
        camera_records, image_records = model.cameras(cameras), model.images(images)
    else:
        camera_records, image_records = _text_cameras(cameras), _text_images(images)
    notes: list[str] = []
    lenses = _lenses(cameras, camera_records, notes)
    found: dict[str, PosedImage] = {}
    for record in image_records:
        try:
            name = Path(fields.text(record.name, "name")).name
            if name in found:
                raise FieldError("its name is repeated")
            if record.camera_id not in lenses:
                raise FieldError(f"its camera {record.camera_id} is unknown or unusable")
            found[name] = PosedImage(camera_to_world(record.quaternion, record.translation), lenses[record.camera_id])
        except FieldError as error:
            notes.append(f"{images.name}: image {record.name[:80]!a}: {error}; left out")
    if not found:
        reason = f" ({notes[0]})" if notes else ""
        raise UserError(f"{images}: has no usable image{reason}; download the COLMAP model again")
    return ColmapModel(found, tuple(notes), f"{folder.name}/{images.name}")


def camera_to_world(quaternion: tuple[float, ...], translation: tuple[float, ...]) -> Array:
    """The inverse (4, 4) of a world-to-camera quaternion, w first, and translation in metres.

    Raises:
        FieldError: a number is not finite or far off, or the quaternion's length is not 1.
    """
    w, x, y, z = fields.array(quaternion, (4,), "quaternion").tolist()
    moved = fields.metres(translation, (3,), "translation")
    length = float(np.linalg.norm([w, x, y, z]))
    if abs(length - 1) > UNIT_TOLERANCE:
        raise FieldError(f"quaternion has length {length:.4g}, not 1")
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_quat([x, y, z, w]).as_matrix().T
    pose[:3, 3] = -pose[:3, :3] @ moved
    return pose


def _lenses(path: Path, records: Iterator[CameraRecord], notes: list[str]) -> dict[int, Lens]:
    lenses: dict[int, Lens] = {}
    for record in records:
        try:
            lenses[record.camera_id] = Lens.of(record.model, (record.width, record.height), record.parameters)
        except FieldError as error:
            notes.append(f"{path.name}: camera {record.camera_id}: {error}; left out")
    return lenses


def _text_cameras(path: Path) -> Iterator[CameraRecord]:
    for number, line in _lines(path):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            if len(words) < 5:
                raise FieldError("has fewer than five words")
            camera_id, width, height = (fields.integer(words[i], "a number") for i in (0, 2, 3))
            parameters = tuple(fields.number(word, "a parameter") for word in words[4:])
        except FieldError as error:
            raise UserError(f"{path}: line {number}: {error}; download it again") from None
        yield CameraRecord(camera_id, words[1], width, height, parameters)


def _text_images(path: Path) -> Iterator[ImageRecord]:
    """Images take two lines; the second, which lists points, may be empty, and some writers leave it out."""
    points_next = False
    for number, line in _lines(path):
        words = line.split(maxsplit=9)
        if points_next and (len(words) < 10 or _is_number(words[9].split()[0])):
            points_next = False
            continue
        if not words or words[0].startswith("#"):
            continue
        try:
            if len(words) < 10:
                raise FieldError("has fewer than ten words")
            if not all(_is_number(word) for word in words[1:8]):
                raise FieldError("the pose holds something that is no number")
            camera_id = fields.integer(words[8], "the camera")
        except FieldError as error:
            raise UserError(f"{path}: line {number}: {error}; download it again") from None
        numbers = tuple(map(float, words[1:8]))  # whether they are a pose is seen where an image can be left out
        yield ImageRecord(words[9].strip(), numbers[:4], numbers[4:], camera_id)
        points_next = True


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Number and first `LINE` characters of each line, counted from 1."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            for number in range(1, 2 * MAX_RECORDS + 1):
                line = rest = file.readline(LINE)
                if not line:
                    return
                while rest and not rest.endswith("\n"):
                    rest = file.readline(1 << 16)
                yield number, line
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); download it again") from None
    raise UserError(f"{path}: has more than {2 * MAX_RECORDS} lines; is this a scan's COLMAP model?")
