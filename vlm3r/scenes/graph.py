"""The spatio-temporal scene graph: objects, cameras and their relations, computed once and queried by every task."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from vlm3r.scenes import relations
from vlm3r.scenes.boxes import BoxArray
from vlm3r.scenes.cameras import Cameras
from vlm3r.scenes.schema import Array, Scene
from vlm3r.scenes.sightings import Sightings

Indices = NDArray[np.intp]
Mask = NDArray[np.bool_]


class SceneGraph:
    """What follows from a scene record, as arrays that are computed on first use.

    Objects are named by their position in `Scene.objects`, categories by their position in `categories`, frames by
    their position among `Scene.seen_frames` (`cameras`) or `Scene.frames` (`sightings`).
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.boxes = BoxArray([o.box for o in scene.objects])
        self.categories: tuple[str, ...] = tuple(dict.fromkeys([*scene.counts, *(o.category for o in scene.objects)]))
        """Those of `Scene.counts` in its order, then those that only have boxes."""
        index = {name: i for i, name in enumerate(self.categories)}
        self.category_of: Indices = np.array([index[o.category] for o in scene.objects], np.intp)
        """(object,) index of the object's category."""
        self.members: tuple[Indices, ...] = tuple(np.flatnonzero(self.category_of == c) for c in index.values())
        """Objects of each category."""
        self.counts: Indices = np.array([scene.counts.get(c, 0) for c in self.categories], np.intp)
        """(category,) instances as recorded; 0 where the record gives none."""

    @property
    def names(self) -> tuple[str, ...]:
        """Category of each object."""
        return tuple(o.category for o in self.scene.objects)

    @cached_property
    def complete(self) -> Mask:
        """(category,) whether every recorded instance has a box and no other has."""
        return self.counts == [len(m) for m in self.members]

    @cached_property
    def singles(self) -> Indices:
        """Objects that are the only one of their category by count and by boxes, in the order of `categories`."""
        return np.array(
            [m[0] for m, n in zip(self.members, self.counts, strict=True) if n == len(m) == 1], np.intp
        )  # fmt: skip

    @cached_property
    def corners(self) -> Array:
        """World coordinates of the box corners, (object, 8, 3)."""
        return self.boxes.corners()

    @cached_property
    def distances(self) -> Array:
        """Metres between the nearest points of every two boxes, (object, object)."""
        return self.boxes.distances()

    @cached_property
    def nearest_members(self) -> Indices:
        """Instance of each category that is nearest to each object, (object, category); -1 for none."""
        result = np.full((len(self.boxes), len(self.categories)), -1, np.intp)
        for category, members in enumerate(self.members):
            if len(members):
                result[:, category] = members[self.distances[:, members].argmin(1)]
        return result

    @cached_property
    def distances_to_categories(self) -> Array:
        """Metres from each object to the nearest instance of each category, (object, category); infinity for none."""
        if not len(self.boxes):
            return np.zeros((0, len(self.categories)))
        nearest = self.nearest_members
        return np.where(nearest < 0, np.inf, np.take_along_axis(self.distances, np.maximum(nearest, 0), 1))

    @cached_property
    def category_distances(self) -> Array:
        """Metres between the nearest instances of every two categories, (category, category); infinity for none."""
        return np.array([self.distances_to_categories[m].min(0, initial=np.inf) for m in self.members]).reshape(
            len(self.categories), len(self.categories)
        )

    @cached_property
    def bearings(self) -> Array:
        """Direction from each object's centre to each other's in the floor plane, (object, object).

        Degrees counter-clockwise from +x.
        """
        return relations.bearings(self.boxes.centres, self.boxes.centres)

    @cached_property
    def corner_bearings(self) -> Array:
        """Directions from each object's centre to the corners of each other, (object, object, 8), as `bearings`."""
        return relations.bearings(self.boxes.centres, self.corners)

    @cached_property
    def supports(self) -> Mask:
        """[i, j]: object i rests on top of object j, (object, object)."""
        return relations.supports(self.boxes)

    @cached_property
    def contains(self) -> Mask:
        """[i, j]: object i lies inside object j, (object, object)."""
        return relations.contains(self.boxes)

    @cached_property
    def shown(self) -> Indices:
        """Positions in `Scene.frames` of the frames that a model sees."""
        sampled = self.scene.sampled
        return np.arange(len(self.scene.frames)) if sampled is None else np.array(sampled, np.intp)

    @cached_property
    def cameras(self) -> Cameras:
        """Cameras of the frames that a model sees."""
        return Cameras(self.scene.seen_frames, self.boxes)

    @cached_property
    def sightings(self) -> Sightings:
        """Sightings in all frames of the video."""
        owners = {o.instance_id: i for i, o in enumerate(self.scene.objects) if o.instance_id is not None}
        camera = self.scene.intrinsics
        pixels = None if camera is None else camera.width * camera.height
        return Sightings(self.scene.frames, owners, self.category_of, pixels)

    def category_first_times(self, min_share: float = 0.0) -> Array:
        """Seconds until the first instance of each category is shown, (category,); NaN for never or unknown times."""
        frames = self.category_first_frames(min_share)
        return np.concatenate([self.sightings.times, [np.nan]])[frames]

    def category_first_frames(self, min_share: float = 0.0) -> Indices:
        """First frame, among all, that shows an instance of each category, (category,); -1 for none."""
        first = self.sightings.first_frames(min_share)
        shown = [first[m][first[m] >= 0] for m in self.members]
        return np.array([s.min() if len(s) else -1 for s in shown], np.intp)

    @property
    def linked(self) -> bool:
        """Whether any 2-D box belongs to a known object, so that visibility says something at all."""
        return len(self.sightings.object) > 0
