"""A home from a seed: its plan, its furniture, its shell and its light, put together as one world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .lighting import add_lights
from .openings import cut_openings
from .placement import furnish
from .plan import FloorPlan, draw_plan
from .shell import build_shell
from .world import Unfurnishable, World

__all__ = ["Home", "Unfurnishable", "make_home"]


@dataclass(frozen=True)
class Home:
    """A furnished home and the plan behind it."""

    plan: FloorPlan
    world: World


def make_home(seed: Sequence[int]) -> Home:
    """The home that belongs to a seed.

    Raises:
        Unfurnishable: this seed's home breaks a rule (rooms too narrow, too few objects); try another one.
    """
    plan, fittings = cut_openings(draw_plan(np.random.default_rng([*seed, 10])), np.random.default_rng([*seed, 11]))
    items = furnish(plan, fittings, np.random.default_rng([*seed, 12]))
    world = World(rooms=list(plan.rooms), passages=list(plan.passages), height=plan.height)
    for item in items:
        world.add(item.kind.category, item.solid, item.at, item.yaw, item.kind.blocks_walking, item.support)
    build_shell(world, plan, np.random.default_rng([*seed, 13]))
    add_lights(world, plan, items, np.random.default_rng([*seed, 14]))
    return Home(plan, world)
