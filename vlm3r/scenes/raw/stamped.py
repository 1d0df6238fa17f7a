"""Files whose names end in a time stamp, such as `41048190_3310.106.png`, and which of them belong together."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.raw.paths import within

_STAMP = re.compile(r"(?:[0-9A-Za-z-]+_)?([0-9]{1,12}(?:\.[0-9]{1,12})?)")
MAX_FILES = 1_000_000
ROUNDING = 1e-6
"""Seconds; time stamps are read from decimals."""


@dataclass(frozen=True)
class StampedFile:
    """One file and its time."""

    time: float
    """Seconds on the recording device's clock."""
    name: str
    """The time as the file's name spells it."""
    path: Path


@dataclass(frozen=True)
class StampedFiles:
    """The files of one folder in the order of time."""

    files: Sequence[StampedFile]
    problems: tuple[str, ...] = ()
    """What was left out."""

    @cached_property
    def _times(self) -> list[float]:
        return [file.time for file in self.files]

    def nearest(self, time: float) -> StampedFile | None:
        """The file whose time is nearest, the earlier of two; None where there are none."""
        after = bisect_left(self._times, time)
        around = self.files[max(0, after - 1) : after + 1]
        return min(around, key=lambda file: abs(file.time - time), default=None)

    def at(self, time: float, slack: float) -> StampedFile | None:
        """The nearest file, if it is within `slack` seconds."""
        file = self.nearest(time)
        return file if file is not None and abs(file.time - time) <= slack + ROUNDING else None


def list_stamped(scan: Path, folder: Path, suffix: str) -> StampedFiles:
    """The files `[<name>_]<seconds><suffix>` of a folder of a scan; empty where there is no such folder.

    Hidden files are passed over; files with other names, links out of the scan and repeated times are left out.

    Raises:
        UserError: the folder is a link out of the scan, cannot be listed, or has too many files.
    """
    if not folder.is_dir():
        return StampedFiles((), (f"{folder.name}: no such folder",))
    within(scan, folder)
    try:
        entries = sorted(entry for entry in folder.iterdir() if entry.suffix == suffix and entry.name[0] != ".")
    except OSError as error:
        raise UserError(f"{folder}: cannot be listed ({first_line(error)}); mend its permissions") from None
    if len(entries) > MAX_FILES:
        raise UserError(f"{folder}: has {len(entries)} files, more than {MAX_FILES}; is this one scan's folder?")
    found: dict[float, StampedFile] = {}
    odd: list[str] = []
    for entry in entries:
        match = _STAMP.fullmatch(entry.stem)
        if match is None or float(match[1]) in found or not _own(scan, entry):
            odd.append(entry.name)
        else:
            found[float(match[1])] = StampedFile(float(match[1]), match[1], entry)
    problems: tuple[str, ...] = ()
    if odd:
        what = "have names without a time stamp, repeat one, or are links out of the scan"
        problems = (f"{folder.name}: {len(odd)} files {what} (the first: {odd[0]!a}); left out",)
    return StampedFiles(tuple(found[time] for time in sorted(found)), problems)


def _own(scan: Path, entry: Path) -> bool:
    if not entry.is_symlink():
        return True
    try:
        within(scan, entry)
    except UserError:
        return False
    return True
