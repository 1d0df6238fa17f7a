"""`.traj` files: one camera a line, as time stamp, axis-angle and translation from the world to the camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation, Slerp

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes import fields
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.schema import Array

SLACK = 0.05
"""Seconds that a pose may be away from a picture, as published."""
ROUNDING = 1e-6
"""Seconds by which time stamps of a day's length may be off when written with nine digits."""
MAX_GAP = 0.15
"""Seconds between two poses up to which a device is taken to have moved evenly; poses come every tenth of a second."""
SAME_INSTANT = 0.002
"""Seconds; pictures' names carry milliseconds, so a pose this near was taken with the picture."""
MAX_BYTES = 64 << 20
COLUMNS = 7


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Cameras in the order of time."""

    times: Array
    """(n,) seconds on the device's clock, ascending, no two the same."""
    poses: Array
    """(n, 4, 4) camera-to-world, x right, y down, z forward."""

    def at(self, time: float, slack: float = SLACK, interpolate: bool = False) -> Array | None:
        """The pose (4, 4) nearest to a time, or None where none is within `slack` seconds.

        With `interpolate`, a time between two poses that are at most `MAX_GAP` apart gets the pose between them: the
        rotation at a constant rate, the camera's centre along a straight line. A pose within `SAME_INSTANT` is taken as
        it is.
        """
        after = int(np.searchsorted(self.times, time))
        if after == len(self.times) or (after and time - self.times[after - 1] <= self.times[after] - time):
            nearest = after - 1
        else:
            nearest = after
        away = abs(self.times[nearest] - time)
        if interpolate and away > SAME_INSTANT and 0 < after < len(self.times):
            first, last = self.times[after - 1], self.times[after]
            if last - first <= MAX_GAP:
                return _between(self.poses[after - 1], self.poses[after], (time - first) / (last - first))
        return self.poses[nearest].copy() if away <= slack + ROUNDING else None


def read_trajectory(path: Path) -> tuple[Trajectory, tuple[str, ...]]:
    """The poses of a file, and a line on what was wrong with it, if anything was.

    Lines that are no pose are left out; of several poses of one time the first counts.

    Raises:
        UserError: the file is missing, too large or unreadable, or has no usable line.
    """
    rows: list[Array] = []
    wrong: list[str] = []
    total = 0
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        total += 1
        try:
            rows.append(_row(line))
        except FieldError as error:
            wrong.append(f"line {number}: {error}")
    if not rows:
        reason = f" (the first: {wrong[0]})" if wrong else ""
        raise UserError(f"{path}: none of its {total} lines is a pose{reason}; download it again")
    problems = []
    if wrong:
        problems.append(f"{path.name}: {len(wrong)} of {total} lines are no poses (the first: {wrong[0]}); left out")
    table = np.stack(rows)
    times, kept = np.unique(table[:, 0], return_index=True)
    if len(kept) < len(table):
        problems.append(f"{path.name}: {len(table) - len(kept)} time stamps are repeated; the first of each counts")
    return Trajectory(times, camera_to_world(table[kept, 1:4], table[kept, 4:])), tuple(problems)


def camera_to_world(axis_angles: Array, translations: Array) -> Array:
    """The inverse (n, 4, 4) of motions given as axis-angle (n, 3), radians, and translation (n, 3), metres."""
    rotations: NDArray[np.float64] = Rotation.from_rotvec(axis_angles).inv().as_matrix()
    poses = np.tile(np.eye(4), (len(rotations), 1, 1))
    poses[:, :3, :3] = rotations
    poses[:, :3, 3] = -np.einsum("nij,nj->ni", rotations, translations)
    return poses


def _between(before: Array, behind: Array, share: float) -> Array:
    ends = Rotation.from_matrix(np.stack([before[:3, :3], behind[:3, :3]]))
    pose = np.eye(4)
    pose[:3, :3] = Slerp([0, 1], ends)(share).as_matrix()
    pose[:3, 3] = (1 - share) * before[:3, 3] + share * behind[:3, 3]
    return pose


def _row(line: str) -> Array:
    words = line.split()
    if len(words) != COLUMNS:
        raise FieldError(f"has {len(words)} numbers instead of {COLUMNS}")
    row = fields.array(words, (COLUMNS,), "the pose")
    fields.metres(row[1:], (COLUMNS - 1,), "the pose")
    return row


def _lines(path: Path) -> Sequence[str]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: has more than {MAX_BYTES >> 20} MiB, too many for a trajectory")
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; download the scan's trajectory") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); download it again") from None
