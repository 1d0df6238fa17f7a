from __future__ import annotations

import argparse
import builtins
import collections
import functools
import importlib
import json
import os
import subprocess
import sys
import types

import huggingface_hub
import pytest
import torch
from cut3r import CUT3R, CheckpointError, CUT3RConfig, export_published
from cut3r.checkpoint import parse_constructor

from tests.cut3r.cut3r_golden import constructor_of, model_of, published_weights, tiny_frames

CONSTRUCTOR = "ARCroco3DStereo(ARCroco3DStereoConfig({}))"


def constructor_text(name="tiny"):
    return CONSTRUCTOR.format(", ".join(f"{key}={value!r}" for key, value in constructor_of(name).items()))


def save(path, args, weights=None, **more):
    torch.save({"model": published_weights("tiny") if weights is None else weights, "args": args, **more}, path)
    return path


def assert_same_weights(model, other):
    first, second = model.state_dict(), other.state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(value, second[key]) for key, value in first.items())
    assert model.config == other.config


@pytest.fixture
def foreign_module(monkeypatch):
    """A module whose classes can be pickled now and are gone when the file is read."""
    module = types.ModuleType("foreign.settings")
    monkeypatch.setitem(sys.modules, "foreign", types.ModuleType("foreign"))
    monkeypatch.setitem(sys.modules, "foreign.settings", module)

    def define(name, bases=(), **namespace):
        made = type(name, bases, {"__module__": "foreign.settings", "__qualname__": name, **namespace})
        setattr(module, name, made)
        return made

    return define


def test_a_namespace_as_training_arguments_is_read(tmp_path):
    path = save(tmp_path / "a.pth", argparse.Namespace(model=constructor_text(), lr=1e-4), epoch=3, best_so_far=0.5)
    model = CUT3R.from_pretrained(path)
    assert_same_weights(model, model_of("tiny"))
    assert not model.training


def test_a_dictionary_as_training_arguments_is_read(tmp_path):
    assert_same_weights(
        CUT3R.from_pretrained(save(tmp_path / "a.pth", {"model": constructor_text()})), model_of("tiny")
    )


def test_a_class_that_no_longer_exists_is_read_with_and_without_slots(tmp_path, foreign_module, monkeypatch):
    plain, slotted = foreign_module("Plain"), foreign_module("Slotted", __slots__=("model", "other"))
    paths = []
    for number, cls in enumerate((plain, slotted)):
        args = cls()
        args.model = constructor_text()
        paths.append(save(tmp_path / f"{number}.pth", args))
    monkeypatch.delitem(sys.modules, "foreign.settings")
    for path in paths:
        assert_same_weights(CUT3R.from_pretrained(path), model_of("tiny"))


def test_nodes_of_omegaconf_are_read_without_it(tmp_path, foreign_module, monkeypatch):
    container, value = foreign_module("DictConfig"), foreign_module("AnyNode")
    args, node = container(), value()
    node._val = constructor_text()
    args._content = {"model": node}
    args._metadata = {"resolver_cache": collections.defaultdict(dict, {"oc": {}})}
    path = save(tmp_path / "a.pth", args)
    monkeypatch.delitem(sys.modules, "foreign.settings")
    assert_same_weights(CUT3R.from_pretrained(path), model_of("tiny"))


def test_a_real_omegaconf_container_is_read(tmp_path):
    omegaconf = pytest.importorskip("omegaconf")
    args = omegaconf.OmegaConf.create({"model": constructor_text(), "losses": ["a", {"b": 1.0}], "lr": "${model}"})
    assert_same_weights(CUT3R.from_pretrained(save(tmp_path / "a.pth", args)), model_of("tiny"))


def test_the_prefix_of_a_parallel_wrapper_is_dropped(tmp_path):
    weights = {f"module.{key}": value for key, value in published_weights("tiny").items()}
    path = save(tmp_path / "a.pth", {"model": constructor_text()}, weights)
    assert_same_weights(CUT3R.from_pretrained(path), model_of("tiny"))


class Call:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def touch(path):
    return f"open({str(path)!r}, 'w').close()"


def imported(module, name):
    return Call(builtins.getattr, Call(importlib.import_module, module), name)


GADGETS = {
    "system": lambda path: Call(os.system, f"touch {path}"),
    "exec": lambda path: Call(builtins.exec, touch(path)),
    "eval": lambda path: Call(builtins.eval, touch(path)),
    "popen": lambda path: Call(subprocess.Popen, ["touch", str(path)]),
    "open": lambda path: Call(builtins.open, str(path), "w"),
    "getattr": lambda path: Call(map, imported("os", "mkdir"), [str(path)]),
    "partial": lambda path: Call(functools.partial(os.mkdir, str(path))),
    "rebuild": lambda path: Call(torch._tensor._rebuild_from_type_v2, open, torch.Tensor, (str(path), "w"), {}),
}


