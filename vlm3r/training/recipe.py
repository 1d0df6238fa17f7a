"""The recipe of a training run: everything that decides its result, in one typed YAML file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from vlm3r.training.settings import SEEDS, read_settings

Part = Literal["frozen", "lora", "full"]
Method = Literal["adamw", "muon"]
FusionInit = Literal["published", "identity"]
Sampling = Literal["all", "first", "end", "random"]

LEAST_WEIGHT, MOST_WEIGHT = 1e-6, 1e4
MOST_EPOCHS = 10_000
MOST_WORKERS = 1024
MOST_RANK = 16_384


@dataclass(frozen=True)
class ModelRecipe:
    """What training starts from."""

    source: str | None = None
    """Checkpoint folder or hub id, of any layout; null takes the embedded model."""
    base: str | None = None
    """Base model of a LoRA checkpoint, where `source` does not name it."""
    geometry: str | None = None
    """CUT3R file, folder or hub id; `published` is the published file, `none` trains without geometry; null takes what
    `source` has."""
    geometry_features: Literal["all", "camera_tokens", "patch_tokens"] | None = None
    """Geometry tokens that fusion sees; null keeps the source's choice."""
    pool_mode: Literal["average", "max", "bilinear"] | None = None
    """2x2 pooling of video frames; null keeps the source's choice."""
    newline_position: Literal["grid", "frame", "one_token", "no_token"] | None = None
    """Newline tokens of a video; null keeps the source's choice."""
    fusion_init: FusionInit | None = None
    """Start of the fusion block: `published` (random, unit-variance noise on every visual token at step 0) or
    `identity` (output norm's gain zero: the base model, unchanged, at step 0); null keeps the fusion that `source`
    has, and starts as `identity` where it has none."""
    attention: Literal["sdpa", "eager", "flex_attention", "flash_attention_2"] = "sdpa"
    """Attention kernel of the language model; packs of several questions need sdpa, eager or flex_attention."""
    quantization: Literal["4bit", "8bit"] | None = None
    """Frozen language model in 4 or 8 bits (QLoRA; needs bitsandbytes)."""
    device: str = "auto"
    """auto, cpu, cuda or mps; torchrun's ranks take a GPU each."""


@dataclass(frozen=True)
class SourceRecipe:
    """One file of training data."""

    path: Path = Path()
    """JSON or JSON Lines file with `conversations`, or a published YAML mixture of such files."""
    root: Path | None = None
    """Folder that the rows' `video` and `image` paths are relative to; null means the file's own folder."""
    weight: float = 1.0
    """Share of the file's clips that an epoch holds: 0.5 takes half of them, 2 takes each twice."""
    sampling: Sampling = "all"
    """Which rows are kept where `rows` limits them: from the start, from the end, or at random."""
    rows: float | None = None
    """Rows to keep: a whole number of 1 or more, or a share below 1; null keeps all."""

    def __post_init__(self) -> None:
        if self.path == Path():
            raise ValueError("a source needs a path")
        if not LEAST_WEIGHT <= self.weight <= MOST_WEIGHT:
            raise ValueError(f"weight must lie between {LEAST_WEIGHT:g} and {MOST_WEIGHT:g}, not {self.weight:g}")
        if self.rows is not None and (self.rows <= 0 or (self.rows > 1 and self.rows != int(self.rows))):
            raise ValueError(f"rows must be a whole number or a share between 0 and 1, not {self.rows:g}")


