"""Records on disk between two passes, one per line, so that memory does not grow with the number of scenes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from vlm3r.qa.proposals import to_line

Record = dict[str, Any]


class Spool:
    """A file of scene records that is written once and read as often as needed."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[Record]:
        with self.path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def write(self, records: Iterable[Record]) -> None:
        """Replace the content by the records; they may be read from this very spool."""
        temporary = self.path.with_suffix(".next")
        with temporary.open("w", encoding="utf-8") as file:
            for record in records:
                file.write(to_line(record))
        temporary.replace(self.path)

    def intact_lines(self) -> Iterator[Record]:
        """The records of a file whose writing may have been cut short; a broken rest is cut off."""
        if not self.path.exists():
            return
        good = 0
        with self.path.open("rb") as file:
            for line in file:
                try:
                    record = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    record = None
                if not isinstance(record, dict):
                    break
                good += len(line)
                yield record
        with self.path.open("r+b") as file:
            file.truncate(good)


def with_questions(record: Record, questions: list[Record]) -> Record:
    """A scene record with other questions."""
    return {**record, "questions": questions}