@pytest.mark.parametrize("place", ["args", "inside args", "beside", "weights"])
@pytest.mark.parametrize("gadget", GADGETS)
def test_nothing_in_a_hostile_file_runs(tmp_path, gadget, place):
    target, path = tmp_path / "executed", tmp_path / "hostile.pth"
    payload = GADGETS[gadget](target)
    good = argparse.Namespace(model=constructor_text())
    if place == "args":
        save(path, payload)
    elif place == "inside args":
        save(path, argparse.Namespace(model=constructor_text(), payload=[payload]))
    elif place == "beside":
        save(path, good, payload=payload)
    else:
        save(path, good, published_weights("tiny") | {"enc_norm.bias": payload})
    try:
        CUT3R.from_pretrained(path)
    except CheckpointError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
    assert not target.exists()


def test_a_file_that_asks_for_the_system_is_called_untrustworthy(tmp_path):
    path = save(tmp_path / "hostile.pth", argparse.Namespace(model=constructor_text()), payload=GADGETS["system"]("x"))
    with pytest.raises(CheckpointError, match=r"hostile\.pth: asks for \w+\.system.* do not trust this file"):
        CUT3R.from_pretrained(path)


def test_the_gadgets_do_run_in_an_ordinary_unpickler(tmp_path):
    target, path = tmp_path / "executed", tmp_path / "hostile.pth"
    save(path, GADGETS["exec"](target))
    torch.load(path, weights_only=False)
    assert target.exists()


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "ARCroco3DStereo(ARCroco3DStereoConfig(enc_depth=exec('1')))",
        "ARCroco3DStereo(ARCroco3DStereoConfig(enc_depth=(lambda: 1)()))",
        "ARCroco3DStereo(ARCroco3DStereoConfig(**{'enc_depth': 1}))",
        "ARCroco3DStereo(ARCroco3DStereoConfig(12))",
        "OtherModel(OtherConfig(enc_depth=1))",
        "ARCroco3DStereo(ARCroco3DStereoConfig(",
        "(" * 5000,
        "",
    ],
)
def test_the_constructor_string_is_data_not_code(text):
    with pytest.raises(CheckpointError, match=r"x\.pth: args\.model is not a CUT3R constructor"):
        parse_constructor(text, "x.pth")


def test_infinities_of_the_constructor_string_are_read():
    text = CONSTRUCTOR.format("depth_mode=('exp', -inf, inf), conf_mode=['exp', 1, float('inf')], a=-1")
    infinity = float("inf")
    expected = {"depth_mode": ("exp", -infinity, infinity), "conf_mode": ("exp", 1, infinity), "a": -1}
    assert parse_constructor(text, "x.pth") == expected


