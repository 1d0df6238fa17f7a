"""Video files opened with clear errors, and a table of the frames that a file really holds.

The frame count in a container's header can be too high (the file was cut short, or an edit list hides frames) or absent
(WebM, MPEG-TS, fragmented MP4), and at a variable frame rate a frame's number does not give its time. So one pass over
the packets, without decoding, lists the frames; every decoder then works from the same list.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

import av
import av.error
import av.logging
import numpy as np
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from vlm3r.errors import UserError

SEEKABLE = ("mov", "matroska")  # containers whose index of keyframes makes a seek exact
UNORDERED = ("avi",)  # containers that store no presentation times
TEXT_FORMATS = ("tty", "bin", "xbin", "adf", "idf")  # text that FFmpeg would draw as pictures


@dataclass(frozen=True, eq=False)
class FrameTable:
    """The frames of a video in presentation order, and where decoding has to start to obtain each."""

    times: NDArray[np.float64]
    """(frame,) seconds at which each frame is shown, 0 for the first frame."""

    pts: NDArray[np.int64] | None
    """(frame,) presentation times in units of the stream; None: frames are known by their place in the output only."""

    packets: NDArray[np.int64]
    """(frame,) place of each frame's packet in the file."""

    entries: NDArray[np.int64]
    """(frame,) place of the keyframe packet from which decoding yields the frame."""

    settled: NDArray[np.int64]
    """(frame,) highest presentation time among the packets up to the frame's own: once the decoder has put out that
    one, everything that the frame may have been predicted from is known to be sound or damaged."""

    fps: float
    """Average frame rate in frames a second."""

    container: str
    """FFmpeg's name of the container format."""

    codec: str
    """FFmpeg's name of the codec."""

    header_frames: int
    """Frame count in the container's header; 0: the header has none."""

    last_packet: int
    """Place of the last packet to give to the decoder."""

    notes: tuple[str, ...]
    """What a user should know about the file, one line each."""

    @property
    def duration(self) -> float:
        """Length in seconds: the number of frames over the average frame rate."""
        return len(self.times) / self.fps

    @property
    def seekable(self) -> bool:
        """Whether decoding may start at any keyframe."""
        return self.pts is not None and self.container.startswith(SEEKABLE)

    def keep(self, kept: NDArray[np.bool_], note: str) -> FrameTable:
        """The table of the frames where `kept` (frame,) is true, with one more note."""
        return replace(
            self,
            times=self.times[kept],
            pts=None if self.pts is None else self.pts[kept],
            packets=self.packets[kept],
            entries=self.entries[kept],
            settled=self.settled[kept],
            last_packet=int(self.packets[kept].max(initial=-1)),
            notes=(*self.notes, note),
        )


@dataclass(frozen=True)
class _Packet:
    """What the table needs of one packet."""

    pts: int | None
    duration: int
    keyframe: bool
    hidden: bool
    damaged: bool


