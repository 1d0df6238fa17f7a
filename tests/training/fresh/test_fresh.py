"""Models from nothing: a tokenizer like Qwen2's, sizes and weights that load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import vlm3r
from vlm3r.checkpoints.native import write_native
from vlm3r.errors import UserError
from vlm3r.model.vision import VisionTower
from vlm3r.training.fresh.make import make_fresh
from vlm3r.training.fresh.recipe import FreshRecipe, LanguageRecipe
from vlm3r.training.fresh.tokenizer import make_tokenizer
from vlm3r.training.vision.contrast import tower_config
from vlm3r.training.vision.recipe import TowerRecipe

LANGUAGE = LanguageRecipe(
    hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=1,
    vocabulary=400,
)  # fmt: skip
TOWER = TowerRecipe(
    image_size=48, patch_size=16, hidden_size=24, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2
)
TEXT = "Which of these objects is closest to the refrigerator: the sofa or the stool?"


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    turns = [{"from": "human", "value": f"<image>\n{TEXT}"}, {"from": "gpt", "value": "sofa"}]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps({"conversations": turns}) for _ in range(5)), encoding="utf-8")
    return path


def test_the_tokenizer_has_qwen2_s_newline_and_markup_and_loses_nothing() -> None:
    tokenizer = make_tokenizer([TEXT] * 10, 400)
    assert tokenizer("\n")["input_ids"] == [198]
    assert tokenizer.decode(tokenizer(TEXT + " ünï 7.5\n")["input_ids"]) == TEXT + " ünï 7.5\n"
    markup = tokenizer.convert_tokens_to_ids(["<|endoftext|>", "<|im_start|>", "<|im_end|>"])
    assert sorted(markup) == list(range(len(tokenizer) - 3, len(tokenizer)))
    assert len(tokenizer("refrigerator")["input_ids"]) < len("refrigerator") / 2


def test_a_new_model_is_written_loads_and_answers(rows: Path, tmp_path: Path) -> None:
    tower = VisionTower(tower_config(TOWER))
    tower.save_pretrained(tmp_path / "vision")
    recipe = FreshRecipe(corpus=(rows,), language=LANGUAGE, vision=tmp_path / "vision", fusion_num_heads=2)
    write_native(make_fresh(recipe), tmp_path / "model")
    model, processor = vlm3r.load(tmp_path / "model")
    assert model.config.geometry == "none" and model.config.untrained and model.config.image_size == 48
    assert torch.equal(model.vision_tower.encoder.layers[0].mlp.fc1.weight, tower.encoder.layers[0].mlp.fc1.weight)
    inputs = processor(TEXT)
    assert model.generate(**inputs, max_new_tokens=2).shape[1] <= inputs["input_ids"].shape[1] + 2


def test_the_same_seed_makes_the_same_model_and_another_seed_another(rows: Path) -> None:
    def weights(seed: int) -> torch.Tensor:
        recipe = FreshRecipe(corpus=(rows,), language=LANGUAGE, tower=TOWER, fusion_num_heads=2, seed=seed)
        return make_fresh(recipe).tensors["projector.linear_1.weight"]

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


def test_geometry_is_put_in_where_a_folder_is_given(rows: Path, tmp_path: Path) -> None:
    geometry = vlm3r.load()[0].geometry_encoder
    geometry.save_pretrained(tmp_path / "cut3r")
    recipe = FreshRecipe(
        corpus=(rows,), language=LANGUAGE, tower=TOWER, geometry=tmp_path / "cut3r", fusion_num_heads=2
    )
    parts = make_fresh(recipe)
    assert parts.config.geometry == "cut3r" and parts.config.geometry_image_size == 48
    assert torch.equal(parts.tensors["geometry_encoder.pose_token"], geometry.pose_token)


def test_bad_files_are_one_line(rows: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text("{}\n", encoding="utf-8")
    number = {"conversations": [{"from": "human", "value": 3}, {"from": "gpt", "value": "a"}]}
    (tmp_path / "number.jsonl").write_text(json.dumps(number), encoding="utf-8")
    for recipe in (
        FreshRecipe(corpus=(tmp_path / "nowhere.jsonl",)),
        FreshRecipe(corpus=(tmp_path / "bad.jsonl",)),
        FreshRecipe(corpus=(tmp_path / "number.jsonl",)),
        FreshRecipe(corpus=(rows,), vision=tmp_path),
    ):
        with pytest.raises(UserError) as caught:
            make_fresh(recipe)
        assert "\n" not in str(caught.value)
