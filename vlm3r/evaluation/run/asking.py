"""Several questions about one decoded video, which is encoded once for them, as a run's choices say."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import torch

from vlm3r.evaluation.run.clips import Clip, ClipTask, TokenStore, encode, read_clip
from vlm3r.evaluation.run.presets import Choices, worded
from vlm3r.evaluation.run.probes import Probe
from vlm3r.inference.ask import Answer
from vlm3r.inference.opened import OpenedVideo, open_video
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.sampling import FrameSampling


def sampling_of(processor: VLM3RProcessor, choices: Choices) -> FrameSampling:
    """How frames are chosen: the processor's numbers under the choices' strategy."""
    own = processor.sampling
    return own if choices.strategy is None else replace(own, strategy=choices.strategy)


def clip_reader(processor: VLM3RProcessor, choices: Choices) -> Callable[[ClipTask], Clip]:
    """A function that decodes a video as the choices say; it can be sent to other processes."""
    side = processor.image_processor.size["width"]
    return partial(read_clip, sampling_of(processor, choices), side, decoder=choices.decoder)


@torch.inference_mode()
def open_clip(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    clip: Clip | None,
    probe: Probe = "none",
    seed: int = 0,
    store: TokenStore | None = None,
) -> OpenedVideo:
    """A decoded video, encoded; None is no video at all.

    Raises:
        UserError: stored tokens are missing or belong to other frames.
    """
    if clip is None:
        return open_video(model, processor)
    return open_video(model, processor, *encode(model, processor, clip, probe, seed, store))


def ask_opened(
    opened: OpenedVideo, texts: Sequence[str], choices: Choices, max_new_tokens: int, batch_size: int
) -> list[Answer]:
    """Answers in the order of the texts.

    Args:
        opened: the video.
        texts: what to ask, worded as the benchmarks do; the choices' way of stating times is added.
        choices: of the run.
        max_new_tokens: the longest answer in tokens.
        batch_size: most questions answered side by side.

    Raises:
        UserError: a prompt is longer than the model reads.
    """
    shown = None if opened.video is None else opened.video.shown_times
    timed = opened.processor.add_time_instruction and shown is not None
    style = choices.time_style if timed else "demo"
    return opened.ask([worded(text, style) for text in texts], max_new_tokens, batch_size)
