"""The list of what could not be learnt from, with reasons, and the point at which a run gives up."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from vlm3r.errors import UserError
from vlm3r.files import first_line

SKIPPED_FILE = "skipped.jsonl"


class SkipList:
    """`skipped.jsonl`: one line for every clip that could not be loaded and every row that could not be used.

    Lines are only ever added, each at once and whole; an item stands there once, however many epochs or continued runs
    meet it again. One process writes.
    """

    def __init__(self, path: Path, clips: Mapping[str, str], rows: int, max_failed_share: float):
        """Take up the list at `path`, if there is one.

        Args:
            path: the file.
            clips: name of every clip to the data file that asks about it.
            rows: number of rows.
            max_failed_share: share of the clips, and of the rows, that may be on the list.

        Raises:
            UserError: the file cannot be read.
        """
        self._path = path
        self._clips = clips
        self._rows = rows
        self._share = max_failed_share
        self._reasons: dict[str, str] = _read(path)

    def __len__(self) -> int:
        return len(self._reasons)

    def __contains__(self, item: object) -> bool:
        return item in self._reasons

    def add(self, item: str, reason: str) -> None:
        """Put a clip (by its name) or a row (by its identity) on the list, unless it stands there.

        Raises:
            UserError: the list is now longer than may be, or cannot be written.
        """
        if item in self._reasons:
            return
        source = self._clips.get(item) or item.rpartition(":")[0]
        kind = "clip" if item in self._clips else "row"
        line = json.dumps({"source": source, kind: item, "reason": reason}, ensure_ascii=False) + "\n"
        try:
            with self._path.open("ab") as file:
                file.write(line.encode())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise UserError(f"{self._path}: cannot be written ({first_line(error)}); choose another run.out") from error
        self._reasons[item] = reason
        self.check()

    def check(self) -> None:
        """Raise `UserError` if more clips, or more rows, are on the list than may be."""
        failed = [item for item in self._reasons if item in self._clips]
        self._check("clips", failed, len(self._clips))
        self._check("rows", [item for item in self._reasons if item not in self._clips], self._rows)

    def _check(self, what: str, failed: list[str], total: int) -> None:
        if len(failed) <= self._share * total:
            return
        # Reasons name their file; without it, the same fault of many files counts as one.
        reasons = Counter(self._reasons[item].replace(item, "").strip(" :") for item in failed)
        reason, count = reasons.most_common(1)[0]
        raise UserError(
            f"{len(failed)} of {total} {what} cannot be used, more than data.max_failed_share ({self._share:g}); "
            f"{count} of them: {reason}; mend what {self._path} lists and delete it, or allow a larger share"
        )


def _read(path: Path) -> dict[str, str]:
    """Reasons by item. Cuts off a last line that was not written whole."""
    try:
        if not path.is_file():
            return {}
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        if len(whole) < len(data):
            with path.open("r+b") as file:
                file.truncate(len(whole))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); choose another run.out") from error
    reasons: dict[str, str] = {}
    for line in whole.splitlines():
        with suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            reasons[entry.get("clip") or entry["row"]] = entry["reason"]
    return reasons
