"""Filling a feature store: videos are hashed, grouped into shards, and encoded by processes or on a cluster.

A shard is the unit of work and appears whole or not at all, so that a run that was killed at any moment is continued by
the same command. One extraction at a time writes to a store.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

import vlm3r
from vlm3r.checkpoints.loading import resolve_device, resolve_dtype
from vlm3r.checkpoints.parts import Parts
from vlm3r.errors import UserError
from vlm3r.files import first_line, write_text
from vlm3r.training.features.content import FileTable, absolute, stamp_of
from vlm3r.training.features.encoders import EncoderSource, make_expectation, processor_of
from vlm3r.training.features.manifest import (
    MANIFEST,
    PARTS,
    Manifest,
    Part,
    StoredType,
    bytes_per_video,
    read_manifest,
)
from vlm3r.training.features.store import FeatureStore
from vlm3r.training.features.work import ShardTask, VideoTask, extract_shard
from vlm3r.workers import Engine, default_workers, run

SKIPPED = "skipped.jsonl"
LEFT_BEHIND = ".*.incomplete"
MOST_VIDEOS = 32
"""Videos in one shard at most, so that little is lost by a stop however small the features are."""
SHARDS_A_WORKER = 4
"""Shards that each process writes at least, where there are videos enough: progress and an even load."""
SECONDS_A_SAVE = 30
"""Time between saves of content hashes."""
MEGABYTE = 1_000_000


@dataclass(frozen=True)
class ExtractOptions:
    """What to extract, and with what."""

    source: EncoderSource = field(default_factory=EncoderSource)
    """The checkpoint and the number of frames."""
    parts: tuple[Part, ...] = ("geometry",)
    """Encoders whose features are stored."""
    dtype: StoredType = "bfloat16"
    """Number format of the stored features; float32 also makes the encoders run in it."""
    device: str = "auto"
    """Device; `auto` and `cuda` spread the processes over all GPUs."""
    workers: int | None = None
    """Processes; None is one per GPU, or one per core where there is none."""
    engine: Engine = "local"
    """Local processes, or a Ray cluster."""
    shard_bytes: int = 256 * MEGABYTE
    """Size up to which videos are put into one shard, which a process holds in memory until it is written."""


@dataclass
class Summary:
    """What an extraction came to."""

    videos: int = 0
    """Paths that were named."""
    made: int = 0
    """Different videos that were encoded."""
    present: int = 0
    """Different videos whose features were there already."""
    bytes: int = 0
    """Bytes written."""
    failures: dict[str, str] = field(default_factory=dict)
    """Path to reason, for videos that could not be used."""
    devices: set[str] = field(default_factory=set)
    """Where the encoders ran."""


def extract(paths: Sequence[str | Path], folder: Path, options: ExtractOptions, progress: bool = False) -> Summary:
    """Add the features of videos to the store in `folder`, which is made where there is none.

    Videos that cannot be used are left out and listed in `skipped.jsonl` with their reasons.

    Args:
        paths: video files or folders of frames.
        folder: the store.
        options: what to extract.
        progress: whether to show bars on standard error.

    Raises:
        UserError: the checkpoint cannot be used, the store was made with something else, or the disk is full.
    """
    folder = Path(absolute(folder))
    checkpoint = options.source.read()
    manifest = _open_or_begin(folder, checkpoint, options)
    store = FeatureStore.open(folder)
    summary = Summary(videos=len(paths))
    by_content = _hash_all(paths, folder, summary, progress)
    missing = {content: store.missing_parts(content, options.parts) for content in by_content}
    todo = [replace(by_content[content][0], parts=parts) for content, parts in missing.items() if parts]
    summary.present = len(by_content) - len(todo)
    per_video = bytes_per_video(checkpoint.config, manifest.made_with.num_frames, options.parts, manifest.dtype)
    if manifest.made_with.force_sample:
        _check_space(folder, per_video * len(todo))
    size = _videos_a_shard(options, per_video, len(todo))
    bar = tqdm(total=len(by_content), initial=summary.present, desc="features", **_bar("video", progress))
    try:
        with bar:
            tasks = partial(_tasks, folder, manifest, options)
            broken = _encode(tasks(todo, size), options, summary, by_content, bar)
            # A video that ends its process takes the others of its shard along: each is tried again by itself.
            broken = _encode(tasks(list(broken), 1), options, summary, by_content, bar)
            for video, reason in broken.items():
                _fail(summary, by_content[video.content], f"{video.path}: {reason}")
                bar.update()
    finally:
        rows = [{"video": path, "reason": reason} for path, reason in summary.failures.items()]
        write_text(folder / SKIPPED, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return summary


def _workers(options: ExtractOptions) -> int:
    return options.workers or torch.cuda.device_count() or default_workers()


def _videos_a_shard(options: ExtractOptions, bytes_a_video: int, videos: int) -> int:
    """Few enough for the size of a shard, for every process to have several, and for little to be lost by a stop."""
    share = math.ceil(videos / (SHARDS_A_WORKER * _workers(options)))
    return max(1, min(options.shard_bytes // bytes_a_video, MOST_VIDEOS, share))


def _open_or_begin(folder: Path, checkpoint: Parts, options: ExtractOptions) -> Manifest:
    """The manifest of the store, with the parts that are asked for added to those that it has."""
    expect = make_expectation(checkpoint.config, checkpoint.tensors, processor_of(checkpoint))
    if absent := [part for part in options.parts if part not in expect.weights]:
        raise UserError(f"the checkpoint has no {absent[0]} encoder, so it has no such features; give other --parts")
    if not (folder / MANIFEST).exists():
        precision = "float32" if options.dtype == "float32" else "auto"
        device = resolve_device("cpu" if options.engine == "ray" else options.device)
        computed_in = str(resolve_dtype(precision, device, checkpoint)).removeprefix("torch.")
        weights = {part: expect.weights[part] for part in options.parts}
        _make_folder(folder)
        manifest = Manifest(replace(expect, weights=weights), options.dtype, computed_in, vlm3r.__version__)
        manifest.write(folder)
        return manifest
    manifest = read_manifest(folder)
    manifest.require(expect, folder)
    if manifest.dtype != options.dtype:
        raise UserError(f"{folder}: stores {manifest.dtype}, not {options.dtype}; give --dtype {manifest.dtype}")
    _make_folder(folder)
    both = {part: expect.weights[part] for part in PARTS if part in manifest.parts or part in options.parts}
    if set(both) != set(manifest.parts):
        manifest = replace(manifest, made_with=replace(manifest.made_with, weights=both))
        manifest.write(folder)
    return manifest


def _make_folder(folder: Path) -> None:
    """Make the folder, and remove what a run that was killed left half written in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.glob(LEFT_BEHIND):
            path.unlink()
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({first_line(error)}); choose another --out") from error