@contextmanager
def open_container(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """An open video file and its first video stream; FFmpeg prints nothing of its own.

    Raises:
        UserError: The path is no file, or the file is empty, incomplete, no video, or without a picture stream.
    """
    av.logging.set_libav_level(av.logging.PANIC)
    try:
        _check_file(path)
        container = av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace")
    except PermissionError as error:
        raise UserError(f"{path} cannot be read (permission denied): change its permissions") from error
    except (av.error.FFmpegError, OSError) as error:
        raise UserError(f"{path} {_why_unreadable(path)}") from error
    with container:
        if container.format.name in TEXT_FORMATS:
            raise UserError(f"{path} is not a video: give a video file or a directory of images")
        streams = [stream for stream in container.streams.video if not _is_cover(stream)]
        if not streams:
            what = "only sound" if container.streams.audio else "no video stream"
            raise UserError(f"{path} has {what}: give a file with pictures")
        yield container, streams[0]


def read_table(path: Path) -> FrameTable:
    """The frames of a video file, from its packets alone where they tell, else by decoding it once.

    Raises:
        UserError: The file cannot be opened (see `open_container`) or holds no frame.
    """
    with open_container(path) as (container, stream):
        packets, read_seconds = _demux(container, stream)
        header = _Header.read(container, stream)
    read = len(packets)
    while packets and packets[-1].damaged:
        packets.pop()  # a file cut short ends in the middle of a packet
    if not packets:
        raise UserError(f"{path} holds no video frame: it is damaged or was cut short; copy or export it again")
    notes = header.shortfall(packets, read_seconds, torn=len(packets) < read)
    shown = [packet.pts for packet in packets if not packet.hidden]
    if None in shown or len(set(shown)) < len(shown) or header.container.startswith(UNORDERED):
        return count_frames(path, header, notes, len(packets))
    table = _table(path, header, packets, notes)
    return count_frames(path, header, notes, len(packets)) if table is None else table


def count_frames(path: Path, header: _Header | FrameTable, notes: tuple[str, ...], limit: int) -> FrameTable:
    """The frames that come out when the first `limit` packets are decoded, for files whose packets do not tell."""
    times: list[float] = []
    with open_container(path) as (container, stream):
        stream.thread_type = "AUTO"
        first, tick = None, float(stream.time_base or 0)
        for packet in demux(container, stream, limit):
            try:
                frames = packet.decode()
            except av.error.FFmpegError:
                continue  # the pass for pixels meets it again and names the frame
            for frame in frames:
                time = frame.pts * tick if frame.pts is not None else None
                first = time if first is None else first
                times.append(np.nan if time is None or first is None else time - first)
    if not times:
        raise UserError(f"{path} holds no frame that can be decoded: it is damaged; copy or export it again")
    shown = np.asarray(times)
    if not np.all(np.diff(shown) > 0):  # also where a time is unknown
        shown = np.arange(len(shown)) / (header.fps or 25.0)
    places = np.arange(len(shown))
    zeros, fps, last = places * 0, _checked_fps(header.fps, shown), limit - 1
    return FrameTable(
        shown, None, places, zeros, places, fps, header.container, header.codec, header.header_frames, last, notes
    )


def decodable_pts(path: Path) -> set[int]:
    """Presentation times of all frames that the decoder puts out."""
    found: set[int] = set()
    with open_container(path) as (container, stream):
        stream.thread_type = "AUTO"
        for packet in demux(container, stream):
            try:
                found.update(frame.pts for frame in packet.decode() if frame.pts is not None)
            except av.error.FFmpegError:
                continue
    return found


def demux(container: InputContainer, stream: VideoStream, limit: int | None = None) -> Iterator[av.Packet[VideoStream]]:
    """The stream's first `limit` packets (default all), and at last an empty one that flushes the decoder.

    Reading stops without an error where the file cannot be read further.
    """
    packets = container.demux(stream)
    try:
        for packet in packets if limit is None else islice(packets, limit):
            if packet.size:
                yield packet
    except av.error.FFmpegError:
        pass
    flush = av.Packet()
    flush.stream = stream  # pyright: ignore[reportAttributeAccessIssue]
    yield flush  # pyright: ignore[reportReturnType]


def rotation_of(frame: VideoFrame) -> int:
    """Quarter turns counter-clockwise (0 to 3) that bring a decoded frame upright."""
    return round(frame.rotation / 90) % 4


def quarter_turns(path: Path) -> int:
    """Quarter turns counter-clockwise (0 to 3) that bring the frames of a video file upright."""
    with open_container(path) as (container, stream):
        for packet in demux(container, stream):
            try:
                for frame in packet.decode():
                    return rotation_of(frame)
            except av.error.FFmpegError:
                continue
    return 0


@dataclass(frozen=True)
class _Header:
    """What the container says about the video before any packet is read."""

    container: str
    codec: str
    fps: float
    header_frames: int
    tick: float
    seconds: float

    @classmethod
    def read(cls, container: InputContainer, stream: VideoStream) -> _Header:
        rate = stream.average_rate or stream.guessed_rate
        return cls(
            container.format.name,
            stream.codec_context.name,
            float(rate or 0),
            stream.frames,
            float(stream.time_base or 0),
            (container.duration or 0) / 1_000_000,
        )

    def shortfall(self, packets: list[_Packet], read_seconds: float, torn: bool) -> tuple[str, ...]:
        """A note if the file has less than its header says, or is torn in the middle of a packet."""
        hidden = sum(packet.hidden for packet in packets)
        if len(packets) < self.header_frames:
            return (f"file ends early: {len(packets) - hidden} of {self.header_frames - hidden} frames are there",)
        if not self.header_frames and read_seconds < 0.95 * self.seconds - 0.1:
            return (f"file ends early: {read_seconds:.2f} of {self.seconds:.2f} seconds are there",)
        return ("file ends early: its last frame is incomplete and left out",) if torn else ()


def _demux(container: InputContainer, stream: VideoStream) -> tuple[list[_Packet], float]:
    """The stream's packets in file order, and the seconds of all streams that the file has."""
    packets: list[_Packet] = []
    end = 0.0
    # Without a frame count, only the times of all streams tell whether the end is missing.
    selected = (stream,) if stream.frames else ()
    start = (container.start_time or 0) / 1_000_000
    try:
        for packet in container.demux(*selected):
            if packet.size == 0:
                continue
            if packet.pts is not None:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base) - start)
            if packet.stream_index == stream.index:
                packets.append(
                    _Packet(
                        packet.pts,
                        packet.duration or 0,
                        packet.is_keyframe,
                        packet.is_discard,
                        packet.is_corrupt,
                    )
                )
    except av.error.FFmpegError:
        pass  # what was read so far is used; `shortfall` says that something is missing
    return packets, end


