"""`scannetv2-labels.combined.tsv`: what ScanNet's raw labels, as its annotators typed them, are called elsewhere."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.limited import read_limited

TABLE = "scannetv2-labels.combined.tsv"
MAX_BYTES = 16 << 20

_RAW, _ID, _CATEGORY, _NYU40 = COLUMNS = ("raw_category", "id", "category", "nyu40class")


@dataclass(frozen=True)
class LabelRow:
    """One raw label's other names; empty where the table has none."""

    category: str
    """Spelling mended and synonyms joined, such as `trash can` for `trashcan`."""
    nyu40: str
    """The class of the 40 of NYU Depth, such as `otherfurniture`."""
    published: str
    """The raw label that the published pipeline takes in its stead: the last of the table with the same id, so that
    `office chair` may have become whatever other chair the table ends with."""


def read_labels(path: Path) -> Mapping[str, LabelRow]:
    """Raw label -> its other names.

    Rows are found by their raw label, which is theirs alone, never by their id, which many labels share: a dictionary
    by id would keep one name for all of them.

    Raises:
        UserError: the file is missing, too large, or has no rows or not the table's columns.
    """
    try:
        text = read_limited(path, MAX_BYTES).decode("utf-8-sig", "replace")
        table = csv.DictReader(text.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
        missing = [name for name in COLUMNS if name not in (table.fieldnames or ())]
        if missing:
            raise FieldError(f"has no column {missing[0]}")
        rows = [{name: (row.get(name) or "").strip() for name in COLUMNS} for row in table]
    except (FieldError, csv.Error) as error:
        raise UserError(f"{path}: {error}; download the table of labels again") from None
    last = {row[_ID]: row[_RAW] for row in rows if row[_ID] and row[_RAW]}
    labels: dict[str, LabelRow] = {}
    for row in rows:
        if row[_RAW]:
            labels.setdefault(row[_RAW], LabelRow(row[_CATEGORY], row[_NYU40], last.get(row[_ID], row[_RAW])))
    if not labels:
        raise UserError(f"{path}: has no rows; download the table of labels again")
    return labels


def find_labels(scan: Path) -> Path | None:
    """The table in the scan's folder or in the two above it; None where it is in none."""
    folders = (scan, *scan.absolute().parents[:2])
    return next((folder / TABLE for folder in folders if (folder / TABLE).is_file()), None)
