"""Choices that move scores, by name: how frames are taken, what prompts say, how visual tokens are pooled.

The published demo, training and benchmark make these choices differently, and a checkpoint states some of them. A
preset makes all of them at once; options that are given win over it, and the run's record says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from vlm3r.processing.prompts import PLACEHOLDER, TimeStyle
from vlm3r.processing.sampling import Strategy

PresetName = Literal["native", "published-eval", "published-eval-decord", "published-train", "published-demo"]
LONGEST = 16
"""Tokens of an answer at most, as the published tasks say."""


@dataclass(frozen=True)
class Choices:
    """What decides prompts and frames; None leaves a choice to the checkpoint."""

    strategy: Strategy | None = None
    """How frames are chosen; None is `fps`, as training and demo do (see `FrameSampling`)."""
    num_frames: int | None = None
    """Frames of a video."""
    force_sample: bool | None = None
    """Whether a short video gives as many frames, too."""
    decoder: str = "auto"
    """Video decoder."""
    add_time_instruction: bool | None = None
    """Whether prompts state how long the video is and when its frames were taken."""
    time_style: TimeStyle = "demo"
    """How that sentence stands in the prompt: as in the demo, or as in training, with a blank line after it."""
    pool_mode: str | None = None
    """2x2 pooling of a frame's tokens."""
    newline_position: str | None = None
    """Where newline tokens stand."""
    max_new_tokens: int = LONGEST
    """Longest answer in tokens."""

    def overrides(self) -> dict[str, Any]:
        """The choices that `vlm3r.load` takes as `config_overrides`."""
        names = ("num_frames", "force_sample", "add_time_instruction", "pool_mode", "newline_position")
        return {name: getattr(self, name) for name in names if getattr(self, name) is not None}


EVAL = Choices("eval_pyav", 32, True, "pyav", False, "demo", "bilinear", "grid")
TRAIN = Choices("fps", 32, True, "auto", True, "training", "bilinear", "grid")
PRESETS: Mapping[PresetName, Choices] = {
    "native": Choices(),
    "published-eval": EVAL,
    "published-eval-decord": replace(EVAL, strategy="uniform", decoder="decord"),
    "published-train": TRAIN,
    "published-demo": Choices("fps", 32, None, "auto", True, "demo", "average", "grid"),
}
"""`native`: what the checkpoint says. `published-eval`: the published benchmark's wrapper with its default reader of
videos, `-decord` with the other. `published-train`, `published-demo`: what the model sees in training, in the demo."""


def choose(preset: PresetName, given: Mapping[str, Any]) -> tuple[Choices, dict[str, Any]]:
    """A preset with the options that were given in its place, and a record of both.

    Args:
        preset: a name in `PRESETS`.
        given: fields of `Choices`; None is not given.
    """
    chosen = PRESETS[preset]
    named = {name: value for name, value in given.items() if value is not None}
    changed = {name: value for name, value in named.items() if asdict(chosen)[name] != value}
    return replace(chosen, **named), {"name": preset, "changed": changed}


def worded(text: str, style: TimeStyle) -> str:
    """A question about a video with a time sentence, such that the processor's `demo` wording becomes that of a style.

    The published training deletes `<image>` from "<image>, newline, question" and puts placeholder and sentence before
    what is left; the demo drops that newline. One more newline therefore brings it back.
    """
    return f"{PLACEHOLDER}\n\n{text}" if style == "training" else text
