"""`vlm3r eval` and `vlm3r compare`."""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from transformers.utils import logging as transformers_logging

from vlm3r.checkpoints.loading import Attention, load
from vlm3r.commands.console import say, show, stage
from vlm3r.evaluation.run.benchmark import default_roots, read_benchmark
from vlm3r.evaluation.run.compare import compare_runs
from vlm3r.evaluation.run.journal import read_run
from vlm3r.evaluation.run.markdown import comparison_markdown, report_markdown
from vlm3r.evaluation.run.probes import FEATURES, Probe
from vlm3r.evaluation.run.report import REPORT_MARKDOWN, make_report, write_report
from vlm3r.evaluation.run.runner import RunOptions, RunState, evaluate
from vlm3r.files import write_text
from vlm3r.workers import default_workers

MOST_WORKERS = 4
"""Decoding processes unless told otherwise; few keep a GPU busy."""
ON_TERMINAL, IN_LOG = 0.5, 30.0
"""Least seconds between two lines of progress."""
SHOWN = 10


@dataclass(frozen=True)
class EvalOptions:
    """What the command line was given; see its help."""

    benchmark: Path
    """File of questions."""
    out: Path
    """Folder of the run."""
    model: str | None
    """Checkpoint; None is the embedded model."""
    base: str | None
    """Base model of a LoRA checkpoint."""
    geometry: str | None
    """CUT3R's file, `none`, or None for the checkpoint's own."""
    video_roots: tuple[Path, ...]
    """Folders that video paths are relative to; empty for those recorded beside the file."""
    probe: Probe
    """What is done to the geometry, or to the video."""
    features: Path | None
    """Feature store, or None."""
    limit_videos: int | None
    """Only so many videos."""
    frames: int | None
    """Frames taken from each video; None as the checkpoint says."""
    time_instruction: bool | None
    """Whether prompts state frame times; None as the checkpoint says."""
    max_new_tokens: int
    """Longest answer in tokens."""
    batch_size: int
    """Most questions side by side."""
    workers: int | None
    """Decoding processes; None chooses."""
    device: str
    """Where to run."""
    dtype: str
    """Working precision."""
    attention: Attention
    """Attention kernel."""


def run(options: EvalOptions) -> int:
    """Evaluate, write the report, and give the exit status: 1 where nothing could be scored."""
    if not sys.stderr.isatty():
        transformers_logging.disable_progress_bar()
    benchmark = read_benchmark(options.benchmark)
    store, store_record = (None, None) if options.features is None else _open_store(options, options.features)
    with stage(f"Loading {options.model or 'the embedded model'}"):
        model, processor = load(
            options.model,
            base=options.base,
            geometry=options.geometry,
            device=options.device,
            dtype=options.dtype,
            attention=options.attention,
            config_overrides=_overrides(options),
        )
    settings = RunOptions(
        probe=options.probe,
        limit_videos=options.limit_videos,
        workers=options.workers or min(default_workers(), MOST_WORKERS),
        batch_size=options.batch_size,
        max_new_tokens=options.max_new_tokens,
    )
    roots = list(options.video_roots) or default_roots(options.benchmark)
    state = evaluate(
        model, processor, benchmark, roots, options.out, settings, store, store_record, progress=ProgressLine()
    )
    _warn(len(benchmark.bad_lines), state)
    if not state.answers:
        say("no question could be scored")
        return 1
    report = make_report(benchmark, state, read_run(options.out)[0])
    write_report(report, options.out)
    show(report_markdown(report))
    say(f"report written to {options.out / REPORT_MARKDOWN}")
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
    """One line on standard error: what is done, the speed since this start, and the time that is left."""

    def __init__(self) -> None:
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
        text = f"{state.done:,} of {state.total:,} questions, {speed:.1f}/s{left}"
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


def _overrides(options: EvalOptions) -> dict[str, Any]:
    given = {
        "num_frames": options.frames,
        "add_time_instruction": options.time_instruction,
        "geometry_features": FEATURES.get(options.probe),
    }
    return {name: value for name, value in given.items() if value is not None}


def _open_store(options: EvalOptions, folder: Path) -> tuple[Any, dict[str, Any]]:
    """The store, checked against the checkpoint, and what the run's record says of it."""
    from vlm3r.training.features import EncoderSource, FeatureStore, expectation_of_source

    source = EncoderSource(options.model, options.base, options.geometry, options.frames)
    store = FeatureStore.open(folder, expectation_of_source(source))
    return store, asdict(store.manifest)


def _warn(bad_lines: int, state: RunState) -> None:
    if bad_lines:
        say(f"warning: {bad_lines} lines of the file hold no question that can be scored")
    for video, reason in list(state.failures.items())[:SHOWN]:
        say(f"warning: {reason}" if video in reason else f"warning: {video}: {reason}")
    if len(state.failures) > SHOWN:
        say(f"warning: ... and {len(state.failures) - SHOWN} more videos")
