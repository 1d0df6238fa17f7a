"""`vlm3r features`: fill a feature store, and check one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from tqdm import tqdm

from vlm3r.commands.console import say
from vlm3r.training.features import EncoderSource, ExtractOptions, FeatureStore, Part, expectation_of_source, extract
from vlm3r.training.features.extraction import MEGABYTE, SKIPPED
from vlm3r.training.features.manifest import PARTS, StoredType
from vlm3r.training.features.sources import find_videos
from vlm3r.workers import Engine

SHOWN_FAILURES = 10
Checkpoint = tuple[str | None, str | None, str | None, int | None]


def extract_videos(
    videos: Sequence[Path],
    data: Sequence[Path],
    video_root: Path | None,
    out: Path,
    *,
    checkpoint: Checkpoint,
    parts: Literal["geometry", "vision", "all"],
    workers: int | None,
    engine: Engine,
    device: str,
    shard_megabytes: float,
    dtype: StoredType,
) -> int:
    """Extract, report what could not be used, and give the exit status: 1 where there is such a video.

    `checkpoint` is model, base, geometry and number of frames.
    """
    chosen: tuple[Part, ...] = PARTS if parts == "all" else (parts,)
    options = ExtractOptions(
        source=EncoderSource(*checkpoint),
        parts=chosen,
        dtype=dtype,
        device=device,
        workers=workers,
        engine=engine,
        shard_bytes=int(shard_megabytes * MEGABYTE),
    )
    began = time.perf_counter()
    summary = extract(find_videos(videos, data, video_root), out, options, progress=True)
    seconds = time.perf_counter() - began
    _say_some([reason if path in reason else f"{path}: {reason}" for path, reason in summary.failures.items()])
    where = f" on {', '.join(sorted(summary.devices))}" if summary.devices else ""
    per_video = summary.bytes / max(summary.made, 1) / MEGABYTE
    print(
        f"{summary.made + summary.present} different videos in {out}: {summary.made} encoded{where}, "
        f"{summary.present} were there; {per_video:.2f} MB a video, {summary.made / seconds:.2f} videos/s"
    )
    if not summary.failures:
        return 0
    say(f"{len(summary.failures)} of {summary.videos} videos could not be used; see {out / SKIPPED}")
    return 1


def check_store(folder: Path, checkpoint: Checkpoint) -> int:
    """Report damaged features and changed videos, and give the exit status: 1 where there are any.

    `checkpoint` is model, base, geometry and number of frames.
    """
    store = FeatureStore.open(folder, expectation_of_source(EncoderSource(*checkpoint)))
    checked = tqdm(store.verify(), total=len(store), unit="video", desc="checking", disable=None)
    problems = [problem for _, problem in checked if problem is not None]
    problems += [f"{path}: has changed since its features were extracted" for path in store.changed_files()]
    _say_some(problems)
    print(f"{len(store)} videos in {folder}, {' and '.join(store.parts)} as {store.manifest.dtype}: ", end="")
    print(f"{len(problems)} problems" if problems else "all sound, and made with this checkpoint")
    return 1 if problems else 0


def _say_some(lines: Sequence[str]) -> None:
    for line in lines[:SHOWN_FAILURES]:
        say(line)
    if len(lines) > SHOWN_FAILURES:
        say(f"... and {len(lines) - SHOWN_FAILURES} more")
