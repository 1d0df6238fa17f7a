"""The Hugging Face processor: questions, videos and images in, model inputs out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoProcessor, BatchFeature, PreTrainedTokenizerBase, ProcessorMixin
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

from vlm3r.errors import UserError
from vlm3r.model.config import VLM3RConfig
from vlm3r.model.layout import VisualLayout
from vlm3r.processing.inputs import per_question, pictures_of, refuse_single_picture, videos_of
from vlm3r.processing.prompts import (
    ANSWER_HEAD,
    IGNORED,
    PLACEHOLDER,
    TimeStyle,
    Turn,
    answer_ids,
    chat_segments,
    supervised_ids,
    user_text,
)
from vlm3r.processing.sampling import FrameSampling, time_instruction
from vlm3r.processing.video import VideoFrames, read_video


class VLM3RProcessor(ProcessorMixin):
    """Tokenizer and SigLIP image transform with everything that decides how many visual tokens a clip becomes.

    Frames are squashed to a square by PIL's bicubic resampling whatever torchvision is installed, so that pixel values
    do not depend on the machine.
    """

    def __init__(
        self,
        image_processor: Any = None,
        tokenizer: Any = None,
        grid_side: int = 27,
        pool_mode: str = "bilinear",
        newline_position: str = "grid",
        video_token_id: int = 151646,
        image_token_id: int = 151647,
        num_frames: int = 32,
        video_fps: float = 1.0,
        force_sample: bool = True,
        add_time_instruction: bool = False,
        max_length: int = 32768,
        chat_template: str | None = None,
    ):
        if image_processor is not None and not isinstance(image_processor, SiglipImageProcessorPil):
            image_processor = SiglipImageProcessorPil(size=image_processor.size)
        super().__init__(image_processor, tokenizer, chat_template=chat_template)
        self.grid_side = grid_side
        self.pool_mode = pool_mode
        self.newline_position = newline_position
        self.video_token_id = video_token_id
        self.image_token_id = image_token_id
        self.num_frames = num_frames
        self.video_fps = video_fps
        self.force_sample = force_sample
        self.add_time_instruction = add_time_instruction
        self.max_length = max_length

    @classmethod
    def from_config(cls, config: VLM3RConfig, tokenizer: PreTrainedTokenizerBase, **settings: Any) -> VLM3RProcessor:
        """A processor that agrees with `config`; `settings` are the remaining constructor arguments."""
        image_processor = make_image_processor(config.image_size)
        return cls(
            image_processor,
            tokenizer,
            grid_side=config.layout.grid_side,
            pool_mode=config.pool_mode,
            newline_position=config.newline_position,
            video_token_id=config.video_token_id,
            image_token_id=config.image_token_id,
            **settings,
        )

    @property
    def layout(self) -> VisualLayout:
        """Token counts per clip."""
        return VisualLayout(self.grid_side, self.pool_mode, self.newline_position)  # pyright: ignore

    @property
    def sampling(self) -> FrameSampling:
        """How frames are chosen when a video is given as a path."""
        return FrameSampling("fps", self.num_frames, self.video_fps, self.force_sample)

    def __call__(  # pyright: ignore
        self,
        text: str | Sequence[str] | None = None,
        video: Any = None,
        images: Any = None,
        answer: str | Sequence[str] | None = None,
        timestamps: Sequence[Any] | None = None,
        time_style: TimeStyle | None = None,
        with_pixels: bool = True,
        return_tensors: str = "pt",
    ) -> BatchFeature:
        """Model inputs for one question or a batch of questions.

        Args:
            text: a question, or a list of questions.
            video: for one question a path, a `VideoFrames`, frames `(frame, H, W, 3)` uint8, a list of pictures (the
                frames of one video), or a list of videos; for a list of questions, a list of those or None each.
            images: for one question a picture, a path, or a list of them; for a list of questions, a list of those.
            answer: what the assistant says; adds `labels` masked as in the published training.
            timestamps: seconds of the frames of an array, which carries none itself; for a list of questions a list.
            time_style: how the time sentence is placed; default `training` with an answer, else `demo`.
            with_pixels: whether to transform the frames; without, only text is prepared, for a clip that was encoded
                before.
            return_tensors: only "pt" is known.

        Returns:
            `input_ids` and `attention_mask` `(batch, token)`, one placeholder per visual token, padded left (right with
            answers); `pixel_values` `(clip, frame, 3, H, W)` with `frame_counts` `(clip,)`, `image_pixel_values` and
            `image_counts` likewise where there are images; `labels` `(batch, token)` with answers.

        Raises:
            UserError: a file cannot be read, or the prompt is longer than `max_length` tokens.
            ValueError: arguments do not fit together.
        """
        if return_tensors != "pt":
            raise ValueError(f"unknown return_tensors {return_tensors!r}: only 'pt' is known")
        if text is None:
            raise ValueError("the processor needs a question")
        single = isinstance(text, str)
        questions = [text] if single else list(text)
        if not questions:
            raise ValueError("the processor needs at least one question")
        answers = per_question(answer, len(questions), single, "answers")
        times = per_question(timestamps, len(questions), single, "lists of timestamps")
        videos = per_question(video, len(questions), single, "videos")
        clips = [videos_of(v, t, self.load_video) for v, t in zip(videos, times, strict=True)]
        pictures = [pictures_of(p) for p in per_question(images, len(questions), single, "pictures")]
        style: TimeStyle = time_style or ("training" if answer is not None else "demo")
        rows = [self._encode_row(*row, style=style) for row in zip(questions, clips, pictures, answers, strict=True)]
        data = self._pad(rows, with_labels=answer is not None)
        if with_pixels:
            moving = [self.frame_pixels(clip.frames) for sample in clips for clip in sample]
            data |= _stacked(moving, "pixel_values", "frame_counts")
            stills = [self.picture_pixels(sample) for sample in pictures if sample]
            data |= _stacked(stills, "image_pixel_values", "image_counts")
        return BatchFeature(data)

    def load_video(self, path: str | Path, decoder: str = "auto", num_frames: int | None = None) -> VideoFrames:
        """The frames of a video file or of a folder of images, chosen as this processor's settings say.

        Args:
            path: the file or folder.
            decoder: name of the decoder.
            num_frames: frames to take instead of this processor's number.

        Raises:
            UserError: it cannot be read, is a single picture, or as many frames would be too long a prompt.
        """
        refuse_single_picture(Path(path))
        count = self.num_frames if num_frames is None else num_frames
        tokens = self.layout.video_tokens(count)
        if self.force_sample and tokens > self.max_length:
            raise UserError(
                f"{count} frames make {tokens} tokens, the model reads at most {self.max_length}: use fewer"
            )
        return read_video(path, replace(self.sampling, num_frames=count), decoder=decoder)

    def frame_pixels(self, frames: np.ndarray) -> Tensor:
        """Normalised frames `(frame, 3, side, side)` from frames `(frame, H, W, 3)` uint8."""
        return self.image_processor(list(frames), return_tensors="pt")["pixel_values"]

    def picture_pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """As `frame_pixels`, from pictures of any sizes."""
        return self.frame_pixels(np.stack([self._square(picture) for picture in pictures]))

    def placeholders(self, frame_counts: Sequence[int] = (), pictures: int = 0) -> list[list[int]]:
        """The run of placeholder ids of each video (by its frame count) and then of each picture."""
        videos = [[self.video_token_id] * self.layout.video_tokens(count) for count in frame_counts]
        return videos + [[self.image_token_id] * self.layout.image_tokens for _ in range(pictures)]

    def _encode_row(
        self, question: str, clips: list[VideoFrames], pictures: list[Image.Image], answer: str | None, style: TimeStyle
    ) -> tuple[list[int], list[int]]:
        """Token ids and labels of one question, placeholders repeated to the tokens that each stands for.

        Only one video with known times gets a time sentence; the published wording has no place for several.
        """
        if clips and pictures:
            raise ValueError("a question takes videos or images, not both")
        sentence = None
        if self.add_time_instruction and len(clips) == 1 and clips[0].shown_times is not None:
            sentence = time_instruction(clips[0].duration, clips[0].shown_times)
        turns = [Turn("user", user_text(question, len(clips) or len(pictures), sentence, style))]
        if answer is not None:
            turns.append(Turn("assistant", answer))
        runs = self.placeholders([len(clip.frames) for clip in clips], len(pictures))
        ids, labels = self.encode_turns(turns, runs, add_generation_prompt=answer is None)
        if len(ids) > self.max_length:
            remedy = "use fewer frames" if runs else "ask something shorter"
            raise UserError(f"the prompt has {len(ids)} tokens, the model reads at most {self.max_length}: {remedy}")
        return ids, labels

    def encode_turns(
        self,
        turns: Sequence[Turn],
        runs: Sequence[Sequence[int]] = (),
        add_generation_prompt: bool = False,
        answers_only: bool = False,
    ) -> tuple[list[int], list[int]]:
        """Token ids of a conversation, and labels masked as in the published training.

        Args:
            turns: the messages; each `<image>` in a user's message takes the next of `runs`.
            runs: placeholder ids, as `placeholders` gives them.
            add_generation_prompt: whether the assistant is to speak next.
            answers_only: supervise answers and their ends, not the chat markup and newlines of every turn as published.

        Raises:
            ValueError: there are more or fewer `<image>` than runs, or a token has a placeholder's id.
        """
        segments = chat_segments(turns, add_generation_prompt)
        held = sum(segment.text is None for segment in segments)
        if held != len(runs):
            raise ValueError(f"the conversation holds {PLACEHOLDER} {held} times for {len(runs)} videos or images")
        ids: list[int] = []
        labels: list[int] = []
        markup = frozenset(self.tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"]))
        always = markup | frozenset(self.tokenizer("\n", add_special_tokens=False)["input_ids"])
        before_answer = len(self.tokenizer(ANSWER_HEAD, add_special_tokens=False)["input_ids"])
        remaining = list(runs)
        for segment in segments:
            if segment.text is None:
                run = remaining.pop(0)
                ids += run
                labels += [IGNORED] * len(run)
            else:
                piece = self.tokenizer(segment.text, add_special_tokens=False)["input_ids"]
                if self.video_token_id in piece or self.image_token_id in piece:
                    raise ValueError(
                        "a token added to the tokenizer has a placeholder's id: the vocabulary cannot grow"
                    )
                ids += piece
                labels += (
                    answer_ids(piece, segment.supervised, before_answer)
                    if answers_only
                    else supervised_ids(piece, segment.supervised, always)
                )
        return ids, labels

    def _pad(self, rows: list[tuple[list[int], list[int]]], with_labels: bool) -> dict[str, Tensor]:
        """Rows joined to `(batch, token)`: padded left for generation, right for training."""
        width = max(len(ids) for ids, _ in rows)

        def padded(values: list[int], filler: int) -> list[int]:
            gap = [filler] * (width - len(values))
            return values + gap if with_labels else gap + values

        data = {
            "input_ids": torch.tensor([padded(ids, self.tokenizer.pad_token_id) for ids, _ in rows]),
            "attention_mask": torch.tensor([padded([1] * len(ids), 0) for ids, _ in rows]),
        }
        if with_labels:
            data["labels"] = torch.tensor([padded(labels, IGNORED) for _, labels in rows])
        return data

    def _square(self, picture: Image.Image) -> np.ndarray:
        """A picture of any size as the image processor will see it, so that pictures of a sample can be stacked."""
        size = self.image_processor.size
        return np.asarray(picture.resize((size["width"], size["height"]), Image.Resampling.BICUBIC))

    @property
    def model_input_names(self) -> list[str]:
        """Names of the inputs that a call can give."""
        return ["input_ids", "attention_mask", "pixel_values", "frame_counts", "image_pixel_values", "image_counts"]

    def prompt_text(self, ids: Tensor) -> str:
        """The chat text of unpadded token ids `(token,)`; each run of placeholders stands as `<image>`."""
        pieces, run = [], []
        for token in [*ids.tolist(), None]:
            visual = token in (self.video_token_id, self.image_token_id)
            if (visual or token is None) and run:
                pieces.append(self.tokenizer.decode(run))
                run = []
            if visual and (not pieces or pieces[-1] != PLACEHOLDER):
                pieces.append(PLACEHOLDER)
            elif not visual and token is not None:
                run.append(token)
        return "".join(pieces)

    def answers(self, generated: Tensor, prompt_length: int) -> list[str]:
        """Generated ids `(batch, prompt + new)` as text: special tokens dropped, stripped."""
        new = generated[:, prompt_length:]
        return [text.strip() for text in self.tokenizer.batch_decode(new, skip_special_tokens=True)]


AutoProcessor.register(VLM3RConfig, VLM3RProcessor, exist_ok=True)


def _stacked(clips: list[Tensor], name: str, counts: str) -> dict[str, Tensor]:
    """Clips `(frame, 3, H, W)` as `(clip, frame, 3, H, W)`, shorter ones padded with zeros, and their frame counts."""
    if not clips:
        return {}
    return {
        name: torch.nn.utils.rnn.pad_sequence(clips, batch_first=True),
        counts: torch.tensor([len(clip) for clip in clips]),
    }


def make_image_processor(side: int) -> SiglipImageProcessorPil:
    """SigLIP's image transform to `side` x `side` pixels, by PIL whatever else is installed."""
    return SiglipImageProcessorPil(size={"height": side, "width": side})
