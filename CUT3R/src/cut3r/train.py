"""A trainer for small CUT3R encoders: RGB-D sequences in, a folder that `CUT3R.from_pretrained` loads out.

A run is a function of its configuration, the sequences and the number of threads: data order and augmentation depend on
the seed and the step alone, and a checkpoint holds everything else, so that a run that was cut off continues with the
very losses that it would have had.
"""

from __future__ import annotations

import dataclasses
import json
import time
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from tqdm import tqdm

from cut3r.checkpoint import CheckpointError
from cut3r.inputs import check_inputs
from cut3r.losses import LossWeights, Predictions, Targets, losses
from cut3r.metrics import geometry_errors
from cut3r.model import CUT3R
from cut3r.optimiser import METHODS, Method, linear_weights, make_optimiser
from cut3r.schedule import Curriculum, Stage, learning_rate
from cut3r.sequences import Augmentation, Batch, Draw, Sequences
from cut3r.supervision import predict
from cut3r.targets import make_targets
from cut3r.training_state import checkpoints, load_checkpoint, save_checkpoint

HISTORY_FILE = "history.jsonl"
MOST_BAD_STEPS = 20


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run besides the model and the sequences."""

    steps: int = 1000
    """Optimiser steps."""
    curriculum: tuple[Stage, ...] = (Stage(),)
    """Lengths and numbers of sequences, in the order of training."""
    image_size: int = 144
    """Side in pixels of the square frames that the model reads; a multiple of its patch size."""
    pixel_stride: int = 4
    """Supervise every n-th pixel of every n-th row, from an offset that each step draws; must divide the patch size.
    Linear heads compute no other pixels."""
    detach_every: int = 0
    """Cut gradients between runs of this many frames; 0 lets them flow through whole sequences."""
    method: Method = "adamw"
    """The optimiser: adamw, or muon on the weights of linear layers and AdamW on the rest."""
    learning_rate: float = 5e-4
    """Peak learning rate."""
    warmup: int = 100
    """Steps over which the rate rises from 0; a cosine follows."""
    final_rate: float = 0.02
    """Rate at the end as a share of the peak."""
    weight_decay: float = 0.05
    """On matrices; never on norms, biases and tokens."""
    betas: tuple[float, float] = (0.9, 0.95)
    """AdamW's averages."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Arithmetic of the network (autocast); weights, losses and optimiser stay float32."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the losses."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Random changes to the sequences."""
    save_every: int = 500
    """Steps between checkpoints."""
    save_seconds: float = 300.0
    """A checkpoint is also written when the last one is older than this."""
    keep: int = 2
    """Checkpoints kept, the newest; 0 keeps all."""
    log_every: int = 20
    """Steps between lines of the history; each holds the means over its steps."""
    compile: bool = False
    """Compile the encoder and the recurrent step: minutes for every batch size of the curriculum, then 1.4 times as
    fast on a CPU. The rounding differs, so a run must keep to one choice."""
    seed: int = 0
    """Decides weights, order and augmentation."""

    def __post_init__(self) -> None:
        if min(self.steps, self.image_size, self.pixel_stride, self.save_every, self.log_every) < 1:
            raise ValueError("steps, image_size, pixel_stride, save_every and log_every must be at least 1")
        if self.learning_rate <= 0 or min(self.warmup, self.detach_every, self.max_grad_norm, self.keep) < 0:
            raise ValueError("learning_rate must be above 0; warmup, detach_every, max_grad_norm and keep at least 0")
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        if self.precision not in ("float32", "bfloat16"):
            raise ValueError(f"precision must be 'float32' or 'bfloat16', got {self.precision!r}")
        Curriculum(self.curriculum, self.steps)


