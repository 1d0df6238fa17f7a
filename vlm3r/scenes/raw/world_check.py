"""Whether a scene's world has z up and a level floor, from its poses and boxes alone."""

from __future__ import annotations

import numpy as np

from vlm3r.scenes.raw.faults import PREPARE, Fault
from vlm3r.scenes.schema import Array, Scene

LEVEL = 10.0
"""Degrees by which the up direction of poses, or of boxes, may differ from z; hands hold cameras to about 5."""
STEADY = 0.03
"""Mean squared share of up in the cameras' sideways axes below which they tell where up is."""
SPREAD = 0.1
"""Mean squared share of any other direction in those axes, without which several directions could be up."""
LEAST_CAMERAS = 5
LEAST_BOXES = 5
SIDEWAYS = 0.35
"""Share of up that must lie in the picture for it to say how the picture is turned; less where a camera looks down."""
MOST = 0.6
"""Share of frames, or boxes, that must agree."""
PARALLEL = 5.0
"""Degrees within which axes of boxes count as one direction."""
AROUND = 2.0
"""Metres around all boxes in which cameras may be."""
LOST = 0.5
"""Share of frames without pose above which tracking has failed."""
UNDER = 0.5
"""Metres that an object may reach below the floor."""
UPRIGHT = 0
TURNS = ("", "90 degrees clockwise", "180 degrees", "90 degrees counter-clockwise")


def check_world(scene: Scene) -> list[Fault]:
    """What is wrong with directions and positions; nothing where poses and boxes are too few to tell."""
    poses = np.array([frame.pose for frame in scene.frames if frame.pose is not None], float).reshape(-1, 4, 4)
    faults = _lost(len(scene.frames), len(poses))
    direction = _tilted_cameras(poses) or _turned(poses)  # in a tilted world, up is not up in pictures either
    if direction is not None:
        faults.append(direction)
    return [*faults, *_tilted_boxes(scene), *_misplaced(scene, poses)]


def _lost(frames: int, poses: int) -> list[Fault]:
    if not frames:
        return [Fault("frames", "no frames are recorded", f"{PREPARE}; its questions about cameras need them", False)]
    if poses == 0:
        return [Fault("frames", "no frame has a pose", "look at its trajectory file; download the scan again")]
    if frames - poses > LOST * frames:
        text = f"{frames - poses} of {frames} frames have no pose"
        return [Fault("frames", text, "nothing, if tracking was lost there; else download the scan again", False)]
    return []


def _tilted_cameras(poses: Array) -> Fault | None:
    """Up is what all cameras' sideways axes are square to: x of upright pictures, y of those turned by a quarter."""
    if len(poses) < LEAST_CAMERAS:
        return None
    best: tuple[float, Array] | None = None
    for axis in (0, 1):
        sideways = poses[:, :3, axis]
        values, vectors = np.linalg.eigh(sideways.T @ sideways / len(sideways))
        if values[0] < STEADY and values[1] > SPREAD and (best is None or values[0] < best[0]):
            best = (float(values[0]), vectors[:, 0])
    if best is None:
        return None
    angle = float(np.degrees(np.arccos(min(1.0, abs(best[1][2])))))
    if angle <= LEVEL:
        return None
    text = f"the cameras' up direction is {angle:.0f} degrees from z, so that the floor is not horizontal"
    return Fault("unaligned", text, "apply the scan's axis alignment to its poses (ScanNet: axisAlignment)")


