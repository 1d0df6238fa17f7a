"""Runs in this process: what they learn, what they leave, and what they refuse."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import vlm3r
from tests.published import size_overrides, write_published
from tests.training.running import losses_of, recipe_of, row, write_data
from vlm3r.checkpoints.loading import read_checkpoint
from vlm3r.checkpoints.native import write_native
from vlm3r.checkpoints.published import CUT3R_FILE
from vlm3r.checkpoints.published import write_published as write_published_layout
from vlm3r.errors import UserError
from vlm3r.training.checkpointing import WEIGHTS
from vlm3r.training.history import HISTORY, read_lines
from vlm3r.training.recipe import Recipe
from vlm3r.training.run import prepare, train
from vlm3r.training.settings import parse_settings

DROPOUT = {"lora__dropout": 0.2, "run__log_every": 2, "run__save_every": 3, "optimiser__steps": 7}
"""A run over several epochs whose checkpoints lie between log entries, with something random in every step."""


@pytest.fixture(scope="module")
def whole(start, data, tmp_path_factory) -> Path:
    """A run that was never interrupted."""
    run = tmp_path_factory.mktemp("whole") / "run"
    assert train(recipe_of(start, data, run, **DROPOUT)) == 0
    return run


def cut_off_after(run: Path, step: int, copy: Path) -> Path:
    """What the run would have left, had it been killed after the checkpoint of `step`, some steps on."""
    shutil.copytree(run, copy, symlinks=True)
    for path in copy.glob("checkpoint-*"):
        if int(path.name.split("-")[1]) > step:
            shutil.rmtree(path)
    for name in ("model", "adapter", "peft"):
        shutil.rmtree(copy / name)
    record = json.loads((copy / "run.json").read_text())
    del record["finished"]
    (copy / "run.json").write_text(json.dumps(record))
    return copy


def final_weights(run: Path) -> dict[str, torch.Tensor]:
    checkpoint = max(run.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]))
    return load_file(checkpoint / WEIGHTS)


def assert_equal_bits(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_a_run_that_continues_gives_the_losses_and_weights_of_one_without_a_break(start, data, whole, tmp_path):
    run = cut_off_after(whole, 3, tmp_path / "run")
    assert [entry["step"] for entry in losses_of(run)] == [2, 4, 6, 7]
    assert train(recipe_of(start, data, run, **DROPOUT)) == 0
    assert losses_of(run) == losses_of(whole)
    assert_equal_bits(final_weights(run), final_weights(whole))
    assert json.loads((run / "run.json").read_text())["finished"]


def test_muon_learns_and_continues_with_the_same_bits(start, data, tmp_path):
    settings = {"optimiser__method": "muon", "optimiser__steps": 5, "run__save_every": 2, "run__log_every": 1}
    assert train(recipe_of(start, data, tmp_path / "whole", **settings)) == 0
    losses = [entry["loss"] for entry in losses_of(tmp_path / "whole")]
    assert losses[-1] < losses[0]
    run = cut_off_after(tmp_path / "whole", 2, tmp_path / "run")
    assert train(recipe_of(start, data, run, **settings)) == 0
    assert losses_of(run) == losses_of(tmp_path / "whole")
    assert_equal_bits(final_weights(run), final_weights(tmp_path / "whole"))


def test_muon_under_deepspeed_is_refused():
    with pytest.raises(UserError, match="muon needs whole matrices"):
        parse_settings(Recipe, {"optimiser": {"method": "muon"}, "run": {"deepspeed": "zero2.json"}}, "r.yaml")


def test_half_a_checkpoint_is_removed_and_not_continued_from(start, data, whole, tmp_path):
    run = cut_off_after(whole, 6, tmp_path / "run")
    shutil.copytree(run / "checkpoint-6", run / ".checkpoint-7.incomplete")
    (run / ".checkpoint-7.incomplete" / "optimizer.pt").write_bytes(b"half")
    assert train(recipe_of(start, data, run, **DROPOUT)) == 0
    assert not (run / ".checkpoint-7.incomplete").exists()
    assert losses_of(run) == losses_of(whole)


def test_a_finished_run_is_left_alone(start, data, whole):
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*")}
    assert train(recipe_of(start, data, whole, **DROPOUT)) == 0
    assert {path: path.stat().st_mtime_ns for path in whole.rglob("*")} == before


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"optimiser__learning_rate": 1e-4}, "optimiser.learning_rate"),
        ({"lora__rank": 2}, "lora.rank"),
        ({"data__questions_per_pack": 1}, "data.questions_per_pack"),
    ],
)
def test_a_changed_recipe_is_refused_by_its_key(start, data, whole, tmp_path, changes, key):
    run = cut_off_after(whole, 3, tmp_path / "run")
    with pytest.raises(UserError, match=rf"{key} was .* and is .* choose another run.out"):
        train(recipe_of(start, data, run, **DROPOUT | changes))


def test_checkpoints_without_the_runs_record_are_refused(start, data, whole, tmp_path):
    run = cut_off_after(whole, 3, tmp_path / "run")
    (run / "run.json").unlink()
    with pytest.raises(UserError, match=r"checkpoints without run\.json"):
        train(recipe_of(start, data, run, **DROPOUT))


def test_before_the_first_checkpoint_data_may_be_mended_and_the_recipe_changed(start, tmp_path):
    data, run = write_data(tmp_path / "data"), tmp_path / "run"
    text = data.read_text()
    data.write_text(text + json.dumps({"id": "a row without a conversation"}) + "\n")
    with pytest.raises(UserError, match="rows cannot be used"):
        train(recipe_of(start, data, run, data__max_failed_share=0.001))
    assert read_lines(run / "skipped.jsonl")
    data.write_text(text)
    assert train(recipe_of(start, data, run, data__max_failed_share=0.5, optimiser__steps=1)) == 0
    assert not read_lines(run / "skipped.jsonl")


def test_changed_data_are_refused_by_their_file(start, data, whole, tmp_path):
    run = cut_off_after(whole, 3, tmp_path / "run")
    text = data.read_text()
    try:
        data.write_text(text + json.dumps(row("More?", "yes", "counting")) + "\n")
        with pytest.raises(UserError, match=r"data.sources: .*rows.jsonl has changed"):
            train(recipe_of(start, data, run, **DROPOUT))
    finally:
        data.write_text(text)


@pytest.mark.parametrize("record", [{"finished": "yes"}, {"data": [], "recipe": {}, "base": {}}])
def test_a_folder_with_another_programs_record_is_refused(start, data, tmp_path, record):
    (tmp_path / "run.json").write_text(json.dumps(record))
    with pytest.raises(UserError, match=r"run\.json: is not the record of a training run"):
        train(recipe_of(start, data, tmp_path))


def test_a_damaged_checkpoint_is_named(start, data, whole, tmp_path):
    run = cut_off_after(whole, 3, tmp_path / "run")
    (run / "checkpoint-3" / "progress.json").write_text("{}")
    with pytest.raises(UserError, match=r"checkpoint-3/progress\.json: damaged; remove"):
        train(recipe_of(start, data, run, **DROPOUT))


def test_what_a_run_leaves(whole):
    names = {path.name for path in whole.iterdir()}
    assert {"model", "adapter", "peft", "recipe.yaml", "run.json", HISTORY, "loss.png", "skipped.jsonl"} <= names
    record = json.loads((whole / "run.json").read_text())
    assert record["parameters"]["all"]["trained"] > 0
    assert record["measured"]["questions"] == sum(entry["questions"] for entry in read_lines(whole / HISTORY))
    compared = {line["name"]: line for line in record["planned_and_measured"]}
    assert compared["steps"]["measured"] == 7
    assert len(record["data"]["files"][0]["sha256"]) == 64
    assert set(record["base"]) >= {"fusion", "language_model", "vision_tower"}


def test_the_finished_model_loads_with_the_trained_weights_merged_and_apart(whole):
    trained = final_weights(whole)
    apart, _ = vlm3r.load(whole / "model", device="cpu", merge_lora=False)
    weights = dict(apart.named_parameters())
    assert all(torch.equal(weights[name], tensor) for name, tensor in trained.items())
    assert any(tensor.any() for name, tensor in trained.items() if "lora_B" in name)
    merged, processor = vlm3r.load(whole / "model", device="cpu")
    assert processor.num_frames == 2
    assert processor.add_time_instruction
    assert not merged.config.untrained
    ids = torch.arange(5)[None]
    with torch.no_grad():
        torch.testing.assert_close(merged(ids).logits, apart(ids).logits, atol=1e-4, rtol=1e-4)


def test_peft_reads_its_own_layout(start, whole):
    from peft import PeftModel

    base, _ = vlm3r.load(start, device="cpu")
    model = PeftModel.from_pretrained(base, str(whole / "peft"))
    found = {n.removeprefix("base_model.model."): p for n, p in model.named_parameters() if "lora_" in n}
    trained = {name: tensor for name, tensor in final_weights(whole).items() if "lora_" in name}
    assert_equal_bits({name: parameter.detach() for name, parameter in found.items()}, trained)


def test_frozen_weights_are_unchanged_bit_for_bit_and_trained_ones_are_not(start, whole):
    before, _ = read_checkpoint(start)
    after, _ = read_checkpoint(whole / "model")
    changed = {
        name.split(".")[0] for name in before.tensors if not torch.equal(before.tensors[name], after.tensors[name])
    }
    assert changed == {"fusion", "projector"}


def test_task_losses_are_the_means_over_the_tasks_questions_asked_one_by_one(start, data, tmp_path):
    recipe = recipe_of(
        start, data, tmp_path / "run", data__questions_per_pack=0, optimiser__batch_size=10, optimiser__steps=1,
        model__fusion_init=None,
    )  # fmt: skip
    train(recipe)
    (entry,) = losses_of(tmp_path / "run")
    model, processor = vlm3r.load(start, device="cpu")
    processor.num_frames, processor.add_time_instruction = 2, True
    losses = defaultdict(list)
    for line in data.read_text().splitlines():
        question = json.loads(line)
        asked, answered = (turn["value"] for turn in question["conversations"])
        text = asked.removeprefix("<image>\n")
        with torch.no_grad():
            inputs = processor(text, video=data.parent / question["video"], answer=answered)
            losses[question["question_type"]].append(float(model(**inputs).loss))
    expected = {task: sum(values) / len(values) for task, values in sorted(losses.items())}
    assert entry["tasks"] == pytest.approx(expected, abs=1e-4)
    assert entry["loss"] == pytest.approx(sum(sum(values) for values in losses.values()) / 10, abs=1e-4)


@pytest.mark.parametrize("loss_per", ["question", "token"])
def test_losses_and_weights_do_not_depend_on_the_micro_batches(start, data, tmp_path, loss_per):
    runs = []
    for micro in (1, 5):
        runs.append(tmp_path / f"{micro}")
        changes = {"optimiser__micro_batch": micro, "optimiser__batch_size": 10, "optimiser__loss_per": loss_per}
        train(recipe_of(start, data, runs[-1], **changes, optimiser__steps=2))
    one, five = (losses_of(run) for run in runs)
    assert [e["loss"] for e in one] == pytest.approx([e["loss"] for e in five], abs=1e-5)
    assert [e["grad_norm"] for e in one] == pytest.approx([e["grad_norm"] for e in five], rel=1e-3)
    first, second = (final_weights(run) for run in runs)
    assert all(torch.allclose(first[name], second[name], atol=1e-4) for name in first)


def test_fusion_that_starts_as_the_identity_gives_the_losses_of_the_model_without_geometry(start, data, tmp_path):
    losses = {}
    for name, changes in {
        "identity": {"model__fusion_init": "identity"},
        "published": {"model__fusion_init": "published"},
        "none": {"model__fusion_init": None, "model__geometry": "none"},
    }.items():
        train(recipe_of(start, data, tmp_path / name, **changes, optimiser__steps=1))
        losses[name] = losses_of(tmp_path / name)[0]["loss"]
    assert losses["identity"] == pytest.approx(losses["none"], abs=1e-5)
    assert losses["published"] != pytest.approx(losses["none"], abs=1e-3)


def test_geometry_is_added_to_a_model_that_has_none(start, data, tmp_path):
    parts, _ = read_checkpoint(start)
    plain, encoder = tmp_path / "plain", tmp_path / "cut3r"
    write_native(parts.without_geometry(), plain)
    parts.geometry_encoder().save_pretrained(encoder)
    changes = {"model__geometry": str(encoder), "model__fusion_init": None, "optimiser__steps": 1}
    train(recipe_of(plain, data, tmp_path / "run", **changes))
    after, _ = read_checkpoint(tmp_path / "run" / "model")
    assert after.config.geometry == "cut3r"
    assert "fusion.out_norm.weight" in after.tensors


def test_a_base_of_the_published_layout_is_named_and_not_written_again(data, tmp_path):
    published = write_published(tmp_path / "published")
    sizes = json.loads((published.lora / "config.json").read_text())
    assert "vlm3r" not in sizes
    native = tmp_path / "native"
    write_native(read_checkpoint(**published.sources, overrides=size_overrides())[0].merged(), native)
    folder = tmp_path / "again"
    write_published_layout(read_checkpoint(native)[0], folder)
    changes = {"model__base": str(folder / "base"), "model__geometry": str(folder / CUT3R_FILE)}
    rank = {"lora__rank": 1, "lora__alpha": 1.0, "optimiser__steps": 1, "model__fusion_init": None}
    run = tmp_path / "run"
    assert train(recipe_of(folder / "lora", data, run, **changes, **rank)) == 0
    assert (run / "model").is_symlink()
    assert json.loads((run / "adapter" / "adapter_config.json").read_text())["base_model_name_or_path"] == str(
        folder / "base"
    )
    model, _ = vlm3r.load(run / "model", geometry=folder / CUT3R_FILE, device="cpu", dtype="float32", merge_lora=False)
    weights, trained = dict(model.named_parameters()), final_weights(run)
    assert all(torch.equal(weights[name], trained[name]) for name in trained)


def test_a_run_continues_the_adapter_of_its_start(start, data, whole, tmp_path):
    changes = {"model__fusion_init": None, "optimiser__steps": 1, "optimiser__learning_rate": 1e-9}
    train(recipe_of(whole / "model", data, tmp_path / "run", **changes))
    before, after = final_weights(whole), final_weights(tmp_path / "run")
    assert all(torch.allclose(before[name], after[name], atol=1e-6) for name in before)
    with pytest.raises(UserError, match="the source's adapter has rank 4"):
        train(recipe_of(whole / "model", data, tmp_path / "other", lora__rank=8))


def test_a_language_model_trained_in_full_merges_the_adapter_of_its_start(data, whole, tmp_path):
    changes = {"model__fusion_init": None, "optimiser__steps": 1, "parts__language_model": "full"}
    assert train(recipe_of(whole / "model", data, tmp_path / "run", **changes)) == 0
    after, _ = read_checkpoint(tmp_path / "run" / "model")
    assert after.adapter is None
    assert not (tmp_path / "run" / "adapter").exists()


def test_bfloat16_trains_float32_weights(start, data, tmp_path):
    run = tmp_path / "run"
    train(recipe_of(start, data, run, optimiser__precision="bfloat16", optimiser__steps=2))
    assert all(tensor.dtype == torch.float32 for tensor in final_weights(run).values())
    exact = tmp_path / "exact"
    train(recipe_of(start, data, exact, optimiser__steps=2))
    assert [e["loss"] for e in losses_of(run)] == pytest.approx([e["loss"] for e in losses_of(exact)], rel=0.02)


def test_gradient_checkpointing_and_dropout_off_change_no_bit(start, data, tmp_path):
    for name in (False, True):
        changes = {"optimiser__gradient_checkpointing": name, "optimiser__steps": 2}
        train(recipe_of(start, data, tmp_path / str(name), **changes))
    assert losses_of(tmp_path / "False") == losses_of(tmp_path / "True")


def test_a_video_that_cannot_be_read_is_listed_and_too_many_end_the_run(start, tmp_path):
    data = write_data(tmp_path / "data")
    (tmp_path / "data" / "1.mp4").write_bytes(b"no video")
    run = tmp_path / "run"
    assert train(recipe_of(start, data, run, data__max_failed_share=0.5)) == 0
    (skipped,) = read_lines(run / "skipped.jsonl")
    assert skipped["clip"].endswith("1.mp4")
    assert sum(entry["questions"] for entry in losses_of(run)) < 16
    with pytest.raises(UserError, match="1 of 2 clips cannot be used"):
        train(recipe_of(start, data, tmp_path / "strict", data__max_failed_share=0.1))


def test_a_blind_model_trains_on_text_alone(start, data, tmp_path):
    changes = {"data__with_video": False, "optimiser__steps": 2, "model__geometry": "none", "model__fusion_init": None}
    assert train(recipe_of(start, data, tmp_path / "run", **changes)) == 0


def test_the_epoch_and_the_number_of_steps_follow_from_the_packs(start, data, tmp_path):
    prepared = prepare(recipe_of(start, data, tmp_path / "run", optimiser__steps=None, optimiser__epochs=1.5))
    facts = prepared.facts()
    assert (facts["packs_per_epoch"], facts["packs_per_step"], facts["steps_per_epoch"]) == (6, 2, 3)
    assert facts["steps"] == 5
    assert not (tmp_path / "run").exists()


def test_a_run_in_which_everything_is_frozen_is_refused(start, data, tmp_path):
    frozen = {"parts__language_model": "frozen", "parts__fusion": "frozen", "parts__projector": "frozen"}
    with pytest.raises(UserError, match="every part that the model has is frozen"):
        train(recipe_of(start, data, tmp_path / "run", **frozen))


def test_an_unknown_target_of_the_adapter_is_named(start, data, tmp_path):
    with pytest.raises(UserError, match=r"lora.targets: qkv_proj; the layers are down_proj"):
        train(recipe_of(start, data, tmp_path / "run", lora__targets=["qkv_proj"]))
