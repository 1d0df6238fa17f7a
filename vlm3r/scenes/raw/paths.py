"""Files of a scan that are really its own."""

from __future__ import annotations

from pathlib import Path

from vlm3r.errors import UserError


def within(folder: Path, path: Path) -> Path:
    """The path, if following its links stays in the folder; the folder itself may be a link.

    Raises:
        UserError: a link leads out of the folder, or in a circle.
    """
    try:
        inside = path.resolve().is_relative_to(folder.resolve())
    except (OSError, RuntimeError):  # links that lead in a circle
        inside = False
    if not inside:
        raise UserError(f"{path}: is a link that leads out of {folder}; copy the file there")
    return path
