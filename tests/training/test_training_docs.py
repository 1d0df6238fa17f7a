from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from vlm3r.training.recipe import Recipe, SourceRecipe, read_recipe
from vlm3r.training.settings import dotted_keys

REPOSITORY = Path(__file__).resolve().parents[2]
RECIPES = sorted(
    path for path in (REPOSITORY / "configs" / "recipes").rglob("*.yaml") if "parts" in yaml.safe_load(path.read_text())
)


def test_the_documentation_explains_every_key():
    text = (REPOSITORY / "docs" / "training.md").read_text()
    sections = {"model", "data", "parts", "lora", "optimiser", "run"}
    keys = {key for key in dotted_keys(Recipe) if key not in sections and not key.startswith("data.sources.")}
    keys |= {f"data.sources.N.{key}" for key in dotted_keys(SourceRecipe)}
    assert {key for key in keys if f"| `{key}` |" not in text} == set()


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.name)
def test_every_key_of_a_shipped_recipe_is_known_and_has_a_comment(path):
    read_recipe(path)
    lines = [line for line in path.read_text().splitlines() if ":" in line and not line.lstrip().startswith("#")]
    bare = [line for line in lines if "#" not in line and not line.rstrip().endswith(":")]
    assert not bare


def test_the_published_recipe_gives_every_key():
    values = yaml.safe_load((REPOSITORY / "configs" / "recipes" / "vlm3r_vsibench.yaml").read_text())
    given = {f"{section}.{key}" for section, entries in values.items() for key in entries}
    wanted = {key for key in dotted_keys(Recipe) if "." in key and not key.startswith("data.sources.")}
    assert given == wanted