def _table(path: Path, header: _Header, packets: list[_Packet], notes: tuple[str, ...]) -> FrameTable | None:
    """The table of a file whose packets have presentation times; None where a frame precedes every keyframe."""
    rows: list[tuple[int, int, int, int]] = []
    keys: list[tuple[int, int]] = []  # (pts, place) of keyframes, both ascending
    highest = None
    for place, packet in enumerate(packets):
        if packet.pts is None:
            continue
        highest = packet.pts if highest is None else max(highest, packet.pts)
        if packet.keyframe:
            keys.append((packet.pts, place))
        if packet.hidden:
            continue
        # Frames shown before a keyframe but stored after it (open GOP) need the keyframe before that one.
        known = bisect.bisect_right(keys, (packet.pts, place)) - 1
        if known < 0:
            return None
        rows.append((packet.pts, place, keys[known][1], highest))
    if not rows:
        raise UserError(f"{path} holds no frame that is shown: export it again")
    rows.sort()
    pts, places, entries, settled = np.asarray(rows, np.int64).T
    times = (pts - pts[0]) * header.tick
    fps = _checked_fps(header.fps, times, packets[-1].duration * header.tick)
    gaps = np.diff(times)
    if len(gaps) > 1 and gaps.max() - gaps.min() > max(2.5 * header.tick, 0.1 * float(np.median(gaps))):
        notes = (*notes, "variable frame rate")
    last = int(places.max())
    return FrameTable(
        times, pts, places, entries, settled, fps, header.container, header.codec, header.header_frames, last, notes
    )


def _checked_fps(fps: float, times: NDArray[np.float64], last: float = 0.0) -> float:
    """The header's average frame rate, or that of the frames where the header has none or a wild one."""
    gap = last or (times[-1] / (len(times) - 1) if len(times) > 1 else 0.0)
    span = float(times[-1] + gap)
    if span <= 0:
        return fps or 25.0
    measured = len(times) / span
    return fps if fps and 0.5 < fps / measured < 2 else measured


def _is_cover(stream: VideoStream) -> bool:
    """Whether the stream is the cover picture of a sound file."""
    return bool(Disposition(stream.disposition) & Disposition.attached_pic)


def _check_file(path: Path) -> None:
    """Raises UserError unless the path is a file with something in it."""
    if not path.exists():
        raise UserError(f"{path} does not exist: check the path")
    if not path.is_file():
        raise UserError(f"{path} is not a file: give a video file or a directory of images")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty (0 bytes): copy or download it again")


def _why_unreadable(path: Path) -> str:
    """What to tell the user about a file that FFmpeg does not open."""
    with path.open("rb") as file:
        start = file.read(12)
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "is incomplete: its index is missing, as if recording or copying stopped early; copy or export it again"
    return "is not a video that FFmpeg can read, or its beginning is damaged: give another file"
