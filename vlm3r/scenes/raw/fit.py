"""Whether boxes, poses and pictures of a scene agree, and if not, which mistake would explain it.

Every usual mistake is undone in turn: pictures turned or mirrored, poses the other way round, other axes, other units.
If the scene agrees clearly better with one of them undone than as it stands, that mistake is named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.raw.faults import PREPARE, Fault, Kind
from vlm3r.scenes.raw.projection import boxes_in_view, overlap
from vlm3r.scenes.schema import Array, Intrinsics, OrientedBox

Indices = NDArray[np.intp]

LEAST_PAIRS = 8
"""Sightings below which agreement says nothing."""
LEAST_POINTS = 200
CLEARLY_BETTER = 0.08
"""By how much agreement must rise, of 1, where a mistake is undone."""
CLEARLY_TIMES = 1.5
AGREES_NOWHERE = 0.15
"""Mean agreement of 2-D with 3-D boxes below which they do not belong together; that of sound scenes is above 0.4."""
INCLUSIVE = np.array([0.0, 0.0, 1.0, 1.0])
"""Makes inclusive pixels of a 2-D box its outline."""
SKIN = 0.05
"""Metres by which surfaces may stand out of their box."""

EYE = np.eye(3)
FLIP = np.diag([-1.0, 1.0, 1.0])
QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
"""A quarter turn about z."""
Y_UP = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
"""Takes y up to z up."""
SWAPPED = np.array([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])


@dataclass(frozen=True, eq=False)
class Mistake:
    """A way in which poses can be wrong, told by what undoes it."""

    kind: Kind
    text: str
    remedy: str
    world: Array
    """(3, 3) applied to world coordinates of the cameras."""
    camera: Array
    """(3, 3) applied to camera axes before that."""
    inverted: bool = False
    """Whether poses are inverted first."""
    scale: float = 1.0
    """Applied to positions."""

    def undone(self, poses: Array) -> Array:
        """The poses (n, 4, 4) without the mistake; mirrored ones where pictures are."""
        result = np.array(poses)
        rotations, centres = poses[:, :3, :3], poses[:, :3, 3]
        if self.inverted:
            centres = -np.einsum("nij,ni->nj", rotations, centres)
            rotations = rotations.swapaxes(1, 2)
        result[:, :3, :3] = self.world @ rotations @ self.camera
        result[:, :3, 3] = self.scale * centres @ self.world.T
        return result


def _turned(quarters: int) -> Array:
    return np.linalg.matrix_power(QUARTER, quarters)


_AXES = f"turn their axes to x right, y down, z forward, or {PREPARE}"
_TURN = f"{PREPARE}, with pictures, masks, poses and intrinsics turned together"
_ROOM = f"{PREPARE} from poses and boxes of one coordinate system"

NONE = Mistake("misplaced", "", "", EYE, EYE)
MISTAKES: tuple[Mistake, ...] = (
    Mistake("inverted", "poses are world-to-camera", "invert them to camera-to-world", EYE, EYE, inverted=True),
    Mistake("mirrored", "camera axes are y up, z backward, as OpenGL's", _AXES, EYE, np.diag([1.0, -1.0, -1.0])),
    Mistake(
        "inverted",
        "poses are world-to-camera with y up, z backward",
        f"invert them and {_AXES}",
        EYE,
        np.diag([1.0, -1.0, -1.0]),
        inverted=True,
    ),
    *(
        Mistake("rotated", f"pictures are turned by {90 * n} degrees against their poses", _TURN, EYE, _turned(n))
        for n in (1, 2, 3)
    ),
    Mistake("mirrored", "pictures are mirrored left to right against their poses", _TURN, EYE, FLIP),
    Mistake("mirrored", "poses are mirrored in x against the boxes", _ROOM, FLIP, FLIP),
    Mistake("mirrored", "poses are mirrored in y against the boxes", _ROOM, np.diag([1.0, -1.0, 1.0]), FLIP),
    Mistake("mirrored", "poses have x and y exchanged against the boxes", _ROOM, SWAPPED, FLIP),
    Mistake("unaligned", "poses have y up and boxes z up", _ROOM, Y_UP, EYE),
    Mistake("unaligned", "poses have y down and boxes z up", _ROOM, Y_UP.T, EYE),
    Mistake("unaligned", "poses are upside down against the boxes", _ROOM, np.diag([1.0, -1.0, -1.0]), EYE),
    Mistake("units", "positions of cameras are in millimetres", "divide them by 1000", EYE, EYE, scale=1e-3),
    Mistake("units", "positions of cameras are in kilometres", "multiply them by 1000", EYE, EYE, scale=1e3),
)


class Evidence(Protocol):
    """Something that poses and boxes can agree with."""

    source: str
    """What it is, in words."""

    def enough(self) -> bool:
        """Whether there is enough of it to tell."""
        ...

    def agreement(self, mistake: Mistake) -> float:
        """Agreement, 0 to 1, with a mistake undone."""
        ...


class BoxEvidence:
    """2-D boxes of objects, to be covered by their projected 3-D boxes.

    Args:
        pairs: pose (4, 4), 2-D box (xmin, ymin, xmax, ymax, inclusive) and 3-D box of each sighting.
        camera: of all the pictures.
    """

    source = "2-D boxes"

    def __init__(
        self, pairs: Sequence[tuple[Array, tuple[int, int, int, int], OrientedBox]], camera: Intrinsics
    ) -> None:
        self._camera = camera
        self._poses = np.array([pose for pose, _, _ in pairs], float).reshape(-1, 4, 4)
        self._seen = np.array([seen for _, seen, _ in pairs], float).reshape(-1, 4) + INCLUSIVE
        self._corners = np.array([box.corners for _, _, box in pairs], float).reshape(-1, 8, 3)

    def enough(self) -> bool:
        """Whether there are sightings enough to tell."""
        return len(self._poses) >= LEAST_PAIRS

    def agreement(self, mistake: Mistake) -> float:
        """Mean overlap of the seen with the projected boxes."""
        projected = boxes_in_view(self._corners, mistake.undone(self._poses), self._camera)
        return float(overlap(projected, self._seen).mean())


class DepthEvidence:
    """Points of depth maps, to lie in the boxes of the objects that they show.

    Args:
        shots: pose (4, 4), points (n, 3) in camera axes, and the object that each belongs to (n,), -1 where unknown.
        boxes: the objects' boxes.
    """

    source = "depth maps"

    def __init__(self, shots: Sequence[tuple[Array, Array, Indices]], boxes: Sequence[OrientedBox]) -> None:
        self._known = any((owners >= 0).any() for _, _, owners in shots)
        kept = [(pose, points[owners >= 0], owners[owners >= 0]) for pose, points, owners in shots]
        self._shots = kept if self._known else list(shots)
        self._centres = np.array([box.centre for box in boxes], float).reshape(-1, 3)
        self._halves = np.array([box.size for box in boxes], float).reshape(-1, 3) / 2 + SKIN
        self._axes = np.array([box.axes for box in boxes], float).reshape(-1, 3, 3)

    def enough(self) -> bool:
        """Whether there are points and boxes enough to tell."""
        return len(self._centres) >= 3 and sum(len(points) for _, points, _ in self._shots) >= LEAST_POINTS

    def agreement(self, mistake: Mistake) -> float:
        """Share of the points that lie in their object's box, or in any where their object is unknown."""
        poses = mistake.undone(np.array([pose for pose, _, _ in self._shots]))
        inside = [
            self._inside(points @ pose[:3, :3].T + pose[:3, 3], owners)
            for pose, (_, points, owners) in zip(poses, self._shots, strict=True)
        ]
        return float(np.concatenate(inside).mean())

    def _inside(self, points: Array, owners: Indices) -> Array:
        if self._known:
            local = np.einsum("nd,nkd->nk", points - self._centres[owners], self._axes[owners])
            return (np.abs(local) <= self._halves[owners]).all(1)
        local = np.einsum("nbd,bkd->nbk", points[:, None] - self._centres, self._axes)
        return (np.abs(local) <= self._halves).all(2).any(1)


