"""`<scan id>.txt` of a ScanNet scan: its alignment with the room and its cameras, as `key = value` lines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vlm3r.errors import UserError
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.encoded import Size
from vlm3r.scenes.raw.limited import read_limited
from vlm3r.scenes.schema import Array, Intrinsics

MAX_BYTES = 1 << 16


@dataclass(frozen=True, eq=False)
class ScanInfo:
    """What the file says; a value that it lacks is None."""

    alignment: Array | None = None
    """(4, 4) from the recording's world to the aligned one."""
    colour_size: Size | None = None
    """Width and height of the recorded pictures."""
    colour_camera: Intrinsics | None = None
    depth_camera: Intrinsics | None = None
    problems: tuple[str, ...] = ()


def read_info(path: Path) -> ScanInfo:
    """The values of a scan's text file.

    Raises:
        UserError: the file is too large or cannot be read, or its alignment is no rigid motion: what is built on a
            wrong alignment would look right and be wrong.
    """
    remedy = "download it again"
    if not path.is_file():
        unaligned = "poses and mesh stay as recorded, not aligned with floor and walls"
        return ScanInfo(problems=(f"{path.name}: no such file; {unaligned}; download it",))
    try:
        values = _values(read_limited(path, MAX_BYTES).decode("utf-8", "replace"))
        alignment = _alignment(values.get("axisAlignment"))
    except FieldError as error:
        raise UserError(f"{path}: {error}; {remedy}") from None
    problems = []
    if alignment is None:
        problems.append(f"{path.name}: has no axisAlignment; poses and mesh stay as recorded, not aligned with walls")
    cameras: dict[str, Intrinsics | None] = {}
    for name in ("color", "depth"):
        try:
            cameras[name] = _camera(values, name)
        except FieldError as error:
            problems.append(f"{path.name}: {error}; its {name} camera is passed over")
    return ScanInfo(alignment, _size(values, "color"), cameras.get("color"), cameras.get("depth"), tuple(problems))


def _values(text: str) -> dict[str, str]:
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, found, value in pairs if found}


def _alignment(value: str | None) -> Array | None:
    if not value:
        return None
    try:
        return fields.pose(fields.array(value.split(), (4, 4), "axisAlignment"))
    except FieldError as error:
        raise FieldError(str(error).replace("pose", "axisAlignment")) from None


def _size(values: Mapping[str, str], name: str) -> Size | None:
    try:
        width, height = (fields.integer(values.get(f"{name}{edge}"), edge) for edge in ("Width", "Height"))
    except FieldError:
        return None
    return (width, height) if min(width, height) > 0 else None


def _camera(values: Mapping[str, str], name: str) -> Intrinsics | None:
    """The camera `color` or `depth`; None where the file lacks one of its values, as those of some scans do."""
    keys = [f"{key}_{name}" for key in ("fx", "fy", "mx", "my")]
    size = _size(values, name)
    if size is None or not all(values.get(key) for key in keys):
        return None
    numbers = np.array([fields.number(values[key], key) for key in keys])
    return fields.camera(Intrinsics(*size, *numbers.tolist()))
