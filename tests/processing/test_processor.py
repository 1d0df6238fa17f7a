"""What may be given as videos, pictures and text, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from vlm3r.checkpoints.loading import EMBEDDED_MODEL, read_checkpoint
from vlm3r.errors import UserError
from vlm3r.processing.processor import VLM3RProcessor
from vlm3r.processing.video import VideoFrames

pytestmark = pytest.mark.skipif(not EMBEDDED_MODEL.is_dir(), reason="the embedded model is not in this checkout")


@pytest.fixture(scope="module")
def processor():
    parts, _ = read_checkpoint()
    return VLM3RProcessor.from_config(parts.config, parts.tokenizer, add_time_instruction=True)


def noise(frames: int = 3) -> np.ndarray:
    return np.random.default_rng(frames).integers(0, 256, (frames, 40, 50, 3), dtype=np.uint8)


def test_the_same_pictures_give_the_same_pixels_in_every_form(processor, tmp_path):
    frames = noise()
    for i, frame in enumerate(frames):
        Image.fromarray(frame).save(tmp_path / f"{i}.png")
    expected = processor("q", video=frames)["pixel_values"]
    pictures = [Image.fromarray(frame) for frame in frames]
    for video in (list(frames), pictures, VideoFrames.from_array(frames)):
        assert torch.equal(processor("q", video=video)["pixel_values"], expected)
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    assert torch.equal(processor("q", images=paths)["image_pixel_values"], expected)
    assert torch.equal(processor("q", images=pictures)["image_pixel_values"], expected)


def test_a_picture_given_as_a_video_is_refused(processor, tmp_path):
    Image.fromarray(noise(1)[0]).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="not a video"):
        processor("q", video=tmp_path / "a.png")
    with pytest.raises(UserError, match="not a video"):
        processor("q", video=[tmp_path / "a.png", tmp_path / "a.png"])


def test_a_grey_array_is_one_picture(processor):
    grey = np.zeros((40, 30), np.uint8)
    assert processor("q", images=grey)["image_pixel_values"].shape[:2] == (1, 1)


def test_a_16_bit_picture_is_refused_and_a_transparent_one_lies_on_white(processor):
    with pytest.raises(UserError, match="8 bits"):
        processor("q", images=Image.new("I;16", (20, 20)))
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    pixels = processor("q", images=clear)["image_pixel_values"]
    assert pixels.shape[:3] == (1, 1, 3)
    assert torch.equal(pixels, torch.ones_like(pixels))


def test_placeholders_in_an_answer_are_text(processor):
    inputs = processor("q", answer="see <image>")
    assert "see <image>" in processor.tokenizer.decode(inputs["input_ids"][0])


def test_placeholders_in_a_question_must_match_its_inputs(processor):
    with pytest.raises(UserError, match="<image>"):
        processor("what is <image>?")
    kept = processor("First <image> then <image>.", video=[noise(1), noise(2)])
    assert "First <image> then <image>." in processor.prompt_text(kept["input_ids"][0])


def test_times_belong_to_each_question(processor):
    inputs = processor(["a", "b"], video=[noise(2), noise(3)], timestamps=[[0, 1], [0, 2, 4]])
    rows = zip(inputs["input_ids"], inputs["attention_mask"], strict=True)
    texts = [processor.prompt_text(ids[mask.bool()]) for ids, mask in rows]
    assert "0.00s,1.00s." in texts[0]
    assert "0.00s,2.00s,4.00s." in texts[1]
    with pytest.raises(ValueError, match="descend"):
        processor("q", video=noise(2), timestamps=[1, 0])


def test_an_array_without_times_gets_no_time_sentence(processor):
    assert "seconds" not in processor.prompt_text(processor("q", video=noise())["input_ids"][0])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": []}, "at least one question"),
        ({"text": None}, "needs a question"),
        ({"text": "q", "video": []}, "at least one"),
        ({"text": ["a", "b"], "video": VideoFrames.from_array(noise())}, "list of 2 videos"),
        ({"text": "q", "video": [Image.new("RGB", (4, 4)), Image.new("RGB", (5, 4))]}, "one size"),
        ({"text": "q", "video": noise(), "images": noise()[0]}, "not both"),
        ({"text": "q", "images": np.zeros((4, 4, 3))}, "uint8"),
        ({"text": "q", "return_tensors": "np"}, "only 'pt'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(processor, arguments, message):
    with pytest.raises(ValueError, match=message):
        processor(**arguments)


def test_a_prompt_beyond_the_models_reach_is_refused_before_it_is_cut(processor):
    short = VLM3RProcessor(processor.image_processor, processor.tokenizer, grid_side=9, max_length=50)
    with pytest.raises(UserError, match="use fewer frames"):
        short("q", video=noise())
    with pytest.raises(UserError, match="shorter"):
        short("why " * 100)


def test_a_token_that_takes_a_placeholders_id_is_noticed(processor):
    parts, _ = read_checkpoint()
    parts.tokenizer.add_tokens(["<obj>"])
    grown = VLM3RProcessor.from_config(parts.config, parts.tokenizer)
    with pytest.raises(ValueError, match="cannot grow"):
        grown("where is <obj>?")
