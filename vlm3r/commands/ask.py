"""`vlm3r ask`: questions about a video, a folder of frames, or still images."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from vlm3r.checkpoints.loading import Attention, Quantization, load
from vlm3r.commands.console import say, stage
from vlm3r.errors import UserError
from vlm3r.files import write_text
from vlm3r.inference.ask import Answer, ask, encode_clip
from vlm3r.inference.fingerprint import run_fingerprint
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.model.vision import VISION_CHUNK
from vlm3r.processing.image_frames import list_images, open_rgb
from vlm3r.processing.inputs import refuse_single_picture
from vlm3r.processing.video import probe

DESCRIBE = "Please describe this {} in detail."
MOST_TOKENS, MOST_NOISE = 1024, 16
"""Longest answer in tokens unless told otherwise: as in the published demos, and where it is only noise."""

CONVERSATION = "qwen_1_5"
UNTRAINED = (
    "These weights are untrained (filled deterministically): the answer shows that everything runs, nothing more."
)


@dataclass(frozen=True)
class AskOptions:
    """What the command line was given."""

    questions: tuple[str, ...]
    """Questions in order; empty asks for a description."""
    video: Path | None
    """A video file or a folder of frames."""
    images: tuple[Path, ...]
    """Still images, or folders of them."""
    model: str | None
    """Checkpoint; None is the embedded model."""
    base: str | None
    """Base model of a LoRA checkpoint."""
    geometry: str | None
    """CUT3R's file, `none`, or None for the checkpoint's own."""
    frames: int | None
    """Frames taken from the video; None as the checkpoint says."""
    pool_mode: str | None
    """Pooling other than the checkpoint's."""
    newline_position: str | None
    """Newline placement other than the checkpoint's."""
    conv_template: str
    """Conversation template; only `qwen_1_5` is known."""
    decoder: str
    """Video decoder: auto, pyav or decord."""
    device: str
    """Where to run."""
    dtype: str
    """Working precision."""
    quantization: Quantization | None
    """`4bit`, `8bit` or None."""
    attention: Attention
    """Kernel of SigLIP's and Qwen2's attention."""
    max_new_tokens: int | None
    """Longest answer in tokens; None is `MOST_TOKENS`, or `MOST_NOISE` where the weights are untrained."""
    json_file: Path | None
    """Where to write answers and fingerprint as JSON; `-` is standard output."""


def run(options: AskOptions) -> None:
    """Answer on standard output, streaming; progress on standard error."""
    if options.conv_template != CONVERSATION:
        raise UserError(f"unknown conversation template {options.conv_template!r}: only {CONVERSATION} is known")
    if any(not question.strip() for question in options.questions):
        raise UserError("a question is empty; say what to ask with --question")
    if options.max_new_tokens is not None and options.max_new_tokens < 1:
        raise UserError("--max-new-tokens must be at least 1")
    if options.json_file is not None and str(options.json_file) != "-" and not options.json_file.parent.is_dir():
        raise UserError(f"{options.json_file}: there is no folder {options.json_file.parent}; make it first")
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    pictures = [open_rgb(path) for path in _expand(options.images)]
    if options.video is not None:
        # A bad file should be known before gigabytes of weights are read.
        refuse_single_picture(options.video)
        probe(options.video)
    with stage(f"Loading {options.model or 'the embedded model'}"):
        model, processor = load(
            options.model,
            base=options.base,
            geometry=options.geometry,
            device=options.device,
            dtype=options.dtype,
            quantization=options.quantization,
            attention=options.attention,
            config_overrides=_overrides(options),
        )
    video = None
    if options.video is not None:
        with stage(f"Reading {options.video}"):
            video = processor.load_video(options.video, options.decoder)
        for note in video.notes:
            say(f"note: {note}")
    count = len(pictures) or (0 if video is None else len(video))
    what = "images" if pictures else "frames"
    with stage(f"Encoding {count} {what} on {model.device}"), encoding_progress(model, count):
        clip = encode_clip(model, processor, video, pictures or None)
    most = options.max_new_tokens or (MOST_NOISE if model.config.untrained else MOST_TOKENS)
    if model.config.untrained:
        say(f"note: {UNTRAINED}")
    answers = _answer_all(options, most, model, processor, video, pictures, clip)
    if options.json_file is not None:
        fingerprint = run_fingerprint(model, processor, video, _expand(options.images))
        fingerprint["max_new_tokens"] = most
        _write_record({"answers": [asdict(a) for a in answers], "fingerprint": fingerprint}, options.json_file)


@contextmanager
def encoding_progress(model: VLM3RForConditionalGeneration, frames: int) -> Iterator[None]:
    """A bar over SigLIP's layers and CUT3R's frames, on a terminal, once it has taken two seconds."""
    layers = list(model.vision_tower.encoder.layers)
    watched: list[nn.Module] = [*layers]
    passes = len(layers) * -(-frames // VISION_CHUNK)
    if model.config.geometry == "cut3r":
        watched.append(model.geometry_encoder.dec_norm)
        passes += frames
    with tqdm(total=passes, delay=2, leave=False, disable=None, unit="step") as bar:
        hooks = [module.register_forward_hook(lambda *_: bar.update() and None) for module in watched]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()


def _answer_all(
    options: AskOptions,
    max_new_tokens: int,
    model: Any,
    processor: Any,
    video: Any,
    pictures: list[Any],
    clip: dict[str, torch.Tensor],
) -> list[Answer]:
    answers: list[Answer] = []
    plain, separator = str(options.json_file) != "-", ""

    def show(text: str) -> None:
        if plain:
            print(text, end="", flush=True)

    for question in options.questions or (DESCRIBE.format("image" if pictures else "video"),):
        show(f"{separator}Q: {question}\nA: ")
        separator = "\n"
        answers += ask(
            model,
            processor,
            [question],
            video=video,
            images=pictures or None,
            clip=clip,
            max_new_tokens=max_new_tokens,
            on_text=show,
        )
        show("\n")
    return answers


def _overrides(options: AskOptions) -> dict[str, Any]:
    given = {
        "pool_mode": options.pool_mode,
        "newline_position": options.newline_position,
        "num_frames": options.frames,
    }
    return {name: value for name, value in given.items() if value is not None}


def _expand(paths: tuple[Path, ...]) -> list[Path]:
    return [image for path in paths for image in (list_images(path) if path.is_dir() else [path])]


def _write_record(record: dict[str, Any], target: Path) -> None:
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    if str(target) == "-":
        print(text, end="")
        return
    write_text(target, text)
    say(f"answers and fingerprint written to {target}")
