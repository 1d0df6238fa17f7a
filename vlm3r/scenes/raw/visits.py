"""ARKitScenes' tables of scans: which visit to which flat a scan belongs to, its fold, and how the device was held."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line

TABLES = ("metadata.csv", "3dod_train_val_splits.csv", "raw_train_val_splits.csv")
"""In the order in which they are believed."""
MAX_BYTES = 64 << 20
MAX_DIGITS = 18


@dataclass(frozen=True)
class Visit:
    """What the tables say of one scan."""

    visit_id: str | None = None
    """The visit, without decimals; None where the table has none or `NaN`."""
    fold: str | None = None
    """As written: `Training` or `Validation`."""
    sky_direction: str | None = None
    """As written, such as `Left`."""

    def filled(self, other: Visit) -> Visit:
        """This record with its gaps filled from another."""
        return Visit(
            self.visit_id or other.visit_id, self.fold or other.fold, self.sky_direction or other.sky_direction
        )


def read_visits(folders: tuple[Path, ...]) -> dict[str, Visit]:
    """Video id -> what the tables in some folders say, the first folder's and the first table's word counting.

    Raises:
        UserError: a table is unreadable or has no column `video_id`.
    """
    visits: dict[str, Visit] = {}
    for folder in folders:
        for name in TABLES:
            if (folder / name).is_file():
                for video_id, visit in _rows(folder / name):
                    visits[video_id] = visits[video_id].filled(visit) if video_id in visits else visit
    return visits


def _rows(path: Path) -> Iterator[tuple[str, Visit]]:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UserError(f"{path}: has more than {MAX_BYTES >> 20} MiB, too many for a table of scans")
        with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
            table = csv.DictReader(file)
            if "video_id" not in (table.fieldnames or ()):
                raise UserError(f"{path}: has no column video_id; download the table again")
            for row in table:
                video_id = whole_number(row["video_id"])
                if video_id is not None:
                    yield video_id, _visit(row)
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as CSV ({first_line(error)}); download it again") from None


def _visit(row: Mapping[str, str | None]) -> Visit:
    fold, sky = ((row.get(name) or "").strip() or None for name in ("fold", "sky_direction"))
    return Visit(whole_number(row.get("visit_id")), fold, sky)


def whole_number(text: str | None) -> str | None:
    """The digits of a number such as `421378` or `421378.0`; None for anything else, such as `NaN`."""
    text = (text or "").strip()
    if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS:
        return text
    try:
        number = float(text)
    except ValueError:
        return None
    return str(int(number)) if math.isfinite(number) and 0 <= number < 2**53 and number == int(number) else None
