"""Settings from YAML: typed, strict, with overrides; and the recipes that ship."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from vlm3r.errors import UserError
from vlm3r.files import expand_home
from vlm3r.training.fresh.recipe import FreshRecipe
from vlm3r.training.geometry.recipe import GeometryRecipe
from vlm3r.training.recipe import Recipe, SourceRecipe, read_recipe
from vlm3r.training.settings import (
    dotted_keys,
    parse_settings,
    read_settings,
    settings_record,
    write_settings,
)
from vlm3r.training.vision.recipe import VisionRecipe

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Inner:
    rate: float = 1.0
    kind: Literal["a", "b"] = "a"
    quick: bool = False


@dataclass(frozen=True)
class Outer:
    name: str
    inner: Inner = field(default_factory=Inner)
    parts: tuple[Inner, ...] = ()
    pair: tuple[int, float] | None = None
    place: Path | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def read(tmp_path: Path, text: str, *overrides: str) -> Outer:
    (tmp_path / "r.yaml").write_text(text, encoding="utf-8")
    return read_settings(Outer, tmp_path / "r.yaml", overrides)


def test_values_take_the_types_that_the_fields_declare(tmp_path: Path) -> None:
    made = read(tmp_path, "name: x\ninner: {rate: 2e-5, kind: b}\nparts: [{quick: true}]\npair: [3, 4]\nplace: a/b\n")
    assert made == Outer("x", Inner(2e-5, "b"), (Inner(quick=True),), (3, 4.0), Path("a/b"))
    assert isinstance(made.pair and made.pair[1], float)


def test_overrides_reach_every_level_and_list_elements(tmp_path: Path) -> None:
    made = read(tmp_path, "name: x\nparts: [{quick: true}]\n", "inner.rate=3", "parts.0.kind=b", "name=y", "place=null")
    assert made == Outer("y", Inner(3.0), (Inner(quick=True, kind="b"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: x\ninner: {rat: 1}", r"unknown key inner\.rat \(nearest: inner\.rate\)"),
        ("name: x\nrate: 1", r"unknown key rate \(nearest: inner\.rate\)"),
        ("inner: {}", "name is missing"),
        ("name: 3", "name must be text, not 3"),
        ("name: x\ninner: {rate: fast}", "inner.rate must be a number, not 'fast'"),
        ("name: x\ninner: {rate: .nan}", "inner.rate must be a finite number, not nan"),
        ("name: x\ninner: {kind: c}", "inner.kind is 'c'; give one of a, b"),
        ("name: x\ninner: {quick: 1}", "inner.quick must be true or false, not 1"),
        ("name: x\npair: [1]", "pair needs 2 values, not 1"),
        ("name: x\nparts: {quick: true}", "parts must be a list"),
        ("- 1", "holds no mapping of settings"),
        ("name: [", r"no valid YAML \(line 1: "),
        ("name: " + "[" * 3000, r"no valid YAML \(nested too deeply\)"),
        ("name: 2024-99-99", "no valid YAML .*month must be in"),
        ("name: !!bool maybe", "no valid YAML"),
        ("name: !!timestamp soon", "no valid YAML"),
        ("name: x\npair: [" + "9" * 5000 + ", 1]", "no valid YAML .*5000 digits"),
        ("name: x\npair: [0x" + "f" * 5000 + ", 1]", "pair.0 must lie between .* not a value too large to show"),
        ("name: x\npair: [1, " + "9" * 400 + "]", "pair.1 must be a finite number, not inf"),
        ("name: x\ninner: {rate: .inf}", "inner.rate must be a finite number, not inf"),
        ('name: "a\\0b"', "name holds a null character"),
        ('name: x\nplace: "a\\0b"', "place holds a null character"),
        ("name: x\nextra: &a {b: *a}", "extra.b must be a plain value"),
        ("name: x\nextra: {day: 2024-01-01}", "extra.day must be a plain value"),
        ("name: x\n" + "k" * 800 + ": 1", r"unknown key .{1,80} \(nearest"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_key_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, text)
    assert "r.yaml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "override", ["rate", "=3", "parts.5.quick=true", "parts.²=1", "name.x=1", "name=" + "[" * 3000, "name=2024-99-99"]
)
def test_a_wrong_override_says_what_is_wrong(tmp_path: Path, override: str) -> None:
    with pytest.raises(UserError, match="override"):
        read(tmp_path, "name: x\nparts: []\n", override)


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml: cannot be read"):
        read_settings(Outer, "nowhere.yaml")


def test_written_settings_read_back_equal(tmp_path: Path) -> None:
    recipe = Recipe()
    (tmp_path / "r.yaml").write_text(write_settings(recipe), encoding="utf-8")
    assert read_recipe(tmp_path / "r.yaml") == recipe
    assert parse_settings(Recipe, settings_record(recipe), "record") == recipe


def test_wrong_combinations_are_refused() -> None:
    with pytest.raises(UserError, match="block mask"):
        parse = {"model": {"attention": "flash_attention_2"}, "data": {"questions_per_pack": 4}}
        parse_settings(Recipe, parse, "r")
    with pytest.raises(UserError, match="rows must be"):
        parse_settings(SourceRecipe, {"path": "a.json", "rows": 1.5}, "r")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"data": {"sources": [{"path": "a.json", "weight": 1e300}]}}, "weight must lie between"),
        ({"data": {"sources": [{"path": "a.json", "weight": 1e-300}]}}, "weight must lie between"),
        ({"data": {"workers": -1}}, "workers must lie between"),
        ({"data": {"max_tokens": 0}}, "max_tokens must be 1 or more"),
        ({"lora": {"rank": 10**8}}, "rank must be 1 to"),
        ({"optimiser": {"epochs": 1e300}}, "epochs must be above 0 and at most"),
        ({"optimiser": {"betas": [2, 3]}}, "betas at least 0 and below 1"),
        ({"optimiser": {"max_grad_norm": -5}}, "max_grad_norm must be at least 0"),
        ({"optimiser": {"fusion_learning_rate": -1}}, "fusion_learning_rate must be above 0"),
        ({"optimiser": {"seed": 2**32}}, "seed must be 0 or more and below"),
        ({"run": {"peak_tflops": 0}}, "peak_tflops must be above 0"),
    ],
)
def test_numbers_that_no_run_can_have_are_refused_before_it_starts(values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"r: .*{message}"):
        parse_settings(Recipe, values, "r")


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (VisionRecipe, {"scenes": ["a"], "tower": {"patch_size": 0}}, "patch_size must lie between 1 and"),
        (VisionRecipe, {"scenes": ["a"], "steps": 0}, "steps, .*must be 1 or more"),
        (VisionRecipe, {"scenes": ["a"], "seed": -1}, "seed 0 or more"),
        (FreshRecipe, {"corpus": ["a"], "language": {"hidden_size": 0}}, "hidden_size must lie between 1 and"),
        (FreshRecipe, {"corpus": ["a"], "language": {"num_attention_heads": 5}}, "must divide hidden_size"),
        (GeometryRecipe, {"data": {"scenes": ["a"]}, "training": {"seed": -1}}, "training.seed must be 0 or more"),
        (GeometryRecipe, {"data": {"scenes": ["a"], "workers": 0}}, "workers must be at least 1"),
    ],
)
def test_sizes_that_no_small_model_can_have_are_refused(kind: type[Any], values: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=f"r: .*{message}"):
        parse_settings(kind, values, "r")


def test_a_home_that_nobody_has_is_left_as_it_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/somewhere")
    assert expand_home("~/x") == Path("/somewhere/x")
    assert expand_home("~nobody-of-that-name/x") == Path("~nobody-of-that-name/x")


KINDS = {"vision.yaml": VisionRecipe, "vlm3r-tiny.yaml": FreshRecipe}
SHIPPED = [p for p in sorted((ROOT / "configs").rglob("*.yaml")) if p.name not in ("geometry.yaml",)]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda p: p.name)
def test_shipped_recipes_are_valid_and_comment_every_key(path: Path) -> None:
    settings = read_settings(KINDS.get(path.name, Recipe), path)
    lines = path.read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines):
        key = re.match(r"\s*(?:- )?(\w+):\s*(\S.*)?$", line)
        if key and key[2] and not key[2].startswith(("#", "{")):
            above = number and lines[number - 1].lstrip().startswith("#")
            assert "#" in line or above, f"{path.name}:{number + 1} has a key without a comment"
    known = set(dotted_keys(type(settings)))
    assert set(yaml.safe_load("\n".join(lines))) <= {key.split(".")[0] for key in known}
