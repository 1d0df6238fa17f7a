"""Instance masks of a ScanNet scan: grey PNG pictures in a zip archive, pixel value = object id + 1, 0 for none."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.capture import NO_INSTANCE
from vlm3r.scenes.raw.encoded import decode_values
from vlm3r.scenes.raw.paths import within

ARCHIVES = (("_2d-instance-filt.zip", "instance-filt"), ("_2d-instance.zip", "instance"))
"""End of the archive's name and folder in it, in the order in which they are taken: filtered masks first."""
MAX_MEMBER = 64 << 20
"""Bytes of one mask, as PNG."""
OFFSET = 1
"""Pixel value minus this is the object's id."""


class MaskArchive:
    """An open archive of masks. Members are read by their exact names; nothing is unpacked."""

    def __init__(self, path: Path, inner: str) -> None:
        """Reads the archive's table of contents.

        Raises:
            UserError: the file cannot be read as a zip archive.
        """
        self.path = path
        self._inner = inner
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise UserError(f"{path}: cannot be read as zip ({first_line(error)}); download it again") from None
        self._names = frozenset(self._archive.namelist())

    @property
    def source(self) -> str:
        """Archive and folder in it, for the record."""
        return f"{self.path.name}, {self._inner}/<frame>.png, pixel value - {OFFSET}"

    @property
    def holds_any(self) -> bool:
        """Whether its folder has a picture at all."""
        return any(name.startswith(f"{self._inner}/") and name.endswith(".png") for name in self._names)

    def close(self) -> None:
        """Close the file."""
        self._archive.close()

    def missing(self, numbers: Sequence[int]) -> int:
        """How many of the frames have no mask."""
        return sum(self._name(number) not in self._names for number in numbers)

    def mask(self, number: int) -> NDArray[np.int64] | None:
        """The instance ids `(h, w)` of a frame of the stream, `NO_INSTANCE` for none; None where there is no mask.

        Raises:
            FieldError: the mask is damaged, too large, or no grey picture.
        """
        name = self._name(number)
        if name not in self._names:
            return None
        try:
            with self._archive.open(name) as member:
                content = member.read(MAX_MEMBER + 1)
        except (OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError) as error:
            raise FieldError(f"{name}: cannot be read ({first_line(error)})") from None
        if len(content) > MAX_MEMBER:
            raise FieldError(f"{name}: has more than {MAX_MEMBER} bytes")
        try:
            values = decode_values(content)
        except FieldError as error:
            raise FieldError(f"{name}: {error}") from None
        return np.where(values > 0, values - OFFSET, NO_INSTANCE)

    def _name(self, number: int) -> str:
        return f"{self._inner}/{number}.png"


def open_masks(scan: Path) -> tuple[MaskArchive | None, tuple[str, ...]]:
    """The first usable archive of a scan, and what was wrong with others.

    An archive without any mask in its folder counts as unusable, since the two kinds name that folder differently.
    """
    problems: list[str] = []
    for suffix, inner in ARCHIVES:
        path = scan / f"{scan.name}{suffix}"
        if not path.exists():
            continue
        try:
            archive = MaskArchive(within(scan, path), inner)
        except UserError as error:
            problems.append(f"{error}; passed over")
            continue
        if archive.holds_any:
            return archive, tuple(problems)
        archive.close()
        problems.append(f"{path.name}: has no {inner}/<frame>.png; passed over; download it again")
    wanted = " or ".join(f"{scan.name}{suffix}" for suffix, _ in ARCHIVES)
    problems.append(f"no instance masks, which would be in {wanted}; download it, or they are projected from the mesh")
    return None, tuple(problems)