@dataclass(frozen=True)
class DataRecipe:
    """What is learnt from, and how questions become sequences."""

    sources: tuple[SourceRecipe, ...] = ()
    """The mixture."""
    questions_per_pack: int = 1
    """Questions that share one encoding of their video in one sequence; 0 packs all questions of a video."""
    frames: int | None = None
    """Frames taken from each video; null takes the model's own number."""
    time_instruction: bool = True
    """Whether a sentence names the video's duration and the times of its frames."""
    supervise: Literal["published", "answers"] = "published"
    """Supervised tokens: `published`, answers and every turn's chat markup and newlines; `answers`, answers alone."""
    with_video: bool = True
    """False leaves every video out, which trains a blind, text-only model."""
    features: Path | None = None
    """Feature store made by `vlm3r features extract`; null computes features as it goes."""
    max_tokens: int = 32768
    """Longest sequence; a pack above it is split, a single question above it goes on the skip list."""
    max_failed_share: float = 0.01
    """Share of clips that may fail to load before the run stops; failures are listed in `skipped.jsonl`."""
    workers: int = 2
    """Processes that decode videos ahead; 0 loads in the main process."""

    def __post_init__(self) -> None:
        if self.questions_per_pack < 0:
            raise ValueError("questions_per_pack must be 0 (all) or more")
        if not 0 <= self.max_failed_share <= 1:
            raise ValueError("max_failed_share must lie between 0 and 1")
        if self.frames is not None and self.frames < 1:
            raise ValueError("frames must be 1 or more")
        if self.max_tokens < 1:
            raise ValueError("max_tokens must be 1 or more")
        if not 0 <= self.workers <= MOST_WORKERS:
            raise ValueError(f"workers must lie between 0 (the main process) and {MOST_WORKERS}, not {self.workers}")


@dataclass(frozen=True)
class PartsRecipe:
    """Which parts are trained, and how."""

    language_model: Part = "lora"
    """Qwen2: `frozen`, `lora`, or `full`."""
    fusion: Literal["frozen", "full"] = "full"
    """Spatial-Visual-View Fusion."""
    projector: Literal["frozen", "full"] = "full"
    """The MLP from visual to language width."""
    newline: Literal["frozen", "full"] = "frozen"
    """The learned newline token."""
    vision_tower: Literal["frozen", "full"] = "frozen"
    """SigLIP."""
    geometry_encoder: Literal["frozen", "full"] = "frozen"
    """CUT3R."""


@dataclass(frozen=True)
class LoraRecipe:
    """Low-rank adapters on the language model's linear layers."""

    rank: int = 128
    """Rank r of every adapter."""
    alpha: float = 256.0
    """Scale: the adapter's product is multiplied by alpha / rank."""
    dropout: float = 0.05
    """Dropout on the adapters' inputs."""
    targets: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    """Names of the linear layers, in every block of the language model."""

    def __post_init__(self) -> None:
        if not 1 <= self.rank <= MOST_RANK or self.alpha <= 0 or not 0 <= self.dropout < 1:
            raise ValueError(f"rank must be 1 to {MOST_RANK}, alpha above 0, dropout at least 0 and below 1")


