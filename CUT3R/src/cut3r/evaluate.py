"""Errors of a CUT3R on whole sequences, beside those of the best constant answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from cut3r.checkpoint import CheckpointError
from cut3r.inputs import check_inputs
from cut3r.losses import Predictions, Targets
from cut3r.metrics import compose, geometry_errors, steps
from cut3r.model import CUT3R
from cut3r.sequences import Batch, RGBDSequence, Sequences, in_order, whole
from cut3r.supervision import predict
from cut3r.targets import make_targets

RESAMPLES = 2000
STEP_ERRORS = ("step_translation_m", "step_rotation_degrees")


@dataclass(frozen=True)
class EvaluateConfig:
    """How sequences are read; every choice enters the numbers."""

    image_size: int = 144
    """Side of the square frames, pixels."""
    pixel_stride: int = 4
    """Compare every n-th pixel of every n-th row, from the middle of each n x n square; must divide the patch size."""
    most_frames: int | None = None
    """Only the first frames of each sequence; None takes all."""
    seed: int = 0
    """Decides the bootstrap's resamples."""

    @property
    def offset(self) -> tuple[int, int]:
        """First pixel that is compared, row and column."""
        return self.pixel_stride // 2, self.pixel_stride // 2

    def targets(self, sequence: RGBDSequence) -> tuple[Batch, Targets]:
        """A sequence as a batch of one, and the truth at the pixels that are compared."""
        batch = whole(sequence, self.image_size, self.most_frames)
        poses = batch.camera_to_world
        target = make_targets(batch.depth, batch.intrinsics, poses, batch.frames, self.pixel_stride, self.offset)
        return batch, target


@dataclass(frozen=True)
class Constant:
    """What to answer without looking: medians over training sequences, number by number.

    Frames beyond the longest training sequence get the answer of its last frame.
    """

    depth: Tensor
    """Depth of each compared pixel, metres, (height, width)."""
    own_view: Tensor
    """Point of each compared pixel in its own camera, metres, (height, width, 3)."""
    world: Tensor
    """Point of each compared pixel in the first camera's frame, by frame number, (frame, height, width, 3)."""
    pose: Tensor
    """Pose by frame number, (frame, 7); the rotation is the normalised mean of the quaternions."""
    step: Tensor
    """Pose of a frame in the camera of the frame before, (7,)."""

    def predictions(self, frames: int, chained: bool = False) -> Predictions:
        """The answer for a sequence; with `chained` the poses are `step` after `step`, which is best between frames."""
        numbers = torch.arange(frames).clamp_max(len(self.world) - 1)
        own_view = self.own_view.clone()
        own_view[..., 2] = self.depth
        ones = torch.ones(1, frames, *self.depth.shape)
        pose = compose(self.step, frames) if chained else self.pose[numbers]
        return Predictions(own_view.expand(1, frames, -1, -1, -1), ones, self.world[numbers][None], ones, pose[None])

    def save(self, path: Path) -> None:
        """Writes the numbers as safetensors."""
        save_file({name: value.contiguous() for name, value in vars(self).items()}, path)

    @classmethod
    def load(cls, path: Path) -> Constant:
        """The answer in a file that `save` wrote; raises CheckpointError if it cannot be read."""
        try:
            return cls(**load_file(path))
        except Exception as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise CheckpointError(f"{path}: no constant predictor ({reason}); train again, or delete it") from error


def fit_constant(sequences: Sequences, config: EvaluateConfig, most_sequences: int = 300) -> Constant:
    """The constant answer with the least absolute errors over (evenly spread) training sequences."""
    chosen = np.unique(np.linspace(0, len(sequences) - 1, min(most_sequences, len(sequences))).astype(int))
    targets = [config.targets(sequences[int(i)])[1] for i in chosen]
    longest = max(target.pose.shape[1] for target in targets)
    own = torch.cat([_hidden(t.own_view, t.valid)[0] for t in targets])  # (frame of all, height, width, 3)
    own_view = _median(own)
    world, poses = [], []
    for number in range(longest):
        there = [t for t in targets if t.pose.shape[1] > number]
        world.append(_median(torch.cat([_hidden(t.world, t.valid)[:, number] for t in there])))
        poses.append(_mean_pose(torch.cat([t.pose[:, number] for t in there])))
    moves = [steps(t.pose[0]) for t in targets]
    identity = torch.tensor([[0.0, 0, 0, 1, 0, 0, 0]])
    step = _mean_pose(torch.cat(moves)) if sum(map(len, moves)) else identity[0]
    return Constant(own_view[..., 2], own_view, torch.stack(world), torch.stack(poses), step)


