"""Parts of the scenes: disjoint, of the right size, stable."""

import pytest

from vlm3r.errors import UserError
from vlm3r.qa.splits import Splits

NAMES = [f"room_0_{i:05d}" for i in range(4000)]


def test_parts_have_their_shares():
    parts = [Splits().part(name) for name in NAMES]
    for part, share in {"train": 0.8, "val": 0.1, "test": 0.1}.items():
        assert abs(parts.count(part) / len(parts) - share) < 0.02


def test_a_scene_keeps_its_part_whatever_other_scenes_there_are():
    assert [Splits().part(n) for n in NAMES[:50]] == [Splits().part(n) for n in reversed(NAMES[:50])][::-1]


def test_the_seed_changes_the_parts():
    assert [Splits(0).part(n) for n in NAMES] != [Splits(1).part(n) for n in NAMES]


def test_scans_of_one_scannet_room_share_their_part():
    for room in range(200):
        assert len({Splits().part(f"scene{room:04d}_{scan:02d}") for scan in range(3)}) == 1


def test_a_part_of_share_zero_stays_empty():
    splits = Splits(shares={"train": 1.0, "test": 0.0})
    assert {splits.part(name) for name in NAMES} == {"train"}


@pytest.mark.parametrize(
    "shares", [{"train": 0.5}, {"train": 1.2, "test": -0.2}, {"train": float("nan"), "test": 1.0}, {}]
)
def test_shares_that_do_not_add_up_are_refused(shares):
    with pytest.raises(UserError, match="add up to 1"):
        Splits(shares=shares)
