"""Records of one size in a single zlib stream, in any order, without inflating it from the beginning every time."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any, BinaryIO

from vlm3r.scenes.fields import FieldError

CHUNK = 1 << 16
EVERY = 64
"""Records between two places from which the stream can be entered; each takes about 100 KB of memory."""


@dataclass
class _Entry:
    """The state of the inflation before a record."""

    number: int
    state: Any
    """Copy of a zlib decompression object."""
    offset: int
    """Of the file's next unread byte."""


class Inflation:
    """A zlib stream without header in an open file. One record is in memory at a time."""

    def __init__(self, file: BinaryIO, size: int, limit: int) -> None:
        """Takes the file, the bytes of a record, and the number of records beyond which nothing is believed."""
        self._file, self._size, self._limit = file, size, limit
        start = _Entry(0, zlib.decompressobj(-zlib.MAX_WBITS), 0)
        self._entries = [start]
        self._here = _copy(start)
        self._end: tuple[int, str | None] | None = None

    @property
    def count(self) -> int:
        """The number of whole records."""
        return self._whole[0]

    @property
    def problem(self) -> str | None:
        """Why the stream ends where it does, if it should not."""
        return self._whole[1]

    def record(self, number: int) -> bytes:
        """One record.

        Raises:
            FieldError: there is no such record; the message says where and why the stream ends.
        """
        if number < 0:
            raise FieldError("is not there")
        nearest = next(entry for entry in reversed(self._entries) if entry.number <= number)
        if not nearest.number <= self._here.number <= number:
            self._here = _copy(nearest)
        content = b""
        while self._here.number <= number:
            if self._end is not None and self._here.number >= self._end[0]:
                raise FieldError(f"the stream {self._end[1] or 'ends'} after {self._end[0]} frames")
            content = self._next()
        return content

    @cached_property
    def _whole(self) -> tuple[int, str | None]:
        if self._here.number < self._entries[-1].number:
            self._here = _copy(self._entries[-1])
        while self._end is None:
            self._next()
        return self._end

    def _next(self) -> bytes:
        """The next record; empty at the end, which is noted."""
        here = self._here
        if here.number % EVERY == 0 and here.number > self._entries[-1].number:
            self._entries.append(_copy(here))
        content, reason = bytearray(), None
        while len(content) < self._size and reason is None and not here.state.eof:
            before, pending = len(content), here.state.unconsumed_tail
            if not pending:
                self._file.seek(here.offset)
                pending = self._file.read(CHUNK)
                here.offset += len(pending)
            try:
                content += here.state.decompress(pending, self._size - before)
            except zlib.error:
                reason = "is damaged"
            if not pending and len(content) == before:
                reason = reason or "is cut short"
        if len(content) == self._size and here.number < self._limit:
            here.number += 1
            return bytes(content)
        if len(content) == self._size:
            reason = "has no end"
        elif content:
            reason = reason or "ends within a frame"
        self._end = (here.number, reason)
        return b""


def _copy(entry: _Entry) -> _Entry:
    return _Entry(entry.number, entry.state.copy(), entry.offset)
