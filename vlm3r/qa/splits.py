"""Which scenes are for training, validation and testing: a seeded hash of the scene's name, so that none is in two."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from vlm3r.errors import UserError

SHARES: Mapping[str, float] = {"train": 0.8, "val": 0.1, "test": 0.1}
SCANNET_SCAN = re.compile(r"(scene\d{4})_\d{2}")


@dataclass(frozen=True)
class Splits:
    """A division of all scenes, known or not, into named parts."""

    seed: int = 0
    shares: Mapping[str, float] = field(default_factory=lambda: dict(SHARES))
    """Share of the scenes per part; they add up to 1."""

    def __post_init__(self) -> None:
        if not all(0 <= share <= 1 for share in self.shares.values()) or abs(sum(self.shares.values()) - 1) > 1e-9:
            raise UserError(f"shares {dict(self.shares)}: give shares from 0 to 1 that add up to 1")

    def part(self, scene_id: str) -> str:
        """The part that a scene belongs to; repeated scans of one ScanNet room share theirs."""
        place = stable_number("split", self.seed, room_of(scene_id)) / 2**64
        for name, share in self.shares.items():
            place -= share
            if place < 0:
                return name
        return max(self.shares, key=lambda name: self.shares[name])  # rounding left the place just below 1


def room_of(scene_id: str) -> str:
    """The room that a scene shows: repeated scans of one ScanNet room (`scene0000_00`, `scene0000_01`) share theirs."""
    scan = SCANNET_SCAN.fullmatch(scene_id)
    return scan[1] if scan else scene_id


def stable_number(*parts: object) -> int:
    """A number below 2**64 that depends on nothing but the text of the parts."""
    text = "\0".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
