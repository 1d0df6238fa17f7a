"""The last few open videos, so that a question about one of them costs no encoding.

cache = VideoCache(model, processor, most=4)
cache.open("room.mp4").ask(["How many chairs are there?"])
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.inference.fingerprint import file_hash
from vlm3r.inference.opened import OpenedVideo, open_video
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.image_frames import list_images
from vlm3r.processing.processor import VLM3RProcessor


class VideoCache:
    """At most `most` open videos; the one that was asked for longest ago goes first.

    A video is known by its content, whatever its name, together with the choice of frames and the prompt settings.
    The model's weights must not change meanwhile; `clear` the cache if they do. Several threads may open videos: they
    wait for one another, so that none is encoded twice.
    """

    def __init__(self, model: VLM3RForConditionalGeneration, processor: VLM3RProcessor, most: int = 4):
        """See the class; raises ValueError if `most` is below 1."""
        if most < 1:
            raise ValueError(f"most must be at least 1, not {most}")
        self.model = model
        self.processor = processor
        self.most = most
        self._opened: OrderedDict[Any, OpenedVideo] = OrderedDict()
        self._lock = threading.RLock()

    def open(self, path: str | Path, decoder: str = "auto", num_frames: int | None = None) -> OpenedVideo:
        """The open video of a file or of a folder of frames; read and encoded only if it is not kept.

        Room is made before a video is encoded, so that never more than `most` are held here.

        Args:
            path: the file or folder.
            decoder: name of the decoder.
            num_frames: frames to take instead of the processor's number.

        Raises:
            UserError: it cannot be read, or as many frames would be too long a prompt.
        """
        key = self._key(Path(path), decoder, num_frames)
        with self._lock:
            if key in self._opened:
                self._opened.move_to_end(key)
                return self._opened[key]
            video = self.processor.load_video(path, decoder, num_frames)
            while len(self._opened) >= self.most:
                self._opened.popitem(last=False)
            opened = self._opened[key] = open_video(self.model, self.processor, video)
            return opened

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._opened.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of what is kept: keys, values, room for questions behind them, visual tokens."""
        with self._lock:
            return sum(opened.nbytes + opened.clip_nbytes for opened in self._opened.values())

    def __len__(self) -> int:
        return len(self._opened)

    def _key(self, path: Path, decoder: str, num_frames: int | None) -> Any:
        processor = self.processor
        sampling = processor.sampling if num_frames is None else replace(processor.sampling, num_frames=num_frames)
        return (_content(path), decoder, sampling, processor.layout, processor.add_time_instruction)


def _content(path: Path) -> str:
    """A hash of a file's bytes, or of the names and bytes of a folder's images."""
    try:
        if not path.is_dir():
            return file_hash(path)
        parts = [f"{image.name} {file_hash(image)}" for image in list_images(path)]
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({first_line(error)}); name a video or a folder of frames") from error
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
