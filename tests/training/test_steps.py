from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from vlm3r.training.steps import Shape, StepLoader, slots_of_step, steps_per_epoch


class Numbers:
    """A data set whose items say their epoch and place."""

    def __init__(self, counts):
        self.counts = counts
        self.epoch = 0

    def set_epoch(self, epoch):
        self.epoch = epoch

    def __len__(self):
        return self.counts[self.epoch % len(self.counts)]

    def __getitem__(self, index):
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.epoch, index


def batch_of(items):
    import torch

    count = torch.tensor(len(items))
    return {"items": items, "weights": torch.ones(1), "question_count": count, "failures": ["x"]}


@given(st.integers(0, 50), st.integers(1, 40), st.integers(1, 5), st.integers(1, 4))
def test_every_pack_of_a_step_is_computed_once_and_every_process_has_equally_many_micro_batches(
    first, count, micro, world
):
    ranks = [slots_of_step(first, count, Shape(count, micro, world, rank)) for rank in range(world)]
    real = [index for slots in ranks for slot in slots if not slot.padding for index in slot.indices]
    assert sorted(real) == list(range(first, first + count))
    assert len({len(slots) for slots in ranks}) == 1
    assert all(1 <= len(slot.indices) <= micro for slots in ranks for slot in slots)
    padding = sum(slot.padding for slots in ranks for slot in slots)
    assert padding < world


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.integers(1, 5), st.integers(0, 12))
def test_a_loader_that_begins_later_gives_what_the_whole_one_gives_from_there(counts, packs, first):
    steps = 12

    def given_from(step):
        loader = StepLoader(Numbers(counts), batch_of, Shape(packs, 2), steps)
        loader.first_step = step
        return [[batch["items"] for batch in batches] for batches in loader]

    whole = given_from(0)
    assert len(whole) == steps
    assert given_from(first) == whole[first:]


def test_epochs_follow_each_other_and_the_last_step_of_each_is_smaller():
    loader = StepLoader(Numbers([5]), batch_of, Shape(2, 2), 5)
    items = [[item for batch in batches for item in batch["items"]] for batches in loader]
    assert items == [[(0, 0), (0, 1)], [(0, 2), (0, 3)], [(0, 4)], [(1, 0), (1, 1)], [(1, 2), (1, 3)]]
    assert steps_per_epoch(5, Shape(2, 2)) == 3


def test_a_process_without_packs_repeats_one_that_counts_for_nothing():
    loader = StepLoader(Numbers([3]), batch_of, Shape(3, 1, world=2, rank=1), 1)
    (step,) = loader
    assert [batch["items"] for batch in step] == [[(0, 1)], [(0, 0)]]
    assert int(step[1]["question_count"]) == 0
    assert step[1]["weights"].sum() == 0
    assert step[1]["failures"] == []
