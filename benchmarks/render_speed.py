#!/usr/bin/env python
"""Seconds to light a furnished home and to draw a frame of it, by preset and back end.

    python benchmarks/render_speed.py --homes 3 --frames 10 --presets fast standard

Homes are those of seeds 0, 1, ...; frames look around from the middle of their largest rooms. Figures are medians, CPU
seconds beside elapsed ones for a machine that others use too; the first home of each preset also paints the textures,
which later homes share, and is not counted.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections import defaultdict
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import numpy as np
import shapely

from vlm3r.scenes.schema import Intrinsics
from vlm3r.scenes.synthetic.home import Unfurnishable, make_home
from vlm3r.scenes.synthetic.render import PRESETS, OpenGLMissing, open_renderer
from vlm3r.scenes.synthetic.shapes import Array
from vlm3r.scenes.synthetic.stage import set_stage
from vlm3r.scenes.synthetic.walk import look_pose
from vlm3r.scenes.synthetic.world import World

EYE_HEIGHT = 1.5


@dataclass
class Clock:
    """Elapsed and CPU seconds of what runs inside it."""

    elapsed: float = 0.0
    cpu: float = 0.0

    def __enter__(self) -> Clock:
        self.elapsed, self.cpu = -time.perf_counter(), -time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.elapsed += time.perf_counter()
        self.cpu += time.process_time()


def homes(number: int) -> list[World]:
    """The first furnished homes by seed."""
    found: list[World] = []
    for seed in count():
        if len(found) == number:
            return found
        try:
            found.append(make_home((seed,)).world)
        except Unfurnishable:
            continue
    raise AssertionError("seeds do not end")


def looking_around(world: World, frames: int) -> list[Array]:
    """Poses that turn once, in the middle of the largest room."""
    outline = max((shapely.Polygon(room.polygon) for room in world.rooms), key=lambda polygon: polygon.area)
    eye = np.array([*outline.representative_point().coords[0], EYE_HEIGHT])
    return [look_pose(eye, yaw, -0.15) for yaw in np.linspace(0, 2 * np.pi, frames, endpoint=False)]


def measure(worlds: list[World], preset: str, backends: list[str], frames: int) -> dict[str, dict[str, float]]:
    """Figures by line of the table: one for the light, one a back end."""
    settings = PRESETS[preset]
    focal = 0.6875 * settings.width
    camera = Intrinsics(settings.width, settings.height, focal, focal, settings.width / 2, settings.height / 2)
    set_stage(worlds[0], settings, 0)
    clocks: dict[str, list[Clock]] = defaultdict(list)
    for world in worlds:
        with Clock() as clock:
            set_stage(world, settings, 0)
        clocks["light"].append(clock)
        for backend in backends:
            try:
                renderer = open_renderer(world, camera, settings, 0, backend)
            except OpenGLMissing as error:
                print(error, file=sys.stderr)
                continue
            poses = looking_around(world, frames)
            renderer.capture(poses[0])
            for pose in poses:
                with Clock() as clock:
                    renderer.capture(pose)
                clocks[backend].append(clock)
            renderer.close()
    return {
        name: {
            "seconds": round(statistics.median(c.elapsed for c in entries), 4),
            "cpu_seconds": round(statistics.median(c.cpu for c in entries), 4),
        }
        for name, entries in clocks.items()
    }


def main() -> None:
    """Print the table, and write it as JSON if asked."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--homes", type=int, default=3)
    parser.add_argument("--frames", type=int, default=10, help="per home and back end")
    parser.add_argument("--presets", nargs="+", choices=list(PRESETS), default=["fast", "standard"])
    parser.add_argument("--backends", nargs="+", choices=["opengl", "raycast"], default=["opengl", "raycast"])
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    args = parser.parse_args()
    worlds = homes(args.homes)
    objects, area = (
        statistics.median(values) for values in zip(*((len(w.objects), w.area) for w in worlds), strict=True)
    )
    print(f"{len(worlds)} homes of {objects:.0f} objects and {area:.0f} m2 (medians)")
    figures = {}
    for preset in args.presets:
        size = f"{PRESETS[preset].width}x{PRESETS[preset].height}"
        figures[preset] = measure(worlds, preset, args.backends, args.frames)
        for name, line in figures[preset].items():
            what = "light, per home" if name == "light" else f"frame, {name}"
            print(f"{preset:9} {size:8} {what:16} {line['seconds']:8.3f} s  {line['cpu_seconds']:8.3f} CPU s")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
