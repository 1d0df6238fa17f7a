"""Shared-video packing: the loss and gradients of separate samples, whatever is packed with what."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3r.processing.prompts import IGNORED
from vlm3r.training.packing import (
    PADDING,
    EncodedRow,
    dense_mask,
    eager_mask,
    flex_mask,
    pack_rows,
    shared_prefix,
    target_weights,
)

TOKENS = st.integers(0, 9)


@st.composite
def packs(draw: st.DrawFn) -> list[EncodedRow]:
    def labelled(ids: list[int]) -> list[int]:
        return [token if draw(st.booleans()) else IGNORED for token in ids]

    prefix = draw(st.lists(TOKENS, min_size=1, max_size=6))
    labels = labelled(prefix)
    rows = []
    for _ in range(draw(st.integers(1, 5))):
        own = draw(st.lists(TOKENS, min_size=1, max_size=6))
        rows.append(EncodedRow(prefix + own, labels + labelled(own)))
    return rows


@given(packs())
@settings(deadline=None)
def test_every_target_sees_the_ids_and_positions_of_its_own_row(rows: list[EncodedRow]) -> None:
    pack = pack_rows(rows)
    mask = dense_mask(pack.segments[None])[0, 0]
    expected = sorted(
        (number, tuple(row.ids[:place]), row.labels[place])
        for number, row in enumerate(rows)
        for place in range(1, len(row.ids))
        if row.labels[place] != IGNORED
    )
    found = []
    for source, target, row in zip(pack.sources.tolist(), pack.targets.tolist(), pack.rows.tolist(), strict=True):
        seen = mask[source].nonzero()[:, 0]
        assert pack.positions[seen].tolist() == list(range(len(seen)))
        found.append((row, tuple(pack.ids[seen].tolist()), target))
    assert sorted(found) == expected


@given(packs())
@settings(deadline=None)
def test_the_prefix_is_the_longest_that_all_rows_share(rows: list[EncodedRow]) -> None:
    length = shared_prefix(rows)
    starts = {(tuple(row.ids[:length]), tuple(row.labels[:length])) for row in rows}
    assert len(starts) == 1
    if len(rows) > 1 and length + 1 < min(len(row.ids) for row in rows):
        assert len({(row.ids[length], row.labels[length]) for row in rows}) > 1


@given(packs())
@settings(deadline=None)
def test_each_question_weighs_one(rows: list[EncodedRow]) -> None:
    pack = pack_rows(rows)
    weights = target_weights(pack, "question")
    for row in set(pack.rows.tolist()):
        assert weights[pack.rows == row].sum().item() == pytest.approx(1)
    assert target_weights(pack, "token").sum() == len(pack.targets)


def test_a_token_sees_the_prefix_and_its_own_question_and_nothing_later() -> None:
    segments = torch.tensor([[0, 0, 1, 1, 2, PADDING]])
    expected = torch.tensor(
        [
            [1, 0, 0, 0, 0, 0],
            [1, 1, 0, 0, 0, 0],
            [1, 1, 1, 0, 0, 0],
            [1, 1, 1, 1, 0, 0],
            [1, 1, 0, 0, 1, 0],
            [1, 1, 0, 0, 0, 1],
        ]
    ).bool()
    assert torch.equal(dense_mask(segments)[0, 0], expected)
    assert torch.equal(eager_mask(segments, torch.float32)[0, 0] == 0, expected)


def test_flex_attention_hides_the_same_pairs_as_the_dense_mask() -> None:
    from torch.nn.attention.flex_attention import flex_attention

    segments = torch.tensor([[0] * 70 + [1] * 50 + [2] * 30 + [PADDING] * 10, [0] * 100 + [1] * 60])
    query, key, value = torch.randn(3, 2, 2, 160, 16, generator=torch.Generator().manual_seed(0))
    plain = torch.nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=dense_mask(segments))
    flexed = flex_attention(query, key, value, block_mask=flex_mask(segments))  # pyright: ignore
    torch.testing.assert_close(flexed, plain, rtol=1e-5, atol=1e-5)


def test_packing_refuses_nothing_and_odd_rows() -> None:
    for rows in ([], [EncodedRow([], [])], [EncodedRow([1, 2], [1])]):
        with pytest.raises(ValueError, match="packing needs"):
            pack_rows(rows)
