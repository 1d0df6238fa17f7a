"""Pixels of chosen frames: the decoders PyAV and decord behind one interface.

A decoder gets the table of frames and the numbers wanted, ascending and without repeats, and yields each frame upright.
It never yields another frame in place of a damaged one.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.processing.container import (
    FrameTable,
    count_frames,
    decodable_pts,
    demux,
    open_container,
    rotation_of,
)

SEEK_GAP = 8  # packets; decoding this many is cheaper than a seek
DECORD_FORMATS = ("mov", "matroska", "avi", "gif")  # decord returns wrong frames of MPEG-TS without an error

Image = NDArray[np.uint8]
"""One frame (H, W, 3), RGB, upright."""

Decoder = Callable[[Path, FrameTable, Sequence[int]], Iterator[tuple[int, Image]]]


class TableMismatch(Exception):
    """The file does not decode to the frames of its table; `repaired` is the table of what it does decode to."""

    def __init__(self, repaired: FrameTable):
        super().__init__()
        self.repaired = repaired


class _Trouble(Exception):
    """A packet failed in a decoder with several threads, which cannot tell which frames suffer."""


class _SeekMissed(Exception):
    """A seek did not reach the keyframe that it was meant for."""


class _Missing(Exception):
    """A frame did not come out of the decoder although no packet failed."""


class _Unordered(Exception):
    """Frames came out in another order than their presentation times."""


def available_decoders() -> tuple[str, ...]:
    """Names of the decoders that this Python environment has; pyav is always there."""
    return ("pyav", "decord") if importlib.util.find_spec("decord") else ("pyav",)


def get_decoder(name: str) -> tuple[str, str, Decoder]:
    """Name, name with version, and function of a decoder; `auto` is pyav, which reads everything.

    Raises:
        UserError: The name is not known, or the decoder is not installed.
    """
    if name in ("auto", "pyav"):
        codec = ".".join(str(part) for part in av.library_versions["libavcodec"])
        return "pyav", f"PyAV {av.__version__} (libavcodec {codec})", pyav_frames
    if name == "decord":
        return "decord", f"decord {_import_decord().__version__}", decord_frames
    known = ("auto", "pyav", "decord")
    near = difflib.get_close_matches(str(name), known, n=1, cutoff=0)
    raise UserError(f"unknown video decoder {name!r}: did you mean {near[0]!r}? (known: {', '.join(known)})")


def pyav_frames(path: Path, table: FrameTable, wanted: Sequence[int]) -> Iterator[tuple[int, Image]]:
    """Wanted frames by PyAV: decodes forward, and seeks only where a keyframe lies ahead.

    Raises:
        UserError: A wanted frame is damaged, or its size differs from the others'.
        TableMismatch: The table promises frames that the file does not have.
    """
    remaining = deque(wanted)
    threads, seek = True, table.seekable
    while remaining:
        try:
            with open_container(path) as (container, stream):
                stream.thread_type = "AUTO" if threads else "NONE"
                if table.pts is None:
                    frames = _by_place(path, container, stream, table, remaining, threads)
                else:
                    frames = _by_time(path, container, stream, table, remaining, threads, seek)
                for index, frame in frames:
                    yield index, _upright(path, frame)
        except _Trouble:
            threads = False
        except _SeekMissed:
            seek = False
        except _Unordered:
            raise TableMismatch(count_frames(path, table, table.notes, table.last_packet + 1)) from None
        except _Missing:
            raise TableMismatch(_without_missing(path, table, remaining[0])) from None


def _by_time(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    table: FrameTable,
    remaining: deque[int],
    threads: bool,
    seek: bool,
) -> Iterator[tuple[int, VideoFrame]]:
    """Wanted frames, found by their presentation times; takes each off `remaining` as it yields it."""
    assert table.pts is not None
    by_pts = {int(table.pts[index]): index for index in remaining}
    place_of = {int(pts): int(place) for pts, place in zip(table.pts, table.packets, strict=True)}
    bad: list[int] = []  # places of packets that failed
    held: deque[tuple[int, VideoFrame]] = deque()  # decoded, but what they depend on is not settled
    packets, position, shown = demux(container, stream, table.last_packet + 1), 0, None
    while remaining:
        entry = int(table.entries[remaining[0]])
        if seek and not held and entry > position + SEEK_GAP:
            packets, position, shown = *_seek(container, stream, table, remaining[0], position), None
        packet = next(packets, None)
        if packet is None:
            raise _Missing
        flushed = packet.size == 0
        failed = packet.is_corrupt
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            frames, failed = [], True
        bad += [position] * failed
        for frame in frames:
            if frame.pts is None or (shown is not None and frame.pts <= shown):
                raise _Unordered
            shown = frame.pts
            if frame.is_corrupt:
                failed = True
                bad.append(place_of.get(shown, position))
            index = by_pts.get(shown)
            if index is not None and index >= remaining[0]:
                held.append((index, frame))
        if failed and threads:
            raise _Trouble
        position += 1
        while remaining and (flushed or (shown is not None and shown >= table.settled[remaining[0]])):
            index = remaining[0]
            _check_sound(path, table, index, bad)
            if not held or held[0][0] != index:
                raise _Missing
            yield held.popleft()
            remaining.popleft()


def _seek(
    container: InputContainer, stream: VideoStream, table: FrameTable, index: int, position: int
) -> tuple[Iterator[av.Packet[VideoStream]], int]:
    """Packets from the keyframe of frame `index` or from before it, and the place of the first one."""
    assert table.pts is not None
    entry = int(table.entries[index])
    found = np.flatnonzero(table.packets == entry)
    if not len(found):
        raise _SeekMissed  # the keyframe itself is not shown, so its time is not in the table
    container.seek(int(table.pts[found[0]]), stream=stream)
    packets = container.demux(stream)
    first = next(packets, None)
    at = np.flatnonzero(table.pts == first.pts) if first is not None and first.pts is not None else []
    if first is None or not len(at) or not position <= table.packets[at[0]] <= entry or not first.is_keyframe:
        raise _SeekMissed
    place = int(table.packets[at[0]])
    return chain([first], demux(container, stream, table.last_packet - place)), place


def _check_sound(path: Path, table: FrameTable, index: int, bad: list[int]) -> None:
    """Raises unless every packet that frame `index` can depend on decoded."""
    hit = [place for place in bad if table.entries[index] <= place <= table.packets[index]]
    if not hit:
        return
    if min(hit) == table.last_packet and len(table.times) > 1:
        note = f"file ends early: its last frame is incomplete, {len(table.times) - 1} frames are there"
        raise TableMismatch(table.keep(table.packets != table.last_packet, note))
    raise _damaged(path, index, float(table.times[index]))


def _by_place(
    path: Path,
    container: InputContainer,
    stream: VideoStream,
    table: FrameTable,
    remaining: deque[int],
    threads: bool,
) -> Iterator[tuple[int, VideoFrame]]:
    """Wanted frames, found by counting what the decoder puts out, for files without usable times."""
    number, tainted = 0, False
    for packet in demux(container, stream, table.last_packet + 1):
        if not remaining:
            return
        try:
            frames = packet.decode()
            failed = packet.is_corrupt
        except av.error.FFmpegError:
            frames, failed = [], True
        if threads and (failed or any(frame.is_corrupt for frame in frames)):
            raise _Trouble
        tainted = tainted or failed
        for frame in frames:
            tainted = frame.is_corrupt or (tainted and not frame.key_frame)
            if remaining and number == remaining[0]:
                if tainted:
                    raise _damaged(path, number, None)
                yield number, frame
                remaining.popleft()
            number += 1
    if remaining:
        raise _damaged(path, remaining[0], None)


def _damaged(path: Path, index: int, time: float | None) -> UserError:
    at = "" if time is None else f" (at {time:.2f} s)"
    return UserError(f"{path}: frame {index}{at} is damaged: copy the file again, or cut that part out")


def _without_missing(path: Path, table: FrameTable, first: int) -> FrameTable:
    """The table less the frames that never come out of the decoder."""
    assert table.pts is not None
    kept = np.isin(table.pts, list(decodable_pts(path)))
    if kept.all() or not kept.any():
        raise _damaged(path, first, float(table.times[first]))
    return table.keep(kept, f"{int((~kept).sum())} of {len(kept)} frames cannot be decoded and are not counted")


def _upright(path: Path, frame: VideoFrame) -> Image:
    """Pixels of a decoded frame with its rotation applied."""
    try:
        pixels = frame.to_ndarray(format="rgb24")
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(f"{path} has the pixel format {frame.format.name}: convert it to H.264, yuv420p") from error
    return np.rot90(np.asarray(pixels, np.uint8), rotation_of(frame))


def decord_frames(path: Path, table: FrameTable, wanted: Sequence[int]) -> Iterator[tuple[int, Image]]:
    """Wanted frames by decord, which applies the rotation itself; refuses files that it is known to read wrongly.

    Raises:
        UserError: decord cannot read the file, or does not agree with PyAV on its frames; the remedy is pyav.
    """
    if not table.container.startswith(DECORD_FORMATS):
        raise UserError(f"{path}: decord cannot be trusted with {table.container}: use the decoder pyav")
    decord = _import_decord()
    decord.logging.set_level(decord.logging.QUIET)
    try:
        reader = decord.VideoReader(str(path))
        frames, times = len(reader), np.asarray(reader.get_frame_timestamp(list(wanted)))[:, 0]
        if frames != len(table.times) or np.abs(times - table.times[list(wanted)]).max() > 2e-3:
            raise UserError(f"{path}: decord does not see the frames that the file has: use the decoder pyav")
        for index in wanted:
            batch = reader.get_batch([index])
            pixels = batch.asnumpy() if hasattr(batch, "asnumpy") else np.asarray(batch)
            yield index, pixels[0]
    except (decord.DECORDError, RuntimeError, AssertionError, IndexError) as error:
        raise UserError(f"{path}: decord cannot read it: use the decoder pyav") from error


def _import_decord() -> Any:
    try:
        return importlib.import_module("decord")
    except (ImportError, OSError) as error:
        raise UserError("the decoder decord is not installed: pip install decord2, or use the decoder pyav") from error
