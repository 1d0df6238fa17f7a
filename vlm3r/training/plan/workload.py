"""How many packs of which shape a run consists of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig
from vlm3r.training.plan.flops import BatchShape, visible_pairs
from vlm3r.training.recipe import Recipe

TIME_TOKENS = 8
"""Tokens of the time instruction beside the frames' times."""
TOKENS_A_TIME = 6
"""Tokens of one frame's time, such as ` 12.5s,`: Qwen2 reads every digit by itself."""


@dataclass(frozen=True)
class DataCounts:
    """What of the training data decides a run's cost; one pass over the mixture."""

    questions: int = 205_000
    """Questions; the published mixture's number by default."""
    videos: int = 2_000
    """Clips that they are about."""
    text_tokens: float = 80.0
    """Mean tokens of a question and its answer beside the video and what all questions of a clip share."""
    answer_tokens: float = 5.0
    """Mean supervised tokens of a question."""

    def __post_init__(self) -> None:
        if min(self.questions, self.videos) < 1 or self.text_tokens < 1 or self.answer_tokens < 1:
            raise UserError("a plan needs at least one question, one video and one token of each kind")
        if self.videos > self.questions:
            raise UserError(f"{self.videos} videos for {self.questions} questions: every video needs a question")


@dataclass(frozen=True)
class Workload:
    """One pass over the data with packs of up to `questions_per_pack` questions."""

    questions_per_pack: int
    """Most questions in a pack."""
    pack: BatchShape
    """The larger packs: a clip's questions are dealt evenly, so that sizes differ by one at most."""
    rest: BatchShape | None
    """The smaller packs, with one question less; None where all are equal."""
    full_packs: float
    """Larger packs of the pass."""
    rest_packs: float
    """Smaller packs of the pass."""

    @property
    def packs(self) -> float:
        """All packs of the pass."""
        return self.full_packs + self.rest_packs

    @property
    def tokens(self) -> float:
        """Tokens of the pass."""
        return self.full_packs * self.pack.tokens + (self.rest_packs * self.rest.tokens if self.rest else 0.0)


def shared_tokens(config: VLM3RConfig, recipe: Recipe, frames: int) -> int:
    """Tokens that all questions of a clip share: its visual tokens, and the time instruction."""
    if not recipe.data.with_video:
        return 0
    times = TIME_TOKENS + TOKENS_A_TIME * frames if recipe.data.time_instruction else 0
    return config.layout.video_tokens(frames) + times


def make_workload(
    config: VLM3RConfig, recipe: Recipe, counts: DataCounts, frames: int, questions_per_pack: int
) -> Workload:
    """The packs of one pass; every clip is taken to have the mean number of questions.

    Args:
        config: the model's configuration.
        recipe: decides tokens per clip and the longest sequence.
        counts: the data.
        frames: frames of a clip.
        questions_per_pack: questions that share a clip's encoding; 0 packs all.

    Raises:
        UserError: not even one question fits into `data.max_tokens`.
    """
    prefix, own = shared_tokens(config, recipe, frames), max(1, round(counts.text_tokens))
    fitting = (recipe.data.max_tokens - prefix) // own
    if fitting < 1:
        raise UserError(
            f"data.max_tokens is {recipe.data.max_tokens}, but a question with its {frames} frames needs "
            f"{prefix + own} tokens; raise it or lower data.frames"
        )
    a_clip = max(1, round(counts.questions / counts.videos))
    size = min(questions_per_pack or a_clip, a_clip, fitting)
    pieces = -(-a_clip // size)
    smaller, larger_packs = divmod(a_clip, pieces)
    clips = counts.questions / a_clip

    def shape(rows: int) -> BatchShape:
        tokens = prefix + rows * own
        pairs = visible_pairs(prefix, [own] * rows)
        visual = frames if recipe.data.with_video else 0
        return BatchShape(tokens, pairs, tokens**2, math.ceil(rows * counts.answer_tokens), visual, rows)

    if not larger_packs:
        return Workload(size, shape(smaller), None, clips * pieces, 0.0)
    rest_packs = clips * (pieces - larger_packs)
    return Workload(size, shape(smaller + 1), shape(smaller), clips * larger_packs, rest_packs)
