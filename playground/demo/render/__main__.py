"""Render the demo video: `python -m render --out room_walk.mp4`, run from the folder that holds this package.

A development tool, not part of the installed package. It needs numpy, scipy, av, moderngl and embreex from PyPI, and
the system's OpenGL libraries (Debian: libegl1 libgl1 libgl1-mesa-dri); no graphics card.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from .bake import LightBaker
from .camera import clearance, turning_speed, walk
from .geometry import Array
from .mesh import room_mesh
from .output import check_poses, check_video, write_sidecar, write_video
from .renderer import Intrinsics, Renderer
from .room import Room, demo_room
from .textures import texture_stack

FOCAL_SHARE = 0.6875  # focal length over width: a horizontal field of view of 72 degrees
MIN_CLEARANCE = 0.35  # metres
MAX_TURN = 45.0  # degrees per second


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="render", description="Render the demo walk and its sidecar.")
    parser.add_argument("--out", type=Path, default=Path("room_walk.mp4"), help="video; the sidecar goes beside it")
    parser.add_argument("--width", type=int, default=640, help="even number of pixels")
    parser.add_argument("--height", type=int, default=480, help="even number of pixels")
    parser.add_argument("--fps", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--seed", type=int, default=0, help="seed of textures, books, leaves and light samples")
    parser.add_argument("--draft", action="store_true", help="noisier light and no supersampling, for a quick look")
    return parser.parse_args()


def make_renderer(room: Room, camera: Intrinsics, seed: int, draft: bool) -> Renderer:
    """A renderer of the room with its light baked."""
    textures = texture_stack(seed)
    mesh = room_mesh(room)
    baker = LightBaker(mesh, room, textures, seed)
    irradiance = baker.irradiance(12, 48) if draft else baker.irradiance()
    return Renderer(mesh, room, irradiance, textures, camera, supersample=1 if draft else 2)


def checked_walk(room: Room, frames: int, fps: int) -> Array:
    """Poses of the walk; stops when it comes too close to something or turns too fast."""
    poses = walk(frames, fps)
    gap, turn = clearance(poses, room), float(turning_speed(poses, fps).max())
    print(f"{frames} frames, clearance {gap:.2f} m, fastest turn {turn:.1f} degrees/s")
    if gap < MIN_CLEARANCE or turn > MAX_TURN:
        sys.exit(f"the walk needs a clearance of {MIN_CLEARANCE} m and at most {MAX_TURN} degrees/s")
    return poses


def rendered(renderer: Renderer, poses: Array) -> Iterator[Array]:
    """The pictures along the walk, with a line of progress now and then."""
    start = time.perf_counter()
    for number, pose in enumerate(poses, start=1):
        yield renderer.frame(pose)
        if number % 48 == 0 or number == len(poses):
            print(f"frame {number}/{len(poses)}, {(time.perf_counter() - start) / number:.2f} s each", flush=True)


def main() -> None:
    """Bake, render, encode, write the sidecar, and check both files."""
    options = parse_arguments()
    focal = FOCAL_SHARE * options.width
    camera = Intrinsics(options.width, options.height, focal, focal, options.width / 2, options.height / 2)
    room = demo_room(options.seed)
    poses = checked_walk(room, round(options.fps * options.seconds), options.fps)
    renderer = make_renderer(room, camera, options.seed, options.draft)
    sidecar = options.out.with_suffix(".json")
    write_video(options.out, rendered(renderer, poses), camera, options.fps)
    write_sidecar(sidecar, options.out.name, room, camera, poses, options.fps)
    problems = check_video(options.out, sidecar)
    for name, (frames, most, share) in check_poses(sidecar, renderer).items():
        print(f"{name}: in {frames} of the sampled frames, at most {most} pixels, {share:.1%} inside its box")
        if most == 0 or share < 0.99:
            problems.append(f"{name}: never seen, or its pixels lie outside its box")
    sys.exit("\n".join(problems) if problems else 0)


if __name__ == "__main__":
    main()
