"""What a source of the recipe stands for."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.data.material import recipe, row, write_rows
from vlm3r.errors import UserError
from vlm3r.training.data import read_mixture
from vlm3r.training.recipe import DataRecipe, SourceRecipe


def numbered(path: Path, count: int) -> Path:
    return write_rows(path, [row(f"{path.stem} {i}") for i in range(count)])


def texts(mixture) -> list[str]:
    return [read.turns[0].text for read in mixture.read(range(len(mixture)))]


def kept(strategy: str, folder: Path, seed: int = 0, total: int = 11) -> list[int]:
    numbered(folder / "a.json", total)
    (folder / "m.yaml").write_text(f'datasets:\n  - json_path: a.json\n    sampling_strategy: "{strategy}"\n')
    return [int(text.split()[1]) for text in texts(read_mixture(recipe(folder / "m.yaml"), seed))]


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("all", range(11)),
        ("first:3", range(3)),
        ("end:3", range(8, 11)),
        ("first:10%", range(2)),  # a share is rounded up
        ("end:100%", range(11)),
        ("first:50", range(11)),
        ("end:0", []),
    ],
)
def test_published_strategies_keep_these_rows(tmp_path, strategy, expected):
    if not expected:
        with pytest.raises(UserError, match="no row"):
            kept(strategy, tmp_path)
    else:
        assert kept(strategy, tmp_path) == list(expected)


def test_random_rows_are_as_many_as_asked_differ_by_seed_and_are_the_same_for_one(tmp_path):
    chosen = [tuple(kept("random:4", tmp_path, seed)) for seed in range(20)]
    assert all(len(set(numbers)) == 4 and set(numbers) <= set(range(11)) for numbers in chosen)
    assert chosen == [tuple(kept("random:4", tmp_path, seed)) for seed in range(20)]
    assert len(set(chosen)) > 10 and set().union(*chosen) == set(range(11))
    assert len(kept("random:30%", tmp_path)) == 4


@pytest.mark.parametrize("strategy", ["some", "all:3", "first", "first:x", "random:-1", "end:1.5", "first:"])
def test_an_unknown_strategy_names_file_field_and_remedy(tmp_path, strategy):
    with pytest.raises(UserError, match=r"m\.yaml: datasets\.0\.sampling_strategy is .*give all, first:N"):
        kept(strategy, tmp_path)


def test_braces_stand_for_several_files_in_recipes_and_mixtures(tmp_path):
    for name in ("x_a", "x_b", "x_c"):
        numbered(tmp_path / "sub" / f"{name}.json", 2)
    expected = ["x_a 0", "x_a 1", "x_c 0", "x_c 1"]
    assert texts(read_mixture(recipe(tmp_path / "sub" / "x_{a, c}.json"), 0)) == expected
    (tmp_path / "m.yml").write_text("datasets:\n  - json_path: sub/x_{a,c}.json\n    sampling_strategy: first:1\n")
    assert texts(read_mixture(recipe(tmp_path / "m.yml"), 0)) == ["x_a 0", "x_c 0"]


def test_a_mixtures_files_may_be_named_from_the_current_folder_as_published(tmp_path, monkeypatch):
    numbered(tmp_path / "data" / "a.jsonl", 2)
    (tmp_path / "scripts").mkdir()
    (tmp_path / "scripts" / "m.yaml").write_text("datasets:\n  - json_path: data/a.jsonl\n")
    monkeypatch.chdir(tmp_path)
    assert len(read_mixture(recipe(tmp_path / "scripts" / "m.yaml"), 0)) == 2


def test_mixtures_are_strict(tmp_path):
    path = tmp_path / "m.yaml"
    path.write_text("datasets:\n  - json_pth: a.json\n")
    with pytest.raises(UserError, match=r"unknown key datasets\.0\.json_pth \(nearest: .*json_path"):
        read_mixture(recipe(path), 0)
    path.write_text("datasets: []\n")
    with pytest.raises(UserError, match="datasets is empty"):
        read_mixture(recipe(path), 0)
    with pytest.raises(UserError, match="take rows out"):
        read_mixture(DataRecipe(sources=(SourceRecipe(path=path, rows=3),)), 0)


@pytest.mark.parametrize(
    ("sampling", "rows", "expected"),
    [("all", 3, range(3)), ("first", 0.25, range(3)), ("end", 1, [10]), ("end", 0.1, [9, 10]), ("first", 1.0, [0])],
)
def test_a_recipe_limits_rows_by_number_or_share(tmp_path, sampling, rows, expected):
    source = SourceRecipe(path=numbered(tmp_path / "a.json", 11), sampling=sampling, rows=rows)
    mixture = read_mixture(DataRecipe(sources=(source,)), 0)
    assert texts(mixture) == [f"a {i}" for i in expected]


def test_paths_of_rows_start_from_the_root_or_from_the_file(tmp_path):
    path = write_rows(tmp_path / "a.json", [row("q", video="v.mp4")])
    for root, expected in ((None, tmp_path / "v.mp4"), (Path("/videos"), Path("/videos/v.mp4"))):
        mixture = read_mixture(DataRecipe(sources=(SourceRecipe(path=path, root=root),)), 0)
        assert mixture.clips[0].video == expected and mixture.clips[0].source == str(path)
