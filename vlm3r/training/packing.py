"""Several questions about one clip in one sequence: a shared prefix, a block mask and restarted positions.

Every question sees the prefix and itself, never another question, and its positions continue from the end of the
prefix. So each token has the context and the position that it has in a sample of its own, and the loss and its gradient
are those of separate samples, while the prefix (the video) is computed once.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from vlm3r.processing.prompts import IGNORED

PREFIX = 0
"""Segment of the tokens that all questions share; questions are 1, 2, ..."""
PADDING = -1
"""Segment of padding."""

LossPer = Literal["question", "token"]


@dataclass(frozen=True)
class EncodedRow:
    """One question with its answer, as it would be fed alone."""

    ids: Sequence[int]
    """Token ids, one placeholder per visual token."""
    labels: Sequence[int]
    """The id where the token is supervised, else -100."""


@dataclass(frozen=True)
class PackedRows:
    """Rows that share a prefix, laid out in one sequence."""

    ids: Tensor
    """`(token,)`: the prefix, then what each row has beyond it."""
    positions: Tensor
    """`(token,)`: every row's own tokens start at the prefix's length."""
    segments: Tensor
    """`(token,)`: 0 for the prefix, i + 1 for row i."""
    sources: Tensor
    """`(target,)`: the place in the sequence whose output predicts the target."""
    targets: Tensor
    """`(target,)`: supervised token ids; a prefix target appears once for every row."""
    rows: Tensor
    """`(target,)`: the row that the target belongs to."""
    count: int
    """Number of rows."""


def shared_prefix(rows: Sequence[EncodedRow]) -> int:
    """Length of the longest common start of all rows, equal in ids and labels; every row keeps a token of its own.

    A single row is all prefix: its sequence is an ordinary causal one.
    """
    if len(rows) == 1:
        return len(rows[0].ids)
    first, others = rows[0], rows[1:]

    def agree(end: int) -> bool:
        start = (first.ids[:end], first.labels[:end])
        return all((row.ids[:end], row.labels[:end]) == start for row in others)

    # Starts agree up to some length and never beyond, so the length can be bisected by comparing whole slices.
    longest = min(len(row.ids) for row in rows) - 1
    return bisect_left(range(1, longest + 1), True, key=lambda end: not agree(end))


def pack_rows(rows: Sequence[EncodedRow]) -> PackedRows:
    """Rows about the same clip as one sequence behind their common prefix.

    Raises:
        ValueError: no rows, an empty row, or ids and labels of different lengths.
    """
    if not rows or any(not row.ids or len(row.ids) != len(row.labels) for row in rows):
        raise ValueError("packing needs rows of tokens, each with as many labels as ids")
    start = shared_prefix(rows)
    ids, positions, segments = list(rows[0].ids[:start]), list(range(start)), [PREFIX] * start
    sources: list[int] = []
    targets: list[int] = []
    owners: list[int] = []
    for number, row in enumerate(rows):
        offset = len(ids) - start  # from a place in the row to its place in the sequence
        for place in range(1, len(row.ids)):
            if row.labels[place] != IGNORED:
                before = place - 1
                sources.append(before if before < start else before + offset)
                targets.append(row.labels[place])
                owners.append(number)
        own = row.ids[start:]
        ids += own
        positions += range(start, len(row.ids))
        segments += [number + 1] * len(own)
    numbers = (ids, positions, segments, sources, targets, owners)
    return PackedRows(*(torch.tensor(values, dtype=torch.long) for values in numbers), count=len(rows))


def target_weights(pack: PackedRows, loss_per: LossPer) -> Tensor:
    """Weights `(target,)`, float32, with which cross-entropies add up to the pack's share of the loss.

    Per question they add up to 1 for every row that has a target; per token every weight is 1.
    """
    if loss_per == "token":
        return torch.ones(len(pack.targets))
    counts = torch.bincount(pack.rows, minlength=pack.count)
    return 1 / counts[pack.rows]


def may_attend(query_segment: Tensor, key_segment: Tensor, query: Tensor, key: Tensor) -> Tensor:
    """Whether a token may look at another: not later, and of the prefix or of the same segment. Broadcasts."""
    return (key <= query) & ((key_segment == PREFIX) | (key_segment == query_segment))


def dense_mask(segments: Tensor) -> Tensor:
    """The block mask `(batch, 1, token, token)`, bool, for scaled-dot-product attention.

    Args:
        segments: `(batch, token)`; padding attends to itself, so that no row of the mask is empty.
    """
    places = torch.arange(segments.shape[1], device=segments.device)
    return may_attend(segments[:, None, :, None], segments[:, None, None, :], places[:, None], places[None, :])


def flex_mask(segments: Tensor, compiled: bool = False) -> object:
    """The same mask as a FlexAttention `BlockMask`, which skips blocks that nothing may see."""
    from torch.nn.attention.flex_attention import create_block_mask

    def visible(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return may_attend(segments[batch, query], segments[batch, key], query, key)

    batch, tokens = segments.shape
    return create_block_mask(visible, batch, None, tokens, tokens, device=str(segments.device), _compile=compiled)


def eager_mask(segments: Tensor, dtype: torch.dtype) -> Tensor:
    """The same mask as numbers to add to attention logits: 0, or the lowest number of `dtype`."""
    allowed = dense_mask(segments)
    return torch.zeros_like(allowed, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
