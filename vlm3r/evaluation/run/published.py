"""Where the published benchmarks keep their questions and videos, once a data set's folder is on disk."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vlm3r.errors import UserError
from vlm3r.files import first_line

Subset = Literal["debiased", "pruned"]
WHOLE = ("test.jsonl", "test.json", "test.parquet", "test-*.parquet", "data/test-*.parquet")
"""File names of the whole test set, the first that is there; a pattern takes all files that fit."""
PRUNED_IDS = "pruned_ids.txt"
HALVES = ("test_debiased.parquet", "test_pruned.parquet")
"""VSI-Bench as its repository splits it: what the debiased subset keeps, and what it leaves out."""


@dataclass(frozen=True)
class Published:
    """One published benchmark."""

    repository: str
    """Data set on the hub."""
    counts: tuple[int, ...]
    """Questions of its known releases, the newest last."""
    subset: Subset | None = None
    """The part of VSI-Bench that it is."""


@dataclass(frozen=True)
class Source:
    """Files that together hold a benchmark's questions."""

    files: tuple[Path, ...]
    """In the order in which they are read; their rows are numbered through."""
    published: str | None = None
    """Name of the published benchmark; None for a file that was named itself."""
    subset: Subset | None = None
    """Which rows are taken where the files hold more: by their own `pruned`, or by `removed`."""
    removed: frozenset[str] = frozenset()
    """Ids that the debiased subset leaves out, for rows without `pruned`."""

    def takes(self, row: object) -> bool:
        """Whether a row belongs to the benchmark; rows that are none are taken, to be named as bad."""
        if self.subset is None or not isinstance(row, dict):
            return True
        flag = row.get("pruned")
        pruned = flag if isinstance(flag, bool) else str(row.get("id")) in self.removed
        return pruned == (self.subset == "pruned")


VSI, VSTI = "nyu-visionx/VSI-Bench", "Journey9ni/vstibench"
BENCHMARKS: dict[str, Published] = {
    "vsibench": Published(VSI, (5130,)),
    "vsibench-debiased": Published(VSI, (2362,), "debiased"),
    "vsibench-pruned": Published(VSI, (2768,), "pruned"),
    "vstibench": Published(VSTI, (6042, 5736)),
}


def find_source(benchmark: str, data: Path | None) -> Source:
    """The files of a published benchmark by its name, or the one file that `benchmark` is the path of.

    Args:
        benchmark: a name in `BENCHMARKS`, or a path; a file of such a name is meant by `./vsibench`.
        data: folder with the data set's repository as it is on the hub; needed for names.

    Raises:
        UserError: the folder is not named, lacks the questions, or does not say which of them a subset has.
    """
    known = BENCHMARKS.get(benchmark)
    if known is None:
        if Path(benchmark).suffix == "" and not Path(benchmark).exists():
            near = difflib.get_close_matches(benchmark, BENCHMARKS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; give a file of questions or {', '.join(BENCHMARKS)}"
            raise UserError(f"{benchmark}: there is no such file or benchmark{hint}")
        return Source((Path(benchmark),))
    fetch = f"hf download {known.repository} --repo-type dataset --local-dir {data or 'DIR'}"
    if data is None:
        raise UserError(f"--benchmark {benchmark} needs --data DIR, the data set's folder; to fetch it: {fetch}")
    if known.subset is not None:
        return _subset(benchmark, data, known.subset, fetch)
    halves = tuple(data / name for name in HALVES)
    files = _whole(data) or (halves if known.repository == VSI and all(file.is_file() for file in halves) else ())
    if not files:
        raise UserError(f"{data}: holds no {WHOLE[0]} or {WHOLE[2]} of {benchmark}; to fetch it: {fetch}")
    return Source(files, benchmark)


def video_roots(data: Path) -> list[Path]:
    """Folders in which a published data set's videos lie: its own, or `videos` in it."""
    return [data, data / "videos"]


def check_unpacked(videos: Sequence[str], data: Path) -> None:
    """Refuse a data set whose videos are still in their archives.

    Raises:
        UserError: names the first archive whose folder is missing.
    """
    for folder in dict.fromkeys(Path(video).parts[0] for video in videos if len(Path(video).parts) > 1):
        archive = data / f"{folder}.zip"
        there = any((root / folder).is_dir() for root in video_roots(data))
        if archive.is_file() and not there:
            raise UserError(f"{archive}: is not unpacked; unzip it in {data}")


def _subset(benchmark: str, data: Path, subset: Subset, fetch: str) -> Source:
    own = data / f"test_{subset}.parquet"
    files = _whole(data)
    if own.is_file() or not files:
        if not own.is_file():
            raise UserError(f"{data}: holds no {own.name} and no {WHOLE[0]}; to fetch them: {fetch}")
        return Source((own,), benchmark)
    ids = data / PRUNED_IDS
    try:
        removed = frozenset(ids.read_text(encoding="utf-8").split())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{ids}: cannot be read ({first_line(error)}), and {own.name} is not there either; to fetch them: {fetch}"
        ) from None
    return Source(files, benchmark, subset, removed)


def _whole(data: Path) -> tuple[Path, ...]:
    """Files of the whole test set; empty where there are none."""
    for pattern in WHOLE:
        files = tuple(sorted(file for file in data.glob(pattern) if file.is_file()))
        if files:
            return files
    return ()
