"""How long sequences get: an estimate when packs are planned, and the exact cut when they are made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np

from vlm3r.errors import UserError
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.prompts import Turn
from vlm3r.processing.sampling import time_instruction
from vlm3r.training.data.conversations import training_turns
from vlm3r.training.data.mixture import Mixture, TokenBudget
from vlm3r.training.packing import EncodedRow
from vlm3r.training.recipe import DataRecipe

SAMPLE = 256
"""Conversations that are tokenised to learn how many tokens a byte of text makes."""
LONG_VIDEO_S = 9999.0
"""Seconds of a video whose time sentence is as long as that of any that is likely."""

Item = TypeVar("Item")


def into_sequences(
    rows: Sequence[tuple[Item, EncodedRow]], last_placeholder: int | None, max_tokens: int
) -> list[list[tuple[Item, EncodedRow]]]:
    """Rows in groups, each of which can be packed: equal up to the end of the clip, and not longer than may be.

    Args:
        rows: questions about one clip, none of them longer than may be, each with whatever is to stay with it.
        last_placeholder: id of the last placeholder of each row; None where there is nothing to be seen.
        max_tokens: longest sequence.
    """
    alike: dict[tuple[tuple[int, ...], tuple[int, ...]], list[tuple[Item, EncodedRow]]] = {}
    for item, row in rows:
        head = 0 if last_placeholder is None else len(row.ids) - list(reversed(row.ids)).index(last_placeholder)
        alike.setdefault((tuple(row.ids[:head]), tuple(row.labels[:head])), []).append((item, row))
    groups: list[list[tuple[Item, EncodedRow]]] = []
    for (ids, _), members in alike.items():
        length = max_tokens
        for item, row in members:
            own = len(row.ids) - len(ids)
            if length + own > max_tokens:
                groups.append([])
                length = len(ids)
            groups[-1].append((item, row))
            length += own
    return groups


def token_budget(mixture: Mixture, processor: VLM3RProcessor, recipe: DataRecipe, frames: int) -> TokenBudget | None:
    """What plans of packs need to know to keep them below `recipe.max_tokens`; None for one question a pack.

    Raises:
        UserError: a video alone is as long as that.
    """
    video = 0
    if recipe.with_video and any(clip.video for clip in mixture.clips):
        video = processor.layout.video_tokens(frames)
        if video < recipe.max_tokens:  # else there may be no memory for them
            video = _head(processor, processor.placeholders([frames]), frames if recipe.time_instruction else 0)
    if video >= recipe.max_tokens:
        raise UserError(
            f"data.max_tokens is {recipe.max_tokens}, but a video of {frames} frames makes {video} tokens: "
            "take fewer frames or allow more tokens"
        )
    if recipe.questions_per_pack == 1:
        return None
    text, image = _head(processor, []), processor.layout.image_tokens + 2
    heads = [
        text if not recipe.with_video else video if clip.video else text + image * len(clip.images)
        for clip in mixture.clips
    ]
    return TokenBudget(recipe.max_tokens, np.array(heads, np.int64), _tokens_per_byte(mixture, processor))


def _head(processor: VLM3RProcessor, runs: list[list[int]], timed_frames: int = 0) -> int:
    """Tokens of a conversation without a question."""
    sentence = time_instruction(LONG_VIDEO_S, [LONG_VIDEO_S] * timed_frames) if timed_frames else None
    turns = training_turns([Turn("user", "")], len(runs), sentence)
    return len(processor.encode_turns(turns, runs)[0])


def _tokens_per_byte(mixture: Mixture, processor: VLM3RProcessor) -> float:
    """The most that was found in conversations from all over the mixture."""
    numbers = np.unique(np.linspace(0, len(mixture) - 1, SAMPLE, dtype=np.int64)).tolist()
    lengths = [len(processor.encode_turns(training_turns(row.turns, 0))[0]) for row in mixture.read(numbers)]
    return max(length / int(mixture.text_bytes[number]) for length, number in zip(lengths, numbers, strict=True))
