"""Questions from files, grouped by video; lines that are no questions are counted, not fatal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.evaluation.baselines import random_choice, target_of
from vlm3r.evaluation.run.published import Source, check_unpacked, find_source, video_roots
from vlm3r.evaluation.run.rows import RawRow, options_of, read_rows
from vlm3r.files import first_line
from vlm3r.inference.fingerprint import file_hash
from vlm3r.qa.rows import IMAGE_TOKEN, benchmark_view, prompt
from vlm3r.qa.types import question_type

KEPT = ("id", "dataset", "scene_name", "question_type", "question", "options", "ground_truth", "mc_answer")
NEEDED = ("scene_name", "question_type", "question")


@dataclass(frozen=True)
class Question:
    """One question of a benchmark."""

    line: int
    """Its line in the file, from 1: what tells questions apart, since nothing makes their ids unique."""
    row: Mapping[str, Any]
    """The fields of its row that scoring and baselines read."""
    text: str
    """What the model is asked, without image tokens."""
    target: str
    """The right letter, or the true number."""
    file_target: str | None = None
    """The right letter in the file, where the options were put in another order; else None."""


@dataclass(frozen=True)
class VideoQuestions:
    """The questions about one video, in the order of the file."""

    video: str
    """The video's path as the file names it."""
    questions: tuple[Question, ...]
    """At least one."""


@dataclass(frozen=True)
class BadLine:
    """A line that holds no question that can be asked and scored."""

    line: int
    """Its number, from 1."""
    reason: str
    """Why, in one line."""


@dataclass(frozen=True)
class Benchmark:
    """What the files of a source hold."""

    source: Source
    """Where it was read from."""
    videos: tuple[VideoQuestions, ...]
    """In the order in which the files first name them."""
    bad_lines: tuple[BadLine, ...]
    """Lines that were left out."""

    @property
    def title(self) -> str:
        """The published name, or the file's."""
        return self.source.published or self.source.files[0].name

    def record(self) -> dict[str, Any]:
        """What tells this benchmark from others, for fingerprints."""
        hashes = [file_hash(file) for file in self.source.files]
        names = [file.name for file in self.source.files]
        several = len(names) > 1
        return {
            "file": names if several else names[0],
            "sha256": hashes if several else hashes[0],
            "subset": self.source.subset,
        }


def locate_benchmark(name: str, data: Path | None, roots: Sequence[Path] = ()) -> tuple[Benchmark, list[Path]]:
    """A benchmark's questions, and the folders in which its videos are to be looked for.

    Args:
        name: a published benchmark, or a file of questions.
        data: folder of a published data set, or of a file's videos.
        roots: further folders of videos, looked in first.

    Raises:
        UserError: there is no such benchmark, it holds no question, or its videos are still in their archives.
    """
    source = find_source(name, data)
    benchmark = read_benchmark(source)
    if source.published is None or data is None:
        given = [*roots, *([] if data is None else [data])]
        return benchmark, given or default_roots(source.files[0])
    if not roots:
        check_unpacked([group.video for group in benchmark.videos], data)
    return benchmark, [*roots, *video_roots(data)]


def read_benchmark(source: Source | Path) -> Benchmark:
    """The questions of one file or several, in benchmark or training format; rows are numbered through.

    Raises:
        UserError: a file cannot be read, or no row holds a question.
    """
    source = Source((source,)) if isinstance(source, Path) else source
    groups: dict[str, list[Question]] = {}
    bad: list[BadLine] = []
    for raw in _numbered_through(source):
        if raw.problem is not None:
            bad.append(BadLine(raw.number, raw.problem))
            continue
        try:
            video, question = _question(raw.number, raw.value)
        except (UserError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            bad.append(BadLine(raw.number, _reason(error)))
        else:
            groups.setdefault(video, []).append(question)
    if not groups:
        found = f"; line {bad[0].line}: {bad[0].reason}" if bad else ""
        raise UserError(f"{source.files[0]}: holds no questions{found}; make it with `vlm3r qa generate`")
    return Benchmark(source, tuple(VideoQuestions(video, tuple(asked)) for video, asked in groups.items()), tuple(bad))


def _numbered_through(source: Source) -> Iterator[RawRow]:
    """The rows that belong to the benchmark, those of a file counted on from the one before."""
    last = 0
    for file in source.files:
        before = last
        for raw in read_rows(file):
            last = before + raw.number
            if source.takes(raw.value):
                yield replace(raw, number=last)


def _question(number: int, value: Any) -> tuple[str, Question]:
    row = benchmark_view(value)
    row["options"] = options_of(row.get("options"))
    for name in NEEDED:
        if not isinstance(row.get(name), str) or not row[name]:
            raise UserError(f"{name} is {row.get(name)!r}, not text")
    kind = question_type(row["question_type"])
    target = target_of(row)
    if kind.kind == "option":
        random_choice([row])  # raises where options are missing or not lettered
        if target not in {str(option).strip()[:1] for option in row["options"]}:
            raise UserError(f"the right letter {target!r} is none of the options'")
    elif not math.isfinite(float(target)):
        raise UserError(f"ground_truth is {target}, not a finite number")
    question = Question(number, {name: row.get(name) for name in KEPT}, prompt(row), target)
    if question.text.count(IMAGE_TOKEN) > 1:
        raise UserError(f"the question holds {IMAGE_TOKEN} several times, and there is one video")
    video = _video_of(row)
    json.dumps([video, question.text, question.row], ensure_ascii=False).encode()  # raises for what no answer can hold
    return video, question


def _video_of(row: Mapping[str, Any]) -> str:
    """The video's path; published VSI-Bench rows name only data set and scene."""
    if row.get("video_path"):
        if not isinstance(row["video_path"], str):
            raise UserError(f"video_path is {row['video_path']!r}, not text")
        return row["video_path"]
    if not row.get("dataset"):
        raise UserError("neither video_path nor dataset is given, so that there is no video to ask about")
    return f"{row['dataset']}/{row['scene_name']}.mp4"


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    return first_line(error) if isinstance(error, UserError) else f"no row of questions ({first_line(error)})"


def default_roots(file: Path) -> list[Path]:
    """Folders in which a benchmark's videos are looked for: those recorded beside the file, and its own."""
    roots = []
    try:
        recorded = json.loads(file.with_name(f"{file.name}.meta.json").read_bytes())["scenes_from"]
        folders = [Path(place) for place in recorded]
        roots = [place.parent if place.is_file() else place for place in folders]
    except (OSError, ValueError, KeyError, TypeError):
        pass  # a benchmark from elsewhere has no such record
    return [*roots, file.parent]


def find_video(video: str, roots: Sequence[Path]) -> Path:
    """The video under the first folder that has it; data sets' folders may also be written in lower case.

    Raises:
        UserError: none has.
    """
    dataset, _, rest = video.partition("/")
    for root, name in product(roots, dict.fromkeys((video, f"{dataset.lower()}/{rest}" if rest else video))):
        try:
            if (root / name).exists():
                return root / name
        except (OSError, ValueError) as error:
            raise UserError(
                f"{video:.80}: is no path of a video ({type(error).__name__}); correct it in the file"
            ) from error
    places = ", ".join(str(root) for root in roots)
    raise UserError(f"{video}: is in none of {places}; say where videos are with --data or --video-root")
