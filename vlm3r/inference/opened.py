"""A video that is encoded once, with the beginning that all prompts about it share read once by the language model.

opened = open_video(model, processor, processor.load_video("room.mp4"))
opened.ask(["How many chairs are there?", "Is the door left of the sofa?"])
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlm3r.inference.ask import Answer, encode_clip
from vlm3r.inference.greedy import extend, greedy, takes_any_mask
from vlm3r.inference.prefix_cache import PrefixCache
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

LEAST_ROOM = 1024
"""Tokens of their own that questions side by side may have in any case; else as many as their shared beginning has.

Side by side they stand in one sequence, whose masked part costs time too: beyond this, batches get slower.
"""
PROBES = ("A", "?")
"""Questions that share nothing: what their prompts share, those of all questions share, odd ones apart."""


class OpenedVideo:
    """One clip, ready for any number of questions; made by `open_video`.

    Answers are those of separate prompts, greedy, whatever is asked beside them and in which order.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: VLM3RForConditionalGeneration,
        processor: VLM3RProcessor,
        video: VideoFrames | None,
        clip: dict[str, Tensor],
    ):
        self.model = model
        self.processor = processor
        self.video = None if video is None else _without_pixels(video)
        self.clip = clip
        first, second = (self._encode(question) for question in PROBES)
        self._prefix = first[: _common([first, second])]
        self._cache = PrefixCache(model.config.qwen2.num_hidden_layers)
        extend(model, self._cache, self._embed([self._prefix], 0))

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the shared beginning, whose keys and values are kept."""
        return len(self._prefix)

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values that are kept, and of the room for questions behind them."""
        return self._cache.nbytes

    def ask(self, questions: Sequence[str], max_new_tokens: int = 16, batch_size: int = 32) -> list[Answer]:
        """Answers in the order of the questions.

        Args:
            questions: what to ask.
            max_new_tokens: the longest answer in tokens.
            batch_size: questions answered side by side; they are sorted by length first.

        Raises:
            UserError: a prompt is longer than the model reads.
            ValueError: one string instead of a list, or a number below 1.
        """
        if isinstance(questions, str):
            raise ValueError("questions must be a list of questions, not one string")
        prompts = [self._encode(question) for question in questions]
        generated = self._generate(prompts, max_new_tokens, batch_size)
        texts = self.processor.tokenizer.batch_decode(generated, skip_special_tokens=True)
        return [
            Answer(question, text.strip(), self.processor.prompt_text(torch.tensor(ids)), len(ids), len(new))
            for question, text, ids, new in zip(questions, texts, prompts, generated, strict=True)
        ]

    def generate(self, questions: Sequence[str], max_new_tokens: int = 16, batch_size: int = 32) -> list[list[int]]:
        """As `ask`, the generated ids, each answer's stop token included."""
        return self._generate([self._encode(question) for question in questions], max_new_tokens, batch_size)

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], max_new_tokens: int, batch_size: int) -> list[list[int]]:
        if max_new_tokens < 1 or batch_size < 1:
            raise ValueError("max_new_tokens and batch_size must be at least 1")
        batch_size = batch_size if takes_any_mask(self.model) else 1
        by_start: defaultdict[int, list[int]] = defaultdict(list)
        for number, ids in enumerate(prompts):
            by_start[min(_common([self._prefix, ids]), len(ids) - 1)].append(number)
        answers: dict[int, list[int]] = {}
        for start, numbers in by_start.items():
            numbers.sort(key=lambda number: len(prompts[number]))
            self._cache.set_back(len(self._prefix))
            cache = self._cache if start == len(self._prefix) else self._cache.beginning(start)
            begin = start
            if len(numbers) > 1:
                begin = min(_common([prompts[number] for number in numbers]), len(prompts[numbers[0]]) - 1)
                if begin > start:
                    extend(self.model, cache, self._embed([prompts[numbers[0]][start:begin]], start))
            lengths = [len(prompts[number]) - begin for number in numbers]
            for first, last in _batches(lengths, batch_size, max(begin, LEAST_ROOM)):
                group = numbers[first:last]
                rest = [prompts[number][begin:] for number in group]
                found = greedy(self.model, cache, rest, self._embed(rest, begin), max_new_tokens)
                answers |= dict(zip(group, found, strict=True))
        return [answers[number] for number in range(len(prompts))]

    def _encode(self, question: str) -> list[int]:
        return self.processor(question, video=self.video, with_pixels=False)["input_ids"][0].tolist()

    def _embed(self, pieces: Sequence[Sequence[int]], start: int) -> Tensor:
        """Embeddings `(1, token, dim)` of pieces, one after the other, of prompts that are equal up to `start`."""
        ids = torch.tensor([[token for piece in pieces for token in piece]], device=self.model.device)
        placeholder = self.processor.video_token_id
        if placeholder not in ids:
            return self.model.get_input_embeddings()(ids)
        used = self._prefix[:start].count(placeholder)
        clip = self.clip["video_embeddings"]
        tails = [clip[used : used + list(piece).count(placeholder)] for piece in pieces]
        return self.model.embed(ids, video_embeddings=torch.cat(tails))


def open_video(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    video: VideoFrames | None = None,
    clip: dict[str, Any] | None = None,
) -> OpenedVideo:
    """A video encoded once, for any number of questions.

    Args:
        model: the model.
        processor: its processor.
        video: decoded frames; None for questions without any picture.
        clip: what `encode_clip` gave for the same video; None encodes it here.

    Raises:
        UserError: the video alone is a longer prompt than the model reads.
        ValueError: the model is in training mode.
    """
    if model.training:
        raise ValueError("the model is in training mode: call model.eval() before asking")
    return OpenedVideo(model, processor, video, encode_clip(model, processor, video) if clip is None else clip)


def _without_pixels(video: VideoFrames) -> VideoFrames:
    """What prompts need to know of a video: the number of its frames and their times."""
    return replace(video, frames=np.empty((len(video), 0, 0, 3), np.uint8))


def _batches(lengths: Sequence[int], most: int, room: int) -> Iterator[tuple[int, int]]:
    """Neighbouring stretches of at most `most` rows and, but for single rows, `room` tokens together."""
    first, tokens = 0, 0
    for place, length in enumerate(lengths):
        if place > first and (place - first == most or tokens + length > room):
            yield first, place
            first, tokens = place, 0
        tokens += length
    if lengths:
        yield first, len(lengths)


def _common(rows: Sequence[Sequence[int]]) -> int:
    """Length of the longest common beginning."""
    for place, tokens in enumerate(zip(*rows, strict=False)):
        if len(set(tokens)) > 1:
            return place
    return min(len(row) for row in rows)
