"""Files of rows, JSON lists and JSON Lines, read once from end to end and then row by row from where each stands."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.training.data.rows import BadRow, Row, parse_row

CHUNK = 1 << 20
"""Bytes read at a time from a JSON list."""
SPACE = " \t\r\n"
TOO_MUCH = "nested too deeply, or a number of thousands of digits"
"""What Python's decoder refuses although it is JSON."""


@dataclass(frozen=True, slots=True)
class Found:
    """One element of a file."""

    offset: int
    """Byte at which it begins."""
    length: int
    """Its bytes."""
    position: int
    """Its line in a JSON Lines file, its number in a JSON list; from 1."""
    record: Any
    """The decoded JSON; for a line that is no JSON, the error."""


@dataclass(frozen=True, eq=False)
class RowFile:
    """Where the rows of a file stand. Holds no text, so that a large file costs 16 bytes a row."""

    path: Path
    """The file."""
    root: Path
    """Folder that the rows' paths are relative to."""
    offsets: NDArray[np.int64]
    """`(row,)` byte at which each begins."""
    lengths: NDArray[np.int32]
    """`(row,)` bytes."""
    positions: NDArray[np.int32]
    """`(row,)` line or number in the file, from 1."""
    stamp: tuple[int, int]
    """Size and time of change of the file when it was read."""

    def __len__(self) -> int:
        return len(self.offsets)

    def identity(self, number: int) -> str:
        """Name of a row."""
        return row_identity(self.path, int(self.positions[number]))

    def read(self, numbers: Iterable[int]) -> list[Row]:
        """The rows of these numbers, in the order given.

        Raises:
            UserError: the file can no longer be read, or has changed since it was indexed.
        """
        rows = []
        try:
            if file_stamp(self.path) != self.stamp:
                raise UserError(f"{self.path}: has changed since training began; start the run again")
            with self.path.open("rb") as file:
                for number in numbers:
                    file.seek(int(self.offsets[number]))
                    record = json.loads(file.read(int(self.lengths[number])))
                    rows.append(parse_row(record, self.identity(number), self.path, self.root))
        except OSError as error:
            raise UserError(f"{self.path}: can no longer be read ({first_line(error)})") from error
        return rows


def row_identity(path: Path, position: int) -> str:
    """Name of the row at a position of a file."""
    return f"{path}:{position}"


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and time of change of a file."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def scan_rows(path: Path) -> Iterator[Found]:
    """The elements of a JSON list or of a JSON Lines file; the file's first character tells which it is.

    Memory stays at a few chunks however large the file.

    Raises:
        UserError: the file cannot be read, is no UTF-8, or is a JSON list with an error in it (the line is named).
    """
    try:
        with path.open("rb") as file:
            start = file.read(1024).removeprefix(codecs.BOM_UTF8).lstrip()
            file.seek(len(codecs.BOM_UTF8) if file.seek(0) == 0 and file.read(3) == codecs.BOM_UTF8 else 0)
            yield from _list_elements(path, file) if start.startswith(b"[") else _lines(file)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); check the path in data.sources") from error


def parse_found(found: Found, path: Path, root: Path) -> Row:
    """The row in an element.

    Raises:
        BadRow: it holds none.
    """
    if isinstance(found.record, json.JSONDecodeError):
        raise BadRow(f"is no valid JSON ({found.record.msg} at column {found.record.colno})")
    if isinstance(found.record, Exception):
        raise BadRow(f"is no usable JSON ({TOO_MUCH})")
    return parse_row(found.record, row_identity(path, found.position), path, root)


def _lines(file: BinaryIO) -> Iterator[Found]:
    offset = file.tell()
    for position, line in enumerate(file, start=1):
        if line.strip():
            try:
                record: Any = json.loads(line)
            except UnicodeDecodeError:
                raise
            except (ValueError, RecursionError) as error:
                record = error
            yield Found(offset, len(line), position, record)
        offset += len(line)


class _Window:
    """The part of a file that is being decoded: text from a place on, with the number of bytes before that place."""

    def __init__(self, file: BinaryIO):
        self.text = ""
        self.at = 0
        self.offset = file.tell()
        self.ended = False
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()

    def more(self) -> None:
        """Forget what was consumed and read on, as much again as is left or a chunk."""
        rest = self.text[self.at :]
        data = self._file.read(max(CHUNK, len(rest)))
        self.ended = not data
        self.text, self.at = rest + self._decoder.decode(data, final=self.ended), 0

    def skip(self, end: int) -> int:
        """Consume up to `end`; returns how many bytes that was."""
        piece = self.text[self.at : end]
        size = len(piece) if piece.isascii() else len(piece.encode())
        self.at, self.offset = end, self.offset + size
        return size

    def next_mark(self) -> str:
        """The next character that is no white space, not consumed; empty at the end of the file."""
        while True:
            end = self.at
            while end < len(self.text) and self.text[end] in SPACE:
                end += 1
            self.skip(end)
            if end < len(self.text) or self.ended:
                return self.text[end : end + 1]
            self.more()


def _list_elements(path: Path, file: BinaryIO) -> Iterator[Found]:
    window, decoder = _Window(file), json.JSONDecoder()
    window.next_mark()
    window.skip(window.at + 1)  # the bracket that made this a list
    position = 0
    mark = window.next_mark()
    while mark != "]":
        record, end = _element(path, window, decoder)
        position += 1
        offset = window.offset
        yield Found(offset, window.skip(end), position, record)
        mark = window.next_mark()
        if mark == ",":
            window.skip(window.at + 1)
            mark = window.next_mark()
            if mark == "]":
                raise _broken(path, window.offset, "a comma before the end of the list")
        elif mark != "]":
            raise _broken(path, window.offset, "a comma or the end of the list is missing")


def _element(path: Path, window: _Window, decoder: json.JSONDecoder) -> tuple[Any, int]:
    """The JSON value at the window's place, and where it ends."""
    while True:
        try:
            record, end = decoder.raw_decode(window.text, window.at)
        except json.JSONDecodeError as error:
            if window.ended:
                before = len(window.text[window.at : error.pos].encode())
                raise _broken(path, window.offset + before, error.msg) from None
        except (ValueError, RecursionError):
            raise _broken(path, window.offset, TOO_MUCH) from None
        else:
            if end < len(window.text) or window.ended:
                return record, end
        window.more()


def _broken(path: Path, offset: int, problem: str) -> UserError:
    with path.open("rb") as file:
        line = 1 + file.read(offset).count(b"\n")
    return UserError(f"{path}: no valid JSON at line {line} ({problem}); mend it or export it again")
