"""Rows as the benchmarks and as training read them, from chosen questions.

Benchmark rows of VSI-Bench types carry the right letter in `ground_truth`, as VSI-Bench does; those of VSTI-Bench types
carry its text there and the letter in `mc_answer`, as VSTI-Bench does. Here `mc_answer` is the letter in both, and null
for numeric questions. In training rows the answer is the letter, or the number as text. Open rows are training rows as
people ask: the bare question, without preamble, options or instructions, answered by the right option's text.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from vlm3r import __version__
from vlm3r.qa.splits import stable_number
from vlm3r.qa.spool import Record
from vlm3r.qa.types import question_type
from vlm3r.qa.wording import Style, word

Format = Literal["benchmark", "training", "open"]
FORMATS: tuple[Format, ...] = get_args(Format)

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NAMESPACE = uuid.UUID("6f0b6c0e-4d0f-5a53-9d3c-0a8f3f3f5c11")
IMAGE_TOKEN = "<image>"
PREAMBLE = "These are frames of a video."
ASK_LETTER = "Answer with the option's letter from the given choices directly."
ASK_NUMBER = {
    "default": "Please answer the question using a single word or phrase.",
    "api": "Do not response anything other than a single number!",
}
"""How a number is asked for: from open models, and from models behind a service."""

CATEGORY_FIELDS: Mapping[str, Mapping[str, str]] = {
    "object_counting": {"category": "category"},
    "object_size_estimation": {"category": "category"},
    "object_rel_distance": {"category": "category"},
    "object_abs_distance": {"category, first object": "first", "category, second object": "second"},
    "object_rel_direction": {
        "category, positioning object": "standing",
        "category, orienting object": "facing",
        "category, querying object": "queried",
    },
}
"""Published names of the fields that hold the categories asked about, and the slots that they are taken from."""


@dataclass(frozen=True)
class RowSettings:
    """What rows depend on besides the questions."""

    format: Format = "benchmark"
    style: Style = "ours"
    seed: int = 0


class LetterBalance:
    """Places right answers so that each letter is right equally often within a question type."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng([seed, 3])
        self._uses: defaultdict[tuple[str, int], list[int]] = defaultdict(list)

    def place(self, kind: str, answer: str, options: Sequence[str]) -> tuple[list[str], str]:
        """The options in their final order and the letter of the right one."""
        uses = self._uses[kind, len(options)]
        uses.extend([0] * (len(options) - len(uses)))
        least = [i for i, n in enumerate(uses) if n == min(uses)]
        place = int(self._rng.choice(least))
        uses[place] += 1
        others = sorted(option for option in options if option != answer)
        ordered = [others[i] for i in self._rng.permutation(len(others))]
        ordered.insert(place, answer)
        return ordered, LETTERS[place]


def make_row(scene: Record, question: Record, letters: LetterBalance, settings: RowSettings) -> dict[str, Any]:
    """The row of one chosen question.

    Args:
        scene: the scene's record, without regard to its questions.
        question: one of its proposals.
        letters: where right answers went so far.
        settings: format, style and seed.
    """
    options, letter = [], None
    if question["options"]:
        options, letter = letters.place(question["question_type"], question["answer"], question["options"])
    identity = [scene["dataset"], scene["scene"], question["question_type"], sorted(question["slots"].items()), options]
    name = uuid.uuid5(NAMESPACE, repr([settings.seed, *identity]))
    rng = np.random.default_rng([settings.seed, stable_number(name)])
    text = word(question["question_type"], question["slots"], options, settings.style, rng)
    lettered = [f"{mark}. {option}" for mark, option in zip(LETTERS, options, strict=False)]
    row = _benchmark_row(str(name), scene, question, text, lettered or None, letter)
    if settings.format == "training":
        row = _training_row(row, prompt(row), row["mc_answer"] or row["ground_truth"])
    elif settings.format == "open":
        row = _training_row(row, row["question"], str(question["answer"]))
    return row | {"provenance": _provenance(scene, question, settings)}


def prompt(row: Mapping[str, Any], numbers: str = "default") -> str:
    """What a model is asked for a benchmark row, without image tokens.

    Args:
        row: with `question`, `question_type` and, for option types, `options`.
        numbers: "default", or "api" for the sentence that models behind a service get with numeric questions.

    Raises:
        UserError: unknown question type.
    """
    lines = [PREAMBLE, row["question"]]
    if question_type(row["question_type"]).kind == "option":
        lines += ["Options:", *row["options"], ASK_LETTER]
    else:
        lines.append(ASK_NUMBER[numbers])
    return "\n".join(lines)


def _benchmark_row(
    name: str, scene: Record, question: Record, text: str, options: list[str] | None, letter: str | None
) -> dict[str, Any]:
    kind = question_type(question["question_type"])
    if letter is not None and kind.benchmark == "vsibench":
        truth = letter
    else:
        truth = question["answer"] if letter is not None else str(question["answer"])
    row = {
        "id": name,
        "dataset": scene["dataset"],
        "scene_name": scene["scene"],
        "question_type": kind.name,
        "question": text,
        "options": options,
        "ground_truth": truth,
        "mc_answer": letter,
        "video_path": scene["video"],
    }
    if kind.benchmark == "vstibench":
        return row | {"frame_indices": [frame["frame_id"] for frame in question["frames"]]}
    return row | _categories(kind.task, question)


def _categories(task: str, question: Record) -> dict[str, Any]:
    if task == "obj_appearance_order":
        return {"categories_involved": question["slots"]["categories"].split(", ")}
    return {name: question["slots"][slot] for name, slot in CATEGORY_FIELDS.get(task, {}).items()}


def _training_row(row: Mapping[str, Any], asked: str, answered: str) -> dict[str, Any]:
    kind = question_type(row["question_type"])
    return {
        "id": row["id"],
        "data_source": row["dataset"],
        "scene_name": row["scene_name"],
        "question_type": kind.training_name or kind.name,
        "video": row["video_path"],
        "conversations": [
            {"from": "human", "value": f"{IMAGE_TOKEN}\n{asked}"},
            {"from": "gpt", "value": answered},
        ],
    }


def _provenance(scene: Record, question: Record, settings: RowSettings) -> dict[str, Any]:
    """Where the question comes from and what its answer rests on."""
    return {
        "generator": f"vlm3r {__version__}",
        "seed": settings.seed,
        "task": question["task"],
        "variant": question["question_type"],
        "source": scene["key"],
        "answer": question["answer"],
        "slots": question["slots"],
        "objects": question["objects"],
        "frames": question["frames"],
        "details": question["details"],
    }


def benchmark_view(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a benchmark row that scoring reads, from a row of either format.

    Raises:
        KeyError: it is neither.
    """
    if "conversations" not in row:
        return dict(row)
    asked, answered = (turn["value"] for turn in row["conversations"])
    opening = f"{IMAGE_TOKEN}\n{PREAMBLE}\n"
    is_open = not asked.startswith(opening)
    text = asked.removeprefix(f"{IMAGE_TOKEN}\n" if is_open else opening)
    option = question_type(row["question_type"]).kind == "option" and not is_open
    question, options = text if is_open else text.rsplit("\n", 1)[0], None
    if option:
        question, _, listed = question.partition("\nOptions:\n")
        options = listed.split("\n")
    return {
        "id": row["id"],
        "dataset": row["data_source"],
        "scene_name": row["scene_name"],
        "question_type": row["question_type"],
        "question": question,
        "options": options,
        "ground_truth": answered,
        "mc_answer": answered if option else None,
        "video_path": row["video"],
        "provenance": row.get("provenance", {}),
    }
