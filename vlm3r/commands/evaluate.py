"""`vlm3r eval` and `vlm3r compare`."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from vlm3r.checkpoints.loading import Attention, Quantization, load
from vlm3r.commands.console import say, show, stage
from vlm3r.errors import UserError
from vlm3r.evaluation.run.benchmark import Benchmark, locate_benchmark
from vlm3r.evaluation.run.compare import compare_runs
from vlm3r.evaluation.run.control import BlindRun, read_blind
from vlm3r.evaluation.run.journal import read_run
from vlm3r.evaluation.run.markdown import comparison_markdown, report_markdown
from vlm3r.evaluation.run.presets import Choices, PresetName, choose
from vlm3r.evaluation.run.probes import FEATURES, Probe
from vlm3r.evaluation.run.processes import Processes, join_processes
from vlm3r.evaluation.run.report import REPORT_MARKDOWN, REPORT_PAGE, make_report, write_report
from vlm3r.evaluation.run.runner import RunOptions, RunState, evaluate
from vlm3r.files import write_text
from vlm3r.processing.decoders import get_decoder
from vlm3r.workers import default_workers

MOST_WORKERS = 4
"""Decoding processes unless told otherwise; few keep a GPU busy."""
ON_TERMINAL, IN_LOG = 0.5, 30.0
"""Least seconds between two lines of progress."""
SHOWN = 10


@dataclass(frozen=True)
class EvalOptions:
    """What the command line was given; see its help."""

    benchmark: str
    """Name of a published benchmark, or file of questions."""
    out: Path
    """Folder of the run."""
    model: str | None
    """Checkpoint; None is the embedded model."""
    base: str | None
    """Base model of a LoRA checkpoint."""
    geometry: str | None
    """CUT3R's file, `none`, or None for the checkpoint's own."""
    video_roots: tuple[Path, ...]
    """Further folders that video paths are relative to."""
    data: Path | None
    """Folder of a published data set, or of a file's videos."""
    preset: PresetName
    """The choices that no other option makes."""
    probe: Probe
    """What is done to the geometry, or to the video."""
    features: Path | None
    """Feature store, or None."""
    limit_videos: int | None
    """Only so many videos."""
    frames: int | None
    """Frames taken from each video; None as the preset says."""
    time_instruction: bool | None
    """Whether prompts state frame times; None as the preset says."""
    pool_mode: str | None
    """Pooling of a frame's tokens; None as the preset says."""
    newline_position: str | None
    """Where newline tokens stand; None as the preset says."""
    decoder: str | None
    """Video decoder; None as the preset says."""
    max_new_tokens: int | None
    """Longest answer in tokens; None as the preset says."""
    blind: Path | None
    """A run without the videos to report beside, or None."""
    batch_size: int
    """Most questions side by side."""
    workers: int | None
    """Decoding processes; None chooses."""
    device: str
    """Where to run."""
    dtype: str
    """Working precision."""
    quantization: Quantization | None
    """`4bit`, `8bit` or None."""
    attention: Attention
    """Attention kernel."""


