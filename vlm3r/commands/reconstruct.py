"""`vlm3r reconstruct`: point cloud, depth maps and camera path of a video, from CUT3R alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cut3r import CUT3R, CheckpointError
from numpy.typing import NDArray
from tqdm import tqdm

from vlm3r.checkpoints.files import read_json
from vlm3r.checkpoints.loading import EMBEDDED_MODEL, default_cut3r, read_checkpoint, resolve_device
from vlm3r.commands.console import say, stage
from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig
from vlm3r.processing.video import iterate_frames, probe
from vlm3r.reconstruct import ReconstructOptions, reconstruct

UNTRAINED = "untrained weights: the geometry means nothing"


def run(
    video: Path,
    out: Path,
    model: str | None,
    device: str,
    dtype: str,
    every: int,
    max_frames: int | None,
    settings: dict[str, Any],
) -> None:
    """Reconstruct the video into `out`; `settings` are fields of `ReconstructOptions`.

    Without `image_size` among them, the encoder of a VLM-3R folder sees frames of the size that it has there.
    """
    target = resolve_device(device)
    if dtype not in ("float32", "bfloat16", "float16"):
        raise UserError(f"unknown dtype {dtype!r}: expected float32, bfloat16 or float16")
    options = ReconstructOptions(**settings)
    info = probe(video)
    for note in info.notes:
        say(f"note: {note}")
    if every > info.total_frames:
        raise UserError(f"--every {every}: {video} has only {info.total_frames} frames; give a smaller step")
    with stage(f"Loading {model or 'the embedded geometry encoder'}"):
        encoder, config = _load_encoder(model)
    encoder = encoder.to(target, getattr(torch, dtype)).eval()
    if config is not None and "image_size" not in settings:
        options = replace(options, image_size=config.geometry_image_size)
    if config is not None and config.untrained:
        say(f"note: {UNTRAINED}")
        # What an untrained network yields has neither confidence nor surfaces that a filter could judge.
        options = replace(options, caption=UNTRAINED, confidence_percentile=0.0, max_depth_step=None)
    total = (info.total_frames + every - 1) // every
    total = total if max_frames is None else min(total, max_frames)
    with tqdm(total=total, unit="frame", desc="Reconstructing", disable=None) as bar, torch.inference_mode():
        summary = reconstruct(
            encoder,
            _frames(video, every, max_frames),
            out,
            options,
            progress=lambda done: _advance(bar, done),
        )
    for note in summary.notes:
        if note != options.caption:
            say(f"note: {note}")
    print(f"{summary.points:,} points and {summary.poses} camera poses from {summary.frames} frames in {out}")
    for name in summary.files:
        print(f"  {out / name}")


def _advance(bar: tqdm, done: int) -> None:
    """Move the bar on a terminal; elsewhere say every tenth how far it is."""
    if bar.disable and bar.total and done * 10 // bar.total > bar.n * 10 // bar.total:
        say(f"Reconstructing: {done} of {bar.total} frames")
        bar.n = done
    elif not bar.disable:
        bar.update(done - bar.n)


def _frames(video: Path, every: int, most: int | None) -> Iterator[tuple[int, float, NDArray[np.uint8]]]:
    for count, frame in enumerate(iterate_frames(video, every)):
        if most is not None and count >= most:
            return
        yield frame.index, frame.timestamp, frame.image


def _load_encoder(model: str | None) -> tuple[CUT3R, VLM3RConfig | None]:
    """The geometry encoder of a native VLM-3R folder with the folder's configuration, or a CUT3R checkpoint."""
    folder = EMBEDDED_MODEL if model is None else Path(model)
    if model == "published":
        model = str(default_cut3r())
    elif (folder / "config.json").is_file() and read_json(folder / "config.json").get(
        "model_type"
    ) == VLM3RConfig.model_type:
        parts, _ = read_checkpoint(folder)
        if parts.config.geometry != "cut3r":
            raise UserError(f"{folder}: this model has no geometry encoder; name a CUT3R checkpoint with --model")
        return parts.geometry_encoder(), parts.config
    if model is None:
        raise UserError(f"{folder}: the embedded model is not there; name a CUT3R checkpoint with --model")
    try:
        return CUT3R.from_pretrained(model), None
    except CheckpointError as error:
        raise UserError(str(error)) from error
