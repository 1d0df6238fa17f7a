"""Scans' meshes: PLY files with their vertices in the order of the file, checked before they are believed."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.fields import MAX_METRES
from vlm3r.scenes.raw.capture import Cloud

MAX_BYTES = 4 << 30
MAX_HEADER_BYTES = 64 << 10
MAX_DIGITS = 18


def read_mesh(path: Path) -> Cloud:
    """The vertices and triangles of a PLY file, ASCII or binary; a file without faces is a point cloud.

    Raises:
        UserError: the file is missing, cut short, too large or no PLY file, its counts do not fit its size, a vertex is
            not finite, or a face names a vertex that is not there.
    """
    import trimesh  # slow to import, and not needed to list or open scans

    content = _content(path)
    problem = _counts_problem(content)
    if problem:
        raise UserError(f"{path}: {problem}; download it again")
    try:
        # Without a resolver, textures that the header names are not looked for.
        loaded = trimesh.load(io.BytesIO(content), file_type="ply", process=False, skip_materials=True)
        points = np.asarray(loaded.vertices, np.float64)  # pyright: ignore[reportAttributeAccessIssue]
        faces = np.asarray(getattr(loaded, "faces", np.zeros((0, 3))), np.int64)
    except Exception as error:  # the parser meets damage with errors of many kinds
        raise UserError(f"{path}: cannot be read as PLY ({first_line(error)}); download it again") from error
    if points.ndim != 2 or points.shape[1] != 3 or not len(points):
        raise UserError(f"{path}: has no vertices; download it again")
    if not (np.abs(points) <= MAX_METRES).all():
        raise UserError(f"{path}: has a vertex that is not finite or beyond {MAX_METRES:g} m; download it again")
    if len(faces) and not (faces.min() >= 0 and faces.max() < len(points)):
        raise UserError(f"{path}: has a face with a vertex that is not there; download it again")
    return Cloud(points, triangles=faces if len(faces) else None)


def _content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise UserError(f"{path}: {size >> 30} GiB is too large for a scan's mesh; is this the right file?")
        return path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; download the scan's mesh") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); download it again") from None


def _counts_problem(content: bytes) -> str | None:
    """Why the header's counts cannot be those of this file, or None."""
    header, found, _ = content[:MAX_HEADER_BYTES].partition(b"end_header")
    if not header.startswith(b"ply") or not found:
        return "does not begin as a PLY file"
    available = len(content) - len(header)
    for line in header.decode("ascii", "replace").splitlines():
        words = line.split()
        if words[:1] != ["element"]:
            continue
        if len(words) != 3 or not words[2].isdecimal() or len(words[2]) > MAX_DIGITS:
            return f"its header has the line {line.strip()[:60]!r}, which is no count"
        available -= int(words[2])  # every element takes a byte at least
        if available < 0:
            return f"has fewer bytes than its header has elements ({words[2]} of {words[1]!r})"
    return None
