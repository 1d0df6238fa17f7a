"""What counts as a walk that a question may describe."""

from __future__ import annotations

from dataclasses import dataclass

from vlm3r.errors import UserError


@dataclass(frozen=True)
class RouteRules:
    """Lengths in metres, angles in degrees; turns are counter-clockwise positive."""

    cell: float = 0.05
    """Edge of a cell of the occupancy grid."""
    radius: float = 0.2
    """Of the person that walks."""
    lowest: float = 0.1
    """What ends below this height above the floor can be stepped over."""
    highest: float = 1.5
    """What begins above this height is no obstacle."""
    reach: float = 0.4
    """One stands at an object within this distance of its box in plan, on its side of the wall."""
    passable: frozenset[str] = frozenset({"door", "door frame", "doorframe", "doorway", "floor", "ceiling", "wall"})
    """Categories that never block."""
    doors: frozenset[str] = frozenset({"door", "door frame", "doorframe", "doorway"})
    """Categories whose boxes bridge the wall between two outlines."""
    hanging: float = 1.8
    """What begins above this height is no landmark."""
    landmark_gap: float = 0.5
    """Least distance in plan between any two objects that a question names."""
    least_leg: float = 1.0
    longest_leg: float = 6.0
    most_legs: int = 4
    most_blanks: int = 3
    least_turn: float = 45.0
    """A smaller turn is none; routes with such joints are rejected."""
    back: float = 135.0
    """A larger turn is `Turn Back`."""
    margin: float = 10.0
    """Least distance of a turn from both of these."""
    fan: float = 5.0
    """Step of the headings tried in the search for other readings."""
    end: float = 0.5
    """A walk that ends within this distance of the goal's box has reached it."""
    most_detour: float = 1.5
    """Greatest ratio of a route's length to the shortest walk between its ends."""
    largest: float = 40.0
    """Scenes that extend further in x or y are skipped."""

    def __post_init__(self) -> None:
        for name in ("cell", "radius", "reach", "least_leg", "fan", "end"):
            if not getattr(self, name) > 0:
                raise UserError(f"route rules: {name} is {getattr(self, name)}; give a positive number")
        if self.reach < self.radius + 2 * self.cell:
            raise UserError(f"route rules: reach {self.reach} leaves no place to stand; give radius + 2 cells or more")
        if self.end < self.reach:
            raise UserError(f"route rules: end is {self.end}; give at least reach, which is {self.reach}")
        if not 1 <= self.most_blanks <= self.most_legs:
            raise UserError(f"route rules: most_blanks is {self.most_blanks}; give 1 to most_legs ({self.most_legs})")
        if self.most_detour < 1:
            raise UserError(f"route rules: most_detour is {self.most_detour}; give 1 or more")


USUAL = RouteRules()
