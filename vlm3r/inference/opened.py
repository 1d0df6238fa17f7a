"""A video that is encoded once, with the beginning that all prompts about it share read once by the language model.

opened = open_video(model, processor, processor.load_video("room.mp4"))
opened.ask(["How many chairs are there?", "Is the door left of the sofa?"])
opened.save("room")
OpenedVideo.restore(model, processor, "room").ask(["How large is the room?"])
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vlm3r.errors import UserError
from vlm3r.inference.ask import Answer, encode_clip
from vlm3r.inference.greedy import extend, greedy, greedy_steps, takes_any_mask
from vlm3r.inference.pieces import TextPieces
from vlm3r.inference.prefix_cache import PrefixCache
from vlm3r.inference.saved import SavedVideo, read_saved, settings_of, write_saved
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
    """One clip, ready for any number of questions; made by `open_video`, or by `restore` from a folder.

    Answers are those of separate prompts, greedy, whatever is asked beside them and in which order. Several threads may
    ask: they wait for one another.
    """

    @torch.inference_mode()
    def __init__(
        self,
        model: VLM3RForConditionalGeneration,
        processor: VLM3RProcessor,
        video: VideoFrames | None,
        clip: dict[str, Tensor],
        cache: PrefixCache | None = None,
    ):
        """`cache` holds the first of the beginning's tokens, or all; it is taken over, and what is missing added."""
        if model.training:
            raise ValueError("the model is in training mode: call model.eval() before asking")
        self.model = model
        self.processor = processor
        self.video = None if video is None else _without_pixels(video)
        self.clip = clip
        self._prefix = shared_beginning(processor, self.video)
        self._lock = threading.RLock()
        known = 0 if cache is None else cache.length
        cache = PrefixCache(model.config.qwen2.num_hidden_layers) if cache is None else cache
        if known < len(self._prefix):
            extend(model, cache, self._embed([self._prefix[known:]], known))
        self._kept: PrefixCache | None = cache

    @classmethod
    def restore(
        cls,
        model: VLM3RForConditionalGeneration,
        processor: VLM3RProcessor,
        folder: str | Path,
        weights: Mapping[str, str] | None = None,
    ) -> OpenedVideo:
        """The open video that `save` wrote into `folder`; it gives the same answers.

        Args:
            model: the model that it was saved with.
            processor: its processor.
            folder: where it was saved.
            weights: what `weight_hashes` gives for the model; None computes it, which reads all weights.

        Raises:
            UserError: the folder is missing or damaged, or was saved with other weights, settings or dtype.
            ValueError: the model is in training mode.
        """
        saved = read_saved(Path(folder), model, settings_of(model, processor, weights))
        tokens = 0 if saved.video is None else processor.layout.video_tokens(len(saved.video))
        fits = len(saved.clip.get("video_embeddings", ())) == tokens
        if not fits or shared_beginning(processor, saved.video) != saved.prefix:
            raise UserError(
                f"{folder}: was saved with another tokenizer, prompt or number of visual tokens; load what it was "
                "saved with, or open the video again and save it anew"
            )
        return cls(model, processor, saved.video, saved.clip, saved.cache)

    def save(self, folder: str | Path, weights: Mapping[str, str] | None = None) -> None:
        """Write everything that questions need into a new folder, which appears whole or not at all.

        Args:
            folder: a folder that does not exist yet, or is empty.
            weights: what `weight_hashes` gives for the model; None computes it, which reads all weights.

        Raises:
            UserError: something stands there already, the place cannot be written, or the disk is full.
        """
        settings = settings_of(self.model, self.processor, weights)
        with self._lock:
            write_saved(Path(folder), SavedVideo(self.video, self._prefix, self.clip, self._cache), settings)

    def continued(self, video: VideoFrames, clip: dict[str, Tensor], alike: int) -> OpenedVideo:
        """Another video that begins with the same frames, for which only the rest is read.

        The keys and values go over to it: asking this one afterwards, or going on with its streams, is a RuntimeError.

        Args:
            video: numbers and times of the other video's frames.
            clip: its visual tokens, as `encode_clip` gives them.
            alike: how many of them, from the first on, are those of this video.
        """
        prefix = shared_beginning(self.processor, video)
        before = prefix.index(self.processor.video_token_id)
        with self._lock:
            cache, self._kept = self._cache, None
            cache.set_back(min(before + alike, shared_length([self._prefix, prefix])))
        return OpenedVideo(self.model, self.processor, video, clip, cache)

    @property
    def prefix_tokens(self) -> int:
        """Tokens of the shared beginning, whose keys and values are kept."""
        return len(self._prefix)

    @property
    def nbytes(self) -> int:
        """Bytes of the keys and values that are kept, and of what room for questions is left behind them."""
        return self._cache.nbytes

    @property
    def clip_nbytes(self) -> int:
        """Bytes of the visual tokens, which are kept for questions that place the video elsewhere."""
        return sum(tensor.nbytes for tensor in self.clip.values())

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
        return [self._answer(*found) for found in zip(questions, prompts, generated, strict=True)]

    def stream(self, question: str, max_new_tokens: int = 16) -> Generator[str, None, Answer]:
        """Pieces of one answer's text as they are generated; together they are the text that `ask` gives.

        Nothing else may be asked before the last piece. The generator returns the whole answer, as `ask` gives it.

        Args:
            question: what to ask.
            max_new_tokens: the longest answer in tokens.

        Raises:
            UserError: the prompt is longer than the model reads.
            ValueError: `max_new_tokens` is below 1.
            RuntimeError: a piece is taken after something else was asked.
        """
        _check_limits(max_new_tokens)
        return self._stream(question, self._encode(question), max_new_tokens)

    @torch.inference_mode()
    def _stream(self, question: str, ids: list[int], max_new_tokens: int) -> Generator[str, None, Answer]:
        start = self._shared(ids)
        rest = [ids[start:]]
        pieces, generated = TextPieces(self.processor.tokenizer), []
        # Held for each step only: others may ask in between, which ends this stream.
        with self._lock:
            steps = greedy_steps(self.model, self._cache_of(start), rest, self._embed(rest, start), max_new_tokens)
            step = next(steps, None)
        while step is not None:
            generated += [token for _, token in step]
            if piece := pieces.push(generated[-1:]):
                yield piece
            with self._lock:
                step = next(steps, None)
        if piece := pieces.rest():
            yield piece
        return self._answer(question, ids, generated)

    def _answer(self, question: str, ids: list[int], generated: list[int]) -> Answer:
        text = self.processor.tokenizer.decode(generated, skip_special_tokens=True)
        prompt = self.processor.prompt_text(torch.tensor(ids))
        return Answer(question, text.strip(), prompt, len(ids), len(generated))

    def generate(self, questions: Sequence[str], max_new_tokens: int = 16, batch_size: int = 32) -> list[list[int]]:
        """As `ask`, the generated ids, each answer's stop token included."""
        return self._generate([self._encode(question) for question in questions], max_new_tokens, batch_size)

    @torch.inference_mode()
    def _generate(self, prompts: list[list[int]], max_new_tokens: int, batch_size: int) -> list[list[int]]:
        _check_limits(max_new_tokens, batch_size)
        batch_size = batch_size if takes_any_mask(self.model) else 1
        by_start: defaultdict[int, list[int]] = defaultdict(list)
        for number, ids in enumerate(prompts):
            by_start[self._shared(ids)].append(number)
        answers: dict[int, list[int]] = {}
        with self._lock:
            for start, numbers in by_start.items():
                alike = [prompts[number] for number in numbers]
                found = self._generate_from(start, alike, max_new_tokens, batch_size)
                answers |= dict(zip(numbers, found, strict=True))
            self._cache_of(len(self._prefix)).trim()
        return [answers[number] for number in range(len(prompts))]

    def _generate_from(
        self, start: int, prompts: list[list[int]], max_new_tokens: int, batch_size: int
    ) -> list[list[int]]:
        """Ids generated for prompts that all have the first `start` ids in the cache."""
        cache, begin = self._cache_of(start), start
        order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
        if len(prompts) > 1:
            begin = min(shared_length(prompts), len(prompts[order[0]]) - 1)
            if begin > start:
                extend(self.model, cache, self._embed([prompts[0][start:begin]], start))
        lengths = [len(prompts[number]) - begin for number in order]
        answers: dict[int, list[int]] = {}
        for first, last in _batches(lengths, batch_size, max(begin, LEAST_ROOM)):
            rest = [prompts[number][begin:] for number in order[first:last]]
            found = greedy(self.model, cache, rest, self._embed(rest, begin), max_new_tokens)
            answers |= dict(zip(order[first:last], found, strict=True))
        return [answers[number] for number in range(len(prompts))]

    @property
    def _cache(self) -> PrefixCache:
        if self._kept is None:
            raise RuntimeError("something else was asked after this video went on: finish one after the other")
        return self._kept

    def _shared(self, ids: list[int]) -> int:
        """How many of a prompt's ids stand in the cache; at least one is left to be read."""
        return min(shared_length([self._prefix, ids]), len(ids) - 1)

    def _cache_of(self, start: int) -> PrefixCache:
        """A cache of the first `start` tokens: the one that is kept, set back, or a copy of some of it."""
        self._cache.set_back(len(self._prefix))
        return self._cache if start == len(self._prefix) else self._cache.beginning(start)

    def _encode(self, question: str) -> list[int]:
        return _encode(self.processor, self.video, question)

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
    return OpenedVideo(model, processor, video, encode_clip(model, processor, video) if clip is None else clip)


def shared_beginning(processor: VLM3RProcessor, video: VideoFrames | None) -> list[int]:
    """The ids that prompts about a video begin with, but for prompts that place it elsewhere."""
    first, second = (_encode(processor, video, question) for question in PROBES)
    return first[: shared_length([first, second])]


def _encode(processor: VLM3RProcessor, video: VideoFrames | None, question: str) -> list[int]:
    return processor(question, video=video, with_pixels=False)["input_ids"][0].tolist()


def _check_limits(max_new_tokens: int, batch_size: int = 1) -> None:
    if max_new_tokens < 1 or batch_size < 1:
        raise ValueError("max_new_tokens and batch_size must be at least 1")


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


def shared_length(rows: Sequence[Sequence[int]]) -> int:
    """Length of the longest common beginning."""
    for place, tokens in enumerate(zip(*rows, strict=False)):
        if len(set(tokens)) > 1:
            return place
    return min(len(row) for row in rows)
