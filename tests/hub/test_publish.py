"""What `vlm3r publish` brings to a hub is what its dry run listed, and what loads back as the same model."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

import vlm3r
from tests.hub.conftest import BASE, BASE_HASH, DATA_HASH, Model, command, publish
from tests.hub.stand_in import Hub
from tests.published import golden_frames

QUESTION = "Where is the chair?"
LOAD = """
import sys, numpy, torch, vlm3r
model, processor = vlm3r.load(sys.argv[1], device="cpu", dtype="float32")
inputs = processor(sys.argv[2], video=numpy.load(sys.argv[3]))
with torch.no_grad():
    torch.save(model(**inputs).logits, sys.argv[4])
"""
LINE = re.compile(r"([0-9a-f]{64}) +(\d+)  (\S+)")


def listed(output: str) -> dict[str, tuple[str, int]]:
    """Path to hash and size of what a run of the command listed."""
    found = [LINE.fullmatch(line) for line in output.partition("\n\n")[0].splitlines()]
    return {match[3]: (match[1], int(match[2])) for match in found if match}


def arrived(hub: Hub, repo: str) -> dict[str, tuple[str, int]]:
    files = hub.repositories[repo].files
    return {path: (hashlib.sha256(content).hexdigest(), len(content)) for path, content in files.items()}


def rebuild(hub: Hub, repo: str, folder: Path) -> Path:
    """The received files as a folder."""
    for path, content in hub.repositories[repo].files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return folder


def logits(*checkpoint: Any, **sources: Any) -> torch.Tensor:
    model, processor = vlm3r.load(*checkpoint, device="cpu", dtype="float32", **sources)
    with torch.no_grad():
        return model(**processor(QUESTION, video=golden_frames())).logits


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def expected(model: Model) -> torch.Tensor:
    """Logits of the run's own folder."""
    return logits(model.run / "model")


@pytest.fixture(scope="module")
def whole(hub: Hub, model: Model, home: Path) -> dict[str, Any]:
    """A run after a dry run and an upload."""
    arguments = (model.run, "--repo", "someone/rooms", "--private", "--dataset", "someone/rooms-data")
    dry = publish(*arguments, "--dry-run", home=home, hub=hub)
    requests = list(hub.log)
    return {"dry": dry, "requests": requests, "wet": publish(*arguments, home=home, hub=hub, HF_TOKEN="hf_writer")}


def test_a_dry_run_needs_no_token_and_asks_the_network_nothing(whole):
    assert whole["dry"].returncode == 0, whole["dry"].stderr
    assert whole["requests"] == []


def test_what_arrives_is_byte_for_byte_what_the_dry_run_listed(whole, hub):
    assert whole["wet"].returncode == 0, whole["wet"].stderr
    assert listed(whole["dry"].stdout) == listed(whole["wet"].stdout) == arrived(hub, "someone/rooms")


def test_a_run_is_uploaded_with_model_adapter_records_and_card_and_without_pickles_or_anything_else(whole, hub):
    repository = hub.repositories["someone/rooms"]
    assert repository.private
    assert len(repository.commits) == 1
    native = "config.json generation_config.json model.safetensors processor_config.json tokenizer.json "
    native += "tokenizer_config.json chat_template.jinja adapter/adapter_config.json adapter/adapter_model.safetensors"
    lora = "adapter_config.json adapter_model.safetensors config.json non_lora_trainables.safetensors"
    records = "README.md history.jsonl recipe.yaml run.json scores.json"
    wanted = {*native.split(), *records.split(), *(f"lora/{name}" for name in lora.split())}
    assert set(repository.files) == wanted


def test_the_command_ends_with_the_commits_address(whole, hub):
    address = whole["wet"].stdout.splitlines()[-1]
    assert address == f"{hub.address}/someone/rooms/commit/{hub.repositories['someone/rooms'].sha}"


def test_the_dry_run_shows_the_card_that_is_uploaded(whole, hub):
    card = hub.repositories["someone/rooms"].files["README.md"].decode()
    assert whole["dry"].stdout.partition("\n\n")[2] == card


def test_the_card_states_base_data_recipe_scores_licence_and_how_to_load(whole, hub):
    _, front, body = hub.repositories["someone/rooms"].files["README.md"].decode().split("---\n", 2)
    data = yaml.safe_load(front)
    assert (data["base_model"], data["license"], data["library_name"]) == (BASE, "apache-2.0", "vlm3r")
    assert (data["pipeline_tag"], data["datasets"]) == ("video-text-to-text", ["someone/rooms-data"])
    assert 'vlm3r.load("someone/rooms")' in body
    assert "vlm3r ask --model someone/rooms --video" in body
    assert f"| data/rooms.jsonl | 12,345 | `{DATA_HASH}` |" in body
    assert "| `optimiser.learning_rate` | 2e-05 |" in body
    assert f"language\\_model: `{BASE_HASH}`" in body
    assert "- steps: 77\n- questions seen: 9856\n" in body
    assert "200 unseen rooms" in body
    assert "| object\\_counting | 41.25 | 38.5 to 44 | 20.1 |" in body
    assert "| route\\_planning | 33 | not given | not given |" in body
    assert "non-commercial" in body


def test_a_second_run_changes_nothing_and_makes_no_commit(whole, hub, model, home):
    before, log = arrived(hub, "someone/rooms"), len(hub.log)
    arguments = ("--repo", "someone/rooms", "--private", "--dataset", "someone/rooms-data")
    again = publish(model.run, *arguments, home=home, hub=hub, HF_TOKEN="hf_writer")
    assert again.returncode == 0, again.stderr
    assert arrived(hub, "someone/rooms") == before
    assert len(hub.repositories["someone/rooms"].commits) == 1
    assert not [line for line in hub.log[log:] if "/commit/" in line or line.startswith("PUT")]


