"""Descriptions of scenes: questions whose answers are lists, so that one answer says much about what is where.

They are no benchmark's tasks. A small model that starts from nothing learns from them to find what is named, to tell
frames apart and to put positions into numbers, before it is asked for a single letter.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vlm3r.errors import UserError
from vlm3r.files import replacing
from vlm3r.qa.proposals import video_path
from vlm3r.qa.sources import SceneSource
from vlm3r.qa.splits import stable_number
from vlm3r.scenes.graph import SceneGraph
from vlm3r.scenes.schema import Scene

MOST_THINGS = 6
"""Things that one question names, at most."""
SEEN_SHARE = 0.002
"""Share of the picture from which on an object counts as shown in a frame."""
UP = 2
"""Vertical axis of the world."""
CLEAR_ANGLE = 10.0
"""Degrees from straight ahead, left, right and behind within which a side is not asked for."""
LETTERS = "ABCD"
LETTER_PLEASE = "Answer with the option's letter from the given choices directly."
"""How VSI-Bench asks for a letter."""
SIDES = (
    ("front-left", "front-right", "back-left", "back-right"),
    ("left", "right", "back"),
    ("left", "right"),
)
"""Options of questions about directions."""
CLEAR_GAP = 0.15
"""Metres by which distances differ that are put in order."""

Draft = tuple[str, str]
"""A question and its answer."""


def describe_file(
    sources: Iterable[SceneSource],
    out: Path,
    per_kind: int,
    seed: int = 0,
    least_frames: int = 0,
    kinds: Sequence[str] = (),
    report: Callable[[str, str], object] | None = None,
) -> int:
    """Write training rows with descriptions of scenes of at least so many frames; the number of rows.

    A scene that cannot be read is left out, and `report` is told its key and the reason; without a `report` it is an
    error.

    Raises:
        UserError: no scene gave a description, a kind is unknown, or the file cannot be written.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise UserError(f"unknown kind of description {kind!r}: give some of {', '.join(KINDS)}")
    written = 0
    with replacing(out) as building, building.open("w", encoding="utf-8") as file:
        for source in sources:
            try:
                rows = list(describe(source, per_kind, seed, least_frames, kinds))
            except UserError as error:
                if report is None:
                    raise
                report(source.key, str(error))
                continue
            for row in rows:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
                written += 1
        if not written:
            raise UserError(f"{out}: no scene gave a description; give scenes with frames and boxes")
    return written


def describe(
    source: SceneSource, per_kind: int, seed: int = 0, least_frames: int = 0, kinds: Sequence[str] = ()
) -> Iterator[dict[str, Any]]:
    """Training rows about one scene, at most `per_kind` of each kind, decided by the seed and the scene's name.

    A scene of fewer than `least_frames` frames has none; without `kinds` there are all.
    """
    scene = source.open()
    if len(scene.frames) < least_frames:
        return
    graph = SceneGraph(scene)
    if not len(graph.shown) or not graph.linked:
        return
    video = video_path(scene, source)
    view = _View(graph)
    for kind, make in KINDS.items():
        if kinds and kind not in kinds:
            continue
        rng = np.random.default_rng([seed, stable_number(scene.scene_id), stable_number(kind)])
        seen: set[str] = set()
        for _ in range(per_kind):
            draft = make(view, rng)
            if draft is None or draft[0] in seen:
                continue
            seen.add(draft[0])
            yield _row(scene, video, kind, len(seen), draft)


def _row(scene: Scene, video: str, kind: str, number: int, draft: Draft) -> dict[str, Any]:
    question, answer = draft
    return {
        "id": f"{scene.scene_id}-{kind}-{number}",
        "data_source": scene.dataset,
        "scene_name": scene.scene_id,
        "question_type": f"describe_{kind}",
        "video": video,
        "conversations": [
            {"from": "human", "value": f"<image>\n{question}"},
            {"from": "gpt", "value": answer},
        ],
    }


