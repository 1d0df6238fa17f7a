"""Reading single fields of scene records: numbers, boxes, poses, 2-D boxes, each with a reason where it is unusable."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vlm3r.errors import UserError
from vlm3r.scenes.schema import Array, Intrinsics, OrientedBox, rotation_problem

MAX_FILE_BYTES = 4 << 30
MAX_METRES = 1e7
"""Beyond any map's coordinates; squares and products of what is larger could overflow."""
MAX_PIXELS = 1 << 20
"""More than any picture's edge."""
MAX_INTEGER = 2**63 - 1


class FieldError(ValueError):
    """A field that cannot be used; the message says which and why, and the reader decides what to leave out."""


def number(value: Any, name: str) -> float:
    """A finite float; text that spells a number is accepted."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise FieldError(f"{name} is {_kind(value)}, not a number")
    try:
        result = float(value)
    except (ValueError, OverflowError):
        raise FieldError(f"{name} is {str(value)[:40]!r}, not a number") from None
    if not math.isfinite(result):
        raise FieldError(f"{name} is not finite")
    return result


def integer(value: Any, name: str) -> int:
    """A whole number of at most 64 bits; text that spells one is accepted."""
    exact = isinstance(value, int) and not isinstance(value, bool)  # a float would change large ones
    result = value if exact else number(value, name)
    if result != int(result):
        raise FieldError(f"{name} is {result:g}, not a whole number")
    if abs(result) > MAX_INTEGER:
        raise FieldError(f"{name} is too large")
    return int(result)


def array(value: Any, shape: tuple[int, ...], name: str) -> Array:
    """Finite numbers of a given shape; nested or flat, numbers given as text accepted."""
    try:
        result = np.asarray(value, dtype=float)
    except (TypeError, ValueError, OverflowError):
        raise FieldError(f"{name} holds something that is no number") from None
    if result.size != math.prod(shape):
        raise FieldError(f"{name} has {result.size} numbers instead of {math.prod(shape)}")
    if not np.isfinite(result).all():
        raise FieldError(f"{name} is not finite")
    return result.reshape(shape)


def metres(value: Any, shape: tuple[int, ...], name: str) -> Array:
    """Finite coordinates or lengths of a given shape, none beyond `MAX_METRES`."""
    result = array(value, shape, name)
    if np.abs(result).max() > MAX_METRES:
        raise FieldError(f"{name} has a value beyond {MAX_METRES:g} m")
    return result


def oriented_box(centre: Any, size: Any, axes: Any) -> OrientedBox:
    """A box with positive edges and orthonormal axes; a mirrored triple of axes is allowed."""
    box = OrientedBox(metres(centre, (3,), "centre"), metres(size, (3,), "size"), metres(axes, (3, 3), "axes"))
    if (box.size <= 0).any():
        raise FieldError(f"size {box.size.tolist()} has an edge that is not positive")
    problem = rotation_problem(box.axes)
    if problem and "mirrored" not in problem:
        raise FieldError(f"axes matrix {problem}")
    return box


def pose(value: Any) -> Array:
    """A camera-to-world matrix (4, 4)."""
    if value is None:
        raise FieldError("pose is missing")
    matrix = metres(value, (4, 4), "pose")
    problem = rotation_problem(matrix[:3, :3])
    if problem:
        raise FieldError(f"pose's rotation {problem}")
    if np.abs(matrix[3] - [0, 0, 0, 1]).max() > 1e-6:
        raise FieldError("pose's last row is not 0 0 0 1")
    return matrix


def pixel_box(value: Any) -> tuple[int, int, int, int]:
    """xmin, ymin, xmax, ymax, inclusive."""
    corners = array(value, (4,), "bbox_2d")
    if np.abs(corners).max() > MAX_PIXELS:
        raise FieldError(f"bbox_2d has a corner beyond {MAX_PIXELS} pixels")
    xmin, ymin, xmax, ymax = (int(v) for v in corners)
    if xmax < xmin or ymax < ymin:
        raise FieldError(f"bbox_2d [{xmin}, {ymin}, {xmax}, {ymax}] is empty")
    return xmin, ymin, xmax, ymax


def camera(intrinsics: Intrinsics) -> Intrinsics:
    """The same camera, if its picture and focal lengths are not empty."""
    for name in ("width", "height", "fx", "fy"):
        value = getattr(intrinsics, name)
        if not 0 < value <= MAX_PIXELS:
            raise FieldError(f"the camera's {name} is {value:g}, not above 0 and at most {MAX_PIXELS} pixels")
    return intrinsics


def text(value: Any, name: str) -> str:
    """A string that can be written as UTF-8."""
    if not isinstance(value, str):
        raise FieldError(f"{name} is {_kind(value)}, not text")
    if not writable(value):
        raise FieldError(f"{name} {value!r} is no valid Unicode")
    return value


def writable(value: str) -> bool:
    """Whether a string is valid Unicode: JSON may spell halves of characters, which no file can hold."""
    return not any("\ud800" <= character <= "\udfff" for character in value)


def category(value: Any, name: str = "category") -> str:
    """A category's name: one line of text that is not blank."""
    result = text(value, name)
    if not result.strip() or result.splitlines() != [result]:
        raise FieldError(f"{name} {result!r} is blank or has line breaks")
    return result


def optional_text(record: Mapping[str, Any], name: str) -> str | None:
    """A string field that may be missing or null."""
    value = record.get(name)
    return None if value is None else text(value, name)


def items(value: Any, name: str) -> Sequence[Any]:
    """A JSON list."""
    if not isinstance(value, list):
        raise FieldError(f"{name} is {_kind(value)}, not a list")
    return value


def mapping(value: Any, name: str) -> Mapping[str, Any]:
    """A JSON object."""
    if not isinstance(value, dict):
        raise FieldError(f"{name} is {_kind(value)}, not an object")
    return value


def read_object(path: Path, what: str) -> dict[str, Any]:
    """The JSON object in a file; `NaN` and `Infinity` literals are accepted, repeated keys are not.

    Raises:
        UserError: the file is missing, unreadable, cut short, not JSON, or names one key twice.
    """
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise UserError(f"{path}: {size >> 30} GiB is too large for {what}; split it by scenes")
        value = json.loads(path.read_text(encoding="utf-8-sig"), object_pairs_hook=_unique_keys)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give the path of {what}") from None
    except IsADirectoryError:
        raise UserError(f"{path}: is a folder; give the path of {what}") from None
    except FieldError as error:
        raise UserError(f"{path}: {error}; write the file again") from None
    except (OSError, ValueError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path}: cannot be read as JSON ({reason}); write or download it again") from None
    if not isinstance(value, dict):
        raise UserError(f"{path}: holds {_kind(value)} instead of a JSON object; is this {what}?")
    return value


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise FieldError(f"names {twice!r} twice in one object")
    return result


def _kind(value: Any) -> str:
    kinds = {dict: "an object", list: "a list", str: "text", bool: "a truth value", type(None): "null"}
    return kinds.get(type(value), "a number")
