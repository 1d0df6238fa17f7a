"""`vlm3r ask`: questions about a video, a folder of frames, or still images."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from vlm3r.checkpoints.loading import Attention, Quantization, load
from vlm3r.commands.console import say, stage
from vlm3r.errors import UserError
from vlm3r.files import write_text
from vlm3r.inference.ask import Answer, ask, encode_clip
from vlm3r.inference.fingerprint import run_fingerprint
from vlm3r.inference.opened import open_video
from vlm3r.inference.questions import AskedQuestion, is_text, read_questions
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.model.vision import VISION_CHUNK
from vlm3r.processing.image_frames import list_images, open_rgb
from vlm3r.processing.inputs import refuse_single_picture
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames, probe

DESCRIBE = "Please describe this {} in detail."
MOST_TOKENS, MOST_NOISE = 1024, 16
"""Longest answer in tokens unless told otherwise: as in the published demos, and where it is only noise."""

CONVERSATION = "qwen_1_5"
UNTRAINED = (
    "These weights are untrained (filled deterministically): the answer shows that everything runs, nothing more."
)

Show = Callable[[str], None]
"""Shows a piece of text."""
Asker = Callable[[Sequence[str], Show | None], list[Answer]]
"""Answers questions about one clip side by side or, given where to show it, one piece by piece."""


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
    questions_file: Path | None
    """More questions, see `read_questions`; None for none."""
    stream: bool
    """Show answers while they are generated, one after another; else `batch_size` questions side by side."""
    batch_size: int
    """Questions answered side by side."""
    json_file: Path | None
    """Where to write answers and fingerprint as JSON; `-` is standard output."""


def run(options: AskOptions) -> None:
    """Answer on standard output; progress on standard error."""
    asked = _check(options)
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
    _check_prompts(asked, processor, video, pictures)
    count = len(pictures) or (0 if video is None else len(video))
    what = "images" if pictures else "frames"
    most = options.max_new_tokens or (MOST_NOISE if model.config.untrained else MOST_TOKENS)
    with stage(f"Encoding {count} {what} on {model.device}"), encoding_progress(model, count):
        clip = encode_clip(model, processor, video, pictures or None)
        asker = _asker(model, processor, video, pictures, clip, most)
    if model.config.untrained:
        say(f"note: {UNTRAINED}")
    answers = _answer_all(options, asker, [question.text for question in asked])
    if options.json_file is not None:
        fingerprint = run_fingerprint(model, processor, video, _expand(options.images))
        fingerprint["max_new_tokens"] = most
        record = {"answers": [_entry(*found) for found in zip(asked, answers, strict=True)], "fingerprint": fingerprint}
        _write_record(record, options.json_file)


def _check(options: AskOptions) -> list[AskedQuestion]:
    """The questions, once everything is checked that needs no weights."""
    if options.conv_template != CONVERSATION:
        raise UserError(f"unknown conversation template {options.conv_template!r}: only {CONVERSATION} is known")
    if any(not question.strip() for question in options.questions):
        raise UserError("a question is empty; say what to ask with --question")
    if not all(is_text(question) for question in options.questions):
        raise UserError("a question is no UTF-8 text; write it with --question in the terminal's encoding")
    if options.max_new_tokens is not None and options.max_new_tokens < 1:
        raise UserError("--max-new-tokens must be at least 1")
    if options.json_file is not None and str(options.json_file) != "-" and not options.json_file.parent.is_dir():
        raise UserError(f"{options.json_file}: there is no folder {options.json_file.parent}; make it first")
    if options.batch_size < 1:
        raise UserError("--batch-size must be at least 1")
    if options.questions_file is not None:
        return read_questions(options.questions_file)
    texts = options.questions or (DESCRIBE.format("image" if options.images else "video"),)
    return [AskedQuestion(text, "--question") for text in texts]


def _check_prompts(
    asked: Sequence[AskedQuestion], processor: VLM3RProcessor, video: VideoFrames | None, pictures: list[Image.Image]
) -> None:
    """Raise `UserError`, naming where the question stands, if one makes no prompt that the model can read."""
    for question in asked:
        try:
            processor(question.text, video=video, images=pictures or None, with_pixels=False)
        except UserError as error:
            raise UserError(f"{question.origin}: {error}") from error


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


def _asker(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    video: VideoFrames | None,
    pictures: Sequence[Image.Image],
    clip: dict[str, torch.Tensor],
    max_new_tokens: int,
) -> Asker:
    if pictures:
        return lambda questions, show: ask(
            model,
            processor,
            questions,
            images=pictures,
            clip=clip,
            max_new_tokens=max_new_tokens,
            batch_size=len(questions),
            on_text=show,
        )
    opened = open_video(model, processor, video, clip)

    def about_video(questions: Sequence[str], show: Show | None) -> list[Answer]:
        if show is None:
            return opened.ask(questions, max_new_tokens, len(questions))
        return [_shown(opened.stream(question, max_new_tokens), show) for question in questions]

    return about_video


def _shown(pieces: Generator[str, None, Answer], show: Show) -> Answer:
    while True:
        try:
            show(next(pieces))
        except StopIteration as end:
            return end.value


def _answer_all(options: AskOptions, asker: Asker, questions: Sequence[str]) -> list[Answer]:
    """Answers in order, shown unless standard output is for the record."""
    if str(options.json_file) == "-":
        groups = _groups(questions, options.batch_size)
        return [answer for group in groups for answer in asker(group, None)]
    answers: list[Answer] = []

    def show(text: str) -> None:
        print(text, end="", flush=True)

    for group in _groups(questions, 1 if options.stream else options.batch_size):
        found = None if options.stream else asker(group, None)
        for place, question in enumerate(group):
            show(f"\nQ: {question}\nA: " if answers else f"Q: {question}\nA: ")
            if found is None:
                answers += asker([question], show)
            else:
                answers.append(found[place])
                show(found[place].text)
            show("\n")
    return answers


def _groups(questions: Sequence[str], size: int) -> list[Sequence[str]]:
    return [questions[start : start + size] for start in range(0, len(questions), size)]


def _entry(question: AskedQuestion, answer: Answer) -> dict[str, Any]:
    return asdict(answer) if question.id is None else {"id": question.id} | asdict(answer)


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
