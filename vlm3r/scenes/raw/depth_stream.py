"""`depth.bin` of ScanNet++ iPhone recordings: one depth map for each frame of the video, in either of two layouts.

Older files are one zlib stream of float32 metres from beginning to end. Newer ones hold, for each frame, the byte count
of its block as uint32 and the block: lz4 of uint16 millimetres, or zlib of float32 metres. zlib streams have no header.
Nothing in the file says which layout it has; the first frame tells.
"""

from __future__ import annotations

import struct
import zlib
from abc import ABC, abstractmethod
from array import array
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.scenes.fields import FieldError
from vlm3r.scenes.raw.inflation import Inflation

WIDTH, HEIGHT = 256, 192
"""Pixels of a depth map."""
MILLIMETRES = 1000
MAX_FRAMES = 200_000
"""Nearly an hour at 60 frames a second."""
MAX_BLOCK = 1 << 19
"""Bytes of a frame's block; not even float32 that cannot be compressed takes as many."""

_PIXELS = WIDTH * HEIGHT
_SIZE = struct.Struct("<I")
_METRES, _SHORTS = _PIXELS * 4, _PIXELS * 2


class DepthStream(ABC):
    """An open `depth.bin`; frames are numbered as in the video, from 0."""

    layout: str
    """How the file is stored, for the record."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self._file = file

    @abstractmethod
    def __len__(self) -> int:
        """The number of whole frames; goes through the file once."""

    @property
    @abstractmethod
    def problem(self) -> str | None:
        """What is wrong with the end of the file, or None; goes through the file once."""

    @abstractmethod
    def frame(self, number: int) -> NDArray[np.float32]:
        """A depth map `(192, 256)` in metres, 0 where unknown.

        Raises:
            UserError: there is no such frame, or it is damaged.
        """

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def open_depth(path: Path) -> DepthStream:
    """The depth maps of a file.

    Raises:
        UserError: the file is missing, empty or in neither layout, or needs the package lz4 and there is none.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; download the iPhone's depth") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); download it again") from None
    try:
        start = file.read(_SIZE.size + MAX_BLOCK)
        return _BlockStream(path, file) if _begins_with_block(start, path) else _WholeStream(path, file)
    except BaseException:
        file.close()
        raise


class _BlockStream(DepthStream):
    """One block a frame: offsets are found by seeking from size to size."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path, file)
        self.layout = "one lz4 or zlib block a frame"
        self._offsets, self._problem = array("Q"), None
        end, offset = path.stat().st_size, 0
        while offset < end and self._problem is None:
            file.seek(offset)
            head = file.read(_SIZE.size)
            size = _SIZE.unpack(head)[0] if len(head) == _SIZE.size else 0
            if size > MAX_BLOCK or len(self._offsets) >= MAX_FRAMES:
                what = f"a block of {size} bytes" if size > MAX_BLOCK else "no end"
                self._problem = f"{path.name}: has {what} after frame {len(self._offsets) - 1}; the rest is not read"
            elif offset + _SIZE.size + size > end or len(head) < _SIZE.size:
                self._problem = f"{path.name}: is cut short after {len(self._offsets)} whole frames; they are used"
            else:
                self._offsets.append(offset)
                offset += _SIZE.size + size

    def __len__(self) -> int:
        return len(self._offsets)

    @property
    def problem(self) -> str | None:
        return self._problem

    def frame(self, number: int) -> NDArray[np.float32]:
        _check(self, number)
        self._file.seek(self._offsets[number])
        (size,) = _SIZE.unpack(self._file.read(_SIZE.size))
        try:
            return _decoded(self._file.read(size))
        except FieldError as error:
            raise UserError(f"{self.path}: frame {number}: {error}; download the file again") from None


class _WholeStream(DepthStream):
    """One zlib stream: the places from which it can be entered are noted as it is gone through."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        super().__init__(path, file)
        self.layout = "one zlib stream"
        self._inflation = Inflation(file, _METRES, MAX_FRAMES)
        try:
            self._inflation.record(0)
        except FieldError as error:
            raise UserError(f"{path}: is neither layout of depth.bin ({error}); download it again") from None

    def __len__(self) -> int:
        return self._inflation.count

    @property
    def problem(self) -> str | None:
        reason = self._inflation.problem
        return reason and f"{self.path.name}: {reason} after {len(self)} whole frames; they are used"

    def frame(self, number: int) -> NDArray[np.float32]:
        try:
            return _metres(self._inflation.record(number))
        except FieldError as error:
            raise UserError(f"{self.path}: frame {number}: {error}; download the file again") from None


def _check(stream: DepthStream, number: int) -> None:
    if not 0 <= number < len(stream):
        raise UserError(f"{stream.path}: frame {number}: is not there, the file has {len(stream)}; download it again")


def _begins_with_block(start: bytes, path: Path) -> bool:
    """Whether the file begins with the size of a block and that block."""
    if not start:
        raise UserError(f"{path}: is empty; download it again")
    if len(start) < _SIZE.size:
        raise UserError(f"{path}: is cut short; download it again")
    (size,) = _SIZE.unpack_from(start)
    block = start[_SIZE.size : _SIZE.size + size]
    if not 0 < size == len(block):
        return False
    try:
        _decoded(block)
    except FieldError:
        return False
    return True


def _decoded(block: bytes) -> NDArray[np.float32]:
    """A frame's depth map from its block: zlib of metres, or lz4 of millimetres."""
    try:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(block, _METRES + 1)
    except zlib.error:
        content = b""
    if len(content) == _METRES:
        return _metres(content)
    content = _lz4(block)
    if len(content) != _SHORTS:
        raise FieldError(f"its block holds {len(content)} bytes instead of {_SHORTS}")
    metres = np.frombuffer(content, "<u2").reshape(HEIGHT, WIDTH) / MILLIMETRES
    return metres.astype(np.float32)


def _lz4(block: bytes) -> bytes:
    try:
        import lz4.block  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise UserError(f"depth.bin of ScanNet++ may need the package lz4 ({error}); run: pip install lz4") from None
    try:
        return lz4.block.decompress(block, uncompressed_size=_SHORTS)
    except (lz4.block.LZ4BlockError, ValueError, MemoryError, OverflowError):
        raise FieldError("its block is neither zlib nor lz4") from None


def _metres(content: bytes) -> NDArray[np.float32]:
    depth = np.frombuffer(content, "<f4").reshape(HEIGHT, WIDTH)
    return np.where(np.isfinite(depth) & (depth > 0), depth, np.float32(0)).astype(np.float32)