def broken_files(folder):
    good = save(folder / "good.pth", {"model": constructor_text()}).read_bytes()
    return {
        "empty": (b"", "is empty; download"),
        "html": (b"<!DOCTYPE html><html>", "web page"),
        "lfs": (b"version https://git-lfs.github.com/spec/v1\n", "git-lfs pointer"),
        "text": (b"hello", "not a zip file"),
        "truncated": (good[: len(good) // 2], "download or export it again"),
    }


@pytest.mark.parametrize("kind", ["empty", "html", "lfs", "text", "truncated"])
def test_a_broken_file_is_named_with_its_remedy(tmp_path, kind):
    content, message = broken_files(tmp_path)[kind]
    path = tmp_path / f"{kind}.pth"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        CUT3R.from_pretrained(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_parts_of_a_checkpoint_are_named(tmp_path):
    cases = [
        ({"args": {"model": constructor_text()}}, "no state dict under 'model'"),
        ({"model": published_weights("tiny")}, "no constructor string under 'args.model'"),
        ({"model": published_weights("tiny"), "args": argparse.Namespace(lr=1)}, "no constructor string"),
        ({"model": {"a": 3}, "args": {"model": constructor_text()}}, "'a' is not a float tensor"),
        ({"model": published_weights("tiny"), "args": {"model": CONSTRUCTOR.format("enc_dept=3")}}, "'enc_depth'"),
        ([1, 2], "no state dict"),
    ]
    for number, (content, message) in enumerate(cases):
        path = tmp_path / f"{number}.pth"
        torch.save(content, path)
        with pytest.raises(CheckpointError, match=message):
            CUT3R.from_pretrained(path)
    with pytest.raises(CheckpointError, match="no such file"):
        CUT3R.from_pretrained(tmp_path / "absent.pth")


def test_missing_unexpected_and_misshaped_keys_are_listed():
    weights = dict(published_weights("tiny"))
    del weights["enc_norm.weight"]
    weights["surplus"] = torch.zeros(2)
    weights["pose_token"] = torch.zeros(1, 1, 8)
    with pytest.raises(CheckpointError) as caught:
        CUT3R.from_published(constructor_of("tiny"), weights)
    message = str(caught.value)
    assert "1 missing (enc_norm.weight)" in message
    assert "1 unexpected (surplus)" in message
    assert "1 mis-shaped (pose_token (1, 1, 8) instead of (1, 1, 40))" in message


def test_a_checkpoint_without_state_blocks_is_not_patched_up():
    weights = {key: value for key, value in published_weights("tiny").items() if "dec_blocks_state" not in key}
    with pytest.raises(CheckpointError, match=r"96 missing \(dec_blocks_state.*, \.\.\.\).*two-branch decoder"):
        CUT3R.from_published(constructor_of("tiny"), weights)


def test_a_second_name_must_equal_its_target_and_may_be_absent():
    key = "downstream_head.dpt_rgb.scratch.layer_rn.2.weight"
    weights = published_weights("tiny_dpt")
    with pytest.raises(CheckpointError, match=r"dpt_rgb\.scratch\.layer_rn\.2\.weight differs from .*layer3_rn"):
        CUT3R.from_published(constructor_of("tiny_dpt"), weights | {key: weights[key] + 1})
    without = {key: value for key, value in weights.items() if ".layer_rn." not in key}
    assert_same_weights(CUT3R.from_published(constructor_of("tiny_dpt"), without), model_of("tiny_dpt"))


def test_a_saved_folder_gives_the_same_bits(tmp_path):
    model, frames = model_of("tiny"), tiny_frames(1, 2)
    model.save_pretrained(tmp_path / "saved")
    assert sorted(path.name for path in (tmp_path / "saved").iterdir()) == ["config.json", "model.safetensors"]
    again = CUT3R.from_pretrained(tmp_path / "saved")
    assert_same_weights(again, model)
    with torch.no_grad():
        assert torch.equal(again(frames).patch_tokens, model(frames).patch_tokens)
    half = CUT3R.from_pretrained(tmp_path / "saved", dtype=torch.bfloat16)
    assert half.pose_token.dtype == torch.bfloat16


def test_a_failed_save_leaves_the_old_files(tmp_path, monkeypatch):
    model = model_of("tiny")
    model.save_pretrained(tmp_path)

    def fail(_, path, **__):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr("cut3r.checkpoint.safetensors.torch.save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        model.save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    assert_same_weights(CUT3R.from_pretrained(tmp_path), model)


def test_a_damaged_folder_is_named(tmp_path):
    model_of("tiny").save_pretrained(tmp_path)
    weights = tmp_path / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match=r"model\.safetensors: damaged or cut short"):
        CUT3R.from_pretrained(tmp_path)
    weights.write_bytes(content)
    values = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"enc_dept": 1}))
    with pytest.raises(CheckpointError, match="did you mean 'enc_depth'"):
        CUT3R.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(values | {"enc_depth": 1}))
    with pytest.raises(CheckpointError, match=r"12 unexpected \(enc_blocks\.1"):
        CUT3R.from_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(values | {"enc_embed_dim": 10**12}))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: its configuration fits no model"):
        CUT3R.from_pretrained(tmp_path)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"has no model\.safetensors and no \.pth file"):
        CUT3R.from_pretrained(tmp_path)


@pytest.mark.parametrize("name", ["tiny", "tiny_dpt"])
def test_a_published_file_survives_reading_and_writing(tmp_path, name):
    path = tmp_path / "exported.pth"
    export_published(model_of(name), path)
    with torch.serialization.safe_globals([argparse.Namespace]):
        content = torch.load(path, weights_only=True)
    assert content["args"].model.startswith("ARCroco3DStereo(ARCroco3DStereoConfig(")
    assert content["model"].keys() == published_weights(name).keys()
    assert_same_weights(CUT3R.from_pretrained(path), model_of(name))
    assert [path.name for path in tmp_path.iterdir()] == ["exported.pth"]


def test_a_hub_repository_is_read_in_both_layouts(tmp_path, monkeypatch):
    folders = {"someone/native": tmp_path / "native", "someone/published": tmp_path / "published"}
    model_of("tiny").save_pretrained(folders["someone/native"])
    folders["someone/published"].mkdir()
    save(folders["someone/published"] / "cut3r.pth", {"model": constructor_text()})
    asked = []

    def download(repository, allow_patterns):
        asked.append((repository, allow_patterns))
        if repository not in folders:
            raise OSError("no such repository\nsecond line")
        return str(folders[repository])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    for repository in folders:
        assert_same_weights(CUT3R.from_pretrained(repository), model_of("tiny"))
    assert [patterns for name, patterns in asked if name == "someone/native"] == [["config.json", "*.safetensors"]]
    assert ("someone/published", ["*.pth"]) in asked
    with pytest.raises(CheckpointError, match=r"nor a readable hub repository: no such repository$"):
        CUT3R.from_pretrained("someone/absent")


def test_a_model_can_be_built_without_memory():
    with torch.device("meta"):
        model = CUT3R(CUT3RConfig())
    assert all(parameter.is_meta for parameter in model.parameters())
