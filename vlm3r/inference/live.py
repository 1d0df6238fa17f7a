"""A video that is still going on: frames come in one at a time, and questions at any time.

live = LiveVideo(model, processor)
live.push(frame)
live.ask(["What is in front of me?"])
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from cut3r.config import StateUpdate
from numpy.typing import NDArray
from torch import Tensor

from vlm3r.errors import UserError
from vlm3r.inference.ask import Answer
from vlm3r.inference.opened import OpenedVideo, shared_length
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.model.resampler import place_newlines
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

LEAST_BUDGET = 2
"""The first frame and the newest one."""


@dataclass
class KeptFrame:
    """A frame that questions see."""

    index: int
    """Its number among all frames that were pushed, from 0."""
    time: float
    """Seconds."""
    pixels: Tensor | None
    """`(3, side, side)` normalised; None once the visual tokens are there."""
    geometry: tuple[Tensor, Tensor] | None
    """Camera tokens `(1, 1, 1, dim)` and patch tokens `(1, 1, patch, dim)` from the recurrent state as the frame came;
    None once the visual tokens are there, and without geometry."""
    tokens: Tensor | None = None
    """`(pooled patch, text dim)`, computed when a question first sees the frame."""

    @property
    def nbytes(self) -> int:
        """Bytes of its tensors."""
        return sum(tensor.nbytes for tensor in (self.pixels, self.tokens, *(self.geometry or ())) if tensor is not None)


class LiveVideo:
    """A video of any length in constant memory.

    Every frame goes through CUT3R, whose state remembers what it saw. Questions see at most `budget` frames: those
    whose number is a multiple of a stride, and the newest. The stride is the smallest power of two that keeps within
    the budget; a frame that is no multiple any more is dropped for good. A kept frame has the geometry that the state
    gave it when it came. As long as no frame is dropped, answers are those of the same frames as one video.

    The language model reads again only what comes after the first change since the last question.

    One thread may push while others ask: a question sees the frames that were there when its turn came, and holds no
    frame up.
    """

    def __init__(
        self,
        model: VLM3RForConditionalGeneration,
        processor: VLM3RProcessor,
        budget: int | None = None,
        state_update: StateUpdate = "cut3r",
    ):
        """An empty video.

        Args:
            model: the model.
            processor: its processor.
            budget: most frames that a question sees; None is the processor's `num_frames`.
            state_update: how CUT3R's state takes a frame; `ttt3r` forgets less over long videos.

        Raises:
            UserError: as many frames would be too long a prompt.
            ValueError: the budget is below 2, or the model is in training mode.
        """
        budget = processor.num_frames if budget is None else budget
        if budget < LEAST_BUDGET:
            raise ValueError(
                f"the budget is {budget}: give at least {LEAST_BUDGET}, for the first and the newest frame"
            )
        if model.training:
            raise ValueError("the model is in training mode: call model.eval() before asking")
        tokens = processor.layout.video_tokens(budget)
        if tokens > processor.max_length:
            raise UserError(
                f"{budget} frames make {tokens} tokens, the model reads at most {processor.max_length}: use fewer"
            )
        self.model = model
        self.processor = processor
        self.budget = budget
        self._with_geometry = model.config.geometry == "cut3r"
        self._stream = model.geometry_encoder.stream(state_update=state_update) if self._with_geometry else None
        self._kept: list[KeptFrame] = []
        self._stride = 1
        self._seen = 0
        self._timed = False
        self._first_time = 0.0
        self._opened: OpenedVideo | None = None
        self._opened_with: list[int] = []
        self._asking = threading.RLock()
        """Over `_opened`; taken before `_pushing` where both are."""
        self._pushing = threading.RLock()
        """Over the frames and the recurrent state."""

    @property
    def frames_seen(self) -> int:
        """Frames that were pushed."""
        return self._seen

    @property
    def frame_indices(self) -> list[int]:
        """Numbers of the frames that the next question sees, ascending."""
        with self._pushing:
            return [frame.index for frame in self._kept]

    @property
    def nbytes(self) -> int:
        """Bytes of all that is kept: state, frames, visual tokens, keys and values."""
        with self._asking, self._pushing:
            state = 0 if self._stream is None else sum(tensor.nbytes for tensor in self._stream.state_dict().values())
            opened = 0 if self._opened is None else self._opened.nbytes + self._opened.clip_nbytes
            return state + opened + sum(frame.nbytes for frame in self._kept)

    @torch.inference_mode()
    def push(self, frame: NDArray[np.uint8], timestamp: float | None = None) -> None:
        """Take the next frame.

        Args:
            frame: `(H, W, 3)` uint8 RGB; frames may differ in size.
            timestamp: seconds at which it was taken; given for all frames or for none, which means one a second.

        Raises:
            ValueError: another shape or type, or a time that descends or is given for some frames only.
        """
        if frame.ndim != 3 or frame.shape[-1] != 3 or frame.dtype != np.uint8 or not frame.size:
            raise ValueError(f"a frame must be (H, W, 3) uint8, not {frame.shape} {frame.dtype}")
        pixels = self.processor.frame_pixels(frame[None])[0]  # (3, side, side)
        with self._pushing:
            time = self._time(timestamp)
            new = KeptFrame(self._seen, time, pixels, self._geometry(pixels))
            if self._seen == 0:
                self._timed, self._first_time = timestamp is not None, time
            self._seen += 1
            self._thin(new)

    def ask(self, questions: Sequence[str], max_new_tokens: int = 16, batch_size: int = 32) -> list[Answer]:
        """Answers about what was seen up to now; arguments and errors as `OpenedVideo.ask`.

        Raises:
            ValueError: no frame was pushed yet, or as there.
        """
        with self._asking:
            return self._now().ask(questions, max_new_tokens, batch_size)

    def stream(self, question: str, max_new_tokens: int = 16) -> Generator[str, None, Answer]:
        """As `OpenedVideo.stream`, about what was seen up to now; frames may be pushed meanwhile.

        Raises:
            ValueError: no frame was pushed yet, or as there.
        """
        with self._asking:
            return self._now().stream(question, max_new_tokens)

    def _time(self, timestamp: float | None) -> float:
        if self._seen and (timestamp is not None) != self._timed:
            raise ValueError("give a time for all frames or for none")
        time = float(self._seen) if timestamp is None else float(timestamp)
        if not np.isfinite(time) or (self._kept and time < self._kept[-1].time):
            raise ValueError(f"frame {self._seen} has the time {time}: times must be numbers and must not descend")
        return time

    def _geometry(self, pixels: Tensor) -> tuple[Tensor, Tensor] | None:
        """Geometry tokens of the next frame; the state moves on."""
        if self._stream is None:
            return None
        encoder, side = self.model.geometry_encoder, self.model.config.geometry_image_size
        weight = next(encoder.parameters())
        frames = pixels[None].to(weight.device, weight.dtype)
        resized = F.interpolate(frames, size=(side, side), mode="bilinear", align_corners=False)
        output = self._stream.push(resized[None])  # (1, 1, 3, side, side)
        return output.camera_tokens, output.patch_tokens

    def _thin(self, new: KeptFrame) -> None:
        """Add the newest frame, and drop what the budget has no room for."""
        if self._kept and self._kept[-1].index % self._stride:
            self._kept.pop()
        self._kept.append(new)
        while len(self._kept) > self.budget:
            self._stride *= 2
            self._kept = [frame for frame in self._kept if frame is new or frame.index % self._stride == 0]

    @torch.inference_mode()
    def _now(self) -> OpenedVideo:
        """The kept frames as an open video, which is good until the next call."""
        with self._pushing:
            kept = list(self._kept)
            if not kept:
                raise ValueError("no frame was pushed yet")
            video = self._video(kept)
        indices = [frame.index for frame in kept]
        if self._opened is not None and indices == self._opened_with:
            return self._opened
        self._encode_waiting(kept)
        pooled = torch.stack([frame.tokens for frame in kept if frame.tokens is not None])
        layout = self.model.config.layout
        clip = {"video_embeddings": place_newlines(pooled, self.model.image_newline, layout.newline_position)}
        # Taken out first: an error in between must not leave an open video whose cache is another's.
        before, self._opened = self._opened, None
        if before is None:
            self._opened = OpenedVideo(self.model, self.processor, video, clip)
        else:
            alike = shared_length([self._opened_with, indices])
            per_frame = layout.video_tokens(2) - layout.video_tokens(1)
            self._opened = before.continued(video, clip, alike * per_frame)
        self._opened_with = indices
        return self._opened

    def _encode_waiting(self, kept: Sequence[KeptFrame]) -> None:
        """Visual tokens of the frames that no question saw before, all at once."""
        waiting = [frame for frame in kept if frame.tokens is None]
        if not waiting:
            return
        pixels = torch.stack([frame.pixels for frame in waiting if frame.pixels is not None])[None]
        geometry = [frame.geometry for frame in waiting if frame.geometry is not None]
        camera, patches = (
            (torch.cat(tokens, dim=1) for tokens in zip(*geometry, strict=True)) if geometry else (None, None)
        )
        stages = self.model.encode_video(pixels, camera_tokens=camera, patch_tokens=patches)
        for frame, tokens in zip(waiting, stages.pooled[0], strict=True):
            # A view would keep the tokens of all frames alive as long as any of them.
            frame.tokens, frame.pixels, frame.geometry = tokens.clone(), None, None

    def _video(self, kept: Sequence[KeptFrame]) -> VideoFrames:
        """Numbers and times of the kept frames; length and rate are those of all frames."""
        times = np.array([frame.time for frame in kept])
        gap = (times[-1] - self._first_time) / (self._seen - 1) if self._seen > 1 else 1.0
        return VideoFrames(
            np.empty((len(times), 0, 0, 3), np.uint8),
            np.array([frame.index for frame in kept]),
            times,
            times if self._timed else None,
            float(times[-1] + gap),
            float(1 / gap) if gap > 0 else 1.0,
            self._seen,
            "",
            "",
        )
