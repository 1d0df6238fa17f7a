"""Make the embedded model's placeholder: the real classes at a small size, filled deterministically, untrained.

    python playground/models/make_untrained.py [FOLDER]

It answers with noise. It is there so that a fresh clone runs every step of the model on a real video, with nothing to
download.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path
from typing import Any

import torch
from cut3r import CUT3RConfig
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import Qwen2Tokenizer

from vlm3r.checkpoints.native import write_native
from vlm3r.checkpoints.parts import Parts
from vlm3r.checkpoints.published import read_generation
from vlm3r.model import VLM3RConfig, VLM3RForConditionalGeneration
from vlm3r.processing.prompts import SYSTEM_MESSAGE

VOCABULARY = 896
OBJECTS = (
    "armchair",
    "bathtub",
    "bed",
    "bin",
    "bookshelf",
    "cabinet",
    "chair",
    "counter",
    "curtain",
    "desk",
    "door",
    "dresser",
    "fireplace",
    "lamp",
    "microwave",
    "mirror",
    "monitor",
    "nightstand",
    "oven",
    "picture",
    "pillow",
    "plant",
    "refrigerator",
    "rug",
    "shelf",
    "sink",
    "sofa",
    "stool",
    "stove",
    "table",
    "toilet",
    "towel",
    "washer",
    "television",
    "wardrobe",
    "window",
)
SENTENCES = (
    "These are frames of a video.",
    "How many {a}(s) are in this room?",
    "What is the distance between the {a} and the {b}, measured from their closest points (in meters)?",
    "What is the length of the longest dimension (length, width, or height) of the {a}, measured in centimeters?",
    "What is the size of this room (in square meters)?",
    "Which of these objects is the closest to the {a}: the {b} or the {c}?",
    "If I stand by the {a} and face the {b}, is the {c} to my left, right or back?",
    "What will be the first-time appearance order of the following categories in the video: {a}, {b}, {c}?",
    "You are a robot beginning at the {a} facing the {b}. Turn left, right or back until you reach the {c}.",
    "What is the distance between the camera and the {a} at the end of the video, and how far did the camera move?",
    "Options:\nA. {a}\nB. {b}\nC. {c}\nAnswer with the option's letter from the given choices directly.",
    "Please answer the question using a single word or phrase.",
    "Please describe this video in detail. The room has a {a}, a {b} near the {c}.",
    "The video lasts for 12.50 seconds, and 32 frames are uniformly sampled from it. "
    "These frames are located at 0.00s. Please answer the following questions related to this video.",
)


def make_tokenizer() -> Qwen2Tokenizer:
    """A Qwen2 tokenizer with few merges, trained on the project's own question wordings."""
    triples = list(zip(OBJECTS, OBJECTS[7:] + OBJECTS[:7], OBJECTS[13:] + OBJECTS[:13], strict=True))
    corpus = [s.format(a=a, b=b, c=c) for s, (a, b, c) in product(SENTENCES, triples)]
    corpus += [SYSTEM_MESSAGE, "system\n", "user\n", "assistant\n"] * 40
    # Trained below the Qwen2 class, so that the markup tokens come last and the newline gets id 198, as in Qwen2.
    trained: Any = Qwen2Tokenizer().backend_tokenizer
    trainer = BpeTrainer(vocab_size=VOCABULARY, initial_alphabet=sorted(ByteLevel.alphabet()), show_progress=False)
    trained.train_from_iterator(corpus, trainer)
    model = json.loads(trained.to_str())["model"]
    merges: Any = [tuple(merge) for merge in model["merges"]]  # the signature names other types than it takes
    tokenizer = Qwen2Tokenizer(vocab=model["vocab"], merges=merges)
    tokenizer.add_special_tokens(
        {
            "pad_token": "<|endoftext|>",
            "eos_token": "<|im_end|>",
            "extra_special_tokens": ["<|im_start|>", "<|im_end|>"],
        }
    )
    return tokenizer


def make_config(tokenizer: Qwen2Tokenizer) -> VLM3RConfig:
    """A few million parameters; every ratio that matters to the code paths is as published."""
    geometry = CUT3RConfig(
        enc_embed_dim=64,
        enc_depth=3,
        enc_num_heads=4,
        ray_enc_depth=1,
        dec_embed_dim=36,
        dec_depth=3,
        dec_num_heads=3,
        state_dec_num_heads=3,
        state_size=60,
        local_mem_size=24,
        head_type="linear",
    )
    return VLM3RConfig(
        text_config={
            "vocab_size": (len(tokenizer) + 63) // 64 * 64,
            "hidden_size": 96,
            "intermediate_size": 288,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
        },
        vision_config={
            "hidden_size": 72,
            "intermediate_size": 216,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "image_size": 126,
            "patch_size": 14,
            "vision_use_head": False,
        },
        geometry_config=geometry.to_dict(),
        geometry_image_size=144,
        fusion_num_heads=4,
        num_output_tokens=len(tokenizer),
        video_token_id=len(tokenizer),
        image_token_id=len(tokenizer) + 1,
        untrained=True,
    )


def main(folder: Path) -> None:
    """Write the model into `folder`, replacing what is there."""
    tokenizer = make_tokenizer()
    config = make_config(tokenizer)
    torch.manual_seed(0)
    model = VLM3RForConditionalGeneration(config)
    tensors = {name: tensor.to(torch.bfloat16) for name, tensor in model.state_dict().items()}
    parts = Parts(config, tensors, None, tokenizer, read_generation(folder.parent, tokenizer), {"force_sample": True})
    write_native(parts, folder, overwrite=True)
    print(f"{folder}: {sum(t.numel() for t in tensors.values()):,} parameters, {len(tokenizer)} tokens")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent / "vlm3r-tiny")
