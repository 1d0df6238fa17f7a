"""The recipe of a run that trains CUT3R on scene folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cut3r.config import CUT3RConfig
from cut3r.train import TrainConfig

from vlm3r.training.settings import SEEDS, read_settings


@dataclass(frozen=True)
class GeometryData:
    """What is learnt from."""

    scenes: tuple[Path, ...] = ()
    """Folders of scenes, as `vlm3r scenes generate` writes them."""
    cache: Path = Path("outputs/geometry-cache")
    """Folder for the decoded and resized sequences, about 3 MB a scene of 32 frames."""
    picture_size: int = 384
    """Side in pixels to which pictures are resized first: that of VLM-3R's image processor, from which its geometry
    encoder's input is made."""
    workers: int | None = None
    """Processes that fill the cache; null takes one per core."""

    def __post_init__(self) -> None:
        if not self.scenes:
            raise ValueError("scenes needs at least one folder of scenes")
        if self.picture_size < 1 or (self.workers is not None and self.workers < 1):
            raise ValueError("picture_size and workers must be at least 1")


@dataclass(frozen=True)
class GeometryRecipe:
    """A training run of CUT3R."""

    data: GeometryData
    """What is learnt from."""
    encoder: CUT3RConfig = field(default_factory=CUT3RConfig)
    """Sizes of the model; ignored where `start` is given."""
    start: str | None = None
    """CUT3R file, folder or hub id whose weights training starts from; null starts from random ones."""
    training: TrainConfig = field(default_factory=TrainConfig)
    """Steps, optimiser, losses, augmentation."""
    out: Path = Path("outputs/geometry")
    """Folder of the run; one that was cut off continues. The result is its subfolder `model`."""
    device: str = "auto"
    """auto, cpu, cuda, cuda:N or mps."""

    def __post_init__(self) -> None:
        if not 0 <= self.training.seed < SEEDS:
            raise ValueError("training.seed must be 0 or more and below 2^32")


def read_geometry_recipe(path: str | Path, overrides: Sequence[str] = ()) -> GeometryRecipe:
    """The recipe in a YAML file, after `a.b=value` overrides.

    Raises:
        UserError: see `read_settings`.
    """
    return read_settings(GeometryRecipe, path, overrides)
