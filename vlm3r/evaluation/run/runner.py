"""All questions of a benchmark, video by video."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.evaluation.letters import read_letter
from vlm3r.evaluation.metrics import PROTOCOLS, judge
from vlm3r.evaluation.numbers import read_number
from vlm3r.evaluation.reading import Unreadable
from vlm3r.evaluation.run.asking import ask_opened, clip_reader, open_clip, sampling_of
from vlm3r.evaluation.run.benchmark import Benchmark, Question, VideoQuestions, find_video
from vlm3r.evaluation.run.clips import Clip, ClipTask, TokenStore
from vlm3r.evaluation.run.fingerprints import short_hash
from vlm3r.evaluation.run.journal import Journal, Record, check_answers, open_journal, open_part
from vlm3r.evaluation.run.permute import permute_options
from vlm3r.evaluation.run.presets import LONGEST, Choices
from vlm3r.evaluation.run.probes import CHANGING, FEATURES, Probe, partners
from vlm3r.evaluation.run.processes import Processes
from vlm3r.files import first_line
from vlm3r.inference.fingerprint import run_fingerprint
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.decoders import get_decoder
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.qa.types import question_type
from vlm3r.workers import run

PER_QUESTIONS = ("video", "images")
"""Entries of a fingerprint that are not the run's."""
ALONE = Processes()
"""A run that no other process shares."""
OF_ONE_VIDEO = (UserError, ValueError, RuntimeError, OSError, LookupError, ArithmeticError)
"""Errors that are the video's and its questions', so that the run goes on with the next one."""


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
    max_new_tokens: int = LONGEST
    """Longest answer in tokens; the benchmarks' number."""
    choices: Choices = field(default_factory=Choices)
    """How frames are read and prompts are worded; what the model and its processor hold is taken from them."""
    preset: Record | None = None
    """Where the choices come from, for the record."""
    seed: int = 0
    """Of what the probes draw."""


@dataclass
class RunState:
    """What a run has come to; given to the progress function after each video, and returned at the end.

    Where several processes share the run, progress is that of the process's own share.
    """

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
    processes: Processes = ALONE,
) -> RunState:
    """Ask what has not been answered yet, and append the answers to the run in `folder`.

    A video that is missing, damaged, or cannot be asked about is named in the result and tried again the next time.
    Of several processes each asks about every n-th video that is left; the main one returns the state of the whole run,
    the others that of their share.

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
        processes: those that share the run; all are given the same arguments.

    Raises:
        UserError: the folder holds another run or damaged answers, or a probe does not fit the model or the benchmark;
            another process has ended.
    """
    _check_probe(model, options.probe)
    if store is not None and sampling_of(processor, options.choices) != processor.sampling:
        raise UserError(
            f"--features holds frames chosen by {processor.sampling.strategy}, and this run takes them by "
            f"{options.choices.strategy}; leave --features out or choose another --preset"
        )
    benchmark = as_asked(benchmark, options.probe, options.seed)
    fingerprint = fingerprint_of(model, processor, benchmark, options, store_record)
    asker = _Asker(model, processor, benchmark, roots, options, store, short_hash(fingerprint), progress)
    expected = {group.video: [question.line for question in group.questions] for group in benchmark.videos}
    chosen = benchmark.videos[: options.limit_videos]
    if not processes.is_main:
        done = processes.from_main([])
        with open_part(folder, processes.index, fingerprint, expected) as part:
            state = asker.ask(chosen, done, part, processes)
        processes.gather(state)
        return state
    with open_journal(folder, fingerprint, expected) as journal:
        check_answers((record for answers in journal.done.values() for record in answers), folder)
        done = processes.from_main(list(journal.done))
        shares = processes.gather(asker.ask(chosen, done, journal, processes))
        journal.take_in_parts()
        return _whole(chosen, shares, journal, folder)


