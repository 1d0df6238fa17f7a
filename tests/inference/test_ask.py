"""Several questions about one clip."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest

from vlm3r.checkpoints.loading import EMBEDDED_MODEL, load
from vlm3r.inference.ask import ask, encode_clip
from vlm3r.inference.fingerprint import run_fingerprint
from vlm3r.processing.video import VideoFrames

pytestmark = pytest.mark.skipif(not EMBEDDED_MODEL.is_dir(), reason="the embedded model is not in this checkout")
QUESTIONS = ["How many chairs?", "Is the sofa to my left, right or back?", "Why?"]


@pytest.fixture(scope="module")
def loaded():
    return load(device="cpu", dtype="float32")


@pytest.fixture(scope="module")
def video():
    return VideoFrames.from_array(np.random.default_rng(0).integers(0, 256, (4, 40, 50, 3), dtype=np.uint8))


def test_batches_streams_and_an_encoded_clip_give_the_same_answers(loaded, video):
    single = ask(*loaded, QUESTIONS, video=video, max_new_tokens=5)
    streamed: list[str] = []
    clip = encode_clip(*loaded, video)
    again = ask(*loaded, QUESTIONS, video=video, clip=clip, max_new_tokens=5, on_text=streamed.append)
    batched = ask(*loaded, QUESTIONS, video=video, max_new_tokens=5, batch_size=2)
    assert single == again == batched
    assert "".join(streamed).replace(" ", "") == "".join(answer.text for answer in single).replace(" ", "")
    assert [answer.question for answer in single] == QUESTIONS


def test_new_tokens_count_the_stop_token_even_if_it_is_the_padding_token(loaded, video):
    pad = loaded[1].tokenizer.pad_token_id
    others = [token for token in range(len(loaded[1].tokenizer)) if token != pad]
    answer = ask(*loaded, QUESTIONS[:1], video=video, max_new_tokens=4, eos_token_id=pad, suppress_tokens=others)[0]
    assert (answer.new_tokens, answer.text) == (1, "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"questions": "hey"}, "not one string"),
        ({"questions": ["a"], "batch_size": 0}, "batch_size"),
        ({"questions": ["a"], "batch_size": 2, "on_text": print}, "batch_size"),
        ({"questions": ["a"], "clip": {"video_embeddings": 0}}, "beside the clip"),
        ({"questions": ["a"], "num_return_sequences": 2}, "one answer a question"),
    ],
)
def test_arguments_that_do_not_fit_are_named(loaded, arguments, message):
    with pytest.raises(ValueError, match=message):
        ask(*loaded, **arguments)


def test_a_model_in_training_mode_is_not_asked(loaded, video):
    model, processor = loaded
    model.train()
    try:
        with pytest.raises(ValueError, match=r"model\.eval"):
            ask(model, processor, ["q"], video=video)
    finally:
        model.eval()


def test_the_fingerprint_changes_with_what_decides_an_answer(loaded, video, monkeypatch):
    model, processor = loaded
    before = run_fingerprint(model, processor, video)
    assert before == run_fingerprint(model, processor, video)
    other = copy.deepcopy(model)
    other.projector.linear_1.bias.data[0] += 1
    changed = run_fingerprint(other, processor, video)
    assert [k for k in before if before[k] != changed[k]] == ["weights"]
    assert [k for k in before["weights"] if before["weights"][k] != changed["weights"][k]] == ["projector"]
    monkeypatch.setattr(model.generation_config, "repetition_penalty", 1.3)
    assert run_fingerprint(model, processor, video)["generation"] != before["generation"]


def test_the_auto_classes_know_the_model_in_a_fresh_process():
    code = (
        "import vlm3r.auto; from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        f"print(type(AutoProcessor.from_pretrained({str(EMBEDDED_MODEL)!r})).__name__)\n"
        f"print(type(AutoModelForImageTextToText.from_pretrained({str(EMBEDDED_MODEL)!r})).__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["VLM3RProcessor", "VLM3RForConditionalGeneration"]