def run(options: EvalOptions) -> int:
    """Evaluate, write the report, and give the exit status: 1 where nothing could be scored.

    Started several times by `torchrun` or `accelerate launch`, each process asks about its share of the videos, and the
    main one speaks and reports.
    """
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    benchmark, roots = locate_benchmark(options.benchmark, options.data, options.video_roots)
    blind = None if options.blind is None else read_blind(options.blind)
    choices, preset = choose(options.preset, _given(options))
    get_decoder(choices.decoder)  # one that is missing should be known before gigabytes of weights are read
    store, store_record = (None, None) if options.features is None else _open_store(options, choices, options.features)
    processes = join_processes()
    with stage(f"Loading {options.model or 'the embedded model'}") if processes.is_main else nullcontext():
        model, processor = load(
            options.model,
            base=options.base,
            geometry=options.geometry,
            device=processes.take_device(options.device),
            dtype=options.dtype,
            quantization=options.quantization,
            attention=options.attention,
            config_overrides=choices.overrides() | _features_of(options.probe),
        )
    settings = RunOptions(
        probe=options.probe,
        limit_videos=options.limit_videos,
        workers=options.workers or min(max(1, default_workers() // processes.local_count), MOST_WORKERS),
        batch_size=options.batch_size,
        max_new_tokens=choices.max_new_tokens,
        choices=choices,
        preset=preset,
    )
    progress = ProgressLine(processes) if processes.is_main else None
    state = evaluate(
        model, processor, benchmark, roots, options.out, settings, store, store_record, progress, processes
    )
    return _report(benchmark, state, options.out, blind) if processes.is_main else 0


def _report(benchmark: Benchmark, state: RunState, out: Path, blind: BlindRun | None) -> int:
    _warn(len(benchmark.bad_lines), state)
    if not state.answers:
        say("no question could be scored")
        return 1
    report = make_report(benchmark, state, read_run(out)[0], blind=blind)
    write_report(report, out, [record for answers in state.answers.values() for record in answers])
    show(report_markdown(report))
    say(f"report written to {out / REPORT_MARKDOWN} and {out / REPORT_PAGE}")
    return 0


def compare(first: Path, second: Path, out: Path | None) -> None:
    """Print a comparison of two runs, and write it where asked to."""
    comparison = compare_runs(first, second)
    text = comparison_markdown(comparison)
    show(text)
    if out is not None:
        as_json = out.suffix == ".json"
        write_text(out, json.dumps(comparison, indent=2, ensure_ascii=False) + "\n" if as_json else text)


class ProgressLine:
    """One line on standard error: what is done, the speed since this start, and the time that is left.

    Of several processes, whose shares are alike, one tells of its own.
    """

    def __init__(self, processes: Processes) -> None:
        self._whose = "" if processes.count == 1 else f" (process 1 of {processes.count})"
        self._began = time.perf_counter()
        self._shown = 0.0
        self._on_terminal = sys.stderr.isatty()

    def __call__(self, state: RunState) -> None:
        """Show the state, but not too often."""
        now = time.perf_counter() - self._began
        last = state.done == state.total
        if not last and now - self._shown < (ON_TERMINAL if self._on_terminal else IN_LOG):
            return
        self._shown = now
        speed = state.asked / now
        left = "" if last or not state.asked else f", {_clock((state.total - state.done) / speed)} left"
        text = f"{state.done:,} of {state.total:,} questions{self._whose}, {speed:.1f}/s{left}"
        if state.failures:
            text += f", {len(state.failures)} videos failed"
        if self._on_terminal:
            print(f"\r\033[K{text}", end="\n" if last else "", file=sys.stderr, flush=True)
        else:
            say(text)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"


def _given(options: EvalOptions) -> dict[str, Any]:
    """The options that win over a preset."""
    return {
        "num_frames": options.frames,
        "add_time_instruction": options.time_instruction,
        "pool_mode": options.pool_mode,
        "newline_position": options.newline_position,
        "decoder": options.decoder,
        "max_new_tokens": options.max_new_tokens,
    }


def _features_of(probe: Probe) -> dict[str, str]:
    return {"geometry_features": FEATURES[probe]} if probe in FEATURES else {}


def _open_store(options: EvalOptions, choices: Choices, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The store, checked against the checkpoint, and what the run's record says of it."""
    from vlm3r.training.features import EncoderSource, FeatureStore, expectation_of_source

    source = EncoderSource(options.model, options.base, options.geometry, choices.num_frames)
    expected = expectation_of_source(source)
    if choices.force_sample not in (None, expected.force_sample):
        raise UserError(
            f"{folder}: stored features have force_sample {expected.force_sample}, and --preset {options.preset} takes "
            f"frames with {choices.force_sample}; leave --features out or choose another preset"
        )
    store = FeatureStore.open(folder, expected)
    return store, asdict(store.manifest)


def _warn(bad_lines: int, state: RunState) -> None:
    if bad_lines:
        say(f"warning: {bad_lines} lines of the file hold no question that can be scored")
    for video, reason in list(state.failures.items())[:SHOWN]:
        say(f"warning: {reason}" if video in reason else f"warning: {video}: {reason}")
    if len(state.failures) > SHOWN:
        say(f"warning: ... and {len(state.failures) - SHOWN} more videos")
