"""Batches: places, weights and clips of several packs, and batches in which something failed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vlm3r.errors import UserError
from vlm3r.model.modeling import VISUAL_INPUTS
from vlm3r.processing.prompts import IGNORED
from vlm3r.training.data import Failure, LoadedPack, collate
from vlm3r.training.packing import PADDING, EncodedRow, dense_mask, pack_rows

PAD = 99
TOKENS = st.lists(st.integers(0, 9), min_size=1, max_size=5)


@st.composite
def encoded(draw: st.DrawFn, prefix: list[int]) -> EncodedRow:
    ids = prefix + draw(TOKENS)
    return EncodedRow(ids, [i if draw(st.booleans()) else IGNORED for i in ids[:-1]] + [ids[-1]])


@st.composite
def items(draw: st.DrawFn) -> tuple[list[LoadedPack | Failure], list[EncodedRow]]:
    found: list[LoadedPack | Failure] = []
    rows: list[EncodedRow] = []
    for number in range(draw(st.integers(1, 4))):
        if draw(st.booleans()) and draw(st.booleans()):
            found.append(Failure(f"clip {number}", "gone"))
            continue
        prefix = draw(TOKENS)
        groups = draw(st.lists(st.lists(encoded(prefix), min_size=1, max_size=4), max_size=3))
        mine = [row for group in groups for row in group]
        names = tuple(f"{number}.{i}" for i in range(len(mine)))
        tasks = tuple(f"task {i % 2}" for i in range(len(mine)))
        found.append(LoadedPack(tuple(pack_rows(group) for group in groups), names, tasks, {}))
        rows += mine
    return found, rows


@given(items())
@settings(deadline=None)
def test_every_target_of_a_batch_sees_its_own_question_at_its_own_positions_and_nothing_else(drawn):
    loaded, rows = drawn
    batch = collate(loaded, PAD)
    mask = dense_mask(batch["segments"])[:, 0]
    width = batch["input_ids"].shape[1]
    assert int(batch["question_count"]) == len(rows) == len(batch["tasks"]) == len(batch["identities"])
    found = []
    for source, target, number in zip(*(batch[name].tolist() for name in ("sources", "targets", "rows")), strict=True):
        sequence, place = divmod(source, width)
        seen = mask[sequence, place].nonzero()[:, 0]
        assert batch["position_ids"][sequence, seen].tolist() == list(range(len(seen)))
        found.append((number, batch["input_ids"][sequence, seen].tolist(), target))
    assert sorted(found) == sorted(
        (number, list(row.ids[:place]), row.labels[place])
        for number, row in enumerate(rows)
        for place in range(1, len(row.ids))
        if row.labels[place] != IGNORED
    )
    # Exact: every question weighs one, spread evenly over its targets.
    for number in range(len(rows)):
        mine = batch["weights"][batch["rows"] == number]
        assert torch.equal(mine, torch.full_like(mine, 1) / len(mine))
    assert collate(loaded, PAD, "token")["weights"].tolist() == [1.0] * len(found)


@given(items())
@settings(deadline=None)
def test_padding_is_marked_and_holds_nothing(drawn):
    loaded, _ = drawn
    batch = collate(loaded, PAD)
    lengths = batch["lengths"]
    padding = batch["segments"] == PADDING
    assert (~padding).sum(1).tolist() == (lengths or [0])
    assert batch["input_ids"][padding].eq(PAD).all() and not batch["position_ids"][padding].any()
    assert not padding.flatten()[batch["sources"]].any()
    assert batch["failures"] == [(item.item, item.reason) for item in loaded if isinstance(item, Failure)]


@pytest.mark.parametrize("failed", [[], [Failure("v.mp4", "gone")], [LoadedPack((), (), (), {}, (Failure("a", "b"),))]])
def test_a_batch_of_failures_is_one_token_of_padding_and_no_question(failed):
    batch = collate(failed, PAD)
    assert batch["input_ids"].tolist() == [[PAD]] and batch["segments"].tolist() == [[PADDING]]
    assert int(batch["question_count"]) == 0 and batch["question_count"].shape == ()
    for name, dtype in (("sources", torch.long), ("targets", torch.long), ("rows", torch.long), ("weights", None)):
        assert batch[name].shape == (0,) and batch[name].dtype == (dtype or torch.float32)
    assert len(batch["failures"]) == len(failed) and not set(VISUAL_INPUTS) & set(batch)


def pack(visual: dict[str, torch.Tensor], sequences: int = 1) -> LoadedPack:
    rows = tuple(pack_rows([EncodedRow([1, 2], [1, 2])]) for _ in range(sequences))
    return LoadedPack(rows, ("a",) * sequences, ("t",) * sequences, visual)


def test_clips_are_padded_along_frames_and_come_once_for_every_sequence():
    first, second = torch.full((2, 3, 4, 4), 1.0), torch.full((3, 3, 4, 4), 2.0)
    picture = torch.full((1, 3, 4, 4), 5.0)
    clips = [({"pixel_values": first}, 2), ({"image_pixel_values": picture}, 1), ({}, 1), ({"pixel_values": second}, 1)]
    batch = collate([pack(visual, count) for visual, count in clips], PAD)
    assert batch["pixel_values"].shape == (3, 3, 3, 4, 4)
    assert batch["pixel_values"][:, :, 0, 0, 0].tolist() == [[1, 1, 0], [1, 1, 0], [2, 2, 2]]
    assert batch["frame_counts"].tolist() == [2, 2, 3]
    assert torch.equal(batch["image_pixel_values"], picture[None]) and batch["image_counts"].tolist() == [1]


def test_stored_tokens_take_the_place_of_pixels_and_all_clips_need_the_same_ones():
    stored = [{"vision_tokens": torch.ones(n, 9, 5), "patch_tokens": torch.ones(n, 4, 3)} for n in (2, 4)]
    batch = collate([pack(visual) for visual in stored], PAD)
    assert batch["vision_tokens"].shape == (2, 4, 9, 5) and batch["patch_tokens"].shape == (2, 4, 4, 3)
    assert batch["frame_counts"].tolist() == [2, 4] and "pixel_values" not in batch
    assert set(batch) & set(VISUAL_INPUTS) == {"vision_tokens", "patch_tokens", "frame_counts"}
    with pytest.raises(UserError, match=r"data\.features: .*extract"):
        collate([pack(stored[0]), pack({"vision_tokens": torch.ones(2, 9, 5)})], PAD)