@dataclass(frozen=True)
class _Asker:
    """What all videos of a run are asked with."""

    model: VLM3RForConditionalGeneration
    processor: VLM3RProcessor
    benchmark: Benchmark
    roots: Sequence[Path]
    options: RunOptions
    store: TokenStore | None
    mark: str
    progress: Callable[[RunState], None] | None

    def ask(
        self, chosen: Sequence[VideoQuestions], done: Collection[str], journal: Journal, processes: Processes
    ) -> RunState:
        """Answer this process's share of what is left, into its journal."""
        todo = processes.share([group for group in chosen if group.video not in done])
        before = _count(group for group in chosen if group.video in done) if processes.count == 1 else 0
        state = RunState(before + _count(todo), before)
        clips = _clips(self.processor, self.benchmark, todo, self.roots, self.options, self.store)
        for group, clip, error in clips:
            if error is None:
                try:
                    records = _answer(self.model, self.processor, group, clip, self.options, self.store)
                except OF_ONE_VIDEO as problem:
                    error = first_line(problem)
                else:
                    journal.append(group.video, [record | {"fingerprint": self.mark} for record in records])
                    state.answers[group.video] = journal.done[group.video]
                    state.asked += len(records)
            if error is not None:
                state.failures[group.video] = error
            state.done += len(group.questions)
            if self.progress is not None:
                self.progress(state)
        return state


def _whole(chosen: Sequence[VideoQuestions], shares: Sequence[RunState], journal: Journal, folder: Path) -> RunState:
    """The state of the run from those of its processes' shares, whose parts the journal has taken in.

    Raises:
        UserError: answers of another process did not come to this folder.
    """
    lost = [video for share in shares for video in share.answers if video not in journal.done]
    if lost:
        raise UserError(f"{folder}: lacks what another process answered about {lost[0]}; choose a folder that all see")
    failures = {video: reason for share in shares for video, reason in share.failures.items()}
    return RunState(
        total=_count(chosen),
        done=_count(chosen),
        asked=sum(share.asked for share in shares),
        answers={group.video: journal.done[group.video] for group in chosen if group.video in journal.done},
        failures={group.video: failures[group.video] for group in chosen if group.video in failures},
    )


def _count(groups: Iterable[VideoQuestions]) -> int:
    return sum(len(group.questions) for group in groups)


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
        "device": model.device.type,
        "benchmark": benchmark.record(),
        "preset": options.preset,
        "decoder": get_decoder(options.choices.decoder)[1],
        "sampling": sampling_of(processor, options.choices).strategy,
        "time_style": options.choices.time_style,
        "probe": options.probe,
        "seed": options.seed,
        "max_new_tokens": options.max_new_tokens,
        "features": store_record,
    }


def as_asked(benchmark: Benchmark, probe: str | None, seed: int) -> Benchmark:
    """The questions as a probe asks them."""
    return permute_options(benchmark, seed) if probe == "permute-options" else benchmark


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
    reader = clip_reader(processor, options.choices)
    outcomes = run(reader, list(tasks.values()), workers=options.workers if decode else 1)
    for group in todo:
        if group.video in missing:
            yield group, None, missing[group.video]
        else:
            outcome = next(outcomes)
            yield group, outcome.value, outcome.error


def _answer(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    group: VideoQuestions,
    clip: Clip | None,
    options: RunOptions,
    store: TokenStore | None,
) -> list[Record]:
    opened = open_clip(model, processor, clip, options.probe, options.seed, store)
    texts = [question.text for question in group.questions]
    answers = ask_opened(opened, texts, options.choices, options.max_new_tokens, options.batch_size)
    return [
        score_answer(group.video, question, answer.prompt, answer.text)
        for question, answer in zip(group.questions, answers, strict=True)
    ]


def score_answer(video: str, question: Question, prompt: str, answer: str) -> Record:
    """The line of one answered question: what was asked and said, how it was read, and both scores."""
    row = question.row
    published, robust = (
        judge(answer, question.target, row["question_type"], protocol, row["options"]) for protocol in PROTOCOLS
    )
    moved = {} if question.file_target is None else {"file_target": question.file_target}
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
        **moved,
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
