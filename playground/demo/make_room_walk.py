"""Makes the demo video, its annotations and three pictures of it with the package's own generator of rooms.

python playground/demo/make_room_walk.py            # make them
python playground/demo/make_room_walk.py --search 200   # look for homes in which the demo question has an answer
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from vlm3r.files import replacing
from vlm3r.processing.video import iterate_frames
from vlm3r.scenes.schema import Scene
from vlm3r.scenes.storage import read_scene, write_scene
from vlm3r.scenes.synthetic.generate import RoomTask, make_scene
from vlm3r.scenes.synthetic.ground import NoWay
from vlm3r.scenes.synthetic.home import Unfurnishable, make_home
from vlm3r.scenes.synthetic.settings import SceneSettings
from vlm3r.scenes.synthetic.walk import WalkSettings, draw_walk

FOLDER = Path(__file__).resolve().parent
VIDEO = FOLDER / "room_walk.mp4"
SEED, INDEX = 0, 223
SETTINGS = SceneSettings(quality="best", fps=24, walk=WalkSettings(pitch=(-20.0, -11.0), pause=2.0))
"""Shorter stops, and a gaze a little lower than usual because the stool is."""
STAND, FACE, FIND = "stool", "stove", "sofa"
"""The question: standing by the first and facing the second, where is the third?"""
NEAREST, FARTHEST, MARGIN = 0.6, 5.0, 15.0
"""Metres between each two of the three, and degrees between the answer and the next sector at least."""
PICTURES = (0.1, 0.5, 0.9)
"""Moments of the video that become pictures, as shares of its length."""


@dataclass(frozen=True)
class Thing:
    """What the question needs of an object: the middle and the corners of its box seen from above."""

    middle: np.ndarray
    corners: np.ndarray


def answer(things: dict[str, list[Thing]]) -> tuple[str, float] | None:
    """The answer and its angle in degrees, counter-clockwise from straight ahead; None where it is unclear."""
    if any(len(things.get(name, [])) != 1 for name in (STAND, FACE, FIND)):
        return None
    here, ahead, target = (things[name][0] for name in (STAND, FACE, FIND))
    gaps = [np.linalg.norm(a.middle - b.middle) for a, b in ((here, ahead), (here, target), (ahead, target))]
    if min(gaps) < NEAREST or max(gaps) > FARTHEST:
        return None
    forward = ahead.middle - here.middle

    def angles(points: np.ndarray) -> np.ndarray:
        offset = points - here.middle
        turn = np.arctan2(forward[0] * offset[:, 1] - forward[1] * offset[:, 0], offset @ forward)
        return np.degrees(turn) % 360

    middle = float(angles(target.middle[None])[0])
    words = [_word(float(angle)) for angle in angles(target.corners)]
    if min(abs((middle - border + 180) % 360 - 180) for border in (0, 135, 225)) < MARGIN:
        return None
    return (_word(middle), middle) if words.count(_word(middle)) == len(words) else None


def _word(angle: float) -> str:
    return "left" if angle < 135 else "back" if angle < 225 else "right"


def search(count: int) -> None:
    """Print the homes of `SEED` in which the question can be answered, with how well a walk shows them."""
    for index in range(count):
        for attempt in range(SETTINGS.attempts):
            try:
                home = make_home((SEED, index, attempt))
                rng = np.random.default_rng([SEED, index, attempt, 1])
                walk = draw_walk(home.world, rng, SETTINGS.frame_rate, SETTINGS.walk)
            except (Unfurnishable, NoWay):
                continue
            break
        else:
            continue
        things: dict[str, list[Thing]] = {}
        for thing in home.world.objects:
            corners = np.array(thing.footprint.exterior.coords)[:-1]
            things.setdefault(thing.category, []).append(Thing(np.asarray(thing.centre[:2]), corners))
        if (found := answer(things)) is not None:
            uses = "+".join(room.use for room in home.world.rooms)
            print(f"index {index}: {found[0]} ({found[1]:.0f} degrees), {uses}, {len(home.world.objects)} objects, "
                  f"{walk.times[-1]:.0f} s", flush=True)  # fmt: skip


def things_of(scene: Scene) -> dict[str, list[Thing]]:
    """The objects of a scene by category."""
    things: dict[str, list[Thing]] = {}
    for thing in scene.objects:
        things.setdefault(thing.category, []).append(Thing(thing.box.centre[:2], thing.box.corners[:, :2]))
    return things


def main() -> None:
    """Make the demo, or search for a home that suits it."""
    parser = argparse.ArgumentParser(description="Make the demo video.")
    parser.add_argument("--search", type=int, default=0, help="only list suitable homes among the first N")
    options = parser.parse_args()
    if options.search:
        search(options.search)
        return
    with tempfile.TemporaryDirectory() as folder:
        task = RoomTask(Path(folder), SEED, INDEX, SETTINGS)
        make_scene(task)
        scene = read_scene(task.folder / "scene.json")
        frames = tuple(replace(frame, depth=None, mask=None) for frame in scene.frames)
        scene = replace(scene, scene_id="room_walk", video=VIDEO.name, frames=frames)
        with replacing(VIDEO) as building:
            shutil.copyfile(task.folder / "video.mp4", building)
    write_scene(scene, VIDEO.with_suffix(".json"))
    wanted = {round(share * (len(scene.frames) - 1)): number for number, share in enumerate(PICTURES, start=1)}
    for frame in iterate_frames(VIDEO):
        if frame.index in wanted:
            picture = np.asarray(frame.image)
            Image.fromarray(picture).save(FOLDER / "room_images" / f"{wanted[frame.index]}.jpg", quality=90)
    print(f"{VIDEO}: {VIDEO.stat().st_size / 1e6:.1f} MB, {len(scene.frames)} frames, {len(scene.objects)} objects")
    print(f"by the {STAND}, facing the {FACE}: the {FIND} is {answer(things_of(scene))}")


if __name__ == "__main__":
    main()
