"""Questions about one clip (a video, or still images), which is encoded once for all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from vlm3r.inference.greedy import stop_ids
from vlm3r.inference.pieces import CallbackStreamer
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames


@dataclass(frozen=True)
class Answer:
    """One question and what the model said."""

    question: str
    """The question as it was asked."""
    text: str
    """The answer without special tokens, stripped."""
    prompt: str
    """The chat text that the model read; a run of placeholder tokens stands as one `<image>`."""
    prompt_tokens: int
    """Length of the prompt, visual tokens included."""
    new_tokens: int
    """Tokens generated, the stop token included."""


@torch.inference_mode()
def encode_clip(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    video: VideoFrames | None = None,
    images: Sequence[Any] | None = None,
) -> dict[str, Tensor]:
    """The clip's tokens `(token, dim)` as an argument for `generate`; empty for text-only questions.

    Raises:
        ValueError: the model is in training mode, whose dropout would make the tokens random.
    """
    if model.training:
        raise ValueError("the model is in training mode: call model.eval() before asking")
    inputs = processor("", video=video, images=images)
    if video is not None:
        stages = model.encode_video(inputs["pixel_values"])
        return {"video_embeddings": stages.sequences[0]}
    if images:
        stages = model.encode_images(inputs["image_pixel_values"])
        return {"image_embeddings": torch.cat(stages.sequences)}
    return {}


def ask(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    questions: Sequence[str],
    video: VideoFrames | None = None,
    images: Sequence[Any] | None = None,
    clip: dict[str, Tensor] | None = None,
    max_new_tokens: int = 1024,
    batch_size: int = 1,
    on_text: Callable[[str], None] | None = None,
    **generation: Any,
) -> list[Answer]:
    """Answers in the order of the questions.

    Args:
        model: the model.
        processor: its processor.
        questions: what to ask.
        video: decoded frames, or None.
        images: still pictures, or None.
        clip: what `encode_clip` gave for the same clip; None encodes it here.
        max_new_tokens: the longest answer in tokens.
        batch_size: questions answered side by side.
        on_text: receives each piece of an answer's text as it is generated; only with a batch of one.
        generation: further arguments of `generate`.

    Raises:
        ValueError: arguments do not fit together, or the model is in training mode.
    """
    _check_arguments(questions, clip, video, images, batch_size, on_text, generation)
    clip = encode_clip(model, processor, video, images) if clip is None else clip
    answers = []
    for start in range(0, len(questions), batch_size):
        group = list(questions[start : start + batch_size])
        inputs = processor(
            group,
            video=None if video is None else [video] * len(group),
            images=None if images is None else [list(images)] * len(group),
            with_pixels=False,
        ).to(model.device)
        repeated = {name: tokens.repeat(len(group), 1) for name, tokens in clip.items()}
        streamer = None if on_text is None else CallbackStreamer(processor.tokenizer, on_text)
        output: Tensor = model.generate(
            **inputs, **repeated, max_new_tokens=max_new_tokens, streamer=streamer, **generation
        )
        stops = stop_ids(generation.get("eos_token_id", model.generation_config.eos_token_id))
        answers += _answers(processor, group, inputs["input_ids"], inputs["attention_mask"], output, stops)
    return answers


def _check_arguments(
    questions: Any, clip: Any, video: Any, images: Any, batch_size: int, on_text: Any, generation: dict[str, Any]
) -> None:
    if isinstance(questions, str):
        raise ValueError("questions must be a list of questions, not one string")
    if batch_size < 1 or (on_text is not None and batch_size != 1):
        raise ValueError("batch_size must be at least 1, and 1 where text is streamed")
    if clip and video is None and images is None:
        raise ValueError("give the video or images beside the clip: the prompt needs their frame count and times")
    if generation.get("num_return_sequences", 1) != 1:
        raise ValueError("ask gives one answer a question; call generate for num_return_sequences")


def _answers(
    processor: VLM3RProcessor, questions: list[str], prompts: Tensor, mask: Tensor, output: Tensor, stops: set[int]
) -> list[Answer]:
    texts = processor.answers(output, prompts.shape[1])
    new = [_length(ids, stops) for ids in output[:, prompts.shape[1] :].tolist()]
    return [
        Answer(question, text, processor.prompt_text(ids[kept.bool()]), int(kept.sum()), count)
        for question, text, ids, kept, count in zip(questions, texts, prompts, mask, new, strict=True)
    ]


def _length(ids: list[int], stops: set[int]) -> int:
    """Tokens up to and including the first stop token; what follows is padding."""
    return next((i for i, token in enumerate(ids, start=1) if token in stops), len(ids))
