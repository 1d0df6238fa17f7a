"""From a recipe's sources to a mixture: every file is read once, and of each row only its place and clip are kept."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.training.data.mixture import Clip, Mixture
from vlm3r.training.data.row_files import RowFile, file_stamp, parse_found, row_identity, scan_rows
from vlm3r.training.data.rows import BadRow, Row
from vlm3r.training.data.sources import DataFile, data_files
from vlm3r.training.recipe import DataRecipe, SourceRecipe

COLUMNS = ("element", "offset", "length", "position", "clip", "text_bytes", "task")
NOTHING = -1
"""Clip of a row about nothing to be seen, before such rows are numbered."""

Seen = tuple[Path | None, tuple[Path, ...]]
Columns = dict[str, NDArray[np.int64]]


def read_mixture(recipe: DataRecipe, seed: int) -> Mixture:
    """The mixture that a recipe describes. Rows that cannot be learnt from are left out and listed in `bad_rows`.

    Raises:
        UserError: no source is given, a file cannot be read, or no row can be learnt from.
    """
    if not recipe.sources:
        raise UserError("data.sources is empty: name at least one file of training data")
    index = _Index(seed)
    for number, source in enumerate(recipe.sources):
        for file in data_files(source):
            index.add(number, file)
    return index.mixture(recipe.sources, recipe.questions_per_pack)


class _Index:
    """Collects the places of rows, file by file."""

    def __init__(self, seed: int):
        self._seed = seed
        self._files: list[RowFile] = []
        self._columns: list[Columns] = []
        self._clips: dict[Seen, int] = {}
        self._tasks: dict[str, int] = {}
        self._bad: list[tuple[str, str]] = []

    def add(self, source: int, file: DataFile) -> None:
        """Index the kept rows of a file."""
        try:
            stamp = file_stamp(file.path)
        except OSError as error:
            raise UserError(
                f"{file.path}: cannot be read ({first_line(error)}); check the path in data.sources"
            ) from error
        columns, faults, total = self._scan(file)
        kept = file.limit.chosen(total, np.random.default_rng([self._seed % 2**32, 0, len(self._files)]))
        self._bad += [faults[number] for number in kept.tolist() if number in faults]
        good = np.isin(columns["element"], kept)
        columns = {name: column[good] for name, column in columns.items()}
        count = len(columns["element"])
        columns |= {
            "source": np.full(count, source),
            "file": np.full(count, len(self._files)),
            "place": np.arange(count),
        }
        self._columns.append(columns)
        places = (columns["offset"], columns["length"].astype(np.int32), columns["position"].astype(np.int32))
        self._files.append(RowFile(file.path, file.root, *places, stamp))

    def _scan(self, file: DataFile) -> tuple[Columns, dict[int, tuple[str, str]], int]:
        """Columns of all good rows, the faults of bad ones by element, and the number of elements."""
        faults: dict[int, tuple[str, str]] = {}
        numbers = array("q")
        total = 0
        for element, found in enumerate(scan_rows(file.path)):
            total = element + 1
            try:
                row = parse_found(found, file.path, file.root)
            except BadRow as fault:
                faults[element] = (row_identity(file.path, found.position), str(fault))
                continue
            clip, task = self._clip(row), self._tasks.setdefault(row.task, len(self._tasks))
            numbers.extend((element, found.offset, found.length, found.position, clip, row.text_bytes, task))
        table = np.array(numbers, np.int64).reshape(-1, len(COLUMNS))
        return {name: table[:, i].copy() for i, name in enumerate(COLUMNS)}, faults, total

    def _clip(self, row: Row) -> int:
        if row.video is None and not row.images:
            return NOTHING
        return self._clips.setdefault((row.video, row.images), len(self._clips))

    def mixture(self, sources: Sequence[SourceRecipe], questions_per_pack: int) -> Mixture:
        """What was collected.

        Raises:
            UserError: no row can be learnt from.
        """
        joined = {name: np.concatenate([c[name] for c in self._columns]) for name in self._columns[0]}
        if not len(joined["clip"]):
            fault = f" (first: {self._bad[0][0]} {self._bad[0][1]})" if self._bad else ""
            raise UserError(f"{self._files[0].path}: no row can be learnt from{fault}; see docs/training_data.md")
        clip, clips = self._number_clips(joined["clip"], joined["file"])
        counts = np.bincount(joined["task"], minlength=len(self._tasks)).tolist()
        return Mixture(
            files=tuple(self._files),
            clips=clips,
            weights=tuple(Fraction(repr(source.weight)) for source in sources),
            source=joined["source"].astype(np.int16),
            file=joined["file"].astype(np.int16),
            place=joined["place"].astype(np.int32),
            clip=clip,
            text_bytes=joined["text_bytes"].astype(np.int32),
            bad_rows=tuple(self._bad),
            tasks={task: counts[number] for task, number in self._tasks.items() if counts[number]},
            questions_per_pack=questions_per_pack,
            seed=self._seed,
        )

    def _number_clips(
        self, clip: NDArray[np.int64], file: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], tuple[Clip, ...]]:
        """`(question,)` clip numbers without gaps, and the clips that kept rows are about."""
        seen = clip != NOTHING
        old, first, new = np.unique(clip[seen], return_index=True, return_inverse=True)
        numbers = np.empty(len(clip), np.int32)
        numbers[seen] = new
        numbers[~seen] = len(old) + np.arange(len(clip) - len(new))
        asking = file[seen][first].tolist()
        known = list(self._clips)
        clips = []
        for number, where in zip(old.tolist(), asking, strict=True):
            video, images = known[number]
            name = str(video) if video is not None else ", ".join(map(str, images))
            clips.append(Clip(name, video, images, str(self._files[where].path)))
        return numbers, tuple(clips)
