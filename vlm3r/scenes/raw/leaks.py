"""Scenes for training that are evaluated on, or whose place is: scores on them would be of memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from vlm3r.scenes.places import room_of

ARKITSCENES = "arkitscenes"


@dataclass(frozen=True)
class Named:
    """A scene by its names."""

    scene_id: str
    dataset: str | None = None
    """Lower-case name; None where a list names only ids."""
    place: str | None = None
    """The place where it is recorded; None where only the id tells."""
    source: str = ""
    """The file or folder that names it."""


@dataclass(frozen=True)
class Leak:
    """A scene for training that shows what is evaluated on."""

    training: Named
    evaluated: Named

    def line(self) -> str:
        """What leaks, and the remedy, in one line."""
        where = f" of {self.evaluated.source}" if self.evaluated.source else ""
        if self.training.scene_id == self.evaluated.scene_id:
            what = f"is a scene{where}"
        else:
            what = f"shows the same place as {self.evaluated.scene_id}{where}"
        return f"{what}; leave it out of training"


@dataclass(frozen=True)
class Leaks:
    """What a comparison found."""

    found: tuple[Leak, ...]
    """In the order of the training scenes, each scene once."""
    training: int
    """Scenes for training that were compared."""
    evaluated: int
    """Scenes that are evaluated on."""
    unplaced: int
    """Evaluated ARKitScenes scans of unknown visit: other scans of theirs cannot be told."""


def find_leaks(training: Iterable[Named], evaluated: Iterable[Named], visits: Mapping[str, str] | None = None) -> Leaks:
    """The scenes for training that are evaluated on, or another scan of whose place is.

    Scans of one place are those of one ScanNet room (`scene0000_00`, `scene0000_01`), one ARKitScenes visit, and one
    ScanNet++ id.

    Args:
        training: scenes that a model learns from.
        evaluated: scenes that it is evaluated on.
        visits: ARKitScenes video id -> visit id, from the data set's tables.
    """
    visits = visits or {}
    training, evaluated = list(dict.fromkeys(training)), list(dict.fromkeys(evaluated))
    visits = {**_recorded(training), **_recorded(evaluated), **visits}
    by_id: dict[str, list[Named]] = {}
    by_place: dict[str, list[Named]] = {}
    for scene in evaluated:
        by_id.setdefault(scene.scene_id, []).append(scene)
        by_place.setdefault(_place(scene, visits), []).append(scene)
    found: dict[str, Leak] = {}
    for scene in training:
        candidates = [*by_id.get(scene.scene_id, []), *by_place.get(_place(scene, visits), [])]
        same = next((other for other in candidates if _comparable(scene, other)), None)
        if same is not None:
            found.setdefault(f"{scene.dataset} {scene.scene_id}", Leak(scene, same))
    unplaced = {scene.scene_id for scene in evaluated if scene.dataset == ARKITSCENES and scene.scene_id not in visits}
    return Leaks(
        tuple(found.values()),
        len({scene.scene_id for scene in training}),
        len({scene.scene_id for scene in evaluated}),
        len(unplaced),
    )


def _recorded(scenes: Iterable[Named]) -> dict[str, str]:
    return {s.scene_id: s.place for s in scenes if s.place and s.dataset == ARKITSCENES and s.place != s.scene_id}


def _place(scene: Named, visits: Mapping[str, str]) -> str:
    """The place under a name that means the same in every list; visits and videos are both numbers."""
    if scene.scene_id in visits and scene.dataset in (None, ARKITSCENES):
        return f"visit {visits[scene.scene_id]}"
    return scene.place or room_of(scene.scene_id)


def _comparable(first: Named, second: Named) -> bool:
    return None in (first.dataset, second.dataset) or first.dataset == second.dataset
