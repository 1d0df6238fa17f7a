"""Which files a source of the recipe stands for, and which of their rows are kept."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.training.recipe import Sampling, SourceRecipe
from vlm3r.training.settings import read_settings

YAML_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class MixtureEntry:
    """One entry of a published mixture."""

    json_path: str
    """JSON or JSON Lines file, from the mixture's folder or the current one; `{a,b}` stands for several files."""
    sampling_strategy: str = "all"
    """`all`, or `first:N`, `end:N`, `random:N` with N a number of rows or a percentage such as `10%`."""


@dataclass(frozen=True)
class PublishedMixture:
    """A mixture as published."""

    datasets: tuple[MixtureEntry, ...]
    """The files."""

    def __post_init__(self) -> None:
        if not self.datasets:
            raise ValueError("datasets is empty; list at least one file")


@dataclass(frozen=True)
class Limit:
    """Which rows of a file are kept."""

    sampling: Sampling = "all"
    """From the start, from the end, or at random."""
    count: int | None = None
    """Rows to keep; None: see `share`."""
    share: Fraction | None = None
    """Share of the rows to keep, rounded up as published; None with no count keeps all."""

    def chosen(self, total: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Numbers of the kept rows out of `total`, ascending."""
        count = self.count
        if self.share is not None:
            count = math.ceil(self.share * total)
        count = total if count is None else min(count, total)
        if self.sampling == "random":
            return np.sort(rng.permutation(total)[:count])
        return np.arange(total - count, total) if self.sampling == "end" else np.arange(count)


@dataclass(frozen=True)
class DataFile:
    """A file of rows and what is kept of it."""

    path: Path
    """The file."""
    root: Path
    """Folder that its rows' paths are relative to."""
    limit: Limit
    """Which rows are kept."""


def data_files(source: SourceRecipe) -> list[DataFile]:
    """The files of a source, a published mixture and `{a,b}` patterns resolved.

    Raises:
        UserError: a mixture cannot be read or states an unknown strategy.
    """
    if source.path.suffix.lower() not in YAML_SUFFIXES:
        limit = _recipe_limit(source)
        return [_data_file(path, source, limit) for path in expand_braces(str(source.path))]
    if source.rows is not None:
        raise UserError(f"{source.path}: a mixture says itself which rows it keeps; take rows out of the recipe")
    files = []
    for number, entry in enumerate(read_settings(PublishedMixture, source.path).datasets):
        limit = parse_strategy(entry.sampling_strategy, f"{source.path}: datasets.{number}.sampling_strategy")
        beside = [source.path.parent / path for path in expand_braces(entry.json_path)]
        here = list(expand_braces(entry.json_path))
        # As published, paths may also start from the current folder.
        paths = [b if b.is_file() or not h.is_file() else h for b, h in zip(beside, here, strict=True)]
        files += [_data_file(path, source, limit) for path in paths]
    return files


def parse_strategy(text: str, where: str) -> Limit:
    """The limit that a published sampling strategy states.

    Raises:
        UserError: it is none of them; `where` names the field.
    """
    known: dict[str, Sampling] = {name: name for name in get_args(Sampling)}
    name, colon, amount = text.strip().partition(":")
    number = re.fullmatch(r"([0-9]+)(%?)", amount.strip())
    sampling = known.get(name)
    if sampling is None or bool(colon) != (sampling != "all") or (colon and number is None):
        raise UserError(f"{where} is {text!r}; give all, first:N, end:N or random:N, with N such as 1000 or 10%")
    if number is None:
        return Limit()
    if number[2]:
        return Limit(sampling, share=Fraction(int(number[1]), 100))
    return Limit(sampling, count=int(number[1]))


def expand_braces(pattern: str) -> list[Path]:
    """The paths that `{a,b}` in a path stands for; the path itself where there is none."""
    match = re.fullmatch(r"(.*)\{(.*)\}(.*)", pattern)
    if match is None:
        return [Path(pattern)]
    return [Path(match[1] + name.strip() + match[3]) for name in match[2].split(",")]


def _recipe_limit(source: SourceRecipe) -> Limit:
    if source.rows is None:
        return Limit()
    sampling: Sampling = "first" if source.sampling == "all" else source.sampling
    if source.rows < 1:
        return Limit(sampling, share=Fraction(repr(source.rows)))
    return Limit(sampling, count=int(source.rows))


def _data_file(path: Path, source: SourceRecipe, limit: Limit) -> DataFile:
    return DataFile(path, path.parent if source.root is None else source.root, limit)
