"""What must not be published is refused in one line that names the file, or cut out with a notice."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from tests.hub.conftest import BASE, RECIPE, RUN, SCORES, Model
from tests.published import edit_json
from vlm3r.commands import publish as command
from vlm3r.errors import UserError
from vlm3r.hub import contents
from vlm3r.hub.contents import Contents, PublishOptions, collect
from vlm3r.hub.stage import Stage

HF_TOKEN = "hf_" + "aB3dE6gH9j" * 3
AWS_KEY = "AKIA" + "ABCDEFGH12345678"
PRIVATE_KEY = "-----BEGIN OPENSSH PRIVATE" + " KEY-----"


class Collector:
    """Collects checkpoints into numbered folders."""

    def __init__(self, root: Path):
        self.root, self.count = root, 0

    def __call__(self, checkpoint: Path, **options: Any) -> Contents:
        self.count += 1
        folder = self.root / str(self.count)
        folder.mkdir(parents=True)
        return collect(checkpoint, PublishOptions("someone/model", **options), folder)

    def refusal(self, checkpoint: Path, **options: Any) -> str:
        with pytest.raises(UserError) as error:
            self(checkpoint, **options)
        message = str(error.value)
        assert "\n" not in message
        return message


@pytest.fixture
def gather(tmp_path: Path) -> Collector:
    return Collector(tmp_path / "gathered")


class Hostile:
    def __reduce__(self):
        return (os.mkdir, ("executed",))


@pytest.mark.parametrize("name", ["optimizer.pt", "training_args.bin", "state.pkl", "pytorch_model.bin", "x.PTH"])
@pytest.mark.parametrize("part", ["model", "adapter"])
def test_a_pickle_is_refused_by_its_name(own, gather, part, name):
    path = own.run / part / name
    path.write_bytes(pickle.dumps(Hostile()))
    assert gather.refusal(own.run).startswith(f"{path}: is a pickle")
    assert not Path("executed").exists()


@pytest.mark.parametrize(
    "path", ["model/model.safetensors", "adapter/adapter_model.safetensors", "model/adapter/adapter_model.safetensors"]
)
def test_a_pickle_that_calls_itself_safetensors_is_refused(own, gather, path):
    torch.save({"x": torch.zeros(2)}, own.run / path)
    assert "truncated or no" in gather.refusal(own.run)
    (own.run / path).write_bytes(pickle.dumps(Hostile()))
    assert str(own.run / path) in gather.refusal(own.run)
    assert not Path("executed").exists()


def test_a_pickle_that_calls_itself_a_tokenizer_file_is_refused(own, gather):
    for name in ("tokenizer.json", "chat_template.jinja", "LICENSE"):
        path = own.run / "model" / name
        kept = path.read_bytes() if path.exists() else None
        path.write_bytes(pickle.dumps(Hostile()))
        assert gather.refusal(own.run).startswith(f"{path}: ")
        path.unlink() if kept is None else path.write_bytes(kept)
    assert not Path("executed").exists()


def test_a_hostile_published_pickle_is_not_run_and_refused(own, gather):
    (own.lora / "non_lora_trainables.bin").write_bytes(pickle.dumps({"x": Hostile()}))
    assert "non_lora_trainables.bin: truncated, or holds something other than tensors" in gather.refusal(own.lora)
    assert not Path("executed").exists()


@pytest.mark.parametrize("name", [".env", ".git", ".cache", ".gitattributes"])
def test_hidden_files_are_refused(own, gather, name):
    (own.run / "model" / name).write_text("x")
    assert f"{name}: hidden files are not published" in gather.refusal(own.run)


@pytest.mark.parametrize("name", ["notes.txt", "modeling_vlm3r.py", "model2.safetensors", "Config.json", "events.out"])
def test_files_that_are_on_no_list_are_refused(own, gather, name):
    (own.run / "model" / name).write_text("x")
    assert f"{name}: is no file of a checkpoint" in gather.refusal(own.run)


def test_folders_and_things_that_are_no_files_are_refused(own, gather):
    (own.run / "model" / "checkpoint-5").mkdir()
    assert "checkpoint-5: is no folder of a checkpoint" in gather.refusal(own.run)
    (own.run / "model" / "checkpoint-5").rmdir()
    os.mkfifo(own.run / "model" / "LICENSE")
    assert "LICENSE: is no plain file" in gather.refusal(own.run)


@pytest.mark.parametrize("name", ["model/LICENSE", "adapter/tokenizer.json", "recipe.yaml"])
def test_a_link_out_of_the_folder_is_refused_and_one_inside_is_followed(own, gather, tmp_path, name):
    path, outside = own.run / name, tmp_path / "outside"
    outside.write_text("{}")
    path.unlink(missing_ok=True)
    path.symlink_to(outside)
    assert f"{path}: is a link that leaves" in gather.refusal(own.run)
    path.unlink()
    path.symlink_to(own.run / "absent")
    assert f"{path}: is a link to nothing" in gather.refusal(own.run)
    path.unlink()
    path.symlink_to(own.run / "run.json")
    assert gather(own.run).entries


def test_a_model_folder_that_is_a_link_out_of_the_run_is_refused(own, gather, tmp_path):
    (own.run / "model").rename(tmp_path / "elsewhere")
    (own.run / "model").symlink_to(tmp_path / "elsewhere")
    assert "model: is a link that leaves" in gather.refusal(own.run)


SECRETS = [
    ("recipe.yaml", f"token: {HF_TOKEN}", "a Hugging Face token"),
    ("recipe.yaml", f"# {AWS_KEY}", "an AWS access key"),
    ("recipe.yaml", "wandb: {api_key: 0123456789abcdef}", "beside its name"),
    ("recipe.yaml", "url: https://ann:pass@example.org/x", "a URL with credentials"),
    ("run.json", '{"argv": ["--hub-token", "abcdefgh"]}', "beside its name"),
    ("run.json", '{"argv": "train --password hunter2"}', "beside its name"),
    ("run.json", '{"env": {"OPENAI_API_KEY": "sk-proj-0123456789abcdefgh"}}', "an API key"),
    ("history.jsonl", f'{{"step": 1}}\n{{"note": "{PRIVATE_KEY}"}}', "line 2 holds a private key"),
    ("model/tokenizer_config.json", f'{{"use_auth_token": "{HF_TOKEN}"}}', "a Hugging Face token"),
    ("model/tokenizer.json", f'{{"x": "{HF_TOKEN}"}}', "a Hugging Face token"),
    ("adapter/config.json", '{"model_type": "llava_qwen", "db_password": "hunter2"}', "beside its name"),
    ("model/chat_template.jinja", "{{ 'Bearer abcdefghijklmnop1234' }}", "a bearer token"),
]


@pytest.mark.parametrize(("name", "text", "kind"), SECRETS)
def test_credentials_are_refused_with_their_place_and_without_themselves(own, gather, name, text, kind):
    (own.run / name).write_text(text)
    message = gather.refusal(own.run)
    assert str(own.run / name) in message
    assert kind in message
    assert not any(secret in message for secret in (HF_TOKEN, AWS_KEY, "hunter2", "0123456789abcdef", "ann:pass"))


def test_a_credential_in_the_header_of_a_weight_file_is_refused(own, gather):
    path = own.run / "model" / "model.safetensors"
    save_file(load_file(path), path, metadata={"format": "pt", "note": HF_TOKEN})
    assert f"{path}: line 1 holds a Hugging Face token" in gather.refusal(own.run)


def test_a_vocabulary_may_hold_words_that_elsewhere_announce_secrets(tmp_path):
    words = tmp_path / "vocab.json"
    words.write_text(json.dumps({"password": 12345, "api_key": 54321, "/home/x": 300}))
    (tmp_path / "stage").mkdir()
    stage = Stage(tmp_path / "stage")
    stage.add("vocab.json", words)
    assert (tmp_path / "stage" / "vocab.json").read_bytes() == words.read_bytes()
    other = words.rename(tmp_path / "processor_config.json")
    with pytest.raises(UserError, match="beside its name"):
        stage.add("processor_config.json", other)


ORDINARY = {
    "pad_token": "<|endoftext|>",
    "password": None,
    "api_key": "",
    "hf_token": "$HF_TOKEN",
    "secret": "***",
    "max_token": 12,
    "tokens": 123456789,
    "url": "https://example.org:8080/a@b",
    "task": "risk-assessment-of-a-long-name",
}


def test_ordinary_fields_are_no_credentials(own, gather):
    (own.run / "run.json").write_text(json.dumps(RUN | ORDINARY))
    assert gather(own.run).entries


def test_local_paths_and_names_are_cut_with_a_notice_and_nothing_else_is(own, gather):
    recipe = RECIPE | {"run": {"out": "/home/ann/runs/rooms", "deepspeed": "configs/zero2.json"}}
    (own.run / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    run = RUN | {
        "user": "ann",
        "hostname": "gpu-7",
        "argv": ["/usr/bin/python3", "train", "--out=/home/ann/runs/rooms", "lr=2e-5"],
        "command": "cd /home/ann/code && vlm3r train '/data/my rooms/a.yaml' ~/b.yaml C:\\Users\\ann\\c.yaml",
        "data": {"files": [{"path": "/home/ann/a/rows.jsonl", "sha256": "cd" * 32, "questions": 7}]},
        "hashes": {"/home/ann/a/rows.jsonl": "cd", "/home/ann/b/rows.jsonl": "ef"},
        "contact": "write to ann@example.org",
        "home": "/home/ann",
    }
    (own.run / "run.json").write_text(json.dumps(run))
    found = gather(own.run)
    published = {name: (found.folder / name).read_text() for name in ("recipe.yaml", "run.json", "README.md")}
    assert not [name for name, text in published.items() if re.search(r"(?i)\bann\b", text)]
    assert "gpu-7" not in published["run.json"]
    assert yaml.safe_load(published["recipe.yaml"]) == RECIPE | {
        "run": {"out": "rooms", "deepspeed": "configs/zero2.json"}
    }
    cleared = json.loads(published["run.json"])
    assert cleared["argv"] == ["python3", "train", "--out=rooms", "lr=2e-5"]
    assert cleared["hashes"] == {"rows.jsonl": "cd", "rows.jsonl (2)": "ef"}
    assert (cleared["git"], cleared["base"]) == (RUN["git"], RUN["base"])
    assert f"| rows.jsonl | 7 | `{'cd' * 32}` |" in published["README.md"]
    for name in ("recipe.yaml", "run.json"):
        assert any(notice.startswith(f"{own.run / name}: local paths and names cut") for notice in found.notices)


def test_files_without_local_paths_are_published_byte_for_byte(own, gather):
    text = "# a comment\n" + yaml.safe_dump(RECIPE)
    (own.run / "recipe.yaml").write_text(text)
    found = gather(own.run)
    assert (found.folder / "recipe.yaml").read_text() == text
    assert found.notices == (
        f"{own.run / 'adapter' / 'non_lora_trainables.bin'}: is a pickle; its tensors are uploaded as safetensors",
    )


def test_a_home_folder_that_cannot_be_cut_is_refused(own, gather):
    (own.run / "recipe.yaml").write_text("# from /home/ann/recipes\n" + yaml.safe_dump(RECIPE))
    assert "recipe.yaml: line 1 names a home folder" in gather.refusal(own.run)


def test_a_base_model_in_a_local_folder_is_named_without_the_folder_and_not_linked(own, gather):
    (own.run / "recipe.yaml").unlink()
    edit_json(own.run / "adapter" / "adapter_config.json", base_model_name_or_path="/home/ann/models/my-base")
    found = gather(own.run)
    adapter = json.loads((found.folder / "lora" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == "my-base"
    assert "base_model:" not in found.card
    assert "- Base model: `my-base`" in found.card


@pytest.mark.parametrize("cut", [0, 7, 100, 0.5, -1])
@pytest.mark.parametrize("name", ["model/model.safetensors", "adapter/adapter_model.safetensors"])
def test_a_cut_weight_file_is_refused(own, gather, name, cut):
    path = own.run / name
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut) if isinstance(cut, float) else cut])
    message = gather.refusal(own.run)
    assert message.startswith(f"{path}: truncated or no")


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_weight_that_is_not_finite_is_refused_by_name(own, gather, bad):
    path = own.run / "model" / "model.safetensors"
    tensors = load_file(path)
    tensors["fusion.out_norm.weight"][3] = bad
    save_file(tensors, path, metadata={"format": "pt"})
    assert f"{path}: fusion.out_norm.weight holds NaN or infinity" in gather.refusal(own.run)
    pickled = torch.load(own.lora / "non_lora_trainables.bin", weights_only=True)
    pickled[next(iter(pickled))].flatten()[0] = bad
    torch.save(pickled, own.lora / "non_lora_trainables.bin")
    assert "holds NaN or infinity" in gather.refusal(own.lora)


def test_a_weight_file_without_weights_is_refused(own, gather):
    save_file({}, own.run / "model" / "model.safetensors")
    assert "model.safetensors: holds no weights" in gather.refusal(own.run)
    save_file({"x": torch.zeros(0)}, own.run / "model" / "model.safetensors")
    assert "model.safetensors: x is empty" in gather.refusal(own.run)


def test_weights_that_do_not_make_the_model_are_refused(own, gather):
    path = own.run / "model" / "model.safetensors"
    tensors = load_file(path)
    del tensors["fusion.out_norm.weight"]
    save_file(tensors, path, metadata={"format": "pt"})
    assert "1 missing (fusion.out_norm.weight)" in gather.refusal(own.run)


def test_a_large_model_goes_as_adapter_alone_unless_the_whole_is_asked_for(own, gather, monkeypatch):
    monkeypatch.setattr(contents, "SMALL", 0)
    names = {entry.path for entry in gather(own.run).entries}
    assert {"adapter_config.json", "adapter_model.safetensors", "non_lora_trainables.safetensors"} <= names
    assert {"tokenizer.json", "processor_config.json", "recipe.yaml", "history.jsonl"} <= names
    assert not {name for name in names if name.startswith(("model", "lora/", "adapter/"))}
    assert "model.safetensors" in {entry.path for entry in gather(own.run, whole=True).entries}


def test_a_large_native_folder_gives_its_adapter_in_the_published_layout(own, gather, monkeypatch, model):
    monkeypatch.setattr(contents, "SMALL", 0)
    found = gather(own.run / "model", base=BASE)
    for name in ("adapter_model.safetensors", "non_lora_trainables.safetensors"):
        ours = load_file(found.folder / name)
        binary = model.lora / name.replace(".safetensors", ".bin")
        theirs = torch.load(binary, weights_only=True) if binary.exists() else load_file(model.lora / name)
        assert ours.keys() == theirs.keys()
        assert all(ours[key].equal(theirs[key]) for key in ours)
    (own.run / "model" / "adapter" / "adapter_config.json").unlink()
    (own.run / "model" / "adapter" / "adapter_model.safetensors").unlink()
    assert "without an adapter; pass --whole" in gather.refusal(own.run / "model")


def test_the_published_pickle_is_written_from_the_safetensors_only_when_asked_for(own, gather):
    found = gather(own.lora, published_bin=True)
    pickled = torch.load(found.folder / "non_lora_trainables.bin", weights_only=True)
    safe = load_file(found.folder / "non_lora_trainables.safetensors")
    assert pickled.keys() == safe.keys()
    assert all(pickled[name].equal(safe[name]) for name in safe)
    again = gather(own.lora, published_bin=True)
    assert again.entries == found.entries


def test_the_same_checkpoint_gives_the_same_files_in_every_run(own, gather):
    assert gather(own.run).entries == gather(own.run).entries


def test_nothing_in_the_checkpoint_is_changed(own, gather):
    edit_json(own.run / "adapter" / "adapter_config.json", base_model_name_or_path="/data/base")
    before = {path: path.read_bytes() for path in own.run.rglob("*") if path.is_file()}
    gather(own.run, base=BASE, published_bin=True)
    assert {path: path.read_bytes() for path in own.run.rglob("*") if path.is_file()} == before


def test_a_run_whose_model_is_its_adapter_is_published_as_the_adapter(own, gather):
    shutil.rmtree(own.run / "model")
    (own.run / "model").symlink_to("adapter")
    names = {entry.path for entry in gather(own.run).entries}
    assert {"config.json", "adapter_model.safetensors", "non_lora_trainables.safetensors", "recipe.yaml"} <= names


def test_a_folder_inside_a_run_takes_the_recipe_but_not_the_scores_from_above(own, gather):
    inside = own.run / "checkpoint-7"
    inside.mkdir()
    (own.run / "model").rename(inside / "model")
    (own.run / "adapter").rename(inside / "adapter")
    names = {entry.path for entry in gather(inside).entries}
    assert {"recipe.yaml", "run.json"} <= names
    assert not names & {"scores.json", "history.jsonl"}


def test_without_records_the_card_says_that_nothing_is_known(own, gather):
    for name in ("recipe.yaml", "run.json", "history.jsonl", "scores.json"):
        (own.run / name).unlink()
    card = gather(own.run).card
    assert "None measured" in card
    assert "No recipe came with this checkpoint" in card
    assert "The run recorded no training data" in card


@pytest.mark.parametrize(
    "scores",
    [
        {},
        SCORES | {"protocol": ""},
        SCORES | {"rows": []},
        SCORES | {"rows": [{"task": "x"}]},
        SCORES | {"rows": [{"task": "x", "score": float("nan")}]},
        SCORES | {"rows": [{"task": "x", "score": "41"}]},
    ],
)
def test_a_report_that_lacks_something_is_refused(own, gather, scores):
    (own.run / "scores.json").write_text(json.dumps(scores))
    assert gather.refusal(own.run).startswith("scores.json: ")


def test_values_of_a_record_cannot_break_out_of_the_cards_tables(own, gather):
    hostile = "x | y\n\n# <img src=a> [l](http://e.org) `c`"
    (own.run / "scores.json").write_text(json.dumps(SCORES | {"rows": [{"task": hostile, "score": 1}]}))
    (own.run / "run.json").write_text(
        json.dumps(RUN | {"git": hostile, "data": {"files": [{"path": hostile, "sha256": hostile}]}})
    )
    card = gather(own.run).card
    rendered = re.sub(r"`[^`\n]*`", "", card.replace("\\`", ""))
    assert "src=a" in rendered
    assert "<img" not in rendered
    assert "](http" not in rendered.replace("\\]", "")
    assert "\n# <" not in card
    assert all(len(re.findall(r"(?<!\\)\|", line)) in (0, 3, 4, 5) for line in card.splitlines())


@pytest.mark.parametrize(("size", "licence"), [("published", "cc-by-nc-sa-4.0"), ("own", "apache-2.0")])
def test_a_complete_model_with_an_encoder_of_cut3rs_size_is_published_under_cut3rs_licence(size, licence):
    from cut3r import CUT3RConfig

    from vlm3r.hub.terms import default_licence, describe_geometry

    sizes = CUT3RConfig().to_dict() | ({} if size == "published" else {"enc_embed_dim": 64})
    geometry = describe_geometry({"model_type": "vlm3r", "geometry": "cut3r", "geometry_config": sizes})
    assert geometry == size
    assert default_licence(geometry, whole=True) == licence


def test_something_that_is_no_checkpoint_is_refused(model: Model, gather, tmp_path):
    assert "no such folder" in gather.refusal(tmp_path / "absent")
    assert "no config.json, model/ or adapter/" in gather.refusal(tmp_path)
    assert "neither a native folder nor a LoRA repository" in gather.refusal(model.base)
    assert "holds no complete model" in gather.refusal(model.lora, whole=True)


@pytest.mark.parametrize("repo", ["model", "a/b/c", "some one/model", "someone/mo..del", "someone/", "-a/b", ""])
def test_a_name_that_the_hub_would_refuse_is_refused_before_anything_is_read(repo, tmp_path):
    with pytest.raises(UserError, match="--repo"):
        command.run(tmp_path / "absent", PublishOptions(repo), private=False, dry_run=False)


def test_an_adapter_that_is_a_pickle_goes_up_as_safetensors(own, gather):
    safe = own.lora / "adapter_model.safetensors"
    tensors = load_file(safe)
    torch.save(tensors, own.lora / "adapter_model.bin")
    safe.unlink()
    found = gather(own.lora)
    uploaded = load_file(found.folder / "adapter_model.safetensors")
    assert uploaded.keys() == tensors.keys()
    assert all(uploaded[name].equal(tensors[name]) for name in tensors)
    assert not list(found.folder.glob("*.bin"))


def test_an_adapter_of_another_rank_than_its_configuration_is_refused(own, gather):
    edit_json(own.lora / "adapter_config.json", r=3)
    assert "says rank 3" in gather.refusal(own.lora)
