"""What can be wrong with a prepared scene, in words for the person who has to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "unreadable",
    "missing",
    "corrupt",
    "rotated",
    "unaligned",
    "mirrored",
    "inverted",
    "units",
    "misplaced",
    "ids",
    "area",
    "frames",
    "objects",
    "noted",
    "leak",
]

PREPARE = "prepare the scene again"


@dataclass(frozen=True)
class Fault:
    """One thing that is wrong, or that limits what can be asked about a scene."""

    kind: Kind
    text: str
    """What was found, one line."""
    remedy: str
    """What to do about it."""
    serious: bool = True
    """Whether answers or pictures are wrong; otherwise the scene only gives fewer questions than it could."""

    def line(self) -> str:
        """Kind, finding and remedy in one line."""
        return f"{self.kind}: {self.text}; {self.remedy}"
