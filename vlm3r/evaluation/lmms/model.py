"""The model `vlm3r` of lmms-eval: `--model vlm3r --model_args pretrained=DIR,preset=published-eval --batch_size 32`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import torch
from accelerate import Accelerator
from lmms_eval.api.instance import Instance  # pyright: ignore[reportMissingImports]
from lmms_eval.api.model import lmms  # pyright: ignore[reportMissingImports]
from loguru import logger  # pyright: ignore[reportMissingImports]
from tqdm import tqdm

from vlm3r.checkpoints.loading import load, resolve_device
from vlm3r.errors import UserError
from vlm3r.evaluation.run.asking import ask_opened, clip_reader, open_clip
from vlm3r.evaluation.run.clips import Clip, ClipTask
from vlm3r.evaluation.run.presets import LONGEST, choose
from vlm3r.evaluation.run.runner import OF_ONE_VIDEO
from vlm3r.files import first_line
from vlm3r.workers import default_workers, run

MOST_WORKERS = 4
"""Decoding processes unless told otherwise, as for `vlm3r eval`."""
PADDING = "__padding_only__"
"""Mark of requests that lmms-eval adds so that all its processes have as many; their answers are not looked at."""


@dataclass(frozen=True)
class _Asked:
    """One request."""

    number: int
    """Its place among those that came with it."""
    text: str
    """The question."""
    max_new_tokens: int
    """Longest answer in tokens."""
    until: tuple[str, ...]
    """Texts at which the answer ends."""


class VLM3R(lmms):
    """Answers all requests about a video against one open video, in whatever order they come; always greedily.

    What cannot be read or asked about gets an empty answer, and the log says why.
    """

    is_simple = True

    def __init__(
        self,
        pretrained: str | None = None,
        base: str | None = None,
        geometry: str | None = None,
        preset: Any = "native",
        frames: int | None = None,
        time_instruction: bool | None = None,
        pool_mode: str | None = None,
        newline_position: str | None = None,
        decoder: str | None = None,
        device: str = "auto",
        dtype: str = "auto",
        quantization: Any = None,
        attention: Any = "sdpa",
        batch_size: str | int = 1,
        workers: int | None = None,
    ) -> None:
        """The options of `vlm3r eval`, whose help describes them; `pretrained` is its `--model`.

        Raises:
            UserError: the checkpoint or an option cannot be used.
        """
        super().__init__()
        given = {
            "num_frames": frames,
            "add_time_instruction": time_instruction,
            "pool_mode": pool_mode,
            "newline_position": newline_position,
            "decoder": decoder,
        }
        self._choices, _ = choose(preset, given)
        self.accelerator = Accelerator(cpu=resolve_device(device).type == "cpu")
        self._rank, self._world_size = self.accelerator.process_index, self.accelerator.num_processes
        self._model, self._processor = load(
            pretrained,
            base=base,
            geometry=geometry,
            device=device if self._world_size == 1 else str(self.accelerator.device),
            dtype=dtype,
            quantization=quantization,
            attention=attention,
            config_overrides=self._choices.overrides(),
        )
        self._device = self._model.device
        self._batch_size = int(batch_size)
        self._workers = workers or min(default_workers(), MOST_WORKERS)

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self._device

    def generate_until(self, requests: Sequence[Instance]) -> list[str]:
        """Answers in the order of the requests.

        Raises:
            UserError: a task asks for sampling, or about pictures or several videos.
        """
        answers = [""] * len(requests)
        by_video: defaultdict[str | None, list[_Asked]] = defaultdict(list)
        for number, request in enumerate(requests):
            if not (request.metadata or {}).get(PADDING):
                video, asked = self._read(number, request)
                by_video[video].append(asked)
        total = sum(map(len, by_video.values()))
        with tqdm(total=total, desc="questions", disable=self.rank != 0) as bar:
            for video, clip, error in self._clips(list(by_video)):
                if error is None:
                    try:
                        self._answer(clip, by_video[video], answers)
                    except OF_ONE_VIDEO as problem:
                        error = first_line(problem)
                if error is not None:
                    logger.error(f"{len(by_video[video])} questions are left without an answer: {error}")
                bar.update(len(by_video[video]))
        return answers

    def loglikelihood(self, requests: Sequence[Instance]) -> NoReturn:
        """Not for this model: benchmarks about videos take what it says."""
        raise NotImplementedError("vlm3r gives answers, not likelihoods; choose a task with output_type generate_until")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> NoReturn:
        """Not for this model, which takes one question at a time."""
        raise NotImplementedError("vlm3r answers single questions; choose a task with output_type generate_until")

    def _read(self, number: int, request: Instance) -> tuple[str | None, _Asked]:
        """The video of a request, and what is asked about it."""
        text, settings, visuals_of, document, task, split = request.args
        return _video(visuals_of, self.task_dict[task][split][document], task), _asked(number, text, settings, task)

    def _clips(self, videos: Sequence[str | None]) -> Iterator[tuple[str | None, Clip | None, str | None]]:
        """Each video decoded, in order, or why it is not; None for no video."""
        tasks = [ClipTask(Path(video)) for video in videos if video is not None]
        outcomes = run(clip_reader(self._processor, self._choices), tasks, workers=self._workers)
        for video in videos:
            if video is None:
                yield None, None, None
            else:
                outcome = next(outcomes)
                yield video, outcome.value, outcome.error

    def _answer(self, clip: Clip | None, asked: Sequence[_Asked], answers: list[str]) -> None:
        opened = open_clip(self._model, self._processor, clip)
        for longest in dict.fromkeys(request.max_new_tokens for request in asked):
            alike = [request for request in asked if request.max_new_tokens == longest]
            texts = [request.text for request in alike]
            found = ask_opened(opened, texts, self._choices, longest, self._batch_size)
            for request, answer in zip(alike, found, strict=True):
                answers[request.number] = _cut(answer.text, request.until)


def _video(visuals_of: Callable[[Any], Any], document: Any, task: str) -> str | None:
    visuals = visuals_of(document) or []
    if len(visuals) > 1 or not all(isinstance(visual, str) for visual in visuals):
        raise UserError(f"task {task}: vlm3r answers questions about one video; choose a task that names one file each")
    return visuals[0] if visuals else None


def _asked(number: int, text: str, settings: dict[str, Any], task: str) -> _Asked:
    if settings.get("do_sample") or settings.get("temperature") or (settings.get("num_beams") or 1) > 1:
        raise UserError(f"task {task}: vlm3r answers greedily; set do_sample to false and temperature to 0")
    until = settings.get("until") or ()
    stops = (until,) if isinstance(until, str) else tuple(until)
    return _Asked(number, text, settings.get("max_new_tokens") or LONGEST, stops)


def _cut(text: str, until: Sequence[str]) -> str:
    for stop in until:
        text = text.split(stop)[0]
    return text
