"""Tables of labels against the lists that they were written from, and against themselves."""

from __future__ import annotations

import pytest

from vlm3r.errors import UserError
from vlm3r.scenes.raw.labels import label_table

TABLES, DATASETS = ("ours", "published", "vsibench"), ("scannet", "scannetpp", "arkitscenes")


@pytest.mark.parametrize(
    ("table", "dataset", "label", "category"),
    [
        ("published", "scannet", "trash can", "trash bin"),
        ("published", "scannet", "recycling bin", "trash bin"),
        ("published", "scannet", "mouse", "computer mouse"),
        ("published", "scannet", "office chair", None),  # compared letter for letter
        ("published", "scannet", "mattress", None),
        ("published", "scannetpp", "office chair", "office chair"),  # the training data rename nothing
        ("published", "scannetpp", "kitchen cabinet", "kitchen cabinet"),
        ("published", "scannetpp", "wall", None),
        ("published", "arkitscenes", "tv_monitor", "tv_monitor"),
        ("vsibench", "scannet", "mattress", "mattress"),
        ("vsibench", "scannetpp", "office chair", "chair"),
        ("vsibench", "scannetpp", "ceiling lamp", "ceiling light"),
        ("vsibench", "scannetpp", "kitchen cabinet", None),
        ("vsibench", "scannetpp", "towel", None),
        ("vsibench", "scannetpp", "heater", "heater"),
        ("vsibench", "arkitscenes", "tv_monitor", "tv"),
        ("vsibench", "arkitscenes", "oven", None),
        ("vsibench", "arkitscenes", "chair", "chair"),
        ("ours", "scannet", "office chair", "chair"),
        ("ours", "scannet", "trashcan", "trash bin"),
        ("ours", "scannetpp", "storage cabinet", "cabinet"),
        ("ours", "scannetpp", "REMOVE", None),
        ("ours", "scannetpp", "split", None),
        ("ours", "arkitscenes", "tv_monitor", "tv"),
        ("ours", "arkitscenes", "dining-table", "table"),
        ("ours", "arkitscenes", " Rocking  Horse", "rocking horse"),
        ("ours", "scannet", "", None),
    ],
)
def test_labels_get_their_categories(table, dataset, label, category) -> None:
    assert label_table(table, dataset).category(label, "scene0000_00") == category


def test_the_published_lists_have_their_lengths() -> None:
    assert len(label_table("published", "scannetpp").keep or ()) == 84
    assert len(label_table("published", "scannet").keep or ()) == 9 + 27
    assert len(label_table("vsibench", "scannetpp").drop) == 35


def test_the_benchmark_leaves_some_things_out_of_some_scenes() -> None:
    table = label_table("vsibench", "scannetpp")
    assert table.category("table", "21d970d8de") is None
    assert table.category("heater", "21d970d8de") is None
    assert table.category("table", "09c1414f1b") == "table"
    assert label_table("published", "scannetpp").category("table", "21d970d8de") == "table"


def test_the_benchmark_keeps_only_what_the_training_data_know() -> None:
    published, bench = label_table("published", "scannetpp"), label_table("vsibench", "scannetpp")
    assert bench.keep == published.keep
    assert bench.drop <= (published.keep or frozenset())


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("dataset", DATASETS)
def test_a_category_keeps_its_name_when_it_is_looked_up_again(table, dataset) -> None:
    rules = label_table(table, dataset)
    assert not set(rules.rename) & set(rules.rename.values())
    assert not set(rules.rename.values()) & rules.drop
    assert not set(rules.rename) & (rules.drop - {"kitchen cabinet"})
    if rules.spelling:
        spelt = {*rules.rename, *rules.rename.values(), *rules.drop}
        assert {rules.category(word, "") or word for word in spelt} <= spelt


def test_an_unknown_table_is_named_with_those_there_are() -> None:
    with pytest.raises(UserError, match="--labels theirs: give ours, published, vsibench"):
        label_table("theirs", "scannet")
    with pytest.raises(UserError, match="has no labels for matterport"):
        label_table("published", "matterport")
