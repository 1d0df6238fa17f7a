"""What a reader of a raw data set offers of one scan; `vlm3r.scenes.raw.prepare` makes a scene folder of it.

Whatever a data set does otherwise, its reader undoes: here the world is z up, in metres, aligned with gravity; poses
are camera-to-world with x right, y down, z forward; pictures, depth maps, masks, poses and intrinsics belong to the
upright picture; depth is in metres, 0 where unknown.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes.schema import Array, Intrinsics, OrientedBox

NO_INSTANCE = -1
"""In masks and per-vertex instances: no object. Instance ids begin at 0 in some data sets."""

Dataset = Literal["scannet", "scannetpp", "arkitscenes"]


@dataclass(frozen=True)
class Scan:
    """One scan in a raw download: enough to open it in another process."""

    scene_id: str
    """Name of the scene, as the data set spells it."""
    dataset: Dataset
    folder: Path
    """The scan's own folder of the download."""
    place: str
    """The physical room or flat that it shows; other scans of it must not be split between training and evaluation."""
    split: str | None = None
    """Of the data set's own split files, such as `train`; None where it is in none of them."""
    route: str = ""
    """Which of several recordings is read, where there are several, such as `dslr` or `iphone`."""


@dataclass(frozen=True)
class View:
    """One frame of the video that is written."""

    frame_id: int | str
    """As the data set names it."""
    timestamp: float
    """Seconds from the first frame of the video."""
    pose: Array | None
    """(4, 4) camera-to-world of the upright picture; None where tracking was lost."""
    intrinsics: Intrinsics
    """Of the upright picture, at the size that `Capture.picture` gives."""
    samplable: bool = True
    """Whether colour, depth and pose are all there, so that a model may be shown this frame with its annotations."""


@dataclass(frozen=True, eq=False)
class RawObject:
    """One annotated instance."""

    label: str
    """The data set's own label, unchanged."""
    instance_id: int
    box: OrientedBox | None
    """The annotated box; None where one is to be computed from the instance's vertices."""
    mended: str | None = None
    """The label with its spelling mended and synonyms joined by the data set's own table; None where it has none."""
    published: str | None = None
    """The label that the published pipeline takes in its stead; None where it takes this one."""


@dataclass(frozen=True, eq=False)
class Cloud:
    """The scan's mesh vertices or point cloud."""

    points: Array
    """(N, 3) metres, aligned."""
    instances: NDArray[np.int64] | None = None
    """(N,) instance id of each point, `NO_INSTANCE` for none; None where the data set labels no points."""
    triangles: NDArray[np.int64] | None = None
    """(M, 3) indices of points; None for a point cloud."""


@dataclass(frozen=True)
class Findings:
    """What a reader noticed."""

    problems: tuple[str, ...] = ()
    """What is missing or broken and was left out, one line each."""
    provenance: Mapping[str, Any] = field(default_factory=dict)
    """How values were obtained: files, frame rates, rotation, alignment."""


class Capture(Protocol):
    """An opened scan. Opening reads annotations and poses; pictures are read when they are asked for."""

    @property
    def scan(self) -> Scan:
        """What was opened."""
        ...

    @property
    def views(self) -> Sequence[View]:
        """Every frame of the video, in order."""
        ...

    @property
    def fps(self) -> float:
        """Frames per second of the video."""
        ...

    @property
    def objects(self) -> tuple[RawObject, ...]:
        """The annotated instances, in the data set's order."""
        ...

    @property
    def cloud(self) -> Cloud | None:
        """Points of the scan, for the room's area, boxes and visibility; None where there is no mesh."""
        ...

    @property
    def findings(self) -> Findings:
        """What was noticed so far."""
        ...

    def pictures(self) -> Iterator[NDArray[np.uint8]]:
        """The views' pictures in order, each `(H, W, 3)` RGB, upright, one at a time in memory.

        Raises:
            UserError: the recording is truncated or cannot be decoded.
        """
        ...

    def picture(self, view: int) -> NDArray[np.uint8]:
        """One view's picture, `(H, W, 3)` RGB, upright."""
        ...

    def depth(self, view: int) -> NDArray[np.float32] | None:
        """One view's depth map `(h, w)` in metres, 0 unknown; of the picture's field of view, maybe of another size."""
        ...

    def mask(self, view: int) -> NDArray[np.int64] | None:
        """One view's instance ids, `NO_INSTANCE` for none, `(h, w)` over the picture's field of view.

        None where the data set ships no mask of this view.
        """
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...