@torch.no_grad()
def evaluate(
    model: CUT3R, sequences: Sequences, constant: Constant | None, config: EvaluateConfig, progress: bool = False
) -> dict[str, Any]:
    """Means over sequences with 95 % intervals, of the model and of a constant answer, and each sequence's numbers.

    The result is plain JSON: `model`, `constant` and `difference` (model minus constant, paired) by metric, each with
    `mean`, `low` and `high`; `per_sequence` by metric; `sequences`, their number. Metrics as in `geometry_errors`.
    """
    rows: list[dict[str, float]] = []
    constant_rows: list[dict[str, float]] = []
    device = model.pose_token.device
    training = model.training
    model.eval()
    for sequence in tqdm(
        in_order(sequences), total=len(sequences), desc="Evaluating", disable=None if progress else True
    ):
        batch, target = config.targets(sequence)
        inputs = check_inputs(batch.frames.to(device), None, None, None, None, None, model.config.patch_size)
        predicted, _ = predict(model, inputs, config.pixel_stride, config.offset)
        rows.append(_numbers(_on_cpu(predicted), target))
        if constant is not None:
            frames = target.pose.shape[1]
            numbers = _numbers(constant.predictions(frames), target)
            chained = _numbers(constant.predictions(frames, chained=True), target)
            constant_rows.append(numbers | {name: chained[name] for name in STEP_ERRORS})
    model.train(training)
    return _summary(rows, constant_rows, config)


def bootstrap(values: NDArray[np.float64], seed: int, resamples: int = RESAMPLES) -> dict[str, float]:
    """Mean of values (sequence,) and its 95 % interval by resampling sequences: `mean`, `low`, `high`."""
    rng = np.random.default_rng(seed)
    means = values[rng.integers(0, len(values), (resamples, len(values)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def _summary(
    rows: list[dict[str, float]], constant_rows: list[dict[str, float]], config: EvaluateConfig
) -> dict[str, Any]:
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    result: dict[str, Any] = {
        "sequences": len(rows),
        "model": {name: bootstrap(values, config.seed) for name, values in columns.items()},
    }
    if constant_rows:
        others = {name: np.array([row[name] for row in constant_rows]) for name in columns}
        result["constant"] = {name: bootstrap(values, config.seed) for name, values in others.items()}
        result["difference"] = {name: bootstrap(columns[name] - others[name], config.seed) for name in columns}
    return result | {"per_sequence": {name: values.tolist() for name, values in columns.items()}}


def _numbers(predicted: Predictions, target: Targets) -> dict[str, float]:
    return {name: float(value[0]) for name, value in geometry_errors(predicted, target).items()}


def _on_cpu(predicted: Predictions) -> Predictions:
    values = {name: value.cpu() for name, value in vars(predicted).items() if value is not None}
    return Predictions(**values)


def _hidden(points: Tensor, valid: Tensor) -> Tensor:
    """`points` with NaN where they are not valid."""
    return torch.where(valid[..., None], points, torch.nan)


def _median(points: Tensor) -> Tensor:
    """Coordinate-wise medians over the first axis, leaving NaN out; 0 where there is nothing else."""
    return points.nanmedian(0).values.nan_to_num(0.0)


def _mean_pose(poses: Tensor) -> Tensor:
    """Median translation and normalised mean quaternion of poses (pose, 7), (7,).

    The mean quaternion is the first eigenvector of the mean outer product, which does not depend on signs.
    """
    quaternions = poses[:, 3:].double()
    _, vectors = torch.linalg.eigh(quaternions.T @ quaternions)
    quaternion = vectors[:, -1].to(poses.dtype)
    quaternion = -quaternion if quaternion[0] < 0 else quaternion
    return torch.cat((poses[:, :3].median(0).values, quaternion))
