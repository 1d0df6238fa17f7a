"""Even sampling of valid questions: from a list, and from the chains of an order without listing them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


def pick(rng: np.random.Generator, total: int, limit: int) -> Indices:
    """`limit` different numbers below `total`, or all of them if there are fewer, in random order."""
    if total <= limit:
        return rng.permutation(total)
    return rng.choice(total, size=limit, replace=False)


def in_random_order(rng: np.random.Generator, first: Indices, second: Indices) -> tuple[Indices, Indices]:
    """The pairs, each swapped with probability one half."""
    swapped = rng.random(len(first)) < 0.5
    return np.where(swapped, second, first), np.where(swapped, first, second)


class Chains:
    """All chains of a strict partial order, counted and addressable by number without being listed.

    A chain is a set of `length` elements of which each precedes the next; as the order is transitive, each precedes all
    later ones. Sets of values that differ pairwise by more than a gap are such chains.

    Args:
        before: (n, n), [i, j]: i precedes j; transitive.
        length: elements in a chain.
        starts: (n,) which elements may come first; all by default.
    """

    def __init__(self, before: Mask, length: int, starts: Mask | None = None) -> None:
        n = len(before)
        weights = np.ones(n, np.int64)  # chains of the length so far that start at each element
        self._ends: list[NDArray[np.int64]] = []
        for _ in range(length - 1):
            ends = np.cumsum(before * weights, axis=1)
            self._ends.append(ends)
            weights = ends[:, -1] if n else weights
        self._ends.reverse()
        self._starts = np.cumsum(weights if starts is None else weights * starts)
        self.total = int(self._starts[-1]) if n else 0
        """Number of chains."""

    def __getitem__(self, numbers: Indices) -> Indices:
        """The chains with the given numbers below `total`, (chain, length), first element first."""
        current = np.searchsorted(self._starts, numbers, side="right")
        rest = numbers - np.concatenate([[0], self._starts])[current]
        chain = [current]
        for ends in self._ends:
            rows = ends[current]
            following = (rows <= rest[:, None]).sum(1)
            rest = rest - np.where(following > 0, rows[np.arange(len(rows)), following - 1], 0)
            chain.append(following)
            current = following
        return np.stack(chain, axis=1)
