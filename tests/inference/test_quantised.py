"""Language models in 4 and 8 bits: exact as far as they can be, recorded, and never spoilt by being looked at."""

from __future__ import annotations

import importlib.util
import json
import sys

import pytest
import torch
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList

import vlm3r as package
from tests.cli.conftest import pictures, vlm3r  # noqa: F401 (fixtures)
from tests.evaluation.run.small import write_benchmark
from tests.published import size_overrides, write_published
from vlm3r.checkpoints.loading import EMBEDDED_MODEL
from vlm3r.errors import UserError
from vlm3r.evaluation.run.journal import read_run
from vlm3r.inference import greedy as greedy_module
from vlm3r.inference.ask import encode_clip
from vlm3r.inference.fingerprint import run_fingerprint, weight_hashes
from vlm3r.inference.opened import OpenedVideo, open_video

INSTALLED = importlib.util.find_spec("bitsandbytes") is not None
pytestmark = [
    pytest.mark.skipif(not INSTALLED, reason="bitsandbytes is not installed"),
    pytest.mark.skipif(not EMBEDDED_MODEL.is_dir(), reason="the embedded model is not in this checkout"),
]
QUESTIONS = ("How many chairs are there?", "Is the sofa to my left, right or back?", "Why?")


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A small checkpoint of the widths that bitsandbytes packs on a CPU."""
    folder = tmp_path_factory.mktemp("published")
    return write_published(folder).sources | {"device": "cpu", "config_overrides": size_overrides()}


@pytest.fixture(params=["4bit", "8bit"])
def loaded(request, sources):
    return package.load(**sources, quantization=request.param)


def logits(opened, questions, monkeypatch):
    """`(question, vocabulary)` of the first step, questions of rising length."""
    steps = []

    class Recorder(LogitsProcessor):
        def __call__(self, input_ids, scores):
            steps.append(scores.clone())
            return scores

    processors = greedy_module.greedy_processors(opened.model)
    with monkeypatch.context() as patched:
        patched.setattr(greedy_module, "greedy_processors", lambda _: LogitsProcessorList([Recorder(), *processors]))
        opened.generate(questions, 1)
    return steps[0]


@pytest.mark.parametrize(("quantization", "tolerance"), [("4bit", 1e-4), ("8bit", 5e-2)])
def test_logits_of_a_batch_are_those_of_whole_prompts_as_far_as_the_bits_allow(
    sources, video, monkeypatch, quantization, tolerance
):
    model, processor = package.load(**sources, quantization=quantization)
    opened, clip = open_video(model, processor, video), encode_clip(model, processor, video)
    questions = sorted(QUESTIONS, key=lambda question: len(processor(question)["input_ids"][0]))
    for row, question in zip(logits(opened, questions, monkeypatch), questions, strict=True):
        inputs = processor(question, video=video, with_pixels=False)
        whole = model(**inputs, **clip).logits[0, -1]
        assert (row - whole).abs().max() < tolerance * whole.abs().max()


def test_looking_at_the_weights_changes_neither_them_nor_an_answer(loaded, video, tmp_path, monkeypatch):
    fresh = weight_hashes(loaded[0])
    opened = open_video(*loaded, video)
    before = logits(opened, QUESTIONS, monkeypatch)
    assert weight_hashes(loaded[0]) == fresh
    opened.save(tmp_path / "room")
    run_fingerprint(*loaded, opened.video)
    assert torch.equal(logits(opened, QUESTIONS, monkeypatch), before)
    again = logits(open_video(*loaded, video), QUESTIONS, monkeypatch)
    assert torch.equal(again, before)


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_a_saved_video_is_restored_to_a_model_of_the_same_bits_only(sources, video, tmp_path, quantization):
    opened = open_video(*package.load(**sources, quantization=quantization), video)
    expected = opened.generate(QUESTIONS, 4)
    opened.save(tmp_path / "room")
    again = OpenedVideo.restore(*package.load(**sources, quantization=quantization), tmp_path / "room")
    assert again.generate(QUESTIONS, 4) == expected
    with pytest.raises(UserError, match=f"other weights .language_model. and quantization '{quantization}' instead"):
        OpenedVideo.restore(*package.load(**sources), tmp_path / "room")


def test_hashes_tell_quantised_weights_apart(sources):
    model, _ = package.load(**sources, quantization="4bit")
    before = weight_hashes(model)
    layer = model.language_model.model.layers[1].mlp.down_proj
    layer.weight.quant_state.absmax[0] *= 2
    after = weight_hashes(model)
    assert [part for part in before if before[part] != after[part]] == ["language_model"]
    layer.weight.quant_state.absmax[0] /= 2
    assert weight_hashes(model) == before
    layer.weight.data[0] += 1
    assert weight_hashes(model) != before


@pytest.mark.parametrize("quantization", ["4bit", "8bit"])
def test_the_command_answers_quietly_and_records_the_bits(vlm3r, pictures, tmp_path, quantization):  # noqa: F811
    options = ("--frames", 2, "-q", "Why?", "--max-new-tokens", 2, "--device", "cpu", "--json", tmp_path / "out.json")
    run = vlm3r("ask", "--video", pictures, *options, "--quantization", quantization)
    assert run.status == 0, run
    assert "during quantization" not in run.err
    fingerprint = json.loads((tmp_path / "out.json").read_text())["fingerprint"]
    assert fingerprint["quantization"] == quantization
    assert fingerprint["dtype"] == "float32"


@pytest.fixture
def benchmark(tmp_path):
    (tmp_path / "bench").mkdir()
    return write_benchmark(tmp_path / "bench", scenes=1)


def test_a_benchmark_records_the_bits(vlm3r, benchmark, tmp_path):  # noqa: F811
    run = vlm3r(
        "eval", "--benchmark", benchmark, "--out", tmp_path / "run", "--device", "cpu", "--quantization", "8bit"
    )
    assert run.status == 0, run
    assert read_run(tmp_path / "run")[0]["quantization"] == "8bit"


def test_a_missing_bitsandbytes_is_one_line_in_both_commands(vlm3r, benchmark, tmp_path, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    for command in (
        ("ask", "--text-only", "-q", "Why?"),
        ("eval", "--benchmark", benchmark, "--out", tmp_path / "run"),
    ):
        run = vlm3r(*command, "--device", "cpu", "--quantization", "4bit")
        assert (run.status, run.out, len(run.errors)) == (2, "", 1)
        assert "pip install -e '.[quant]'" in run.errors[0]


def test_the_fingerprint_of_a_whole_model_says_so(noisy):
    assert run_fingerprint(*noisy)["quantization"] is None
