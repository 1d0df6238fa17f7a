"""One video, many questions: the answers are those of separate prompts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers.generation.logits_process import LogitsProcessor, LogitsProcessorList

from tests.inference.conftest import fill_with_noise, loaded_with_noise, smallest
from vlm3r.checkpoints.loading import EMBEDDED_MODEL
from vlm3r.inference import greedy as greedy_module
from vlm3r.inference import opened as opened_module
from vlm3r.inference.ask import ask, encode_clip
from vlm3r.inference.opened import open_video
from vlm3r.inference.prefix_cache import PrefixCache
from vlm3r.model.modeling import OnlyKnownTokens

pytestmark = pytest.mark.skipif(not EMBEDDED_MODEL.is_dir(), reason="the embedded model is not in this checkout")
NEW = 6
QUESTIONS = (
    "How many chairs are there?",
    "How many chairs are there in this room, counting the armchairs as well as the stools beside the table?",
    "Is the sofa to my left, right or back?",
    "Why?",
    "<image>\nHow many chairs are there?",
    "Look: <image> What is it?",
    "How many chairs are there?",
)


def cut(ids: list[int], stops: list[int]) -> list[int]:
    return next((ids[: i + 1] for i, token in enumerate(ids) if token in stops), ids)


@pytest.fixture(scope="module", params=["video", "video with times", "text"])
def case(request, video):
    """A model, its opened video, and what `generate` says to each prompt alone."""
    model, processor = loaded_with_noise()
    processor.add_time_instruction = request.param == "video with times"
    shown = None if request.param == "text" else video
    clip = encode_clip(model, processor, shown)
    asked = [question for question in QUESTIONS if shown is not None or "<image>" not in question]
    alone = []
    for question in asked:
        inputs = processor(question, video=shown, with_pixels=False)
        output = model.generate(**inputs, **clip, max_new_tokens=NEW)[0, inputs["input_ids"].shape[1] :].tolist()
        alone.append(cut(output, model.generation_config.eos_token_id))
    return SimpleNamespace(
        model=model,
        processor=processor,
        video=shown,
        opened=open_video(model, processor, shown),
        asked=asked,
        alone=alone,
    )


def test_the_prompts_of_this_test_are_told_apart(case):
    different = {question.removeprefix("<image>\n") for question in case.asked}
    assert len({tuple(ids) for ids in case.alone}) == len(different)
    assert len({len(ids) for ids in case.alone}) > 1


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_questions_in_any_order_and_batches_give_the_ids_of_separate_prompts(case, data):
    numbers = data.draw(st.lists(st.integers(0, len(case.asked) - 1), max_size=9))
    batch_size = data.draw(st.integers(1, 10))
    found = case.opened.generate([case.asked[i] for i in numbers], NEW, batch_size)
    assert found == [case.alone[i] for i in numbers]


def test_answers_are_those_of_ask(case):
    expected = ask(case.model, case.processor, case.asked, video=case.video, max_new_tokens=NEW)
    assert case.opened.ask(case.asked, NEW) == expected


class Recorder(LogitsProcessor):
    def __init__(self):
        self.steps: list[torch.Tensor] = []

    def __call__(self, input_ids, scores):
        self.steps.append(scores.clone())
        return scores


def test_logits_of_a_batch_are_those_of_whole_prompts(case, monkeypatch):
    recorder = Recorder()
    processors = LogitsProcessorList([recorder, *greedy_module.greedy_processors(case.model)])
    monkeypatch.setattr(greedy_module, "greedy_processors", lambda _: processors)
    asked = [question for question in case.asked if "<image>" not in question]
    found = case.opened.generate(asked, NEW, len(asked))
    inputs = [case.processor(question, video=case.video, with_pixels=False)["input_ids"] for question in asked]
    order = sorted(range(len(asked)), key=lambda i: inputs[i].shape[1])
    clip = encode_clip(case.model, case.processor, case.video)
    for step, logits in enumerate(recorder.steps):
        alive = [i for i in order if len(found[i]) > step]
        assert len(logits) == len(alive)
        for row, number in zip(logits, alive, strict=True):
            ids = torch.cat([inputs[number], torch.tensor([found[number][:step]], dtype=torch.long)], dim=1)
            with torch.inference_mode():
                whole = case.model(input_ids=ids, **clip).logits[0, -1]
            assert (row - whole).abs().max() < 1e-4 * whole.abs().max().clamp(min=1)


ids_of_prompts = st.lists(st.lists(st.integers(0, 680), min_size=1, max_size=6), min_size=1, max_size=5)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(shared=st.lists(st.integers(0, 680), min_size=1, max_size=8), prompts=ids_of_prompts, seed=st.randoms())
def test_logits_of_any_prompts_in_any_order_are_those_of_each_alone(noisy, shared, prompts, seed):
    model, _ = noisy
    seed.shuffle(prompts)
    recorder = Recorder()
    embed = model.get_input_embeddings()
    with torch.inference_mode():
        cache = PrefixCache(model.config.qwen2.num_hidden_layers)
        greedy_module.extend(model, cache, embed(torch.tensor([shared])))
        rows = embed(torch.tensor([[token for prompt in prompts for token in prompt]]))
        processors = LogitsProcessorList([recorder, OnlyKnownTokens(model.config.num_output_tokens)])
        found = greedy_module.greedy(model, cache, prompts, rows, 3, processors)
        assert cache.length == len(shared)
        for step, logits in enumerate(recorder.steps):
            alive = [number for number, ids in enumerate(found) if len(ids) > step]
            for row, number in zip(logits, alive, strict=True):
                whole = model(input_ids=torch.tensor([[*shared, *prompts[number], *found[number][:step]]])).logits[
                    0, -1
                ]
                assert (row - whole).abs().max() < 1e-4 * whole.abs().max().clamp(min=1)


def test_another_attention_kernel_gives_the_same(video):
    expected = open_video(*loaded_with_noise(), video).generate(QUESTIONS, NEW)
    assert open_video(*loaded_with_noise("eager"), video).generate(QUESTIONS, NEW) == expected


def test_a_kernel_that_takes_no_mask_answers_one_by_one(case, monkeypatch):
    monkeypatch.setattr(greedy_module, "MASKED_KERNELS", ())
    assert case.opened.generate(case.asked, NEW) == case.alone


def test_a_model_with_attention_windows_gives_the_ids_of_separate_prompts(noisy, video):
    window = {"layer_types": ["sliding_attention"], "use_sliding_window": True, "sliding_window": 8}
    model, processor = smallest(*noisy, **window)
    fill_with_noise(model.language_model)
    found = open_video(model, processor, video).ask(QUESTIONS, NEW, 4)
    assert found == ask(model, processor, QUESTIONS, video=video, max_new_tokens=NEW)
    wide = smallest(*noisy)[0]
    wide.load_state_dict(model.state_dict())
    assert found != ask(wide, processor, QUESTIONS, video=video, max_new_tokens=NEW)


def test_the_repetition_penalty_counts_generated_tokens_only_as_in_generate(video):
    model, processor = loaded_with_noise()
    words = model.get_input_embeddings().weight
    words.data *= 10  # the last word outweighs what the blocks add to it: the model repeats itself
    model.get_output_embeddings().weight.data = words.data.clone()
    model.generation_config.eos_token_id = None
    found = {}
    for penalty in (1.0, 5.0):
        model.generation_config.repetition_penalty = penalty
        found[penalty] = open_video(model, processor, video).generate(QUESTIONS[:4], NEW)
        for question, ids in zip(QUESTIONS, found[penalty], strict=False):
            inputs = processor(question, video=video, with_pixels=False)
            output = model.generate(**inputs, **encode_clip(model, processor, video), max_new_tokens=NEW)
            assert ids == output[0, inputs["input_ids"].shape[1] :].tolist()
    assert found[1.0] != found[5.0]


def test_small_rooms_split_batches_without_changing_answers(case, monkeypatch):
    monkeypatch.setattr(opened_module, "LEAST_ROOM", 8)
    assert case.opened.generate(case.asked, NEW) == case.alone


def test_the_beginning_is_kept_once_and_costs_what_its_keys_and_values_cost(video):
    model, processor = loaded_with_noise()
    opened = open_video(model, processor, video)
    text = model.config.qwen2
    head = text.hidden_size // text.num_attention_heads
    per_token = 2 * text.num_hidden_layers * text.num_key_value_heads * head * 4
    assert opened.nbytes == per_token * opened.prefix_tokens
    assert opened.prefix_tokens > processor.layout.video_tokens(len(video))
    asked = [f"{question} {i}" for question in QUESTIONS[:4] for i in range(8)]
    assert sum(processor(question)["input_ids"].shape[1] for question in asked) > opened.prefix_tokens
    expected = opened.generate(asked, NEW, 32)
    assert opened.nbytes <= per_token * opened.prefix_tokens * 1.25
    assert opened.generate(asked, NEW, 32) == expected
    assert opened.video is not None
    assert opened.video.frames.nbytes == 0


def test_an_error_in_the_middle_of_a_batch_leaves_the_video_usable(case, monkeypatch):
    with monkeypatch.context() as broken:
        broken.setattr(greedy_module, "stop_ids", lambda _: 1 / 0)
        broken.setattr(greedy_module, "_mask", lambda *_: None)
        with pytest.raises(ZeroDivisionError):
            case.opened.generate(case.asked, NEW)
    assert case.opened.generate(case.asked, NEW) == case.alone


def test_threads_that_ask_at_once_get_the_answers_of_separate_prompts(case):
    def asking(shift):
        order = [(place + shift) % len(case.asked) for place in range(len(case.asked))]
        return [(order, case.opened.generate([case.asked[i] for i in order], NEW, 1 + shift)) for _ in range(3)]

    with ThreadPoolExecutor(4) as threads:
        for rounds in threads.map(asking, range(4)):
            assert all(found == [case.alone[i] for i in order] for order, found in rounds)


def test_a_cache_is_set_back_backwards_only():
    cache = PrefixCache(1)
    keys = torch.randn(1, 2, 5, 4)
    cache.update(keys, keys, 0)
    cache.set_back(3)
    assert torch.equal(cache.update(keys, keys, 0)[0], torch.cat([keys[:, :, :3], keys], dim=2))
    assert torch.equal(cache.beginning(2).update(keys, keys, 0)[1], torch.cat([keys[:, :, :2], keys], dim=2))
    with pytest.raises(ValueError, match="8 tokens"):
        cache.set_back(9)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(("hey",), "not one string"), ((["a"], 0), "at least 1"), ((["a"], 1, 0), "at least 1")],
)
def test_arguments_that_do_not_fit_are_named(case, arguments, message):
    with pytest.raises(ValueError, match=message):
        case.opened.ask(*arguments)


def test_a_model_in_training_mode_is_not_opened(video):
    model, processor = loaded_with_noise()
    with pytest.raises(ValueError, match=r"model\.eval"):
        open_video(model.train(), processor, video)
