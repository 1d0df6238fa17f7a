"""Packs as tensors: each question as the processor gives it alone, clips that fail, features instead of pixels."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader

import vlm3r
from tests.published import golden_frames, golden_json, size_overrides, write_published
from tests.training.data.material import make_pictures, make_video, recipe, row, rows_about, write_rows
from vlm3r.errors import UserError
from vlm3r.processing.prompts import IGNORED
from vlm3r.processing.sampling import time_instruction
from vlm3r.processing.video import VideoFrames
from vlm3r.training.data import Failure, LoadedPack, PackDataset, collate, read_mixture
from vlm3r.training.objective import PackedObjective
from vlm3r.training.packing import PackedRows

GOLDEN = golden_json()
TRAINING = GOLDEN["training"]
QUESTION, ANSWER = GOLDEN["inputs"]["question"], GOLDEN["inputs"]["answer"]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    parts = write_published(tmp_path_factory.mktemp("published"))
    modes = {
        "pool_mode": GOLDEN["settings"]["mm_spatial_pool_mode"],
        "newline_position": GOLDEN["settings"]["mm_newline_position"],
    }
    overrides = size_overrides() | modes
    return vlm3r.load(**parts.sources, device="cpu", dtype="float32", config_overrides=overrides, merge_lora=False)


@pytest.fixture(scope="module")
def processor(tiny):
    return tiny[1]


def dataset(processor, path: Path, features=None, tokens_needed=None, **settings) -> PackDataset:
    data = recipe(path, **({"frames": 4} | settings))
    needed = {} if tokens_needed is None else {"tokens_needed": tokens_needed}
    return PackDataset(read_mixture(data, 0), processor, data, features, **needed)


def loaded(data: PackDataset, index: int = 0) -> LoadedPack:
    item = data[index]
    assert isinstance(item, LoadedPack), item
    return item


def alone(sequence: PackedRows) -> list[tuple[list[int], list[int], list[int]]]:
    """Ids, positions and labels of every row of a sequence, as one that sees its prefix and itself only."""
    rows = []
    for number in range(sequence.count):
        places = ((sequence.segments == 0) | (sequence.segments == number + 1)).nonzero()[:, 0]
        ids, positions = sequence.ids[places].tolist(), sequence.positions[places].tolist()
        labels = [IGNORED] * len(ids)
        mine = sequence.rows == number
        for source, target in zip(sequence.sources[mine].tolist(), sequence.targets[mine].tolist(), strict=True):
            labels[positions[places.tolist().index(source)] + 1] = target
        rows.append((ids, positions, labels))
    return rows


def test_ids_and_labels_are_those_of_the_published_training(processor, tmp_path):
    spec = GOLDEN["inputs"]["video"]
    make_video(tmp_path / "v.mp4", spec["total_frames"], int(spec["fps"]))
    data = dataset(processor, write_rows(tmp_path / "a.json", [row(f"<image>\n{QUESTION}", ANSWER, video="v.mp4")]))
    for _ in range(3):  # the time sentence stands there once however often the item is read
        ids, positions, labels = alone(loaded(data).sequences[0])[0]
        assert labels[1:] == TRAINING["spliced_labels"][1:]  # nothing comes before the first token to predict it
        assert positions == list(range(len(ids)))
        text = processor.prompt_text(torch.tensor(ids))
        assert TRAINING["human_value"] in text and text.count("The video lasts") == 1


@pytest.mark.parametrize("copies", [1, 3])
def test_the_loss_of_a_batch_is_the_published_loss_for_each_question(tiny, tmp_path, copies):
    model, processor = tiny
    make_pictures(tmp_path / "v", golden_frames())
    rows = [row(TRAINING["human_value"], ANSWER, video="v")] * copies
    path = write_rows(tmp_path / "a.json", rows)
    data = dataset(processor, path, time_instruction=False, questions_per_pack=0)
    batch = collate([data[0]], processor.tokenizer.pad_token_id)
    with torch.no_grad():
        losses = PackedObjective(model.eval())(batch)
    assert int(batch["question_count"]) == copies
    assert losses.weighted_sum.item() / copies == pytest.approx(TRAINING["loss"], rel=1e-5)
    assert len(losses.per_target) == copies * (TRAINING["supervised"] - 1)


@pytest.mark.parametrize("per_pack", [1, 2, 3, 0])
def test_every_question_of_a_pack_is_what_the_processor_gives_for_it_alone(processor, tmp_path, per_pack):
    paths = {name: make_video(tmp_path / name, 12, 4, seed) for seed, name in enumerate(("v.mp4", "w.mp4"))}
    rows = [row for name in paths for row in rows_about(name, 7)]
    data = dataset(processor, write_rows(tmp_path / "a.json", rows), questions_per_pack=per_pack)
    seen = 0
    for item in data:
        assert isinstance(item, LoadedPack)
        numbers = iter(int(identity.rpartition(":")[2]) - 1 for identity in item.identities)
        for sequence in item.sequences:
            for ids, positions, labels in alone(sequence):
                expected = rows[next(numbers)]
                clip = processor.load_video(paths[expected["video"]], num_frames=4)
                sentence = time_instruction(clip.duration, clip.shown_times)
                asked, answered = (turn["value"] for turn in expected["conversations"])
                asked = f"<image>\n{sentence}\n\n" + asked.removeprefix("<image>\n")
                inputs = processor(asked, video=clip.frames, answer=answered)
                assert ids == inputs["input_ids"][0].tolist() and positions == list(range(len(ids)))
                assert labels[1:] == inputs["labels"][0, 1:].tolist()
                assert torch.equal(item.visual["pixel_values"], inputs["pixel_values"][0])
                seen += 1
    assert seen == len(rows)


def test_conversations_of_several_turns_keep_them_all_and_learn_from_every_answer(processor, tmp_path):
    make_video(tmp_path / "v.mp4")
    said = [("human", "<image>\nFirst?"), ("gpt", "One."), ("human", "Second?"), ("gpt", "Two.")]
    turns = [{"from": who, "value": what} for who, what in said]
    path = write_rows(tmp_path / "a.json", [{"conversations": turns, "video": "v.mp4"}])
    data = dataset(processor, path, time_instruction=False)
    ids, _, labels = alone(loaded(data).sequences[0])[0]
    text = processor.prompt_text(torch.tensor(ids))
    assert text.endswith(
        "<|im_start|>user\n<image>\nFirst?<|im_end|>\n<|im_start|>assistant\nOne.<|im_end|>\n"
        "<|im_start|>user\nSecond?<|im_end|>\n<|im_start|>assistant\nTwo.<|im_end|>\n"
    )
    learnt = processor.tokenizer.decode([label for label in labels if label != IGNORED])
    assert "assistant\nOne." in learnt and "assistant\nTwo." in learnt and "Second" not in learnt


def test_only_answers_and_their_ends_are_supervised_where_asked(processor, tmp_path):
    make_video(tmp_path / "v.mp4")
    turns = ["<image>\nWhich?\nOptions:\nA. left\nB. right", "B", "And now?", "two\nlines"]
    said = [{"from": ("human", "gpt")[i % 2], "value": text} for i, text in enumerate(turns)]
    path = write_rows(tmp_path / "a.json", [{"conversations": said, "video": "v.mp4"}])
    learnt = {}
    for kind in ("published", "answers"):
        ids, _, labels = alone(loaded(dataset(processor, path, supervise=kind)).sequences[0])[0]
        assert all(label in (IGNORED, own) for own, label in zip(ids, labels, strict=True))
        learnt[kind] = processor.tokenizer.decode([label for label in labels if label != IGNORED])
    assert learnt["answers"] == "B<|im_end|>two\nlines<|im_end|>"
    assert learnt["published"].count("\n") > learnt["answers"].count("\n") + 5


def test_a_lone_placeholder_moves_to_the_front_as_published(processor, tmp_path):
    make_video(tmp_path / "v.mp4")
    rows = [row(text, video="v.mp4") for text in ("Look at <image> now.", "<image>\nLook at  now.")]
    data = dataset(processor, write_rows(tmp_path / "a.json", rows), time_instruction=False, questions_per_pack=0)
    (first, *_), (second, *_) = alone(loaded(data).sequences[0])
    assert first == second


def test_a_blind_data_set_reads_no_video_and_leaves_no_trace_of_it(processor, tmp_path):
    rows = [*rows_about("missing.mp4", 3), row("Look: <image>", image="missing.png")]
    data = dataset(processor, write_rows(tmp_path / "a.json", rows), questions_per_pack=0, with_video=False)
    packs = sorted((loaded(data, i) for i in range(len(data))), key=lambda pack: pack.identities)
    for pack in packs:
        assert not pack.visual
        for identity, (ids, _, labels) in zip(pack.identities, alone(pack.sequences[0]), strict=True):
            said = rows[int(identity.rpartition(":")[2]) - 1]["conversations"]
            asked = said[0]["value"].replace("<image>\n", "").replace("<image>", "")
            inputs = processor(asked, answer=said[1]["value"])
            assert ids == inputs["input_ids"][0].tolist() and labels[1:] == inputs["labels"][0, 1:].tolist()
            assert processor.video_token_id not in ids and processor.image_token_id not in ids


def test_pictures_are_the_processors_and_their_number_must_fit(processor, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    make_pictures(tmp_path / "p", frames)
    both = ["p/000.png", "p/001.png"]
    rows = [row("Compare <image> with <image>.", image=both), row("<image>\nWhat?", image=both)]
    data = dataset(processor, write_rows(tmp_path / "a.json", rows), questions_per_pack=0)
    pack = loaded(data)
    inputs = processor("Compare <image> with <image>.", images=list(frames), answer="4")
    assert alone(pack.sequences[0])[0][0] == inputs["input_ids"][0].tolist()
    assert torch.equal(pack.visual["image_pixel_values"], inputs["image_pixel_values"][0])
    assert [(failure.item.rpartition(":")[2], failure.reason) for failure in pack.failures] == [
        ("2", "conversations hold <image> 1 times for 2 videos or images")
    ]


def test_questions_whose_clips_stand_behind_different_text_do_not_share_a_sequence(processor, tmp_path):
    frames = np.random.default_rng(0).integers(0, 256, (2, 30, 40, 3), dtype=np.uint8)
    make_pictures(tmp_path / "p", frames)
    both = ["p/000.png", "p/001.png"]
    texts = ["A <image> B <image> first?", "C <image> D <image>?", "A <image> B <image> second?"]
    path = write_rows(tmp_path / "a.json", [row(text, image=both) for text in texts])
    pack = loaded(dataset(processor, path, questions_per_pack=0))
    assert sorted(sequence.count for sequence in pack.sequences) == [1, 2]
    per_clip = 2 * processor.layout.image_tokens
    batch = collate([pack], 0)
    assert (batch["input_ids"] == processor.image_token_id).sum(1).tolist() == [per_clip, per_clip]
    assert batch["image_pixel_values"].shape[:2] == (2, 2)
    by_text = dict(zip((identity[-1] for identity in pack.identities), range(3), strict=True))
    rows = [row for sequence in pack.sequences for row in alone(sequence)]
    for number, text in enumerate(texts):
        expected = processor(text, images=list(frames), answer="4")["input_ids"][0].tolist()
        assert rows[by_text[str(number + 1)]][0] == expected


BROKEN = {
    "missing": (lambda path: None, "does not exist"),
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_bytes(b"hello\n" * 500), "is not a video"),
    "cut": (lambda path: path.write_bytes(make_video(path).read_bytes()[:2000]), "incomplete"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_video_is_a_failure_with_its_reason_and_never_another_sample(processor, tmp_path, case):
    make_video(tmp_path / "good.mp4")
    BROKEN[case][0](tmp_path / "bad.mp4")
    rows = rows_about("bad.mp4", 2) + rows_about("good.mp4", 2)
    data = dataset(processor, write_rows(tmp_path / "a.json", rows), questions_per_pack=0)
    failed = [item for item in data if isinstance(item, Failure)]
    assert [item.item for item in failed] == [str(tmp_path / "bad.mp4")]
    assert BROKEN[case][1] in failed[0].reason and "\n" not in failed[0].reason
    learnt = [identity for item in data if isinstance(item, LoadedPack) for identity in item.identities]
    assert sorted(learnt) == [f"{tmp_path / 'a.json'}:{line}" for line in (3, 4)]


def test_a_broken_picture_is_a_failure(processor, tmp_path):
    (tmp_path / "p.png").write_bytes(b"no picture")
    data = dataset(processor, write_rows(tmp_path / "a.json", [row("q", image="p.png")]))
    item = data[0]
    assert isinstance(item, Failure) and item.item == str(tmp_path / "p.png")


def test_a_question_that_is_too_long_is_left_out_and_a_pack_that_is_too_long_is_split(processor, tmp_path):
    make_video(tmp_path / "v.mp4")
    rows = [*rows_about("v.mp4", 8), row("<image>\n" + "long " * 400, video="v.mp4")]
    path = write_rows(tmp_path / "a.json", rows)
    one = max(len(s.ids) for item in dataset(processor, path) for s in item.sequences if s.count)  # type: ignore
    assert one > 400
    data = dataset(processor, path, questions_per_pack=0, max_tokens=400)
    packs = [loaded(data, i) for i in range(len(data))]
    sequences = [sequence for pack in packs for sequence in pack.sequences]
    assert len(sequences) > 1 and all(len(sequence.ids) <= 400 for sequence in sequences)
    assert sorted(i.rpartition(":")[2] for pack in packs for i in pack.identities) == [str(i) for i in range(1, 9)]
    (failure,) = (failure for pack in packs for failure in pack.failures)
    assert failure.item == f"{path}:9" and "more than data.max_tokens (400)" in failure.reason


def test_a_video_that_alone_is_too_long_is_refused_before_training(processor, tmp_path):
    path = write_rows(tmp_path / "a.json", rows_about("v.mp4", 1))
    with pytest.raises(UserError, match=r"data\.max_tokens is 20, but a video of 4 frames makes"):
        dataset(processor, path, max_tokens=20)
    dataset(processor, path, max_tokens=60, with_video=False)


@dataclass
class Stored:
    tensors: dict[str, Tensor]
    clip: VideoFrames


class Store:
    """Features that could be told apart from those of another clip; frames without pixels, as in a feature store."""

    def __init__(self, processor, frames: int = 4, **tensors: Tensor):
        self._read = functools.partial(processor.load_video, num_frames=frames)
        self._tensors = tensors

    def read(self, path: Path) -> Stored:
        if path.name == "absent.mp4":
            raise UserError(f"{path}: the store has no features of it")
        video = self._read(path)
        fields = {name: getattr(video, name) for name in VideoFrames.__dataclass_fields__}
        return Stored(self._tensors, VideoFrames(**fields | {"frames": video.frames[:, :0, :0]}))


def test_stored_features_give_the_same_ids_as_decoding_and_no_pixels(processor, tmp_path):
    make_video(tmp_path / "v.mp4")
    rows = [*rows_about("v.mp4", 3), row("q", video="absent.mp4")]
    path = write_rows(tmp_path / "a.json", rows)
    tokens = {"camera_tokens": torch.ones(4, 1, 6), "patch_tokens": torch.ones(4, 25, 6)}
    both = tokens | {"vision_tokens": torch.ones(4, 25, 8)}
    decoded = loaded(dataset(processor, write_rows(tmp_path / "b.json", rows[:3]), questions_per_pack=0))
    for given, needed, names in [
        (both, None, set(both)),
        (tokens, None, set(tokens) | {"pixel_values"}),
        (tokens, ("camera_tokens",), set(tokens)),
    ]:
        data = dataset(processor, path, Store(processor, **given), needed, questions_per_pack=0)
        (pack,) = (item for item in data if isinstance(item, LoadedPack))
        assert set(pack.visual) == names
        key = {i[-1]: row for i, row in zip(decoded.identities, alone(decoded.sequences[0]), strict=True)}
        assert {i[-1]: row for i, row in zip(pack.identities, alone(pack.sequences[0]), strict=True)} == key
        (failure,) = (item for item in data if isinstance(item, Failure))
        assert failure.item == str(tmp_path / "absent.mp4")


def test_features_of_other_frames_than_those_decoded_are_a_failure(processor, tmp_path):
    make_video(tmp_path / "v.mp4")
    path = write_rows(tmp_path / "a.json", rows_about("v.mp4", 1))
    item = dataset(processor, path, Store(processor, frames=3, patch_tokens=torch.ones(3, 25, 6)))[0]
    assert isinstance(item, Failure) and "other frames" in item.reason


def batches(data: PackDataset, workers: int, epochs: int, **options) -> list[dict]:
    loader = DataLoader(data, 2, num_workers=workers, collate_fn=functools.partial(collate, pad_id=0), **options)
    found = []
    for epoch in range(epochs):
        data.set_epoch(epoch)
        found += list(loader)
    return found


def test_batches_are_the_same_whatever_the_worker_count_also_with_workers_that_stay(processor, tmp_path):
    for seed, name in enumerate("uvw"):
        make_video(tmp_path / f"{name}.mp4", seed=seed)
    rows = [row for name in ("u.mp4", "v.mp4", "gone.mp4", "w.mp4") for row in rows_about(name, 5)]
    data = dataset(processor, write_rows(tmp_path / "a.json", rows), questions_per_pack=2)
    expected = batches(data, 0, epochs=2)
    for options in ({}, {"persistent_workers": True}):
        found = batches(data, 2, epochs=2, **options)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert ours.keys() == theirs.keys()
            for name, value in ours.items():
                equal = torch.equal(value, theirs[name]) if isinstance(value, Tensor) else value == theirs[name]
                assert equal, name
    order = [batch["identities"] for batch in expected]
    assert order[: len(order) // 2] != order[len(order) // 2 :]