def test_vlm3r_loads_the_repository_from_the_hub_by_its_name_with_the_same_logits(whole, hub, home, tmp_path, expected):
    import numpy as np

    np.save(tmp_path / "frames.npy", golden_frames())
    arguments = ("someone/rooms", QUESTION, tmp_path / "frames.npy", tmp_path / "logits.pt")
    run = command(LOAD, *arguments, home=home, HF_ENDPOINT=hub.address, HF_HUB_DISABLE_XET="1", HF_TOKEN="hf_writer")
    assert run.returncode == 0, run.stderr
    assert torch.load(tmp_path / "logits.pt", weights_only=True).equal(expected)


def test_the_lora_folder_of_a_complete_model_loads_on_the_published_base(whole, hub, model, tmp_path, expected):
    folder = rebuild(hub, "someone/rooms", tmp_path / "rebuilt") / "lora"
    assert logits(folder, base=model.base, geometry=model.geometry).equal(expected)


def test_a_lora_repository_arrives_without_its_pickle_and_loads_as_the_same_model(hub, model, home, tmp_path, expected):
    arguments = (model.lora, "--repo", "someone/lora", "--base", BASE)
    run = publish(*arguments, home=home, hub=hub, HF_TOKEN="hf_writer")
    assert run.returncode == 0, run.stderr
    assert listed(run.stdout) == arrived(hub, "someone/lora")
    folder = rebuild(hub, "someone/lora", tmp_path / "rebuilt")
    assert not list(folder.rglob("*.bin"))
    pickled = torch.load(model.lora / "non_lora_trainables.bin", weights_only=True)
    safe = load_file(folder / "non_lora_trainables.safetensors")
    assert safe.keys() == pickled.keys()
    assert all(safe[name].equal(pickled[name]) for name in safe)
    assert json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] == BASE
    assert logits(folder, base=model.base, geometry=model.geometry).equal(expected)
    assert f'vlm3r.load("someone/lora", base="{BASE}")' in (folder / "README.md").read_text()


def test_without_a_token_the_command_says_in_one_line_how_to_get_one(hub, model, home):
    run = publish(model.lora, "--repo", "someone/none", home=home, hub=hub)
    assert run.returncode == 2
    assert run.stderr.splitlines()[-1].startswith("vlm3r: error: no token for the hub: run `hf auth login`")
    assert "Traceback" not in run.stderr
    assert "someone/none" not in hub.repositories


UPLOAD = (
    "import sys; from pathlib import Path; from vlm3r.hub.upload import upload; from vlm3r.errors import UserError\n"
)
UPLOAD += (
    "try: print(upload(Path(sys.argv[1]), sys.argv[2], bool(sys.argv[3])))\nexcept UserError as e: print('REFUSED', e)"
)


@pytest.mark.parametrize(
    ("repo", "token", "message"),
    [
        ("someone/a", "hf_unknown", "does not accept the token (Invalid credentials"),
        ("someone/b", "hf_reader", "the token may not write there (You don't have the rights"),
        ("another/c", "hf_writer", "the token may not write there (You don't have the rights"),
    ],
)
def test_a_token_that_does_not_serve_is_one_line(hub, home, tmp_path, repo, token, message):
    (tmp_path / "LICENSE").write_text("text")
    run = command(UPLOAD, tmp_path, repo, "", home=home, HF_ENDPOINT=hub.address, HF_TOKEN=token)
    assert run.stdout.startswith(f"REFUSED {repo}: "), run.stderr
    assert message in run.stdout
    assert len(run.stdout.splitlines()) == 1
    assert repo not in hub.repositories


def test_an_endpoint_that_nobody_answers_at_is_one_line(home, tmp_path):
    run = command(UPLOAD, tmp_path, "someone/d", "", home=home, HF_ENDPOINT="http://127.0.0.1:9", HF_TOKEN="hf_writer")
    assert run.stdout.startswith("REFUSED someone/d: http://127.0.0.1:9 was not reached"), run.stderr


def test_offline_mode_is_named(hub, home, tmp_path):
    variables = {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_writer", "HF_HUB_OFFLINE": "1"}
    run = command(UPLOAD, tmp_path, "someone/e", "", home=home, **variables)
    assert run.stdout.startswith("REFUSED someone/e: HF_HUB_OFFLINE forbids"), run.stderr


def test_a_commit_that_the_hub_refuses_leaves_the_repository_empty(hub, home, tmp_path):
    (tmp_path / "LICENSE").write_text("text")
    hub.broken["/commit/"] = 507
    try:
        run = command(UPLOAD, tmp_path, "someone/f", "", home=home, HF_ENDPOINT=hub.address, HF_TOKEN="hf_writer")
    finally:
        hub.broken.clear()
    assert "refused the upload (out of order); nothing was committed" in run.stdout, run.stderr
    assert hub.repositories["someone/f"].files == {}


def test_a_public_repository_is_not_filled_where_a_private_one_was_asked_for(hub, home, tmp_path):
    (tmp_path / "LICENSE").write_text("text")
    variables = {"HF_ENDPOINT": hub.address, "HF_TOKEN": "hf_writer"}
    assert command(UPLOAD, tmp_path, "someone/g", "", home=home, **variables).stdout.startswith("http")
    before = len(hub.repositories["someone/g"].commits)
    (tmp_path / "LICENSE").write_text("secret text")
    run = command(UPLOAD, tmp_path, "someone/g", "private", home=home, **variables)
    assert "exists already and is public" in run.stdout, run.stderr
    assert len(hub.repositories["someone/g"].commits) == before
