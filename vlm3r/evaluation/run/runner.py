"""All questions of a benchmark, video by video."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from vlm3r.errors import UserError
from vlm3r.evaluation.letters import read_letter
from vlm3r.evaluation.metrics import judge
from vlm3r.evaluation.numbers import read_number
from vlm3r.evaluation.reading import Unreadable
from vlm3r.evaluation.run.benchmark import Benchmark, Question, VideoQuestions, find_video
from vlm3r.evaluation.run.clips import Clip, ClipTask, TokenStore, encode, read_clip
from vlm3r.evaluation.run.fingerprints import short_hash
from vlm3r.evaluation.run.journal import Record, check_answers, open_journal
from vlm3r.evaluation.run.probes import CHANGING, FEATURES, Probe, partners
from vlm3r.files import first_line
from vlm3r.inference.fingerprint import file_hash, run_fingerprint
from vlm3r.inference.opened import open_video
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.decoders import get_decoder
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.qa.types import question_type
from vlm3r.workers import run

PER_QUESTIONS = ("video", "images")
"""Entries of a fingerprint that are not the run's."""


@dataclass(frozen=True)
class RunOptions:
    """How a benchmark is run."""

    probe: Probe = "none"
    """What is done to the geometry, or to the video."""
    limit_videos: int | None = None
    """Only so many videos, the first of the file; None for all."""
    workers: int = 1
    """Processes that decode ahead; 1 decodes in this one."""
    batch_size: int = 32
    """Most questions answered side by side."""
    max_new_tokens: int = 16
    """Longest answer in tokens; the benchmarks' number."""
    seed: int = 0
    """Of what the probes draw."""


@dataclass
class RunState:
    """What a run has come to; given to the progress function after each video, and returned at the end."""

    total: int
    """Questions of the chosen videos."""
    done: int
    """Questions answered, in this and earlier starts, or given up with their video."""
    asked: int = 0
    """Questions answered since this start."""
    answers: dict[str, list[Record]] = field(default_factory=dict)
    """By finished video, in the order of the file."""
    failures: dict[str, str] = field(default_factory=dict)
    """By video that could not be asked about, why."""


def evaluate(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    benchmark: Benchmark,
    roots: Sequence[Path],
    folder: Path,
    options: RunOptions,
    store: TokenStore | None = None,
    store_record: Any = None,
    progress: Callable[[RunState], None] | None = None,
) -> RunState:
    """Ask what has not been answered yet, and append the answers to the run in `folder`.

    A video that is missing, damaged, or cannot be asked about is named in the result and tried again the next time.

    Args:
        model: the model, in evaluation mode.
        processor: its processor.
        benchmark: the questions.
        roots: folders that videos are looked for in.
        folder: where the run keeps its answers.
        options: how to run.
        store: tokens of the frozen encoders; None computes them.
        store_record: what the stored tokens depend on, for the fingerprint.
        progress: called after each video.

    Raises:
        UserError: the folder holds another run or damaged answers, or a probe does not fit the model or the benchmark.
    """
    _check_probe(model, options.probe)
    fingerprint = fingerprint_of(model, processor, benchmark, options, store_record)
    mark = short_hash(fingerprint)
    expected = {group.video: [question.line for question in group.questions] for group in benchmark.videos}
    chosen = benchmark.videos[: options.limit_videos]
    with open_journal(folder, fingerprint, expected) as journal:
        check_answers((record for answers in journal.done.values() for record in answers), folder)
        done = [group for group in chosen if group.video in journal.done]
        state = RunState(sum(len(group.questions) for group in chosen), sum(len(group.questions) for group in done))
        todo = [group for group in chosen if group.video not in journal.done]
        for group, clip, error in _clips(processor, benchmark, todo, roots, options, store):
            if error is None:
                try:
                    records = _answer(model, processor, group, clip, options, store)
                except (UserError, ValueError, RuntimeError) as problem:
                    error = first_line(problem)
                else:
                    journal.append(group.video, [record | {"fingerprint": mark} for record in records])
                    state.asked += len(records)
            if error is not None:
                state.failures[group.video] = error
            state.done += len(group.questions)
            if progress is not None:
                progress(state)
        state.answers = {group.video: journal.done[group.video] for group in chosen if group.video in journal.done}
    return state


