"""The mixture: which questions there are, about which clips, and how an epoch deals them into packs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from vlm3r.inference.fingerprint import file_hash
from vlm3r.training.data.row_files import RowFile
from vlm3r.training.data.rows import Row


@dataclass(frozen=True)
class Clip:
    """What several questions are about."""

    name: str
    """The video's path, or the pictures' paths."""
    video: Path | None
    """The video."""
    images: tuple[Path, ...]
    """The pictures, where it is no video."""
    source: str
    """The first file that asks about it."""


@dataclass(frozen=True)
class PackPlan:
    """Questions about one clip that are to share a sequence."""

    clip: int
    """Number of the clip; not below the number of clips for a row about nothing to be seen."""
    questions: tuple[int, ...]
    """Numbers of the questions."""


@dataclass(frozen=True, eq=False)
class TokenBudget:
    """What is known of sequences before they are made, to keep packs below a length."""

    limit: int
    """Longest sequence in tokens."""
    heads: NDArray[np.int64]
    """`(clip,)` tokens of a clip, with the text that all its questions share."""
    tokens_per_byte: float
    """Tokens of a conversation, at most, to a byte of its text."""


class EpochPlan(Sequence[PackPlan]):
    """The packs of one epoch in the order in which they are trained on."""

    def __init__(self, questions: NDArray[np.int64], clips: NDArray[np.int32], bounds: NDArray[np.int64]):
        self._questions = questions
        self._clips = clips
        self._bounds = bounds  # (pack, 2)

    def __len__(self) -> int:
        return len(self._bounds)

    @overload
    def __getitem__(self, index: int) -> PackPlan: ...
    @overload
    def __getitem__(self, index: slice) -> list[PackPlan]: ...
    def __getitem__(self, index: int | slice) -> PackPlan | list[PackPlan]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        start, stop = self._bounds[index].tolist()
        questions = self._questions[start:stop].tolist()
        return PackPlan(int(self._clips[questions[0]]), tuple(questions))

    @property
    def questions(self) -> int:
        """Questions in the epoch."""
        return int((self._bounds[:, 1] - self._bounds[:, 0]).sum())


@dataclass(frozen=True, eq=False)
class Mixture:
    """The questions of all sources, as places in their files, and their clips."""

    files: tuple[RowFile, ...]
    """The files."""
    clips: tuple[Clip, ...]
    """Everything that is to be seen."""
    weights: tuple[Fraction, ...]
    """`(source,)` share of its clips that an epoch holds."""
    source: NDArray[np.int16]
    """`(question,)` number of its source in the recipe."""
    file: NDArray[np.int16]
    """`(question,)` number of its file."""
    place: NDArray[np.int32]
    """`(question,)` its number in that file."""
    clip: NDArray[np.int32]
    """`(question,)` number of its clip; questions about nothing to be seen have numbers of their own above."""
    text_bytes: NDArray[np.int32]
    """`(question,)` size of its conversation."""
    bad_rows: tuple[tuple[str, str], ...]
    """Identity and fault of every row that cannot be learnt from, for the skip list."""
    tasks: dict[str, int]
    """Questions by task."""
    questions_per_pack: int
    """Questions that share a sequence, at most; 0 for all."""
    seed: int
    """Decides the order."""

    def __len__(self) -> int:
        """Number of different questions."""
        return len(self.clip)

    @property
    def rows(self) -> int:
        """Rows that were read, bad ones included."""
        return len(self) + len(self.bad_rows)

    def packs(self, epoch: int, budget: TokenBudget | None = None) -> EpochPlan:
        """The packs of an epoch, a function of seed and epoch alone.

        The questions of a clip are dealt at random into as few packs as there can be, of sizes that differ by one at
        most, so which questions share a pack changes from epoch to epoch. A source's weight says how often its clips
        come: with 0.5 every clip comes in every second epoch, half of them each time.

        Args:
            epoch: its number, from 0.
            budget: lengths to keep packs below; they hold fewer questions where needed.
        """
        rng = np.random.default_rng([self.seed % 2**32, 1, epoch])
        copies = self._copies(epoch)
        picked = np.repeat(np.arange(len(self)), copies)
        # A clip that comes twice comes in two rounds, so that no question stands in a pack twice.
        turn = np.arange(len(picked)) - np.repeat(np.cumsum(copies) - copies, copies)
        pool = self.clip[picked].astype(np.int64) * (int(copies.max(initial=0)) + 1) + turn
        order = np.lexsort((rng.random(len(picked)), pool))
        picked, pool = picked[order], pool[order]
        starts = np.flatnonzero(np.diff(pool, prepend=-1))
        counts = np.diff(starts, append=len(pool))
        pieces = self._pieces(picked, starts, counts, budget)
        owner = np.repeat(np.arange(len(starts)), pieces)
        piece = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
        edges = [starts[owner] + (piece + end) * counts[owner] // pieces[owner] for end in (0, 1)]
        return EpochPlan(picked, self.clip, np.stack(edges, 1)[rng.permutation(len(owner))])

    def read(self, questions: Iterable[int]) -> list[Row]:
        """The rows of these questions, in the order given.

        Raises:
            UserError: a file has changed or is gone.
        """
        wanted = list(questions)
        found: dict[int, Row] = {}
        for number in {int(self.file[question]) for question in wanted}:
            here = [question for question in wanted if self.file[question] == number]
            rows = self.files[number].read(int(self.place[question]) for question in here)
            found |= zip(here, rows, strict=True)
        return [found[question] for question in wanted]

    def clip_sources(self) -> dict[str, str]:
        """Name of every clip to the file that asks about it, for the skip list."""
        return {clip.name: clip.source for clip in self.clips}

    def record(self) -> dict[str, Any]:
        """What was learnt from: every file's hash and counts, and totals; plain JSON values."""
        kept = np.bincount(self.file, minlength=len(self.files)).tolist()
        bad = Counter(identity.rpartition(":")[0] for identity, _ in self.bad_rows)
        return {
            "files": [
                {
                    "path": str(file.path),
                    "sha256": file_hash(file.path),
                    "bytes": file.stamp[0],
                    "questions": kept[number],
                    "bad_rows": bad[str(file.path)],
                }
                for number, file in enumerate(self.files)
            ],
            "questions": len(self),
            "clips": len(self.clips),
            "bad_rows": len(self.bad_rows),
            "tasks": dict(sorted(self.tasks.items())),
            "questions_per_pack": self.questions_per_pack,
            "seed": self.seed,
        }

    def _copies(self, epoch: int) -> NDArray[np.int64]:
        """`(question,)` how often each comes in an epoch."""
        copies = np.zeros(len(self), np.int64)
        for number, weight in enumerate(self.weights):
            here = np.flatnonzero(self.source == number)
            clips, which = np.unique(self.clip[here], return_inverse=True)
            whole, share = divmod(weight, 1)
            # The remaining share walks around a circle of all clips, so that in the long run all come equally often.
            first, after = (math.ceil(share * len(clips) * e) for e in (epoch, epoch + 1))
            extra = np.zeros(len(clips), np.int64)
            circle = np.random.default_rng([self.seed % 2**32, 2, number]).permutation(len(clips))
            extra[circle[np.arange(first, after) % max(1, len(clips))]] = 1
            copies[here] = whole + extra[which]
        return copies

    def _pieces(
        self,
        picked: NDArray[np.int64],
        starts: NDArray[np.int64],
        counts: NDArray[np.int64],
        budget: TokenBudget | None,
    ) -> NDArray[np.int64]:
        """`(pool,)` packs that each pool of questions is dealt into."""
        pieces = -(-counts // self.questions_per_pack) if self.questions_per_pack else np.ones_like(counts)
        if budget is None or not len(counts):
            return pieces
        clips = self.clip[picked[starts]]
        heads = np.append(budget.heads, 0)[np.minimum(clips, len(budget.heads))]
        tokens = np.add.reduceat(self.text_bytes[picked], starts) * budget.tokens_per_byte
        needed = np.ceil(tokens / np.maximum(1, budget.limit - heads)).astype(np.int64)
        return np.minimum(np.maximum(pieces, needed), counts)
