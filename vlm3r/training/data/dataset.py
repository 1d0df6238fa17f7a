"""Packs of questions as tensors: the clip is decoded once, each question is encoded as if it stood alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from vlm3r.errors import UserError
from vlm3r.processing.inputs import picture_of
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.sampling import time_instruction
from vlm3r.processing.video import VideoFrames
from vlm3r.training.data.conversations import training_turns
from vlm3r.training.data.mixture import Clip, EpochPlan, Mixture
from vlm3r.training.data.rows import BadRow, Row
from vlm3r.training.data.sequences import into_sequences, token_budget
from vlm3r.training.packing import EncodedRow, PackedRows, pack_rows
from vlm3r.training.recipe import DataRecipe

ALL_TOKENS = ("camera_tokens", "patch_tokens", "vision_tokens")
"""Features with which the whole model needs no pixels."""


class StoredClip(Protocol):
    """What a feature store keeps of a video."""

    @property
    def tensors(self) -> Mapping[str, Tensor]:
        """Argument of the model to `(frame, token, dim)`: some of `ALL_TOKENS`."""
        ...

    @property
    def clip(self) -> VideoFrames:
        """Frame numbers, times and duration; its frames need hold no pixels."""
        ...


class FeatureSource(Protocol):
    """Where features of videos come from."""

    def read(self, path: Path, /) -> StoredClip:
        """The features of a video; raises UserError if there are none."""
        ...


@dataclass(frozen=True)
class Failure:
    """Something that could not be loaded."""

    item: str
    """The clip's name, or the row's identity."""
    reason: str
    """Why, in one line."""


@dataclass(frozen=True, eq=False)
class LoadedPack:
    """Questions about one clip, ready to be batched."""

    sequences: tuple[PackedRows, ...]
    """One as a rule; more where the pack was too long, or its questions do not begin alike. Each needs the clip."""
    identities: tuple[str, ...]
    """Of every question, in the order of the sequences and their rows."""
    tasks: tuple[str, ...]
    """Likewise."""
    visual: Mapping[str, Tensor]
    """Arguments of the model for this clip, `(frame, ...)` each; empty without one."""
    failures: tuple[Failure, ...] = ()
    """Questions of the pack that were left out."""


@dataclass(frozen=True, eq=False)
class _Seen:
    """A clip as the prompt and the model take it."""

    visuals: int
    """Videos or pictures."""
    runs: Sequence[Sequence[int]]
    """The placeholder ids of each."""
    sentence: str | None
    """The time sentence."""
    visual: Mapping[str, Tensor]
    """Arguments of the model."""


NOTHING_SEEN = _Seen(0, (), None, {})


class PackDataset(Dataset[LoadedPack | Failure]):
    """The packs of an epoch, in the order in which they are to be trained on: iterate without shuffling.

    Items are the same whichever process loads them, and however often.
    """

    def __init__(
        self,
        mixture: Mixture,
        processor: VLM3RProcessor,
        recipe: DataRecipe,
        features: FeatureSource | None = None,
        tokens_needed: Sequence[str] = ALL_TOKENS,
    ):
        """A data set that stands at epoch 0.

        Args:
            mixture: the questions.
            processor: the model's.
            recipe: frames, time sentence, blindness and longest sequence.
            features: stored features that stand for those that the model would compute.
            tokens_needed: features with which the model needs no pixels; frames are decoded where one is not stored.

        Raises:
            UserError: a video alone is longer than the longest sequence.
        """
        self._mixture = mixture
        self._processor = processor
        self._recipe = recipe
        self._features = features
        self._tokens_needed = tuple(tokens_needed)
        self._frames = recipe.frames or processor.num_frames
        self._budget = token_budget(mixture, processor, recipe, self._frames)
        # Shared memory, so that worker processes that live longer than an epoch learn of the next one.
        self._epoch = torch.zeros((), dtype=torch.long).share_memory_()
        self._planned: tuple[int, EpochPlan] | None = None

    @property
    def plan(self) -> EpochPlan:
        """The packs of the current epoch."""
        epoch = int(self._epoch)
        if self._planned is None or self._planned[0] != epoch:
            self._planned = epoch, self.plan_of(epoch)
        return self._planned[1]

    def plan_of(self, epoch: int) -> EpochPlan:
        """The packs of any epoch; `set_epoch` is not needed for it."""
        return self._mixture.packs(epoch, self._budget)

    def set_epoch(self, epoch: int) -> None:
        """Go to an epoch, counted from 0."""
        self._epoch.fill_(epoch)

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[LoadedPack | Failure]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> LoadedPack | Failure:
        """A pack of the current epoch, or why its clip cannot be loaded.

        Raises:
            UserError: a data file has changed or is gone.
        """
        pack = self.plan[index]
        rows = self._mixture.read(pack.questions)
        seen = NOTHING_SEEN
        if self._recipe.with_video and pack.clip < len(self._mixture.clips):
            clip = self._mixture.clips[pack.clip]
            try:
                seen = self._see(clip)
            except (UserError, OSError) as error:
                return Failure(clip.name, " ".join(str(error).split()) or type(error).__name__)
        return self._encode(rows, seen)

    def _see(self, clip: Clip) -> _Seen:
        """Load a clip."""
        if clip.video is None:
            pictures = [picture_of(path) for path in clip.images]
            runs = self._processor.placeholders(pictures=len(pictures))
            return _Seen(len(pictures), runs, None, {"image_pixel_values": self._processor.picture_pixels(pictures)})
        video, visual = self._video(clip.video)
        sentence = None
        if self._recipe.time_instruction and video.shown_times is not None:
            sentence = time_instruction(video.duration, video.shown_times)
        return _Seen(1, self._processor.placeholders([len(video)]), sentence, visual)

    def _video(self, path: Path) -> tuple[VideoFrames, dict[str, Tensor]]:
        """Times of a video, and the arguments of the model for it."""
        stored = None if self._features is None else self._features.read(path)
        visual: dict[str, Tensor] = {} if stored is None else dict(stored.tensors)
        if stored is not None and all(name in visual for name in self._tokens_needed):
            return stored.clip, visual
        video = self._processor.load_video(path, num_frames=self._frames)
        if stored is not None and not np.array_equal(stored.clip.indices, video.indices):
            raise UserError(f"{path}: its stored features are of other frames; extract them again")
        return video, visual | {"pixel_values": self._processor.frame_pixels(video.frames)}

    def _encode(self, rows: Sequence[Row], seen: _Seen) -> LoadedPack:
        encoded: list[tuple[Row, EncodedRow]] = []
        failures = []
        for row in rows:
            try:
                encoded.append((row, self._encode_row(row, seen)))
            except (BadRow, UserError) as error:
                failures.append(Failure(row.identity, str(error)))
        last = seen.runs[-1][-1] if seen.runs else None
        groups = into_sequences(encoded, last, self._recipe.max_tokens)
        kept = [row for group in groups for row, _ in group]
        return LoadedPack(
            sequences=tuple(pack_rows([one for _, one in group]) for group in groups),
            identities=tuple(row.identity for row in kept),
            tasks=tuple(row.task for row in kept),
            visual=seen.visual,
            failures=tuple(failures),
        )

    def _encode_row(self, row: Row, seen: _Seen) -> EncodedRow:
        """A question as it would be fed alone.

        Raises:
            BadRow: its `<image>` do not fit the clip, or it is longer than a sequence may be.
        """
        turns = training_turns(row.turns, seen.visuals, seen.sentence)
        answers_only = self._recipe.supervise == "answers"
        ids, labels = self._processor.encode_turns(turns, seen.runs, answers_only=answers_only)
        if len(ids) > self._recipe.max_tokens:
            raise BadRow(f"makes {len(ids)} tokens, more than data.max_tokens ({self._recipe.max_tokens})")
        return EncodedRow(ids, labels)
