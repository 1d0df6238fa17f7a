"""What a file of questions holds, and what answering it blind scores."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vlm3r.errors import UserError
from vlm3r.evaluation.baselines import fit, random_choice, score_prior, target_of
from vlm3r.files import first_line
from vlm3r.qa.rows import benchmark_view
from vlm3r.qa.splits import stable_number
from vlm3r.qa.types import QUESTION_TYPES, question_type

NEEDED = ("scene_name", "question_type", "options", "ground_truth")
READ = ("id", "scene_name", "question_type", "options", "ground_truth", "mc_answer")


@dataclass
class TypeStatistics:
    """One question type."""

    letters: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    """How often each option text was right."""
    offered: Counter[str] = field(default_factory=Counter)
    """How often each option text was offered."""
    numbers: list[float] = field(default_factory=list)
    scenes: set[str] = field(default_factory=set)
    count: int = 0
    random: float | None = None
    """Expected score of guessing; None for numbers."""
    frequent: float = 0.0
    """Score of the best constant letter or number."""
    blind: float = 0.0
    """Score of the option texts that were right most often in other scenes, or of the median."""


@dataclass
class Statistics:
    """A file of questions."""

    types: dict[str, TypeStatistics]
    categories: Counter[str]
    """How often each object category is asked about or offered."""


def read_rows(file: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file as benchmark rows, whichever format it has.

    Raises:
        UserError: the file is missing, no JSON Lines, or holds other rows.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                try:
                    row = benchmark_view(json.loads(line))
                    if missing := [name for name in NEEDED if name not in row]:
                        raise KeyError(*missing[:1])
                    yield row
                except (ValueError, KeyError, TypeError, AttributeError) as error:
                    raise UserError(
                        f"{file}: line {number} is no row of questions ({error}); generate it again"
                    ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{file}: cannot be read ({first_line(error)}); make it with `vlm3r qa generate`") from None


def statistics(file: Path, prior_file: Path | None = None) -> Statistics:
    """Counts and blind scores of a file of questions.

    Args:
        file: the questions.
        prior_file: questions that the blind prior is learnt from, about other scenes; by default each half of the
            file's scenes is scored with the other half's prior.

    Raises:
        UserError: it cannot be read, or holds no questions.
    """
    found: defaultdict[str, TypeStatistics] = defaultdict(TypeStatistics)
    categories: Counter[str] = Counter()
    rows = []
    for row in read_rows(file):
        _count(row, found[question_type(row["question_type"]).name], categories)
        rows.append(_read_fields(row))
    if not rows:
        raise UserError(f"{file}: holds no questions")
    learnt = None if prior_file is None else [_read_fields(row) for row in read_rows(prior_file)]
    _score(rows, learnt, found)
    order = [kind.name for kind in QUESTION_TYPES if kind.name in found]
    return Statistics({name: found[name] for name in order}, categories)


def _count(row: Mapping[str, Any], entry: TypeStatistics, categories: Counter[str]) -> None:
    entry.count += 1
    entry.scenes.add(row["scene_name"])
    if row["options"]:
        texts = [option.partition(". ")[2] for option in row["options"]]
        entry.letters[target_of(row)] += 1
        entry.words[texts[ord(target_of(row)) - ord("A")]] += 1
        entry.offered.update(texts)
    else:
        entry.numbers.append(float(row["ground_truth"]))
    categories.update({thing["category"] for thing in row.get("provenance", {}).get("objects", ())})


def _read_fields(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row.get(name) for name in READ}


def _score(
    rows: Sequence[Mapping[str, Any]],
    learnt: Sequence[Mapping[str, Any]] | None,
    found: Mapping[str, TypeStatistics],
) -> None:
    if learnt is None:
        halves: tuple[list[Any], list[Any]] = ([], [])
        for row in rows:
            halves[stable_number("half", row["scene_name"]) % 2].append(row)
        crossed = [scored for i in (0, 1) for scored in score_prior(fit(halves[1 - i], "option_text"), halves[i])]
    else:
        crossed = score_prior(fit(learnt, "option_text"), rows)
    for name, value in _means(random_choice(rows)).items():
        found[name].random = value
    for name, value in _means(score_prior(fit(rows, "frequent"), rows)).items():
        found[name].frequent = value
    for name, value in _means(crossed).items():
        found[name].blind = value


def _means(scored: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    groups: defaultdict[str, list[float]] = defaultdict(list)
    for row in scored:
        groups[question_type(row["question_type"]).name].append(row["score"])
    return {name: sum(scores) / len(scores) for name, scores in groups.items()}


def table(found: Statistics) -> str:
    """The statistics as a Markdown table."""
    lines = [
        "| type | questions | scenes | answers | chance % | best constant % | blind prior % |",
        "|---|--:|--:|---|--:|--:|--:|",
    ]
    for name, entry in found.types.items():
        chance = "-" if entry.random is None else f"{100 * entry.random:.1f}"
        lines.append(
            f"| {name} | {entry.count:,} | {len(entry.scenes):,} | {_answers(entry)} | {chance} "
            f"| {100 * entry.frequent:.1f} | {100 * entry.blind:.1f} |"
        )
    total = sum(entry.count for entry in found.types.values())
    scenes = set().union(*(entry.scenes for entry in found.types.values()))
    lines.append(f"| all | {total:,} | {len(scenes):,} | | | | |")
    return "\n".join(lines)


def _answers(entry: TypeStatistics) -> str:
    if entry.numbers:
        ordered = sorted(entry.numbers)
        return f"{ordered[0]:g} to {ordered[-1]:g}, median {ordered[len(ordered) // 2]:g}"
    return ", ".join(f"{letter} {100 * n / entry.count:.0f} %" for letter, n in sorted(entry.letters.items()))


def plot_statistics(found: Statistics, folder: Path) -> list[Path]:
    """Write the plots and return their paths."""
    from vlm3r.qa import plots

    try:
        folder.mkdir(parents=True, exist_ok=True)
        return plots.draw_all(found, folder)
    except OSError as error:
        raise UserError(f"{folder}: cannot be written ({first_line(error)}); choose another folder") from None