def explain(evidence: Sequence[Evidence]) -> tuple[list[Fault], dict[str, float]]:
    """The mistake that explains why boxes do not agree with what is seen, if they do not, and the agreement found.

    Args:
        evidence: what there is; too little of it is passed over.
    """
    figures: dict[str, float] = {}
    found: dict[str, tuple[float, Fault]] = {}
    for piece in evidence:
        if not piece.enough():
            continue
        as_is = piece.agreement(NONE)
        figures[piece.source] = round(as_is, 3)
        scores = [piece.agreement(mistake) for mistake in MISTAKES]
        best = int(np.argmax(scores))
        if scores[best] > max(as_is + CLEARLY_BETTER, CLEARLY_TIMES * as_is):
            mistake = MISTAKES[best]
            text = f"{mistake.text} ({piece.source} agree {scores[best]:.0%} then, {as_is:.0%} now)"
            found.setdefault(mistake.text, (scores[best] - as_is, Fault(mistake.kind, text, mistake.remedy)))
        elif isinstance(piece, BoxEvidence) and as_is < AGREES_NOWHERE:
            text = f"projected 3-D boxes cover only {as_is:.0%} of the 2-D boxes, and no usual mistake explains it"
            remedy = "look at its contact sheet; use the axis alignment for poses and boxes alike"
            found.setdefault("", (0.0, Fault("misplaced", text, remedy)))
    ordered = sorted(found.values(), key=lambda gain_and_fault: -gain_and_fault[0])
    return [fault for _, fault in ordered[:1]], figures


def lift(depth: Array, camera: Intrinsics, rows: Indices, columns: Indices) -> Array:
    """Camera coordinates (n, 3) of pixels of a depth map (h, w) in metres that spans the camera's picture."""
    height, width = depth.shape
    z = depth[rows, columns]
    x = ((columns + 0.5) * camera.width / width - camera.cx) / camera.fx * z
    y = ((rows + 0.5) * camera.height / height - camera.cy) / camera.fy * z
    return np.stack([x, y, z], axis=-1)
