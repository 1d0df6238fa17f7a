"""What a run depended on, so that two runs can be told apart: frames, prompt choices, precision, weights."""

from __future__ import annotations

import hashlib
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import transformers

import vlm3r
from vlm3r.checkpoints.quantised import quantization_of, weights_of
from vlm3r.model import VLM3RForConditionalGeneration
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

CHUNK = 1 << 22


def run_fingerprint(
    model: VLM3RForConditionalGeneration,
    processor: VLM3RProcessor,
    video: VideoFrames | None = None,
    images: Sequence[Path] = (),
) -> dict[str, Any]:
    """A JSON-serialisable record of everything that decides the answers, apart from the questions."""
    config = model.config
    return {
        "versions": {
            "vlm3r": vlm3r.__version__,
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "python": platform.python_version(),
        },
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attention": config.qwen2._attn_implementation,
        "generation": model.generation_config.to_diff_dict(),
        "quantization": quantization_of(model),
        "geometry": config.geometry,
        "geometry_features": config.geometry_features,
        "geometry_image_size": config.geometry_image_size,
        "pool_mode": config.pool_mode,
        "newline_position": config.newline_position,
        "untrained": config.untrained,
        "processor": {
            "num_frames": processor.num_frames,
            "video_fps": processor.video_fps,
            "force_sample": processor.force_sample,
            "add_time_instruction": processor.add_time_instruction,
        },
        "weights": weight_hashes(model),
        "video": None if video is None else video_record(video),
        "images": [{"file": path.name, "sha256": file_hash(path)} for path in images],
    }


def weight_hashes(model: VLM3RForConditionalGeneration) -> dict[str, str]:
    """SHA-256 per part of the model over names, types, shapes and bytes of its weights, in name order."""
    digests: dict[str, Any] = {}
    for name, tensor in sorted(weights_of(model).items()):
        digest = digests.setdefault(name.split(".")[0], hashlib.sha256())
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return {part: digest.hexdigest() for part, digest in digests.items()}


def video_record(video: VideoFrames) -> dict[str, Any]:
    """Where the frames came from: the file and its hash, the decoder, frame indices and times."""
    path = Path(video.source) if video.source else None
    return {
        "file": None if path is None else path.name,
        "sha256": file_hash(path) if path is not None and path.is_file() else None,
        "decoder": video.decoder,
        "indices": [int(i) for i in video.indices],
        "timestamps": [round(float(t), 6) for t in video.timestamps],
        "duration": video.duration,
        "total_frames": video.total_frames,
        "notes": list(video.notes),
    }


def file_hash(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
