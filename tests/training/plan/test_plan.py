"""The whole plan: workload, hours, warnings, what it rests on, and what stands beside it after a run."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import pytest
import typer
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from tests.training.plan.conftest import small_config
from vlm3r.commands import plan_cli
from vlm3r.commands.plan import PlanOptions, plan_of
from vlm3r.errors import UserError
from vlm3r.model import VLM3RConfig
from vlm3r.training.plan.compare import MeasuredRun, compare
from vlm3r.training.plan.hardware import DEVICES, find_device, recognise
from vlm3r.training.plan.plan import Plan, Utilisation, make_plan
from vlm3r.training.plan.sharding import Sharding, read_sharding
from vlm3r.training.plan.source import planned_model
from vlm3r.training.plan.table import comparison_text, plan_record, plan_text
from vlm3r.training.plan.workload import DataCounts, make_workload
from vlm3r.training.recipe import Recipe, read_recipe

PUBLISHED = "lmms-lab/LLaVA-NeXT-Video-7B-Qwen2"
PUBLISHED_RECIPE = f"model: {{source: {PUBLISHED}, geometry: published, attention: flex_attention}}\n"


def small_plan(recipe: Recipe | None = None, **options) -> Plan:
    counts = options.pop("counts", DataCounts(questions=1000, videos=20, text_tokens=30))
    return make_plan(small_config(), recipe or Recipe(), counts, find_device("h100"), frames=4, **options)


@pytest.fixture(scope="module")
def published_plan() -> Plan:
    recipe = Recipe()
    recipe = replace(recipe, model=replace(recipe.model, attention="flex_attention"))
    return make_plan(VLM3RConfig(), recipe, DataCounts(), find_device("h200"), 8)


def test_the_published_run_takes_what_its_authors_say(published_plan):
    # Reported: 80 to 560 H200-hours, from one to five passes.
    assert 80 < published_plan.run.seconds * 8 / 3600 < 112
    assert published_plan.steps == 1602
    assert published_plan.store_bytes == pytest.approx(2000 * 35.9e6, rel=0.002)
    assert published_plan.run.workload.pack.tokens == 7000


def test_sharing_a_video_saves_most_of_the_work(published_plan):
    alone, *_, most = published_plan.compared
    assert [run.workload.questions_per_pack for run in published_plan.compared] == [1, 4, 16, 64]
    assert alone.seconds / published_plan.compared[2].seconds > 8
    assert most.seconds < published_plan.compared[2].seconds


@given(questions=st.integers(1, 400), size=st.integers(0, 80), own=st.integers(1, 200))
def test_packs_hold_every_question_once(questions, size, own):
    counts = DataCounts(questions, 1, own)
    load = make_workload(small_config(), Recipe(), counts, 4, size)
    rows = load.full_packs * load.pack.rows + (load.rest_packs * load.rest.rows if load.rest else 0)
    assert rows == pytest.approx(questions)
    assert load.pack.tokens <= Recipe().data.max_tokens
    assert not size or load.pack.rows <= size


@given(devices=st.integers(1, 64), dense=st.floats(0.05, 0.9))
def test_hours_fall_with_devices_and_with_utilisation(devices, dense):
    use = Utilisation(dense, 0.05)
    costs = COSTS
    assert use.seconds(costs, 1e15) > Utilisation(min(1, dense * 1.1), 0.05).seconds(costs, 1e15)
    assert use.seconds(costs, 1e15 * devices) == pytest.approx(use.seconds(costs, 1e15) / devices)


COSTS = small_plan(compared=()).run.costs


def test_a_filled_store_saves_the_towers():
    without, with_store = small_plan(), small_plan(stored=frozenset({"geometry", "vision"}))
    assert (with_store.run.costs.geometry, with_store.run.costs.vision) == (0, 0)
    assert with_store.run.seconds < without.run.seconds
    assert with_store.run.costs.attention == without.run.costs.attention


def test_a_run_without_video_has_no_visual_cost():
    recipe = Recipe()
    plan = small_plan(replace(recipe, data=replace(recipe.data, with_video=False)))
    costs = plan.run.costs
    assert (costs.vision, costs.geometry, costs.fusion, costs.projector, plan.store_bytes) == (0, 0, 0, 0, 0)


def test_memory_beyond_the_device_names_keys_to_change():
    recipe = Recipe()
    large = replace(
        recipe,
        optimiser=replace(recipe.optimiser, gradient_checkpointing=False),
        data=replace(recipe.data, questions_per_pack=16),
    )
    plan = make_plan(VLM3RConfig(), large, DataCounts(), find_device("a100"), compared=())
    assert "optimiser.gradient_checkpointing=true" in plan.warnings[0]
    assert "model.attention=flex_attention" in plan.warnings[1]
    assert not make_plan(small_config(), recipe, DataCounts(20, 10), find_device("a100"), frames=2).warnings


def test_too_long_a_question_names_the_key():
    recipe = Recipe()
    with pytest.raises(UserError, match=r"data\.max_tokens is 100"):
        small_plan(replace(recipe, data=replace(recipe.data, max_tokens=100)))


def test_a_run_that_does_as_planned_compares_equal():
    plan = small_plan(devices=2)
    run = plan.run
    measured = MeasuredRun(
        seconds=run.seconds / 4,
        steps=round(plan.steps / 4),
        questions=round(run.questions / 4),
        tokens=round(run.tokens / 4),
        peak_bytes=round(run.memory.total),
        device="NVIDIA H100 80GB HBM3",
        devices=2,
        useful_flops=run.costs.useful / 4,
    )
    quantities = compare(plan, measured)
    assert [q.ratio for q in quantities] == pytest.approx([1.0] * len(quantities), rel=0.01)
    slower = {q.name: q.ratio for q in compare(plan, replace(measured, seconds=run.seconds, peak_bytes=None))}
    assert slower["seconds"] == pytest.approx(4, rel=0.01)
    assert slower["MFU, %"] == pytest.approx(0.25, rel=0.01)
    assert slower["peak memory, GiB"] is None
    text = comparison_text(quantities)
    assert text.splitlines()[0].split() == ["Planned", "and", "measured", "planned", "measured", "ratio"]
    assert len(text.splitlines()) == 1 + len(quantities)


def test_text_and_record_hold_the_same_numbers(published_plan):
    text, record = plan_text(published_plan, ["A note."]), plan_record(published_plan)
    assert json.loads(json.dumps(record))["parameters"]["adapters"] == {"total": 322_961_408, "trained": 322_961_408}
    assert text.startswith("A note.\n") and "322,961,408" in text and "349,689,856" in text
    assert record["run"]["flops"]["total"] == pytest.approx(sum(published_plan.run.costs.parts().values()))
    assert f"{record['run']['memory']['total'] / 2**30:.2f}" in text


@pytest.mark.parametrize(
    ("driver", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100"),
        ("NVIDIA H100 PCIe", "h100-pcie"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx4090"),
        ("NVIDIA L40S", "l40s"),
    ],
)
def test_devices_are_recognised_by_their_drivers_name(driver, name):
    device = recognise(driver)
    assert device is not None and device.name == name


def test_unknown_devices_are_not_guessed():
    assert recognise("NVIDIA A10G") is None
    assert recognise("GeForce GTX 1080") is None
    with pytest.raises(UserError, match=r"did you mean h100\?"):
        find_device("h10")
    assert len({device.name for device in DEVICES}) == len(DEVICES)


def test_sharding_is_read_from_a_deepspeed_configuration(tmp_path):
    path = tmp_path / "zero3.json"
    zero = {"stage": 3, "reduce_bucket_size": "auto", "offload_optimizer": {"device": "cpu"}}
    path.write_text(json.dumps({"zero_optimization": zero}), encoding="utf-8")
    sharding = read_sharding(path)
    assert (sharding.name, sharding.optimiser_on_host, sharding.weights_on_host) == ("ZeRO-3", True, False)
    assert read_sharding(None) == Sharding()
    with pytest.raises(UserError, match=r"missing\.json"):
        read_sharding(tmp_path / "missing.json")


def test_a_published_model_that_is_not_here_is_planned_by_its_published_sizes():
    recipe = Recipe()
    base = planned_model(replace(recipe, model=replace(recipe.model, source=PUBLISHED)))
    assert base.config.geometry == "none" and "is not here" in base.note
    with_geometry = planned_model(replace(recipe, model=replace(recipe.model, source=PUBLISHED, geometry="published")))
    assert with_geometry.config.to_dict()["geometry"] == "cut3r"
    with pytest.raises(UserError, match=r"model\.source: nowhere"):
        planned_model(replace(recipe, model=replace(recipe.model, source="nowhere")))


def test_a_folder_needs_its_configuration_only(tmp_path):
    small_config().save_pretrained(tmp_path)
    (tmp_path / "processor_config.json").write_text('{"num_frames": 6}', encoding="utf-8")
    recipe = Recipe()
    found = planned_model(replace(recipe, model=replace(recipe.model, source=str(tmp_path), pool_mode="average")))
    assert (found.frames, found.config.pool_mode) == (6, "average")
    assert found.config.qwen2.hidden_size == small_config().qwen2.hidden_size
    without = planned_model(replace(recipe, model=replace(recipe.model, source=str(tmp_path), geometry="none")))
    assert without.config.geometry == "none"


def test_data_that_are_here_are_counted(tmp_path):
    small_config().save_pretrained(tmp_path / "model")
    turns = [{"from": "human", "value": "<image>\nHow many chairs?"}, {"from": "gpt", "value": "4"}]
    rows = [{"id": i, "video": f"clip{i % 3}.mp4", "conversations": turns} for i in range(12)]
    (tmp_path / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
    path = tmp_path / "recipe.yaml"
    sources = f"data: {{sources: [{{path: {tmp_path / 'rows.json'}}}]}}\n"
    path.write_text(f"model: {{source: {tmp_path / 'model'}}}\n{sources}", encoding="utf-8")
    plan, notes = plan_of(read_recipe(path), PlanOptions(gpu="cpu"))
    assert (plan.counts.questions, plan.counts.videos) == (12, 3)
    assert "rows.json" in notes[1]
    plan, notes = plan_of(read_recipe(path), PlanOptions(gpu="cpu", questions=50, videos=5))
    assert (plan.counts.questions, plan.counts.videos) == (50, 5)
    assert "given: questions, videos" in notes[1]


def test_the_command_prints_text_or_json(tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(PUBLISHED_RECIPE, encoding="utf-8")
    app = typer.Typer()
    app.command()(plan_cli.plan)
    result = CliRunner().invoke(
        app, [str(path), "data.questions_per_pack=16", "--gpu", "h100", "--count", "8", "--json"]
    )
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert record["run"]["questions_per_pack"] == 16
    assert (record["device"]["name"], record["device"]["count"]) == ("h100", 8)


def test_options_are_parsed_without_torch():
    code = "import sys, vlm3r.commands.plan_cli; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
