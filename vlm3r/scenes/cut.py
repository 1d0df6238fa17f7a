"""Short clips cut from annotated walks: scenes of their own, for learning from one picture before many."""

from __future__ import annotations

import shutil
import zlib
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from vlm3r.errors import UserError
from vlm3r.files import first_line
from vlm3r.processing.video import decode_indices
from vlm3r.scenes.schema import Frame, Scene
from vlm3r.scenes.storage import SCENE_FILE, folder_name, read_scene, write_scene
from vlm3r.scenes.synthetic.pictures import write_video

VIDEO = "video.mp4"
STILL_FPS = 1.0
"""Frames per second where a clip has one frame, or frames without times."""
SLOWEST, FASTEST = 1e-3, 1e3
"""Frames per second that a walk may have."""


@dataclass(frozen=True)
class CutTask:
    """The clips to cut from one scene."""

    scene: Path
    """Its scene file."""
    out: Path
    """Folder that receives one folder per clip."""
    frames: int
    """Frames of a clip, neighbours among those that a model sees of the walk."""
    clips: int
    """Most clips of the scene; each begins at another frame."""
    seed: int
    """Decides where they begin."""


@dataclass(frozen=True)
class Cut:
    """What became of one scene."""

    made: int
    """Clips written."""
    kept: int
    """Clips that were there already."""


def cut_scene(task: CutTask) -> Cut:
    """Cut the clips of a task, apart from those that are there.

    A clip is a scene whose frames are a run of the walk's: its own video, with poses and sightings, without depth and
    masks. Its folder, `<scene's folder>_<first frame>+<frames>`, appears when everything in it is written.

    Raises:
        UserError: the scene has no video, its frames are not numbered as the video's, their times cannot be, or a file
            cannot be written.
    """
    scene = read_scene(task.scene)
    frames = [(frame.position, frame) for frame in scene.seen_frames if frame.position is not None]
    if scene.video is None or len(frames) < len(scene.seen_frames):
        raise UserError(f"{task.scene}: has no video with numbered frames to cut clips from")
    rng = np.random.default_rng([task.seed, zlib.crc32(scene.scene_id.encode())])
    starts = sorted(rng.permutation(max(0, len(frames) - task.frames + 1))[: task.clips].tolist())
    # Not the scene's id, which may be any text: a path that leaves `out`, or the id of another folder's scene.
    origin = folder_name(task.scene)
    clips = {f"{origin}_{start}+{task.frames}": frames[start : start + task.frames] for start in starts}
    missing = {name: shown for name, shown in clips.items() if not (task.out / name / SCENE_FILE).is_file()}
    if missing:
        numbers = sorted({position for shown in missing.values() for position, _ in shown})
        decoded = decode_indices(task.scene.parent / scene.video, numbers).frames
        pictures = dict(zip(numbers, decoded, strict=True))
        for name, shown in missing.items():
            clip = tuple(frame for _, frame in shown)
            _write(scene, task.out / name, clip, _rate(clip, task.scene), [pictures[position] for position, _ in shown])
    return Cut(len(missing), len(clips) - len(missing))


def _write(scene: Scene, folder: Path, frames: tuple[Frame, ...], fps: float, pictures: list[np.ndarray]) -> None:
    clip = replace(
        scene,
        scene_id=folder.name,
        frames=tuple(
            replace(frame, frame_id=i, video_index=None, timestamp=i / fps, image=None, depth=None, mask=None)
            for i, frame in enumerate(frames)
        ),
        sampled=None,
        video=VIDEO,
        source={},
        provenance={**scene.provenance, "cut_from": scene.scene_id, "cut_frames": [f.frame_id for f in frames]},
    )
    building = folder.with_name(f".{folder.name}.incomplete")
    shutil.rmtree(building, ignore_errors=True)
    try:
        building.mkdir(parents=True)
        write_video(building / VIDEO, iter(pictures), fps)
        write_scene(clip, building / SCENE_FILE)
        building.rename(folder)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({first_line(error)}); free some space, or remove what stands there"
        ) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(building)


def _rate(frames: tuple[Frame, ...], scene_file: Path) -> float:
    """Frames per second of a clip.

    Raises:
        UserError: the frames' times are not those of any camera.
    """
    times = [frame.timestamp for frame in frames if frame.timestamp is not None]
    if len(times) < 2 or times[-1] <= times[0]:
        return STILL_FPS
    fps = (len(times) - 1) / (times[-1] - times[0])
    if not SLOWEST <= fps <= FASTEST:
        raise UserError(f"{scene_file}: its timestamps mean {fps:.3g} frames a second; give them in seconds")
    return fps