def _turned(poses: Array) -> Fault | None:
    """How pictures are turned, by where the world's up lies in them."""
    right, down = poses[:, 2, 0], poses[:, 2, 1]  # share of up along the picture's x and y
    telling = np.hypot(right, down) > SIDEWAYS
    if telling.sum() < LEAST_CAMERAS:
        return None
    angles = np.degrees(np.arctan2(right[telling], -down[telling]))  # 0 where up is up, 90 where it points right
    quarters = np.rint(angles / 90).astype(int) % 4
    counts = np.bincount(quarters, minlength=4)
    most = int(counts.argmax())
    if most == UPRIGHT or counts[most] < MOST * len(quarters) or not _level(angles, most):
        return None
    text = f"pictures lie turned by {TURNS[most]}: up is not up in {counts[most]} of {len(quarters)} frames"
    return Fault("rotated", text, f"{PREPARE}, upright: turn pictures, depth, masks, poses and intrinsics together")


def _level(angles: Array, quarter: int) -> bool:
    """Whether the middle of the angles is a quarter turn, and not the tilt of a world without alignment."""
    rest = (angles - 90 * quarter + 180) % 360 - 180
    return abs(float(np.median(rest))) <= 2 * LEVEL


def _tilted_boxes(scene: Scene) -> list[Fault]:
    """Boxes that stand on a floor share an upright axis; where most share another one, the world is tilted."""
    axes = np.array([thing.box.axes for thing in scene.objects], float).reshape(-1, 3, 3)
    if len(axes) < LEAST_BOXES:
        return []
    limit = np.cos(np.radians(PARALLEL))
    candidates = np.concatenate([axes.reshape(-1, 3), [[0.0, 0.0, 1.0]]])
    sharing = (np.abs(axes @ candidates.T) > limit).any(1).mean(0)  # (candidate,) share of boxes with such an axis
    best = int(sharing.argmax())
    if sharing[best] < MOST or sharing[-1] >= sharing[best] / 2:
        return []
    mates = (np.abs(axes @ candidates[best]) > limit).any(1)
    angle = float(np.degrees(np.arccos(min(1.0, np.abs(axes[mates] @ [0.0, 0.0, 1.0]).max(1).mean()))))
    text = f"{mates.sum()} of {len(axes)} boxes share a direction, but none is upright ({angle:.0f} degrees off)"
    return [Fault("unaligned", text, "apply the scan's axis alignment to its mesh and boxes (ScanNet: axisAlignment)")]


def _misplaced(scene: Scene, poses: Array) -> list[Fault]:
    if not scene.objects:
        return []
    corners = np.array([thing.box.corners for thing in scene.objects])  # (object, 8, 3)
    faults = []
    bottoms = corners[:, :, 2].min(1)
    floor = float(np.quantile(bottoms, 0.25))
    sunk = [thing for thing, low in zip(scene.objects, bottoms, strict=True) if low < floor - UNDER - 0.1]
    if sunk and len(scene.objects) >= LEAST_BOXES:
        names = ", ".join(f"{thing.category} {thing.instance_id}" for thing in sunk[:3])
        text = f"{len(sunk)} of {len(scene.objects)} objects reach {UNDER:g} m or more below the floor, such as {names}"
        faults.append(Fault("misplaced", text, "look at its contact sheet; leave these objects out if they are wrong"))
    if not len(poses):
        return faults
    centres = poses[:, :3, 3]
    known = [corners.reshape(-1, 3)]
    known += [np.array([(x, y, floor) for x, y in outline.polygon]) for outline in scene.room.outlines]
    low, high = np.concatenate(known).min(0) - AROUND, np.concatenate(known).max(0) + AROUND
    outside = ((centres[:, :2] < low[:2]) | (centres[:, :2] > high[:2])).any(1)
    if outside.mean() > 1 - MOST:
        text = f"{outside.sum()} of {len(centres)} cameras are {AROUND:g} m or more outside all boxes of the room"
        faults.append(Fault("misplaced", text, "use poses and boxes of one coordinate system, in metres"))
    height = float(np.median(centres[:, 2])) - floor
    if not 0 < height < high[2] - floor:
        text = f"the cameras are {abs(height):.1f} m {'below' if height < 0 else 'above'} the floor"
        faults.append(Fault("misplaced", text, "turn z up, or use the axis alignment for poses and boxes alike"))
    return faults