@dataclass(frozen=True)
class OptimiserRecipe:
    """The optimiser and its schedule."""

    method: Method = "adamw"
    """adamw, or muon on the weights of linear layers and AdamW on the rest: the better one from random weights."""
    learning_rate: float = 2e-5
    """Peak learning rate."""
    fusion_learning_rate: float | None = None
    """Peak learning rate of fusion and projector; null takes `learning_rate`."""
    schedule: Literal["cosine", "linear", "constant_with_warmup"] = "cosine"
    """Course of the learning rate after warm-up."""
    warmup: float = 0.03
    """Share of the steps (below 1), or number of steps, over which the rate rises from 0."""
    weight_decay: float = 0.0
    """Weight decay; never on norms, biases and single vectors."""
    betas: tuple[float, float] = (0.9, 0.999)
    """AdamW's averages."""
    max_grad_norm: float = 1.0
    """Gradients are scaled down to this norm; 0 leaves them."""
    batch_size: int = 128
    """Questions a step, over all processes; with packs the nearest whole number of packs."""
    micro_batch: int = 1
    """Packs that one process computes at a time."""
    epochs: float = 1.0
    """Passes over the mixture; ignored where `steps` is given."""
    steps: int | None = None
    """Steps to train; null follows `epochs`."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Arithmetic of the forward pass: auto is bfloat16 on GPUs and float32 elsewhere; trained weights and the
    optimiser's state stay float32."""
    gradient_checkpointing: bool = True
    """Recompute activations in the backward pass: less memory, a third more time."""
    loss_per: Literal["question", "token"] = "question"
    """What the mean is over: questions, each the mean of its tokens (as published, one sample a device), or tokens."""
    compile: bool = False
    """Compile the language model's blocks with torch.compile."""
    seed: int = 0
    """Decides order, dropout and fresh weights."""

    def __post_init__(self) -> None:
        if self.learning_rate <= 0 or self.batch_size < 1 or self.micro_batch < 1 or self.warmup < 0:
            raise ValueError("learning_rate, batch_size and micro_batch must be above 0, warmup at least 0")
        if self.fusion_learning_rate is not None and self.fusion_learning_rate <= 0:
            raise ValueError("fusion_learning_rate must be above 0, or null")
        if self.weight_decay < 0 or self.max_grad_norm < 0 or not all(0 <= beta < 1 for beta in self.betas):
            raise ValueError("weight_decay and max_grad_norm must be at least 0, betas at least 0 and below 1")
        if self.steps is not None and self.steps < 1:
            raise ValueError("steps must be 1 or more, or null")
        if self.steps is None and not 0 < self.epochs <= MOST_EPOCHS:
            raise ValueError(f"epochs must be above 0 and at most {MOST_EPOCHS}; a longer run needs steps")
        if not 0 <= self.seed < SEEDS:
            raise ValueError("seed must be 0 or more and below 2^32")


@dataclass(frozen=True)
class RunRecipe:
    """Where a run writes, how often, and how it spreads over processes."""

    out: Path = Path("outputs/run")
    """Folder of the run; a run that was cut off continues from its last checkpoint."""
    save_every: int = 500
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints kept, newest first; 0 keeps all."""
    log_every: int = 10
    """Steps between log entries."""
    report_to: tuple[Literal["tensorboard", "wandb"], ...] = ("tensorboard",)
    """Where curves go besides `history.jsonl`."""
    deepspeed: Path | None = None
    """DeepSpeed configuration, see configs/deepspeed; null uses plain data parallelism."""
    peak_tflops: float | None = None
    """Peak of one device, for MFU; null looks the device up and leaves MFU out where it is unknown."""

    def __post_init__(self) -> None:
        if self.save_every < 1 or self.keep < 0 or self.log_every < 1:
            raise ValueError("save_every and log_every must be 1 or more, keep 0 or more")
        if self.peak_tflops is not None and self.peak_tflops <= 0:
            raise ValueError("peak_tflops must be above 0, or null")


@dataclass(frozen=True)
class Recipe:
    """A training run."""

    model: ModelRecipe = field(default_factory=ModelRecipe)
    """What training starts from."""
    data: DataRecipe = field(default_factory=DataRecipe)
    """What is learnt from."""
    parts: PartsRecipe = field(default_factory=PartsRecipe)
    """Which parts are trained."""
    lora: LoraRecipe = field(default_factory=LoraRecipe)
    """The adapters."""
    optimiser: OptimiserRecipe = field(default_factory=OptimiserRecipe)
    """The optimiser and its schedule."""
    run: RunRecipe = field(default_factory=RunRecipe)
    """Output and processes."""

    def __post_init__(self) -> None:
        packed = self.data.questions_per_pack != 1
        if packed and self.model.attention == "flash_attention_2":
            raise ValueError("flash_attention_2 knows no block mask: use sdpa, flex_attention or one question a pack")
        if self.optimiser.method == "muon" and self.run.deepspeed is not None:
            raise ValueError("muon needs whole matrices, which DeepSpeed shards: use adamw, or leave deepspeed out")
        if self.model.quantization is not None and self.parts.language_model == "full":
            raise ValueError("a quantised language model cannot be trained in full; use lora")


def read_recipe(path: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe in a YAML file, after `a.b=value` overrides.

    Raises:
        UserError: see `read_settings`.
    """
    return read_settings(Recipe, path, overrides)