class Trainer:
    """Trains `model` in place. `run` trains and writes; `forward_batch` and `step` are its parts."""

    def __init__(self, model: CUT3R, sequences: Sequences, config: TrainConfig, folder: str | Path) -> None:
        """`folder` takes the checkpoints, the history and the final model; a run in it is continued.

        Raises ValueError for sizes that do not fit, CheckpointError where `folder` holds another run's checkpoints.
        """
        patch = model.config.patch_size
        if config.image_size % patch or patch % config.pixel_stride:
            raise ValueError(
                f"image_size ({config.image_size}) must be a multiple of the patch size ({patch}), and pixel_stride "
                f"({config.pixel_stride}) must divide it"
            )
        self.model, self.config, self.folder = model, config, Path(folder)
        self.curriculum = Curriculum(config.curriculum, config.steps)
        self.draw = Draw(sequences, config.image_size, config.augmentation, config.seed)
        self.device = model.pose_token.device
        self.extra = nn.ModuleDict()
        if config.weights.patch_position:
            generator = torch.Generator().manual_seed(config.seed)
            reader = nn.Linear(model.config.dec_embed_dim, 3)
            nn.init.normal_(reader.weight, std=0.02, generator=generator)
            nn.init.zeros_(reader.bias)
            self.extra["patch_position"] = reader
        self.extra.to(self.device)
        self.optimiser = _optimiser([model, self.extra], config)
        self.done, self._bad = 0, 0
        self._resume()
        if config.compile:
            model.step = torch.compile(model.step)
            model._encode_images = torch.compile(model._encode_images)

    def run(self, progress: bool = True) -> Path:
        """Trains to the end, writes the model into `folder/model`, and returns that folder."""
        self.model.train()
        bar = tqdm(
            total=self.config.steps, initial=self.done, desc="Training", unit="step", disable=None if progress else True
        )
        saved, since, began = time.monotonic(), [], time.monotonic()
        while self.done < self.config.steps:
            since.append(self.step())
            bar.update()
            if self.done % self.config.log_every == 0 or self.done == self.config.steps:
                self._log(since, time.monotonic() - began, bar)
                since, began = [], time.monotonic()
            if self.done % self.config.save_every == 0 or time.monotonic() - saved > self.config.save_seconds:
                self.save()
                saved = time.monotonic()
        bar.close()
        self.save()
        self.model.eval().save_pretrained(self.folder / "model")
        return self.folder / "model"

    def batch(self, step: int) -> Batch:
        """The batch of a step, on the model's device."""
        stage = self.curriculum.at(step)
        before = self.curriculum.drawn_before(step)
        return self.draw.batch(step, before, stage.batch, stage.frames).to(self.device)

    def forward_batch(self, batch: Batch, offset: tuple[int, int] = (0, 0)) -> tuple[Predictions, Targets]:
        """Predictions and targets of a batch at the pixels `offset`, `offset + pixel_stride`, ..."""
        config = self.config
        inputs = check_inputs(batch.frames, None, None, None, None, None, self.model.config.patch_size)
        target = make_targets(
            batch.depth, batch.intrinsics, batch.camera_to_world, batch.frames, config.pixel_stride, offset
        )
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=config.precision == "bfloat16")
        with autocast, _attention_kernel(self.device):
            predicted, patches = predict(
                self.model, inputs, config.pixel_stride, offset, config.weights.colour > 0, config.detach_every
            )
        if "patch_position" in self.extra:
            grid = tuple(side // self.model.config.patch_size for side in batch.frames.shape[-2:])
            positions = self.extra["patch_position"](patches.float()).unflatten(2, grid)
            predicted = dataclasses.replace(predicted, patch_position=positions)
        return predicted, target

    def step(self) -> dict[str, float]:
        """One optimiser step; returns its losses, errors, gradient norm and learning rate.

        A step whose gradients are not finite changes nothing; many in a row raise FloatingPointError.
        """
        config, step = self.config, self.done
        rate = learning_rate(step, config.steps, config.learning_rate, config.warmup, config.final_rate)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        draw = torch.Generator().manual_seed(config.seed * 1_000_003 + step)
        row, column = torch.randint(config.pixel_stride, (2,), generator=draw).tolist()
        predicted, target = self.forward_batch(self.batch(step), (row, column))
        parts = losses(predicted, target, config.weights)
        self.optimiser.zero_grad(set_to_none=True)
        parts["loss"].backward()
        parameters = [p for group in self.optimiser.param_groups for p in group["params"]]
        norm = nn.utils.clip_grad_norm_(parameters, config.max_grad_norm or float("inf"))
        self._take(norm)
        self.done += 1
        values = {name: float(value.detach()) for name, value in parts.items()}
        values |= {name: float(value.mean()) for name, value in geometry_errors(predicted, target).items()}
        return values | {"gradient_norm": float(norm), "learning_rate": rate}

    def save(self) -> Path:
        """Writes a checkpoint of the present state."""
        return save_checkpoint(
            self.folder / "checkpoints",
            self.done,
            self.model,
            self.extra,
            self.optimiser,
            self._record(),
            self.config.keep,
        )

    def _take(self, norm: Tensor) -> None:
        if bool(torch.isfinite(norm)):
            self.optimiser.step()
            self._bad = 0
            return
        self._bad += 1
        if self._bad >= MOST_BAD_STEPS:
            raise FloatingPointError(
                f"the gradients of {self._bad} steps in a row are not finite; lower learning_rate or use float32"
            )

    def _record(self) -> dict[str, Any]:
        """What must be equal for a run to continue: all but what does not enter the arithmetic."""
        config = dataclasses.asdict(self.config)
        for name in ("save_every", "save_seconds", "keep", "log_every"):
            del config[name]
        return {"config": json.loads(json.dumps(config)), "sequences": len(self.draw.sequences)}

    def _resume(self) -> None:
        found = checkpoints(self.folder / "checkpoints")
        if not found:
            return
        resumed = load_checkpoint(found[-1], self.model, self.extra, self.optimiser)
        differing = [name for name, value in self._record().items() if resumed.record.get(name) != value]
        if differing:
            raise CheckpointError(
                f"{found[-1]}: was made with another {' and '.join(differing)}; choose another folder, or delete it"
            )
        self.done = resumed.step
        _cut_history(self.folder / HISTORY_FILE, self.done)

    def _log(self, values: list[dict[str, float]], seconds: float, bar: tqdm) -> None:
        stage = self.curriculum.at(self.done - 1)
        means = {name: sum(v[name] for v in values) / len(values) for name in values[0]}
        first = self.done - len(values)
        frames = self.curriculum.frames_before(self.done) - self.curriculum.frames_before(first)
        means["frames_per_second"] = frames / max(seconds, 1e-9)
        entry = {"step": self.done, "frames": stage.frames, "batch": stage.batch} | means
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / HISTORY_FILE).open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
        shown = {
            "loss": f"{means['loss']:.3f}",
            "depth": f"{means['depth_abs_rel']:.1%}",
            "world": f"{means['world_m']:.2f} m",
            "frames/s": f"{means['frames_per_second']:.0f}",
        }
        bar.set_postfix(shown, refresh=False)