def _hash_all(
    paths: Sequence[str | Path], folder: Path, summary: Summary, progress: bool
) -> dict[str, list[VideoTask]]:
    """Content hash to the paths that hold it; what cannot be read goes to the summary's failures."""
    table = FileTable.read(folder)
    names = list(dict.fromkeys(map(absolute, paths)))
    by_content: dict[str, list[VideoTask]] = {}
    saved = time.monotonic()
    try:
        # Threads suffice: reading and hashing let go of the interpreter.
        with ThreadPoolExecutor(default_workers()) as pool:
            hashed = pool.map(partial(_hash_one, table), names)
            for video in tqdm(hashed, total=len(names), desc="hashing", **_bar("file", progress)):
                if isinstance(video, VideoTask):
                    by_content.setdefault(video.content, []).append(video)
                else:
                    summary.failures |= video
                if time.monotonic() - saved > SECONDS_A_SAVE:
                    table.write()
                    saved = time.monotonic()
    finally:
        table.write()
    return by_content


def _hash_one(table: FileTable, path: str) -> VideoTask | dict[str, str]:
    try:
        stamp = stamp_of(path)
        content = table.current(path)
    except UserError as error:
        return {path: str(error)}
    except ValueError as error:  # a zero or half of a character in its name
        return {path: f"{path}: is no path of a video ({first_line(error)}); correct it in the file that names it"}
    assert stamp is not None
    return VideoTask(path, content, stamp, ())


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{folder}: the features take {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; free some space or "
            "choose another --out"
        )


def _tasks(
    folder: Path, manifest: Manifest, options: ExtractOptions, videos: Sequence[VideoTask], size: int
) -> list[ShardTask]:
    source = options.source.absolute()
    groups = [tuple(videos[start : start + size]) for start in range(0, len(videos), size)]
    return [ShardTask(folder, manifest, source, options.device, options.engine, group) for group in groups]


def _encode(
    tasks: Sequence[ShardTask],
    options: ExtractOptions,
    summary: Summary,
    by_content: Mapping[str, Sequence[VideoTask]],
    bar: Any,
) -> dict[VideoTask, str]:
    """Run tasks and count what they come to; the videos of those that came to nothing, with the reason."""
    broken: dict[VideoTask, str] = {}
    if not tasks:
        return broken
    for outcome in run(extract_shard, tasks, workers=_workers(options), engine=options.engine):
        report = outcome.value
        if report is None:
            broken |= dict.fromkeys(outcome.item.videos, outcome.error or "its process gave no reason")
            continue
        if report.unwritable is not None:
            raise UserError(report.unwritable)
        summary.made += len(report.stored)
        summary.bytes += report.size
        summary.devices.add(report.device)
        for video in outcome.item.videos:
            if video.path in report.failures:
                _fail(summary, by_content[video.content], report.failures[video.path])
        bar.update(len(outcome.item.videos))
    return broken


def _fail(summary: Summary, same: Sequence[VideoTask], reason: str) -> None:
    """Note the reason for every path that holds the same content."""
    summary.failures |= {video.path: reason for video in same}


def _bar(unit: str, shown: bool) -> dict[str, Any]:
    return {"unit": unit, "disable": not shown, "dynamic_ncols": True, "mininterval": 0.5}
