"""`KINDS`: every category of the catalogue by its name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ..shapes import Solid
from . import bathroom, beds, decoration, kitchen, lamps, leisure, office, openings, seating, small, storage, tables
from .kind import Kind
from .parts import settled

THEMES = (seating, tables, storage, beds, lamps, kitchen, bathroom, office, decoration, small, leisure, openings)


def _standing(kind: Kind) -> Kind:
    """The kind with a builder whose solids stand on z = 0 and are centred."""
    raw: Callable[[np.random.Generator], Solid] = kind.build
    return replace(kind, build=lambda rng: settled(raw(rng)))


KINDS: dict[str, Kind] = {kind.category: _standing(kind) for theme in THEMES for kind in theme.KINDS}