def fingerprint_of(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    benchmark: Benchmark,
    options: RunOptions,
    store_record: Any = None,
) -> Record:
    """What decides the answers of a run; not how many videos, processes or questions side by side."""
    found = run_fingerprint(model, processor)
    return {name: value for name, value in found.items() if name not in PER_QUESTIONS} | {
        "benchmark": {"file": benchmark.file.name, "sha256": file_hash(benchmark.file)},
        "decoder": get_decoder("auto")[1],
        "probe": options.probe,
        "seed": options.seed,
        "max_new_tokens": options.max_new_tokens,
        "features": store_record,
    }


def _check_probe(model: VLM3RForConditionalGeneration, probe: Probe) -> None:
    if probe in (*CHANGING, *FEATURES) and model.config.geometry == "none":
        raise UserError(f"--probe {probe} needs a model with geometry, and this one has none")
    if probe in FEATURES and model.config.geometry_features != FEATURES[probe]:
        raise ValueError(f"for probe {probe}, load the model with geometry_features={FEATURES[probe]!r}")


def _clips(
    processor: VLM3RProcessor,
    benchmark: Benchmark,
    todo: Sequence[VideoQuestions],
    roots: Sequence[Path],
    options: RunOptions,
    store: TokenStore | None,
) -> Iterator[tuple[VideoQuestions, Clip | None, str | None]]:
    """Each group with its decoded video, None for `blind`, or with the reason why there is none; in order."""
    if options.probe == "blind":
        yield from ((group, None, None) for group in todo)
        return
    others = partners([group.video for group in benchmark.videos], options.seed) if options.probe == "swap" else {}
    decode = store is None or "vision" not in store.parts
    tasks: dict[str, ClipTask] = {}
    missing: dict[str, str] = {}
    for group in todo:
        try:
            partner = find_video(others[group.video], roots) if others else None
            tasks[group.video] = ClipTask(find_video(group.video, roots), partner, decode)
        except UserError as error:
            missing[group.video] = str(error)
    reader = partial(read_clip, processor.sampling, processor.image_processor.size["width"])
    outcomes = run(reader, list(tasks.values()), workers=options.workers if decode else 1)
    for group in todo:
        if group.video in missing:
            yield group, None, missing[group.video]
        else:
            outcome = next(outcomes)
            yield group, outcome.value, outcome.error


@torch.inference_mode()
def _answer(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    group: VideoQuestions,
    clip: Clip | None,
    options: RunOptions,
    store: TokenStore | None,
) -> list[Record]:
    if clip is None:
        opened = open_video(model, processor)
    else:
        opened = open_video(model, processor, *encode(model, processor, clip, options.probe, options.seed, store))
    texts = [question.text for question in group.questions]
    answers = opened.ask(texts, options.max_new_tokens, options.batch_size)
    return [
        score_answer(group.video, question, answer.prompt, answer.text)
        for question, answer in zip(group.questions, answers, strict=True)
    ]


def score_answer(video: str, question: Question, prompt: str, answer: str) -> Record:
    """The line of one answered question: what was asked and said, how it was read, and both scores."""
    row = question.row
    published, robust = (
        judge(answer, question.target, row["question_type"], protocol, row["options"])
        for protocol in ("published", "robust")
    )
    return {
        "line": question.line,
        "id": row["id"],
        "question_type": question_type(row["question_type"]).name,
        "scene": row["scene_name"],
        "video": video,
        "prompt": prompt,
        "answer": answer,
        "parsed": parse_answer(answer, row),
        "target": question.target,
        "published": published.score,
        "robust": robust.score,
        "published_problem": published.problem,
        "robust_problem": robust.problem,
    }


def parse_answer(answer: str, row: Any) -> str | float | None:
    """The letter or number that an answer means, None where it cannot be told."""
    kind = question_type(row["question_type"])
    try:
        return read_letter(answer, row["options"]) if kind.kind == "option" else read_number(answer, kind.unit)
    except Unreadable:
        return None
