"""Settings from YAML: typed, strict, with overrides; and the recipes that ship."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml

from vlm3r.errors import UserError
from vlm3r.training.fresh.recipe import FreshRecipe
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
        ("name: x\ninner: {rate: .nan}", "inner.rate is not a number"),
        ("name: x\ninner: {kind: c}", "inner.kind is 'c'; give one of a, b"),
        ("name: x\ninner: {quick: 1}", "inner.quick must be true or false, not 1"),
        ("name: x\npair: [1]", "pair needs 2 values, not 1"),
        ("name: x\nparts: {quick: true}", "parts must be a list"),
        ("- 1", "holds no mapping of settings"),
        ("name: [", "no valid YAML at line"),
    ],
)
def test_a_wrong_file_is_one_line_that_names_key_and_remedy(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        read(tmp_path, text)
    assert "r.yaml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["rate", "=3", "parts.5.quick=true", "name.x=1"])
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
