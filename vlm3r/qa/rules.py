"""When a question is too ambiguous to ask, beyond the published thresholds that each task states itself."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.scenes.graph import SceneGraph

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Rules:
    """Guards that every task obeys; the defaults leave what a careful person can answer from the frames."""

    require_seen: bool = True
    """Ask only about objects that one of the frames that the model sees shows. Without effect in scenes whose 2-D boxes
    cannot be linked to objects."""
    min_share: float = 0.001
    """Share of the picture's pixels from which on an object counts as shown."""
    min_frame_share: float = 0.002
    """The same where a question asks about that very frame."""
    min_fraction: float = 0.1
    """Visible share of the object, where known, where a question asks about that very frame."""
    complete_counts: bool = True
    """Use categories of several instances only if every counted instance has a box."""
    same_order_in_frames: bool = True
    """Ask for the order of appearance only if the frames that the model sees give the same order as the whole video."""
    firm_share: float = 0.003
    """The order of appearance must also hold for the first frames that show this share; 0 turns the guard off."""
    picture_gap: float | None = 0.05
    """Ask left/right and up/down only if the middles of the 2-D boxes lie the same way round as the 3-D boxes, and
    apart by this share of the picture; None asks whatever the picture shows."""
    min_horizontal: float = 0.3
    """Metres in the floor plane between the centres that define a direction."""
    dominance: float = 1.5
    """How many times longer the asked axis of a camera movement must be than the other horizontal one."""

    def __post_init__(self) -> None:
        for name in ("min_share", "min_frame_share", "min_fraction", "firm_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"rules: {name} is {getattr(self, name)}; give a share between 0 and 1")
        if self.min_horizontal < 0:
            raise UserError(f"rules: min_horizontal is {self.min_horizontal}; give 0 metres or more")
        if self.dominance < 1:
            raise UserError(f"rules: dominance is {self.dominance}; give 1 or more")

    @classmethod
    def strict(cls) -> Rules:
        """Guards for generating questions, all on."""
        return STRICT

    @classmethod
    def published(cls) -> Rules:
        """No guards beyond the published ones: any 2-D box counts as a sighting."""
        return cls(
            require_seen=False,
            min_share=0.0,
            min_frame_share=0.0,
            min_fraction=0.0,
            complete_counts=False,
            same_order_in_frames=False,
            firm_share=0.0,
            picture_gap=None,
            min_horizontal=0.0,
            dominance=1.0,
        )

    def askable(self, graph: SceneGraph) -> Mask:
        """Whether a question may name each object, (object,)."""
        if not self.require_seen or not graph.linked:
            return np.ones(len(graph.boxes), bool)
        return np.asarray(graph.sightings.seen(self.min_share)[graph.shown].any(0))

    def in_frames(self, graph: SceneGraph) -> Mask:
        """Whether a question may name each object in each frame that the model sees, (frame, object).

        The frame has a pose, and the object is clearly shown and alone of its category there.
        """
        seen: Mask = graph.sightings.seen(self.min_frame_share, self.min_fraction) & graph.sightings.unique
        return seen[graph.shown] & graph.cameras.usable[:, None]

    def categories(self, graph: SceneGraph) -> Mask:
        """Whether the known boxes say enough of each category, (category,)."""
        known = np.array([len(m) > 0 for m in graph.members], bool)
        return known & graph.complete if self.complete_counts else known


STRICT = Rules()