class _View:
    """A scene as its sampled frames show it."""

    def __init__(self, graph: SceneGraph) -> None:
        self.graph = graph
        self.names = graph.names
        self.total = len(graph.shown)
        self.seen: NDArray[np.bool_] = np.asarray(graph.sightings.seen(SEEN_SHARE)[graph.shown])  # (frame, object)
        self.boxes = graph.sightings.boxes[graph.shown]  # (frame, object, 4)
        self.distances = graph.cameras.distances  # (frame, object), metres
        ever: NDArray[np.bool_] = np.asarray(self.seen.any(axis=0))
        self.singles = [int(o) for o in graph.singles if ever[o]]
        """Seen objects that are the only one of their category."""

    def place(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        """A world point as metres right of, above and ahead of the first camera, level with the floor."""
        cameras = self.graph.cameras
        ahead = cameras.rotations[0][:, 2].copy()
        ahead[UP] = 0.0
        ahead /= max(float(np.linalg.norm(ahead)), 1e-6)
        right = np.array([ahead[1], -ahead[0], 0.0])
        offset = point - cameras.centres[0]
        return np.array([offset @ right, offset[UP], offset @ ahead])


def _pick(rng: np.random.Generator, things: Sequence[int], least: int = 2) -> list[int] | None:
    """Up to `MOST_THINGS` of them at random; None where there are too few."""
    if len(things) < least:
        return None
    count = int(rng.integers(least, min(len(things), MOST_THINGS) + 1))
    return [things[i] for i in rng.permutation(len(things))[:count]]


def _listed(values: Iterable[float], digits: int = 1) -> str:
    # Adding zero turns -0.0 into 0.0.
    return ", ".join(f"{round(float(value), digits) + 0.0:.{digits}f}" for value in values)


def _frame_objects(view: _View, rng: np.random.Generator) -> Draft | None:
    frame = int(rng.integers(view.total))
    shown = np.flatnonzero(view.seen[frame])
    largest = sorted(shown.tolist(), key=lambda o: -_area(view.boxes[frame, o]))[: 2 * MOST_THINGS]
    if not largest:
        return None
    ordered = sorted(largest, key=lambda o: float(view.boxes[frame, o, [0, 2]].mean()))
    names = ", ".join(view.names[o] for o in ordered)
    return f"What can be seen in frame {frame + 1} of {view.total}, from left to right?", names


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _frame_distances(view: _View, rng: np.random.Generator) -> Draft | None:
    frame = int(rng.integers(view.total))
    things = _pick(rng, [o for o in view.singles if view.seen[frame, o]], least=1)
    if things is None or not np.isfinite(view.distances[frame, things]).all():
        return None
    names = ", ".join(view.names[o] for o in things)
    question = f"How far from the camera are these in frame {frame + 1} of {view.total}, in meters: {names}?"
    return question, _listed(view.distances[frame, things])


def _places(view: _View, rng: np.random.Generator) -> Draft | None:
    things = _pick(rng, view.singles, least=1)
    if things is None or not view.graph.cameras.usable[0]:
        return None
    names = ", ".join(view.names[o] for o in things)
    spots = "; ".join(_listed(view.place(view.graph.boxes.centres[o])) for o in things)
    return f"Where are these, in meters right of, above and ahead of the first camera: {names}?", spots


def _counts(view: _View, rng: np.random.Generator) -> Draft | None:
    graph = view.graph
    ever: NDArray[np.bool_] = np.asarray(view.seen.any(axis=0))
    known = [
        i for i, members in enumerate(graph.members) if bool(graph.complete[i]) and len(members) and ever[members].all()
    ]
    things = _pick(rng, known, least=1)
    if things is None:
        return None
    names = ", ".join(graph.categories[i] for i in things)
    return f"How many of each does this room contain: {names}?", ", ".join(str(graph.counts[i]) for i in things)


def _first_frames(view: _View, rng: np.random.Generator) -> Draft | None:
    things = _pick(rng, view.singles, least=1)
    if things is None or view.total < 2:
        return None
    names = ", ".join(view.names[o] for o in things)
    frames = ", ".join(str(int(view.seen[:, o].argmax()) + 1) for o in things)
    return f"In which frame of {view.total} does each of these appear first: {names}?", frames


def _camera_path(view: _View, rng: np.random.Generator) -> Draft | None:
    cameras = view.graph.cameras
    if view.total < 2:
        return None
    frames = sorted(rng.permutation(view.total)[: int(rng.integers(1, MOST_THINGS + 1))].tolist())
    if not cameras.usable[[0, *frames]].all():
        return None
    numbers = ", ".join(str(f + 1) for f in frames)
    spots = "; ".join(_listed(view.place(cameras.centres[f])) for f in frames)
    question = (
        f"Where is the camera, in meters right of, above and ahead of its start, in frames {numbers} of {view.total}?"
    )
    return question, spots


def _sizes(view: _View, rng: np.random.Generator) -> Draft | None:
    things = _pick(rng, view.singles, least=1)
    if things is None:
        return None
    names = ", ".join(view.names[o] for o in things)
    longest = _listed((100 * view.graph.scene.objects[o].box.longest_edge for o in things), digits=0)
    return f"How long is the longest dimension of each, in centimeters: {names}?", longest


def _distances(view: _View, rng: np.random.Generator) -> Draft | None:
    things = _pick(rng, view.singles, least=2)
    if things is None:
        return None
    first, *others = things
    names = ", ".join(view.names[o] for o in others)
    question = f"How far is the {view.names[first]} from each of these, in meters: {names}?"
    return question, _listed(view.graph.distances[first, others])


def _orders(view: _View, rng: np.random.Generator) -> Draft | None:
    first = {o: int(view.seen[:, o].argmax()) for o in view.singles}
    things = _pick(rng, _apart(rng, first, least=1))
    if things is None:
        return None
    names = ", ".join(view.names[o] for o in things)
    answer = ", ".join(view.names[o] for o in sorted(things, key=lambda o: first[o]))
    return f"In what order do these appear first: {names}?", answer


def _nearest_first(view: _View, rng: np.random.Generator) -> Draft | None:
    if not view.singles:
        return None
    centre = view.singles[int(rng.integers(len(view.singles)))]
    distances = {o: float(view.graph.distances[centre, o]) for o in view.singles if o != centre}
    things = _pick(rng, _apart(rng, distances, least=CLEAR_GAP))
    if things is None:
        return None
    names = ", ".join(view.names[o] for o in things)
    answer = ", ".join(view.names[o] for o in sorted(things, key=lambda o: distances[o]))
    return f"From nearest to farthest from the {view.names[centre]}, in what order are these: {names}?", answer


def _apart(rng: np.random.Generator, values: Mapping[int, float], least: float) -> list[int]:
    """Objects in random order, without those whose value is nearer than `least` to that of one before."""
    kept: list[int] = []
    for o in rng.permutation(list(values)).tolist():
        if all(abs(values[o] - values[other]) >= least for other in kept):
            kept.append(o)
    return kept


def _sides(view: _View, rng: np.random.Generator) -> Draft | None:
    if len(view.singles) < 3:
        return None
    here, there, *others = (view.singles[i] for i in rng.permutation(len(view.singles)))
    bearings = view.graph.bearings[here]
    left = {o: float((bearings[o] - bearings[there] + 180) % 360 - 180) for o in others}  # degrees
    things = _pick(rng, [o for o in others if CLEAR_ANGLE < left[o] % 90 < 90 - CLEAR_ANGLE], least=1)
    if things is None:
        return None
    names = ", ".join(view.names[o] for o in things)
    sides = ", ".join(
        f"{'front' if abs(left[o]) < 90 else 'back'}-{'left' if left[o] > 0 else 'right'}" for o in things
    )
    question = f"I stand by the {view.names[here]} and face the {view.names[there]}. On which side are these: {names}?"
    return question, sides


def _letters(view: _View, rng: np.random.Generator) -> Draft | None:
    pools = [*SIDES, sorted({view.names[o] for o in view.singles})]
    pool = pools[min(int(rng.integers(2 * len(SIDES))), len(SIDES))]  # names of things half of the time
    options = [pool[i] for i in rng.permutation(len(pool))[: len(LETTERS)]]
    if len(options) < 2:
        return None
    asked = rng.permutation(len(options))[: int(rng.integers(1, len(options) + 1))].tolist()
    names, letters = ", ".join(options[i] for i in asked), ", ".join(LETTERS[i] for i in asked)
    form = int(rng.integers(4))
    if form == 0:
        return f"{_lettered(options)}\nWhich letters stand for these: {names}?", letters
    if form == 1:
        return f"{_lettered(options)}\nWhat do these letters stand for: {letters}?", names
    return f"{_lettered(options)}\nWhich letter stands for {options[asked[0]]}?\n{LETTER_PLEASE}", LETTERS[asked[0]]


def _choices(view: _View, rng: np.random.Generator) -> Draft | None:
    frame = int(rng.integers(view.total))
    shown = [o for o in view.singles if view.seen[frame, o]]
    hidden = [o for o in view.singles if not view.seen[frame, o]]
    count = min(int(rng.integers(2, len(LETTERS) + 1)), len(hidden) + 1)
    if not shown or count < 2:
        return None
    right = shown[int(rng.integers(len(shown)))]
    options = [hidden[i] for i in rng.permutation(len(hidden))[: count - 1]]
    place = int(rng.integers(count))
    options.insert(place, right)
    question = f"Which of these can be seen in frame {frame + 1} of {view.total}?"
    listed = _lettered([view.names[o] for o in options])
    return f"{question}\n{listed}\n{LETTER_PLEASE}", LETTERS[place]


def _lettered(options: Sequence[str]) -> str:
    return "\n".join(["Options:", *(f"{letter}. {text}" for letter, text in zip(LETTERS, options, strict=False))])


KINDS: Mapping[str, Callable[[_View, np.random.Generator], Draft | None]] = {
    "frame_objects": _frame_objects,
    "frame_distances": _frame_distances,
    "places": _places,
    "counts": _counts,
    "first_frames": _first_frames,
    "camera_path": _camera_path,
    "sizes": _sizes,
    "distances": _distances,
    "orders": _orders,
    "nearest_first": _nearest_first,
    "sides": _sides,
    "letters": _letters,
    "choices": _choices,
}
"""Kinds of descriptions; the last two are about options and their letters."""
