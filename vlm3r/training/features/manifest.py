"""What a feature store was made with, and what a model and its recipe expect of one."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from cut3r import CUT3RConfig

from vlm3r.checkpoints.files import read_json
from vlm3r.errors import UserError
from vlm3r.files import write_text
from vlm3r.model import VLM3RConfig
from vlm3r.training.settings import parse_settings, settings_record

Part = Literal["geometry", "vision"]
StoredType = Literal["bfloat16", "float32"]

PARTS: tuple[Part, ...] = get_args(Part)
TENSORS: Mapping[Part, tuple[str, ...]] = {
    "geometry": ("camera_tokens", "patch_tokens"),
    "vision": ("vision_tokens",),
}
"""Stored tensors by the part that computes them, under their names as arguments of the model."""
WEIGHTS: Mapping[Part, str] = {"geometry": "geometry_encoder.", "vision": "vision_tower."}
"""Prefixes of the parts' weights in the model."""
BYTES: Mapping[StoredType, int] = {"bfloat16": 2, "float32": 4}

MANIFEST = "manifest.json"
FORMAT = 1


@dataclass(frozen=True)
class Expectation:
    """Everything that decides the features of a video beside the video itself."""

    weights: dict[str, str]
    """Part to the hash of its encoder's weights, for the parts that there are."""
    num_frames: int
    """Frames taken from each video, at most."""
    video_fps: float
    """Frames a second that are aimed at where fewer frames come of it."""
    force_sample: bool
    """Whether every video gives exactly `num_frames` frames."""
    frame_size: int
    """Side in pixels of the frames that the visual encoder reads."""
    geometry_size: int
    """Side in pixels to which those frames are resized for the geometry encoder."""
    pixel_transform: str
    """How uint8 frames become the encoder's input: resampling, scale, mean and deviation."""

    def first_difference(self, other: Expectation) -> tuple[str, object, object] | None:
        """The first field in which the two differ, with both values; parts that one of them lacks do not count."""
        shared = [part for part in PARTS if part in self.weights and part in other.weights]
        for part in shared:
            if self.weights[part] != other.weights[part]:
                return f"weights of the {part} encoder", self.weights[part], other.weights[part]
        for field in dataclasses.fields(self):
            if field.name == "weights" or (field.name == "geometry_size" and "geometry" not in shared):
                continue
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs:
                return field.name, mine, theirs
        return None


@dataclass(frozen=True)
class Manifest:
    """What all features of a store have in common; stands in its `manifest.json`."""

    made_with: Expectation
    """Weights, frame sampling and sizes."""
    dtype: StoredType
    """Number format in which features are stored."""
    computed_in: str
    """Number format in which the encoders ran."""
    code_version: str
    """Version of this package that began the store."""
    format: int = FORMAT
    """Version of the store's layout."""

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"format is {self.format}; this version of the package reads {FORMAT}")
        if unknown := set(self.made_with.weights) - set(PARTS):
            raise ValueError(f"unknown part {min(unknown)!r}: expected {' or '.join(PARTS)}")

    @property
    def parts(self) -> tuple[Part, ...]:
        """The parts whose features the store may hold."""
        return tuple(part for part in PARTS if part in self.made_with.weights)

    def key(self, part: Part, content: str, frame_indices: Iterable[int]) -> str:
        """Name under which one part's features of a video are stored: a hash of everything that decides them.

        Args:
            part: geometry or vision.
            content: hash of the video's bytes.
            frame_indices: numbers of the frames that were encoded.
        """
        made = self.made_with
        sizes = [made.frame_size, made.pixel_transform, *([made.geometry_size] if part == "geometry" else [])]
        text = repr([part, made.weights[part], sizes, self.dtype, content, list(frame_indices)])
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()

    def require(self, expect: Expectation, folder: Path) -> None:
        """Raise `UserError` naming the first field in which the store is not as expected."""
        found = expect.first_difference(self.made_with)
        if found is not None:
            name, wanted, stored = found
            raise UserError(
                f"{folder}: its features were made with another {name}: {stored} there, {wanted} here; extract into a "
                "new folder with `vlm3r features extract`, or change the recipe or checkpoint"
            )

    def write(self, folder: Path) -> None:
        """Write `manifest.json` in one step."""
        write_text(folder / MANIFEST, json.dumps(settings_record(self), indent=2) + "\n")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a store.

    Raises:
        UserError: the folder holds no store, or the manifest is damaged or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: no feature store (no {MANIFEST} in it); make one with `vlm3r features extract`")
    return parse_settings(Manifest, read_json(path), str(path))


def bytes_per_video(
    config: VLM3RConfig,
    frames: int,
    parts: Collection[Part] = ("geometry",),
    dtype: StoredType = "bfloat16",
) -> int:
    """Bytes that the features of one video of `frames` frames take in a store, headers not counted."""
    numbers = 0
    if "geometry" in parts and config.geometry == "cut3r":
        encoder = CUT3RConfig.from_dict(config.geometry_config or {})
        patches = (config.geometry_image_size // encoder.patch_size) ** 2
        numbers += (patches + 1) * encoder.dec_embed_dim
    if "vision" in parts:
        numbers += config.layout.grid_side**2 * config.siglip.hidden_size
    return frames * numbers * BYTES[dtype]