def _attention_kernel(device: torch.device) -> AbstractContextManager[Any]:
    """On CPUs the plain kernel: the backward pass of the fused one takes half of a step with heads this narrow."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _optimiser(modules: list[nn.Module], config: TrainConfig) -> torch.optim.Optimizer:
    named = [(name, p) for module in modules for name, p in module.named_parameters()]
    decayed = [p for name, p in named if p.ndim > 1 and not name.endswith(("_token", ".mem"))]
    decayed = [p for p in decayed if all(p is not q for q in _embeddings(modules))]
    others = [p for _, p in named if all(p is not q for q in decayed)]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": others, "weight_decay": 0.0}]
    return make_optimiser(config.method, groups, linear_weights(modules), config.learning_rate, config.betas)


def _embeddings(modules: list[nn.Module]) -> list[Tensor]:
    return [m.weight for module in modules for m in module.modules() if isinstance(m, nn.Embedding)]


def _cut_history(path: Path, step: int) -> None:
    """Drops the lines of steps that will be done again, and a line that was cut off."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["step"] <= step:
                kept.append(line + "\n")
        except (ValueError, KeyError, TypeError):
            continue
    temporary = path.with_name(f".{path.name}.incomplete")
    temporary.write_text("".join(kept), encoding="utf-8")
    temporary.replace(path)
