"""Batches of packs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from vlm3r.errors import UserError
from vlm3r.training.data.dataset import Failure, LoadedPack
from vlm3r.training.packing import PADDING, LossPer, target_weights

Batch = dict[str, Any]

FRAME_COUNTS = ("pixel_values", "vision_tokens", "patch_tokens", "camera_tokens")
"""Inputs whose first axis tells how many frames a video has, the first that is there."""


def collate(items: Sequence[LoadedPack | Failure], pad_id: int, loss_per: LossPer = "question") -> Batch:
    """Sequences side by side, padded at their ends, with their clips.

    Args:
        items: packs, and what could not be loaded.
        pad_id: id of padding.
        loss_per: what the loss is a mean over; see `packing.target_weights`.

    Returns:
        Tensors `input_ids`, `position_ids`, `segments` `(sequence, token)`, segments -1 in padding; `sources`
        `(target,)`, places in the flattened `(sequence * token)` whose outputs predict `targets` `(target,)`, with
        `weights` (float32) and `rows` `(target,)`, the question of the batch that each belongs to; `question_count`, a
        number. Arguments of the model's `embed`: `pixel_values` or stored tokens, `(clip, frame, ...)`, with
        `frame_counts`; `image_pixel_values` with `image_counts`; a clip once for every sequence that needs it.
        Lists `tasks` and `identities` by question, `failures` (item and reason), and `lengths` of the sequences
        without padding. Where nothing could be loaded, there is one token of padding and no question.

    Raises:
        UserError: the videos of the batch have features of different kinds.
    """
    packs = [item for item in items if isinstance(item, LoadedPack)]
    failed = [failure for item in items for failure in (item.failures if isinstance(item, LoadedPack) else [item])]
    batch = _tokens(packs, pad_id, loss_per)
    batch |= _visual_inputs(packs)
    return batch | {
        "tasks": [task for pack in packs for task in pack.tasks],
        "identities": [identity for pack in packs for identity in pack.identities],
        "failures": [(failure.item, failure.reason) for failure in failed],
    }


def _tokens(packs: Sequence[LoadedPack], pad_id: int, loss_per: LossPer) -> Batch:
    sequences = [sequence for pack in packs for sequence in pack.sequences]
    lengths = [len(sequence.ids) for sequence in sequences]
    width = max(lengths, default=1)
    shape = (max(1, len(sequences)), width)
    ids, positions = torch.full(shape, pad_id), torch.zeros(shape, dtype=torch.long)
    segments = torch.full(shape, PADDING)
    for number, sequence in enumerate(sequences):
        end = lengths[number]
        ids[number, :end], positions[number, :end] = sequence.ids, sequence.positions
        segments[number, :end] = sequence.segments
    counts = torch.tensor([0, *(sequence.count for sequence in sequences)]).cumsum(0)
    none = torch.empty(0, dtype=torch.long)
    return {
        "input_ids": ids,
        "position_ids": positions,
        "segments": segments,
        "sources": torch.cat([none, *(s.sources + number * width for number, s in enumerate(sequences))]),
        "targets": torch.cat([none, *(s.targets for s in sequences)]),
        "weights": torch.cat([torch.empty(0), *(target_weights(s, loss_per) for s in sequences)]),
        "rows": torch.cat([none, *(s.rows + start for s, start in zip(sequences, counts, strict=False))]),
        "question_count": counts[-1],
        "lengths": lengths,
    }


def _visual_inputs(packs: Sequence[LoadedPack]) -> dict[str, Tensor]:
    clips = [pack.visual for pack in packs for _ in pack.sequences if pack.visual]
    pictures = [clip["image_pixel_values"] for clip in clips if "image_pixel_values" in clip]
    inputs = _videos([clip for clip in clips if "image_pixel_values" not in clip])
    if pictures:
        inputs["image_pixel_values"] = pad_sequence(pictures, batch_first=True)
        inputs["image_counts"] = torch.tensor([len(picture) for picture in pictures])
    return inputs


def _videos(clips: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    if not clips:
        return {}
    kinds = {tuple(sorted(clip)) for clip in clips}
    if len(kinds) > 1:
        shown = " and ".join(", ".join(kind) for kind in sorted(kinds))
        raise UserError(
            f"data.features: some videos have {shown}: run `vlm3r features extract` again with the same parts for all"
        )
    inputs = {name: pad_sequence([clip[name] for clip in clips], batch_first=True) for name in clips[0]}
    first = next(name for name in FRAME_COUNTS if name in clips[0])
    return inputs | {"frame_counts": torch.tensor([len(clip[first]) for clip in clips])}
