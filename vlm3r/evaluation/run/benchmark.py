"""A file of questions, grouped by video; lines that are no questions are counted, not fatal."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.evaluation.baselines import random_choice, target_of
from vlm3r.files import first_line
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
    """What a file holds."""

    file: Path
    """Where it was read from."""
    videos: tuple[VideoQuestions, ...]
    """In the order in which the file first names them."""
    bad_lines: tuple[BadLine, ...]
    """Lines that were left out."""


def read_benchmark(file: Path) -> Benchmark:
    """The questions of a JSON Lines file, in benchmark or training format.

    Raises:
        UserError: the file cannot be read, or no line of it holds a question.
    """
    groups: dict[str, list[Question]] = {}
    bad: list[BadLine] = []
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                try:
                    video, question = _question(number, line)
                except (UserError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                    bad.append(BadLine(number, _reason(error)))
                else:
                    groups.setdefault(video, []).append(question)
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({first_line(error)}); make it with `vlm3r qa generate`") from None
    if not groups:
        found = f"; line {bad[0].line}: {bad[0].reason}" if bad else ""
        raise UserError(f"{file}: holds no questions{found}; make it with `vlm3r qa generate`")
    return Benchmark(file, tuple(VideoQuestions(video, tuple(asked)) for video, asked in groups.items()), tuple(bad))


def _question(number: int, line: bytes) -> tuple[str, Question]:
    row = benchmark_view(json.loads(line))
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
    json.dumps([video, question.text, question.row], ensure_ascii=False).encode()  # raises for halves of characters
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
    """The video under the first folder that has it.

    Raises:
        UserError: none has.
    """
    for root in roots:
        try:
            if (root / video).exists():
                return root / video
        except (OSError, ValueError) as error:
            raise UserError(
                f"{video:.80}: is no path of a video ({type(error).__name__}); correct it in the file"
            ) from error
    places = ", ".join(str(root) for root in roots)
    raise UserError(f"{video}: is in none of {places}; say where videos are with --video-root")
